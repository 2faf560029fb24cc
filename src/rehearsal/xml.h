#pragma once
/// \file
/// Writes the XML that EC2 and STS answer with.

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace ferry::rehearsal {

/// Text safe between two tags: & < > and quotes escaped, characters XML 1.0 forbids as U+FFFD.
std::string xml_escaped(std::string_view text);

class Xml {
 public:
  /// <name>value</name>, escaped.
  Xml& text(std::string_view name, std::string_view value) { return open(name).raw(xml_escaped(value)).close(name); }
  Xml& flag(std::string_view name, bool value) { return open(name).raw(value ? "true" : "false").close(name); }
  Xml& number(std::string_view name, std::int64_t value) { return open(name).raw(std::to_string(value)).close(name); }
  /// text(), unless it is empty.
  Xml& some(std::string_view name, std::string_view value) { return value.empty() ? *this : text(name, value); }
  /// <name>…</name> around what `body` writes.
  template <class Body>
  Xml& node(std::string_view name, Body body) {
    open(name);
    body();
    return close(name);
  }
  /// <name><item>…</item>…</name>: `body` is called with each element.
  template <class Range, class Body>
  Xml& list(std::string_view name, const Range& range, Body body) {
    open(name);
    for (const auto& element : range) {
      open("item");
      body(element);
      close("item");
    }
    return close(name);
  }
  /// <name><item>text</item>…</name>
  template <class Range>
  Xml& texts(std::string_view name, const Range& range) {
    return list(name, range, [this](const auto& element) { raw(xml_escaped(element)); });
  }
  Xml& raw(std::string_view xml) {
    out_ += xml;
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  Xml& open(std::string_view name) { return raw("<").raw(name).raw(">"); }
  Xml& close(std::string_view name) { return raw("</").raw(name).raw(">"); }
  std::string out_;
};

}  // namespace ferry::rehearsal
