// Building a document from events, and looking things up in it.
#include "json/document.h"

#include <limits>
#include <utility>

namespace bert::json {

class Document::Builder : public Events {
 public:
  explicit Builder(Document& document) : document_(document) {}

  bool scalar(const Scalar& value) override {
    add(value);
    document_.strings_ += value.text;
    return true;
  }
  bool name(std::string_view name) override {
    name_size_ = static_cast<std::uint32_t>(name.size());
    document_.strings_ += name;
    return true;
  }
  bool open(Kind container) override {
    if (open_.size() == kDeepest) {
      problem = "nested more than 64 deep";
      return false;
    }
    add(Scalar(container));
    open_.push_back(document_.nodes_.size() - 1);
    return true;
  }
  bool close() override {
    document_.nodes_[open_.back()].end = static_cast<std::uint32_t>(document_.nodes_.size());
    open_.pop_back();
    return true;
  }
  void malformed(std::size_t byte) override {
    problem = "not well-formed JSON at byte " + std::to_string(byte);
  }

  std::string problem;

 private:
  void add(const Scalar& value) {
    std::vector<Node>& nodes = document_.nodes_;
    if (!open_.empty()) ++nodes[open_.back()].size;
    Node& node = nodes.emplace_back();
    node.scalar = value;
    node.name = static_cast<std::uint32_t>(document_.strings_.size()) - name_size_;
    node.name_size = std::exchange(name_size_, 0);
    node.end = static_cast<std::uint32_t>(nodes.size());
  }

  static constexpr std::size_t kDeepest = 64;
  Document& document_;
  std::vector<std::size_t> open_;  ///< nodes of the containers around the next value
  std::uint32_t name_size_ = 0;    ///< of the next value's name, which the strings end with
};

Expected<Document> Document::parse(std::string_view text, std::string_view file) {
  Document document;
  Builder builder(document);
  if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
    builder.problem = "4 GiB or more";
  } else if (scan(text, builder) && !document.root().is(Kind::kObject)) {
    builder.problem = "not a JSON object";
  }
  if (!builder.problem.empty())
    return fail(ErrorCode::kInvalidModel, std::string(file) + ": " + builder.problem);
  return document;
}

Kind Value::kind() const {
  return document_ == nullptr ? Kind::kNull : document_->nodes_[node_].scalar.kind;
}

Scalar Value::scalar() const {
  if (document_ == nullptr) return Scalar();
  const Document::Node& node = document_->nodes_[node_];
  Scalar result = node.scalar;  // its text has moved into the strings
  result.text = std::string_view(document_->strings_).substr(node.name + node.name_size, result.text.size());
  return result;
}

std::optional<bool> Value::boolean() const {
  if (!is(Kind::kBoolean)) return std::nullopt;
  return scalar().boolean;
}

std::optional<std::string_view> Value::string() const {
  if (!is(Kind::kString)) return std::nullopt;
  return scalar().text;
}

std::optional<std::uint64_t> Value::count() const {
  const Scalar value = scalar();
  if (value.kind != Kind::kInteger || value.negative) return std::nullopt;
  return value.integer;
}

std::optional<double> Value::number() const {
  const Scalar value = scalar();
  if (value.kind == Kind::kDecimal) return value.number;
  if (value.kind != Kind::kInteger) return std::nullopt;
  return value.negative ? static_cast<double>(static_cast<std::int64_t>(value.integer))
                        : static_cast<double>(value.integer);
}

Value Value::operator[](std::string_view name) const {
  Value found;
  if (!is(Kind::kObject)) return found;
  for (const Value member : *this)
    if (member.name() == name) found = member;
  return found;
}

std::size_t Value::size() const {
  return document_ == nullptr ? 0 : document_->nodes_[node_].size;
}

std::string_view Value::name() const {
  if (document_ == nullptr) return {};
  const Document::Node& node = document_->nodes_[node_];
  return std::string_view(document_->strings_).substr(node.name, node.name_size);
}

Value::Iterator Value::begin() const {
  return {document_, node_ + 1};
}

Value::Iterator Value::end() const {
  return {document_, document_ == nullptr ? 1 : document_->nodes_[node_].end};
}

Value::Iterator& Value::Iterator::operator++() {
  node_ = document_->nodes_[node_].end;
  return *this;
}

std::string Value::shown() const {
  if (is(Kind::kArray)) return "a list";
  if (is(Kind::kObject)) return "an object";
  return json::shown(scalar());
}

}  // namespace bert::json
