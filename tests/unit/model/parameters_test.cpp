// The parameter table against the figures that the notebook prints for bert-base-uncased.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bert/model.h"
#include "support/checkpoint_maker.h"
#include "support/test_files.h"

namespace {

using bert::parameter_table;

TEST(Parameters, AreTheNotebooks) {
  const auto t = parameter_table(*bert_test::named_config("base"));
  EXPECT_EQ(t.total, 109'482'240U);
  EXPECT_EQ(t.trainable, 109'482'240U);
  EXPECT_EQ(t.embeddings.count, 23'837'184U);
  EXPECT_EQ(t.word_embeddings.count, 23'440'896U);
  EXPECT_EQ(t.position_embeddings.count, 393'216U);
  EXPECT_EQ(t.token_type_embeddings.count, 1'536U);
  EXPECT_EQ(t.embeddings_norm.count, 1'536U);
  EXPECT_EQ(t.encoder_layer.count, 7'087'872U);
  EXPECT_EQ(t.self_attention.count, 2'363'904U);
  EXPECT_EQ(t.intermediate.count, 2'362'368U);
  EXPECT_EQ(t.output.count, 2'361'600U);
  EXPECT_EQ(t.encoder.count, 85'054'464U);
  EXPECT_EQ(t.pooler.count, 590'592U);
  EXPECT_EQ(t.with_mlm_head, 109'514'298U);
  EXPECT_EQ(t.with_nsp_head, 109'483'778U);
  EXPECT_EQ(t.with_both_heads, 110'106'428U);
  EXPECT_EQ(t.embeddings.count + t.encoder.count + t.pooler.count, t.total);
}

TEST(Parameters, AreThoseOfTheSpecification) {
  const auto text = bert_test::read_file(bert_test::shared_path("spec/notebook_expected.json"));
  if (!text)
    GTEST_SKIP()
        << "Parameters.AreThoseOfTheSpecification: spec/notebook_expected.json is not beside the checkout";
  const auto expected = nlohmann::json::parse(*text)["architecture"];
  const auto t = parameter_table(*bert_test::named_config("base"));
  EXPECT_EQ(t.total, expected["base_model_parameters"]);
  EXPECT_EQ(t.embeddings.count, expected["embeddings"]["total"]);
  EXPECT_EQ(t.word_embeddings.count, expected["embeddings"]["word"]);
  EXPECT_EQ(t.position_embeddings.count, expected["embeddings"]["position"]);
  EXPECT_EQ(t.token_type_embeddings.count, expected["embeddings"]["token_type"]);
  EXPECT_EQ(t.embeddings_norm.count, expected["embeddings"]["layer_norm"]);
  EXPECT_EQ(t.encoder_layer.count, expected["encoder_layer"]["total"]);
  EXPECT_EQ(t.self_attention.count, expected["encoder_layer"]["self_attention_incl_output_dense_and_norm"]);
  EXPECT_EQ(t.intermediate.count, expected["encoder_layer"]["intermediate"]);
  EXPECT_EQ(t.output.count, expected["encoder_layer"]["output"]);
  EXPECT_EQ(t.encoder.count, expected["encoder_all_layers"]);
  EXPECT_EQ(t.pooler.count, expected["pooler"]);
}

TEST(Parameters, FormulasSayWhatIsCounted) {
  const auto t = parameter_table(*bert_test::named_config("base"));
  EXPECT_EQ(t.word_embeddings.formula, "30522 x 768");
  EXPECT_EQ(t.self_attention.formula, "4 x (768 x 768 + 768) + 2 x 768");
  EXPECT_EQ(t.intermediate.formula, "768 x 3072 + 3072");
  EXPECT_EQ(t.output.formula, "3072 x 768 + 768 + 2 x 768");
  EXPECT_EQ(t.encoder.formula, "12 x 7087872");
  EXPECT_EQ(t.embeddings.formula, "23440896 + 393216 + 1536 + 1536");
  EXPECT_EQ(t.mlm_decoder.formula, "tied to word_embeddings");
}

/// The table comes from the config, the sums from the headers: two ways to the same numbers.
TEST(Parameters, EqualTheSumsOverTheHeaders) {
  for (const bool tied : {true, false}) {
    bert_test::CheckpointSpec spec;
    spec.config = *bert_test::named_config("base");
    spec.config.tie_word_embeddings = tied;
    spec.position_ids = true;
    const auto made = bert_test::plan_checkpoint(spec);
    auto header = bert::SafetensorsHeader::parse(std::as_bytes(std::span(made.files[0].header)));
    ASSERT_TRUE(header) << header.error().message;
    const auto checkpoint = bert::Checkpoint::create(spec.config, {std::move(*header)});
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    const auto stored = checkpoint->stored_parameters();
    const auto t = parameter_table(spec.config);
    EXPECT_EQ(stored.embeddings, t.embeddings.count);
    EXPECT_EQ(stored.encoder, t.encoder.count);
    EXPECT_EQ(stored.pooler, t.pooler.count);
    EXPECT_EQ(stored.base(), t.total);
    EXPECT_EQ(stored.mlm_head, t.mlm_head.count);
    EXPECT_EQ(stored.nsp_head, t.nsp_head.count);
    EXPECT_EQ(stored.unused, 512U);  // the position_ids buffer
  }
}

}  // namespace
