// Puts tokenizer, encoder and session together and checks that they belong together.
#include "bert/tasks.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tasks/data.h"

namespace bert {

Tasks::Tasks(std::unique_ptr<tasks::Data> data) : data_(std::move(data)) {}
Tasks::~Tasks() = default;

const Tokenizer& Tasks::tokenizer() const {
  return *data_->tokenizer;
}
const Encoder& Tasks::encoder() const {
  return *data_->encoder;
}
Session& Tasks::session() {
  return *data_->session;
}
Expected<Encoding> Tasks::encode(const TextInput& text) {
  return data_->encode(text);
}
bool Tasks::truncation_implied() const {
  return data_->truncation_implied;
}

void Tasks::set_encoding(const EncodeOptions& encoding) {
  data_->encoding = encoding;
  data_->encoding.padding = Padding::kNone;
  data_->encoding.return_overflowing = false;
  // The tokenizer's files may state more than the model takes, or nothing.
  const bool truncates = encoding.truncation && *encoding.truncation != Truncation::kNone;
  if (truncates && !encoding.max_length) {
    data_->encoding.max_length = static_cast<std::uint32_t>(
        std::min<std::size_t>(data_->tokenizer->settings().model_max_length, data_->max_tokens));
  }
}

Expected<std::unique_ptr<Tasks>> Tasks::create(std::shared_ptr<const Tokenizer> tokenizer,
                                               std::shared_ptr<const Encoder> encoder,
                                               const EncodeOptions& encoding) {
  const ModelConfig& config = encoder->config();
  if (tokenizer->size() > static_cast<std::size_t>(config.vocab_size)) {
    return fail(ErrorCode::kInvalidModel, "the vocabulary has " + std::to_string(tokenizer->size()) +
                                              " entries, the model " + std::to_string(config.vocab_size) +
                                              ": they do not belong together");
  }
  auto data = std::make_unique<tasks::Data>();
  for (const auto& [role, id] : {std::pair{"mask_token", &data->mask_id},
                                 {"pad_token", &data->pad_id},
                                 {"unk_token", &data->unknown_id}}) {
    const Expected<std::int32_t> found = tokenizer->special_token_id(role);
    if (!found) return tl::unexpected(found.error());
    *id = *found;
  }
  Expected<std::unique_ptr<Session>> session = Session::create(encoder);
  if (!session) return tl::unexpected(session.error());
  for (std::int32_t id = 0; static_cast<std::size_t>(id) < tokenizer->size(); ++id)
    if (!tokenizer->id_to_token(id)) data->gaps.push_back(id);
  data->tokenizer = std::move(tokenizer);
  data->session = std::move(*session);
  data->max_tokens = static_cast<std::size_t>(config.max_position_embeddings);
  data->layers = static_cast<std::size_t>(config.num_hidden_layers);
  data->sizes = encoder->backend().work_sizes();
  data->encoder = std::move(encoder);
  std::unique_ptr<Tasks> tasks(new Tasks(std::move(data)));
  tasks->set_encoding(encoding);
  return tasks;
}

}  // namespace bert
