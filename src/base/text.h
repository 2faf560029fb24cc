#pragma once
/// \file
/// Small text helpers that more than one room needs.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry {

/// One word, inert inside any POSIX shell line (ssh always goes through one).
std::string shell_quoted(std::string_view word);
/// The words, each quoted, with a space between.
std::string shell_quoted(std::span<const std::string> words);
/// The same for people to read and to paste: quoted only where a shell needs it, and without what could steer a
/// terminal.
std::string as_typed(std::string_view word);
std::string as_typed(std::span<const std::string> words);

std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string lower(std::string_view ascii);

std::string hex(std::string_view bytes);
std::string base64(std::string_view bytes);
/// Standard alphabet; white space is skipped; anything else wrong is Kind::corrupt.
Result<std::string> from_base64(std::string_view text);
/// RFC 3986: everything but unreserved characters becomes %XX. `keep` names bytes to leave alone.
std::string percent_encoded(std::string_view text, std::string_view keep = {});
/// Undoes %XX; with `plus_is_space`, also '+' (HTML form encoding). A broken escape stays as written.
std::string percent_decoded(std::string_view text, bool plus_is_space = false);

/// Decimal only, whole text, no sign for unsigned types.
std::optional<std::int64_t> parse_int(std::string_view text);

/// The candidate with the smallest edit distance to `word`, if it is near enough to be a likely typo.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

/// `bytes` made safe to show on a terminal: control characters and broken UTF-8 as \xNN.
std::string printable(std::string_view bytes);
/// The same, and no more than the first `most` bytes of it: text from outside is one line of bounded length.
std::string short_line(std::string_view bytes, std::size_t most = 400);
/// The first `most` of `lines`, each a short_line(), and one that counts the rest: thousands of notes are
/// few.
std::vector<std::string> first_few(std::span<const std::string> lines, std::size_t most = 10);

}  // namespace ferry
