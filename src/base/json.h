#pragma once
/// \file
/// JSON by nlohmann-json, with its exceptions fenced for text from outside.

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"

namespace ferry {

using Json = nlohmann::json;

/// Kind::corrupt with the place if `text` is not JSON.
Result<Json> parse_json(std::string_view text);

/// One line of JSON; bytes that are not UTF-8 become U+FFFD instead of an exception.
std::string dump_json(const Json& value);

/// {code, kind, message, why, fix, retryable}: how every error is told to a program. `code` is the peer's own, `fix`
/// the advice; what is not known is "". `retryable`: may_work_later(). Where several things went wrong at once, `more`
/// has the others.
Json error_json(const Error& error);

/// The string member `key`, or `otherwise` when it is absent or no string. Never throws.
std::string text_at(const Json& object, std::string_view key, std::string_view otherwise = {});
/// The integer member `key`, or `otherwise` when it is absent or no number.
std::int64_t int_at(const Json& object, std::string_view key, std::int64_t otherwise = 0);

}  // namespace ferry
