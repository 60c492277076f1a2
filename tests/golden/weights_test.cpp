// The weights under the golden values are the ones that PyTorch had, through every naming, type and file
// layout.
#include <gtest/gtest.h>

#include "support/checkpoint_maker.h"
#include "support/golden_models.h"

namespace {

TEST(GoldenWeights, AreThePythonScripts) {
  const auto names = bert_test::golden_names();
  ASSERT_GE(names.size(), 5U);
  for (const std::string& name : names) {
    const auto golden = bert_test::load_golden(name);
    ASSERT_TRUE(golden) << name;
    const auto opened = bert_test::make_and_open(golden->spec);
    ASSERT_TRUE(opened) << name << ": " << opened.error().message;
    EXPECT_EQ(bert_test::weights_checksum(opened->weights), golden->weights_fnv1a) << name;
  }
}

TEST(GoldenValues, HaveTheShapesOfTheirModel) {
  for (const std::string& name : bert_test::golden_names()) {
    const auto golden = bert_test::load_golden(name);
    ASSERT_TRUE(golden) << name;
    const bert::ModelConfig& config = golden->spec.config;
    ASSERT_EQ(golden->cases.size(), 4U) << name;
    for (const bert_test::GoldenCase& c : golden->cases) {
      const std::string where = name + ", case " + c.name;
      EXPECT_EQ(c.input_ids.size(), c.batch * c.tokens) << where;
      EXPECT_EQ(c.attention_mask.size(), c.batch * c.tokens) << where;
      ASSERT_EQ(c.hidden_states.size(), config.num_hidden_layers + 1) << where;
      for (const auto& state : c.hidden_states)
        EXPECT_EQ(state.data.size(), c.batch * c.tokens * config.hidden_size) << where;
      for (const auto& attention : c.attentions)
        EXPECT_EQ(attention.data.size(), c.batch * config.num_attention_heads * c.tokens * c.tokens) << where;
      EXPECT_EQ(c.pooler_output.has_value(), golden->spec.pooler) << where;
      EXPECT_EQ(c.nsp_logits.has_value(), golden->spec.pooler && golden->spec.nsp_head) << where;
    }
  }
}

}  // namespace
