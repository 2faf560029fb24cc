#pragma once
/// \file
/// Text measured as a terminal shows it: in columns, of which a character takes none, one or two.

#include <cstddef>
#include <string>
#include <string_view>

namespace ferry::watch {

/// Takes the first character off `text`, which must not be empty; a byte that is not UTF-8 is U+FFFD by
/// itself.
char32_t take_character(std::string_view& text);
/// Columns of one character: 0 for combining ones, 2 for East Asian wide ones and emoji, else 1.
int columns(char32_t character);
/// Columns of text without control characters.
std::size_t columns(std::string_view text);
/// At most `limit` columns of `text`; what was cut off shows as "…".
std::string clipped(std::string_view text, std::size_t limit);
/// `text` and spaces up to `width` columns; text that is wider stays as it is.
std::string padded(std::string_view text, std::size_t width);
/// The same with the spaces in front.
std::string padded_left(std::string_view text, std::size_t width);

}  // namespace ferry::watch
