#include "task/field_reader.h"

#include <fmt/format.h>

#include "base/text.h"
#include "task/fields.h"

namespace ferry::task {

std::string_view called(Node::Type type) {
  switch (type) {
    case Node::Type::null:
      return "nothing";
    case Node::Type::text:
      return "text";
    case Node::Type::list:
      return "a list";
    case Node::Type::map:
      return "a mapping";
  }
  return "";
}

tl::unexpected<Error> FieldReader::complain_at(Place at, std::string_view what, std::string why,
                                               std::string advice) const {
  return complain(file_, at, what, std::move(why), std::move(advice));
}

tl::unexpected<Error> FieldReader::complain_in(const Entry& entry, const Error& cause) const {
  return complain(file_, entry.value->at, fmt::format("{}: {}", printable(entry.name), cause.what), cause.why,
                  cause.advice);
}

tl::unexpected<Error> FieldReader::wrong_type(const Entry& entry, std::string_view wanted,
                                              std::string advice) const {
  const auto what =
      fmt::format("'{}' must be {}, not {}", printable(entry.name), wanted, called(entry.value->type));
  return complain(file_, entry.value->at, what, {}, std::move(advice));
}

Result<std::string> FieldReader::text_of(const Entry& entry) const {
  if (entry.value->type == Node::Type::text) return entry.value->text;
  return wrong_type(entry, "text");
}

void FieldReader::not_yet(const Entry& entry, std::string_view meaning, std::string_view instead) {
  task_.not_yet.push_back(not_yet_line(file_, entry, meaning, instead));
}

}  // namespace ferry::task
