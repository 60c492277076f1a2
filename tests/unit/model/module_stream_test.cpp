// A stream of bytes gives the same modules as whole files, in pieces of any size, and holds little.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>

#include "bert/model.h"
#include "support/checkpoint_maker.h"

namespace {

using bert::BytesUse;
using bert::ErrorCode;
using bert::Expected;
using bert::ModuleId;
using bert::ModuleStream;
using bert::ModuleView;
using bert_test::CheckpointSpec;
using bert_test::OpenedCheckpoint;
using testing::HasSubstr;

CheckpointSpec small_spec() {
  CheckpointSpec spec;
  spec.config.vocab_size = 31;
  spec.config.hidden_size = 8;
  spec.config.num_hidden_layers = 3;
  spec.config.num_attention_heads = 2;
  spec.config.intermediate_size = 24;
  spec.config.max_position_embeddings = 10;
  spec.position_ids = true;
  spec.decoder_copy = true;
  return spec;
}

std::string bytes_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// All that a visit says, as text.
std::string describe(ModuleId id, const ModuleView& module) {
  return bert::module_name(id) + "|" + std::string(module.weight.name) + "|" +
         bytes_text(module.weight.data) + "|" + bytes_text(module.weight.scales) + "|" +
         std::string(module.bias.name) + "|" + bytes_text(module.bias.data);
}

std::vector<std::string> visits_of_files(const OpenedCheckpoint& opened) {
  std::vector<std::string> visits;
  EXPECT_TRUE(visit_modules(opened.weights, [&](ModuleId id, const ModuleView& module) -> Expected<BytesUse> {
    visits.push_back(describe(id, module));
    return BytesUse::kCopied;
  }));
  return visits;
}

TEST(ModuleStream, GivesWhatWholeFilesGive) {
  for (const std::size_t shards : {1U, 2U, 5U}) {
    for (const bool reverse : {false, true}) {
      CheckpointSpec spec = small_spec();
      spec.shards = shards;
      spec.reverse_order = reverse;
      const auto opened = bert_test::make_and_open(spec);
      ASSERT_TRUE(opened) << opened.error().message;
      const auto wanted = visits_of_files(*opened);
      for (const std::size_t piece : {1U, 7U, 64U, 1000U, 1'000'000U}) {
        std::vector<std::string> visits;
        ModuleStream stream(opened->weights.checkpoint,
                            [&](ModuleId id, const ModuleView& module) -> Expected<BytesUse> {
                              EXPECT_EQ(reinterpret_cast<std::uintptr_t>(module.bias.data.data()) % 64, 0U);
                              visits.push_back(describe(id, module));
                              return BytesUse::kCopied;
                            });
        for (std::size_t file = 0; file < shards; ++file) {
          EXPECT_EQ(stream.file(), file);
          auto data = opened->files[file].subspan(
              static_cast<std::size_t>(opened->weights.checkpoint.headers()[file].data_offset()));
          while (!data.empty()) {
            const std::size_t count = std::min(piece, data.size());
            const auto status = stream.push(data.first(count));
            ASSERT_TRUE(status) << status.error().message;
            data = data.subspan(count);
          }
        }
        EXPECT_TRUE(stream.finish());
        EXPECT_EQ(stream.file(), shards);
        EXPECT_EQ(stream.held_bytes(), 0U);
        EXPECT_EQ(visits, wanted) << "pieces of " << piece << ", files " << shards;
      }
    }
  }
}

TEST(ModuleStream, BuffersTakeBytesInPlace) {
  const auto opened = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(opened);
  std::vector<std::string> visits;
  ModuleStream stream(opened->weights.checkpoint,
                      [&](ModuleId id, const ModuleView& module) -> Expected<BytesUse> {
                        visits.push_back(describe(id, module));
                        return BytesUse::kKept;
                      });
  const auto file = opened->files[0];
  const auto start = static_cast<std::size_t>(opened->weights.checkpoint.headers()[0].data_offset());
  std::size_t largest = 0;
  while (true) {
    const auto room = stream.buffer();
    ASSERT_TRUE(room);
    if (room->empty()) break;
    const std::size_t count = (room->size() + 1) / 2;  // half of what is offered, over and over
    std::memcpy(room->data(), file.data() + start + stream.position(), count);
    const auto status = stream.commit(count);
    ASSERT_TRUE(status) << status.error().message;
    largest = std::max(largest, stream.held_bytes());
  }
  EXPECT_TRUE(stream.finish());
  EXPECT_EQ(visits, visits_of_files(*opened));
  // Sorted by name a bias comes right before its weight: never more than the table and some vectors.
  EXPECT_LE(largest, 31U * 8U * 4U + 1000U);
}

TEST(ModuleStream, EndsAndErrorsAreKept) {
  const auto opened = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(opened);
  const auto& checkpoint = opened->weights.checkpoint;
  const auto data = opened->files[0].subspan(static_cast<std::size_t>(checkpoint.headers()[0].data_offset()));
  const auto visitor = [](ModuleId, const ModuleView&) -> Expected<BytesUse> { return BytesUse::kCopied; };
  {
    ModuleStream stream(checkpoint, visitor);
    ASSERT_TRUE(stream.push(data.first(data.size() - 1)));
    const auto end = stream.finish();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, ErrorCode::kInvalidModel);
    EXPECT_THAT(end.error().message, HasSubstr("the bytes end in tensor 'cls.seq_relationship.weight'"));
    ASSERT_TRUE(stream.push(data.last(1)));
    EXPECT_TRUE(stream.finish());
    EXPECT_EQ(stream.push(data.last(1)).error().code, ErrorCode::kInvalidArgument);
  }
  {
    ModuleStream stream(checkpoint, visitor);
    const auto room = stream.buffer();
    ASSERT_TRUE(room);
    EXPECT_EQ(stream.commit(room->size() + 1).error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(stream.push(data)) << "after an error";
    EXPECT_FALSE(stream.finish());
  }
  {
    ModuleStream stream(checkpoint, [](ModuleId id, const ModuleView&) -> Expected<BytesUse> {
      if (id.layer == 1) return bert::fail(ErrorCode::kAborted, "enough");
      return BytesUse::kCopied;
    });
    EXPECT_EQ(stream.push(data).error().message, "enough");
    EXPECT_EQ(stream.push(data).error().message, "enough");
    EXPECT_EQ(stream.finish().error().message, "enough");
  }
}

}  // namespace
