// Checkpoints of every naming and layout give the same weights; wrong ones give one error that names the
// tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "bert/model.h"
#include "support/checkpoint_maker.h"

namespace {

using bert::BertWeights;
using bert::Checkpoint;
using bert::ErrorCode;
using bert::Head;
using bert::ModuleId;
using bert::ModuleKind;
using bert_test::CheckpointSpec;
using testing::HasSubstr;

CheckpointSpec small_spec() {
  CheckpointSpec spec;
  spec.config.vocab_size = 23;
  spec.config.hidden_size = 12;
  spec.config.num_hidden_layers = 2;
  spec.config.num_attention_heads = 3;
  spec.config.intermediate_size = 20;
  spec.config.max_position_embeddings = 9;
  spec.config.type_vocab_size = 2;
  spec.seed = 5;
  return spec;
}

TEST(Checkpoint, EveryNamingAndLayoutGivesTheSameWeights) {
  const auto plain = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(plain) << plain.error().message;
  const std::uint64_t wanted = bert_test::weights_checksum(plain->weights);
  using Change = std::function<void(CheckpointSpec&)>;
  const std::pair<const char*, Change> kChanges[] = {
      {"no prefix", [](auto& s) { s.bert_prefix = false; }},
      {"gamma and beta", [](auto& s) { s.gamma_beta = true; }},
      {"position ids", [](auto& s) { s.position_ids = true; }},
      {"a decoder under the tie", [](auto& s) { s.decoder_copy = true; }},
      {"the bias's second name", [](auto& s) { s.decoder_bias_name = true; }},
      {"reverse order", [](auto& s) { s.reverse_order = true; }},
      {"two files", [](auto& s) { s.shards = 2; }},
      {"seven files", [](auto& s) { s.shards = 7; }},
      {"all at once",
       [](auto& s) {
         s.bert_prefix = false;
         s.gamma_beta = s.position_ids = s.decoder_copy = s.decoder_bias_name = s.reverse_order = true;
         s.shards = 4;
       }},
  };
  for (const auto& [what, change] : kChanges) {
    CheckpointSpec spec = small_spec();
    change(spec);
    const auto opened = bert_test::make_and_open(spec);
    ASSERT_TRUE(opened) << what << ": " << opened.error().message;
    EXPECT_EQ(bert_test::weights_checksum(opened->weights), wanted) << what;
  }
}

TEST(Checkpoint, TiedDecoderIsTheTableAndAnOwnOneIsNot) {
  CheckpointSpec spec = small_spec();
  spec.decoder_copy = true;
  const auto tied = bert_test::make_and_open(spec);
  ASSERT_TRUE(tied);
  EXPECT_TRUE(tied->weights.checkpoint.decoder_is_tied());
  EXPECT_EQ(tied->weights.mlm->decoder.weight.data.data(), tied->weights.word_embeddings.data.data());
  EXPECT_EQ(tied->weights.checkpoint.stored_parameters().unused, 23U * 12U);

  spec.config.tie_word_embeddings = false;
  const auto own = bert_test::make_and_open(spec);
  ASSERT_TRUE(own);
  EXPECT_FALSE(own->weights.checkpoint.decoder_is_tied());
  EXPECT_EQ(own->weights.mlm->decoder.weight.name, "cls.predictions.decoder.weight");
  EXPECT_EQ(own->weights.checkpoint.stored_parameters().unused, 0U);
}

TEST(Checkpoint, HeadsMayBeAbsentUntilTheyAreUsed) {
  for (int heads = 0; heads < 8; ++heads) {
    CheckpointSpec spec = small_spec();
    spec.pooler = (heads & 1) != 0;
    spec.mlm_head = (heads & 2) != 0;
    spec.nsp_head = (heads & 4) != 0;
    const auto opened = bert_test::make_and_open(spec);
    ASSERT_TRUE(opened) << heads << ": " << opened.error().message;
    const Checkpoint& checkpoint = opened->weights.checkpoint;
    EXPECT_EQ(checkpoint.has(Head::kPooler), spec.pooler);
    EXPECT_EQ(checkpoint.has(Head::kMlm), spec.mlm_head);
    EXPECT_EQ(checkpoint.has(Head::kNsp), spec.nsp_head && spec.pooler);
    EXPECT_EQ(opened->weights.pooler.has_value(), spec.pooler);
    EXPECT_EQ(opened->weights.mlm.has_value(), spec.mlm_head);
    const auto mlm = checkpoint.require(Head::kMlm);
    ASSERT_EQ(mlm.has_value(), spec.mlm_head);
    if (mlm) continue;
    EXPECT_EQ(mlm.error().code, ErrorCode::kMissingTensor);
    EXPECT_THAT(mlm.error().message, HasSubstr("cls.predictions.transform.dense.weight"));
  }
}

/// A checkpoint whose header has been changed after planning; bytes are zeros.
struct Edited {
  bert_test::MadeCheckpoint made;
  nlohmann::ordered_json header;

  explicit Edited(const CheckpointSpec& spec) : made(bert_test::plan_checkpoint(spec)) {
    header = nlohmann::ordered_json::parse(made.files[0].header.substr(8));
  }
  /// Lays the tensors out again from their types and shapes, and opens the result.
  [[nodiscard]] bert::Expected<Checkpoint> open() {
    std::uint64_t begin = 0;
    for (auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      std::uint64_t bytes = entry["dtype"] == "F32"   ? 4
                            : entry["dtype"] == "I8"  ? 1
                            : entry["dtype"] == "F64" ? 8
                                                      : 2;
      for (const auto& size : entry["shape"]) bytes *= size.template get<std::uint64_t>();
      entry["data_offsets"] = {begin, begin + bytes};
      begin += bytes;
    }
    const std::string json = header.dump();
    const std::uint64_t length = json.size();
    std::string text(8, '\0');
    std::memcpy(text.data(), &length, 8);
    text += json;
    auto parsed = bert::SafetensorsHeader::parse(std::as_bytes(std::span(text)));
    if (!parsed) return tl::unexpected(parsed.error());
    return Checkpoint::create(*bert::ModelConfig::parse(made.config_json), {std::move(*parsed)});
  }
};

void expect_error(bert::Expected<Checkpoint> result, ErrorCode code, const char* text) {
  ASSERT_FALSE(result) << text;
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_THAT(result.error().message, HasSubstr(text));
  EXPECT_LT(result.error().message.size(), 300U);
}

TEST(Checkpoint, EveryMissingTensorIsNamed) {
  const Edited whole(small_spec());
  for (const auto& item : whole.header.items()) {
    const std::string& name = item.key();
    if (name == "__metadata__") continue;
    Edited edited(small_spec());
    edited.header.erase(name);
    const auto checkpoint = edited.open();
    const bool head = name.starts_with("cls.") || name.starts_with("bert.pooler.");
    ASSERT_EQ(checkpoint.has_value(), head) << name;
    if (!head) {
      EXPECT_EQ(checkpoint.error().code, ErrorCode::kMissingTensor);
      EXPECT_THAT(checkpoint.error().message, HasSubstr(name));
      continue;
    }
    const Head which = name.starts_with("cls.p")   ? Head::kMlm
                       : name.starts_with("cls.s") ? Head::kNsp
                                                   : Head::kPooler;
    const auto required = checkpoint->require(which);
    ASSERT_FALSE(required) << name;
    EXPECT_THAT(required.error().message, HasSubstr(name));
    EXPECT_EQ(checkpoint->require(Head::kNsp).has_value(), which == Head::kMlm)
        << "the NSP head needs the pooler";
  }
}

TEST(Checkpoint, EveryWrongShapeIsNamed) {
  const Edited whole(small_spec());
  for (const auto& item : whole.header.items()) {
    const std::string& name = item.key();
    if (name == "__metadata__") continue;
    for (const auto& shape :
         {nlohmann::json{0}, nlohmann::json{7}, nlohmann::json{12, 12, 1}, nlohmann::json::array()}) {
      Edited edited(small_spec());
      edited.header[name]["shape"] = shape;
      expect_error(edited.open(), ErrorCode::kInvalidModel, name.c_str());
    }
  }
}

TEST(Checkpoint, TypesAreChecked) {
  const char* kQuery = "bert.encoder.layer.1.attention.self.query.weight";
  {
    Edited edited(small_spec());
    edited.header[kQuery]["dtype"] = "F64";
    expect_error(edited.open(), ErrorCode::kInvalidModel, "has type F64");
  }
  {
    Edited edited(small_spec());
    edited.header[kQuery]["dtype"] = "I8";
    expect_error(edited.open(), ErrorCode::kInvalidModel, "has no scales");
  }
  {
    Edited edited(small_spec());
    edited.header[std::string(kQuery) + "_scale"] = {
        {"dtype", "F32"}, {"shape", {12}}, {"data_offsets", {0, 0}}};
    expect_error(edited.open(), ErrorCode::kInvalidModel, "has scales");
  }
  for (const auto& shape : {nlohmann::json{12}, nlohmann::json{12, 1}}) {
    Edited edited(small_spec());
    edited.header[kQuery]["dtype"] = "I8";
    edited.header[std::string(kQuery) + "_scale"] = {
        {"dtype", "F32"}, {"shape", shape}, {"data_offsets", {0, 0}}};
    EXPECT_TRUE(edited.open());
  }
  {
    Edited edited(small_spec());
    edited.header[kQuery]["dtype"] = "I8";
    edited.header[std::string(kQuery) + "_scale"] = {
        {"dtype", "F16"}, {"shape", {12}}, {"data_offsets", {0, 0}}};
    expect_error(edited.open(), ErrorCode::kInvalidModel, "scales are F32");
  }
  {
    Edited edited(small_spec());
    edited.header["bert.encoder.layer.0.output.LayerNorm.weight"]["dtype"] = "I8";
    expect_error(edited.open(), ErrorCode::kInvalidModel, "output.LayerNorm.weight");
  }
}

TEST(Checkpoint, OneParameterUnderTwoNamesIsAnError) {
  for (const char* twin :
       {"embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.gamma"}) {
    Edited edited(small_spec());
    edited.header[twin] = edited.header["bert.embeddings.LayerNorm.weight"];
    expect_error(edited.open(), ErrorCode::kInvalidModel, "is the same parameter as");
  }
}

TEST(Checkpoint, WhatNoModuleUsesIsLeftAlone) {
  Edited edited(small_spec());
  for (const char* name :
       {"classifier.weight", "bert.encoder.layer.2.output.dense.bias", "bert.cls.predictions.bias",
        "bert.encoder.layer.00.output.dense.bias", "bert.encoder.layer.99999999999.output.dense.bias",
        "bert.encoder.layer..output.dense.bias", "bert.embeddings.token_type_ids", "",
        "bert.encoder.layer.0.attention.self.query.weights", "cls.predictions.decoder.bias"})
    edited.header[name] = {{"dtype", "F32"}, {"shape", {23}}, {"data_offsets", {0, 0}}};
  const auto checkpoint = edited.open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->stored_parameters().unused, 10U * 23U);
}

TEST(Checkpoint, IndexAndFilesMustAgree) {
  CheckpointSpec spec = small_spec();
  spec.shards = 3;
  const auto made = bert_test::plan_checkpoint(spec);
  const auto headers = [&made] {
    std::vector<bert::SafetensorsHeader> all;
    all.reserve(made.files.size());
    for (const auto& file : made.files)
      all.push_back(*bert::SafetensorsHeader::parse(std::as_bytes(std::span(file.header))));
    return all;
  };
  auto json = nlohmann::json::parse(*made.index_json);
  const auto good = bert::ShardIndex::parse(json.dump());
  ASSERT_TRUE(good);
  EXPECT_TRUE(Checkpoint::create(spec.config, headers(), &*good));
  auto swapped = headers();
  std::swap(swapped[0], swapped[2]);
  expect_error(Checkpoint::create(spec.config, std::move(swapped), &*good), ErrorCode::kMissingTensor,
               "where the index says it is");
  json["weight_map"]["nowhere"] = made.files[1].name;
  const auto extra = bert::ShardIndex::parse(json.dump());
  expect_error(Checkpoint::create(spec.config, headers(), &*extra), ErrorCode::kMissingTensor, "'nowhere'");
  auto two = headers();
  two.pop_back();
  expect_error(Checkpoint::create(spec.config, std::move(two), &*good), ErrorCode::kInvalidModel, "3 files");
  expect_error(Checkpoint::create(spec.config, {}), ErrorCode::kInvalidArgument, "at least one");
  auto twice = headers();
  twice.push_back(twice[0]);
  expect_error(Checkpoint::create(spec.config, std::move(twice)), ErrorCode::kInvalidModel,
               "stands in two files");
}

TEST(BertWeights, CutFilesNameTheTensor) {
  const auto opened = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(opened);
  const auto& checkpoint = opened->weights.checkpoint;
  const auto& last = checkpoint.headers()[0].tensors().back();
  const auto whole = opened->files[0];
  for (const auto& file : {whole.first(whole.size() - 1), whole.first(0),
                           whole.first(static_cast<std::size_t>(last.offset) + 1)}) {
    const std::span<const std::byte> files[] = {file};
    const auto weights = BertWeights::bind(checkpoint, files);
    ASSERT_FALSE(weights) << file.size();
    EXPECT_EQ(weights.error().code, ErrorCode::kInvalidModel);
    EXPECT_THAT(weights.error().message, HasSubstr("it ends inside tensor"));
  }
  EXPECT_FALSE(BertWeights::bind(checkpoint, {}));
}

TEST(BertWeights, VisitReleasesWhatWasCopiedAndNothingElse) {
  CheckpointSpec spec = small_spec();
  spec.position_ids = true;
  const auto opened = bert_test::make_and_open(spec);
  ASSERT_TRUE(opened);
  std::vector<ModuleId> seen;
  std::set<const std::byte*> released;
  const auto status = visit_modules(
      opened->weights,
      [&](ModuleId id, const bert::ModuleView& module) -> bert::Expected<bert::BytesUse> {
        const bool tied_decoder = id.kind == ModuleKind::kMlmDecoder;
        EXPECT_EQ(module.weight.empty(), tied_decoder);
        EXPECT_FALSE(released.contains(module.weight.data.data()) && !module.weight.empty());
        seen.push_back(id);
        return id.kind == ModuleKind::kWordEmbeddings ? bert::BytesUse::kKept : bert::BytesUse::kCopied;
      },
      [&](std::span<const std::byte> bytes) { EXPECT_TRUE(released.insert(bytes.data()).second); });
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(seen, opened->weights.checkpoint.modules());
  EXPECT_EQ(seen.size(), 4U + 2U * 8U + 5U);
  EXPECT_FALSE(released.contains(opened->weights.word_embeddings.data.data()));
  EXPECT_TRUE(released.contains(opened->weights.layers[1].query.weight.data.data()));
  EXPECT_TRUE(released.contains(opened->weights.layers[1].query.bias.data.data()));
  // every used tensor but the table is released once: 3 + 2 + 2 * 16 + 2 + 2 + 2 + 1 + 2 with one weight for
  // each table
  std::size_t used = 0;
  for (const auto& entry : opened->weights.checkpoint.entries()) used += entry.module ? 1 : 0;
  EXPECT_EQ(released.size(), used - 1);
}

TEST(BertWeights, VisitStopsAtAnError) {
  const auto opened = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(opened);
  int calls = 0;
  const auto status = visit_modules(
      opened->weights, [&calls](ModuleId, const bert::ModuleView&) -> bert::Expected<bert::BytesUse> {
        if (++calls == 3) return bert::fail(ErrorCode::kOutOfMemory, "full");
        return bert::BytesUse::kCopied;
      });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "full");
  EXPECT_EQ(calls, 3);
}

TEST(ModuleNames, AreHuggingFaces) {
  EXPECT_EQ(bert::module_name({ModuleKind::kWordEmbeddings, 0}), "bert.embeddings.word_embeddings");
  EXPECT_EQ(bert::module_name({ModuleKind::kQuery, 3}), "bert.encoder.layer.3.attention.self.query");
  EXPECT_EQ(bert::module_name({ModuleKind::kOutputNorm, 11}), "bert.encoder.layer.11.output.LayerNorm");
  EXPECT_EQ(bert::module_name({ModuleKind::kPooler, 0}), "bert.pooler.dense");
  EXPECT_EQ(bert::module_name({ModuleKind::kMlmNorm, 0}), "cls.predictions.transform.LayerNorm");
  EXPECT_EQ(bert::module_name({ModuleKind::kNspClassifier, 0}), "cls.seq_relationship");
}

}  // namespace
