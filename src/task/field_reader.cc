#include "task/field_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/store_place.h"
#include "base/text.h"
#include "task/fields.h"
#include "task/other_files.h"

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

tl::unexpected<Error> FieldReader::complain_at(Place at, std::string_view what, std::string why, std::string advice,
                                               Kind kind) const {
  return complain(file_, at, what, std::move(why), std::move(advice), kind);
}

tl::unexpected<Error> FieldReader::complain_in(const Entry& entry, const Error& cause) const {
  return complain(file_, entry.value->at, fmt::format("{}: {}", printable(entry.name), cause.what), cause.why,
                  cause.advice, cause.kind);
}

tl::unexpected<Error> FieldReader::wrong_type(const Entry& entry, std::string_view wanted, std::string advice) const {
  const auto what = fmt::format("'{}' must be {}, not {}", printable(entry.name), wanted, called(entry.value->type));
  return complain(file_, entry.value->at, what, {}, std::move(advice));
}

Result<std::string> FieldReader::text_of(const Entry& entry) const {
  if (entry.value->type != Node::Type::text) return wrong_type(entry, "text");
  TRY("", check_blank(entry));
  return entry.value->text;
}

Status FieldReader::check_blank(const Entry& entry) const {
  if (!is_blank(entry.value->text)) return {};
  return complain_at(entry.value->at, fmt::format("'{}' is not filled in", printable(entry.name)));
}

Result<bool> FieldReader::bool_of(const Entry& entry) const {
  TRY_SET(text, "", text_of(entry));
  const auto word = lower(trim(text));
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  return complain_at(entry.value->at,
                     fmt::format("'{}' must be true or false, not '{}'", printable(entry.name), printable(text)), {},
                     fmt::format("write {}: true, or leave it out", printable(entry.name)));
}

Result<std::string> FieldReader::choice_of(const Entry& entry, std::span<const std::string_view> known) const {
  TRY_SET(text, "", text_of(entry));
  const auto word = lower(trim(text));
  if (std::ranges::find(known, word) != known.end()) return word;
  const std::vector<std::string> names(known.begin(), known.end());
  const auto near = nearest(word, names);
  return complain_at(entry.value->at, fmt::format("unknown {} '{}'", printable(entry.name), printable(text)), {},
                     near ? fmt::format("did you mean '{}'?", *near) : fmt::format("it takes {}", join(names, ", ")));
}

void FieldReader::keep(Status read) {
  if (!read && found_.size() < 2 * most_found) found_.push_back(std::move(read).error());
}

Status FieldReader::read_store(const Entry& entry, std::optional<std::string>& store) const {
  TRY_SET(text, "", text_of(entry));
  auto place = parse_store(text);
  if (!place) return complain_in(entry, place.error());
  store = *std::move(place);
  return {};
}

void FieldReader::not_yet(const Entry& entry, std::string_view meaning, std::string_view instead) {
  task_.not_yet.push_back(not_yet_line(file_, entry, meaning, instead));
}

}  // namespace ferry::task
