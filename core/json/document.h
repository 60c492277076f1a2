// A JSON text as a tree to look things up in: the small files of a model. Untrusted: any bytes may come in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bert/result.h"
#include "json/scan.h"

namespace bert::json {

class Document;

/// One value of a document. Null stands also for a member that is not there: files write both for the same. A
/// view that must not outlive the document.
class Value {
 public:
  Value() = default;

  Kind kind() const;
  explicit operator bool() const { return kind() != Kind::kNull; }
  bool is(Kind wanted) const { return kind() == wanted; }

  /// The value where it is of that kind.
  std::optional<bool> boolean() const;
  std::optional<std::string_view> string() const;
  std::optional<std::uint64_t> count() const;  ///< an integer that is not negative
  std::optional<double> number() const;        ///< an integer or a decimal

  /// The member of an object; of a name that stands twice the last one. Looked for one by one.
  Value operator[](std::string_view name) const;
  /// Members or elements.
  std::size_t size() const;
  std::string_view name() const;  ///< of a member

  class Iterator;
  Iterator begin() const;
  Iterator end() const;

  /// For an error message: a scalar as JSON writes it (unescaped), "a list" or "an object".
  std::string shown() const;

 private:
  friend class Document;
  Value(const Document* document, std::size_t node) : document_(document), node_(node) {}
  Scalar scalar() const;

  const Document* document_ = nullptr;
  std::size_t node_ = 0;
};

/// Over members or elements.
class Value::Iterator {
 public:
  Value operator*() const { return {document_, node_}; }
  Iterator& operator++();
  bool operator!=(const Iterator& other) const { return node_ != other.node_; }

 private:
  friend class Value;
  Iterator(const Document* document, std::size_t node) : document_(document), node_(node) {}

  const Document* document_;
  std::size_t node_;
};

class Document {
 public:
  /// An object at the top, at most 64 containers deep. Errors: kInvalidModel, naming `file` and the byte.
  static Expected<Document> parse(std::string_view text, std::string_view file);

  Value root() const { return {this, 0}; }

 private:
  friend class Value;
  friend class Value::Iterator;
  class Builder;

  /// Values in the order of the text; a container's own follow it up to `end`.
  struct Node {
    Scalar scalar;           ///< its text is in strings_, behind the name; a container's has its kind alone
    std::uint32_t name = 0;  ///< begin in strings_
    std::uint32_t name_size = 0;  ///< 0: an element, or the top
    std::uint32_t size = 0;       ///< members or elements
    std::uint32_t end = 0;        ///< the node after this value
  };

  std::vector<Node> nodes_;
  std::string strings_;
};

}  // namespace bert::json
