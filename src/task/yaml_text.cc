#include "task/yaml_text.h"

#include <fmt/format.h>

#include "base/text.h"
#include "base/units.h"

namespace ferry::task {
namespace {

constexpr std::size_t max_bytes = std::size_t{1} << 20;

Place place_at(std::string_view text, std::size_t position) {
  Place at;
  for (const char c : text.substr(0, position)) {
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
  }
  return at;
}

std::string_view line_of(std::string_view text, int line) {
  while (--line > 0) {
    const auto end = text.find('\n');
    if (end == text.npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

/// The line near `line` (itself, or the last one with text above it) whose indentation has a tab; 0 for none.
int line_with_tab(std::string_view text, int line) {
  for (int n = line; n >= std::max(1, line - 1); --n) {
    const auto content = line_of(text, n);
    const auto indentation = content.substr(0, content.find_first_not_of(" \t"));
    if (indentation.find('\t') != indentation.npos) return n;
  }
  return 0;
}

/// Length of the UTF-8 sequence at the start of `rest` (RFC 3629), 0 if there is none.
std::size_t utf8_length(std::string_view rest) {
  const auto byte = [&](std::size_t i) { return i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0U; };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool second = follows(1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool second = follows(1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

struct Words {
  const char* theirs;
  const char* what;
  const char* why;
  const char* advice;
};

constexpr const char* line_up = "give every field of one level the same indentation, in spaces";
const Words dictionary[] = {
    {YAML::ErrorMsg::MAP_VALUE, "this ':' is out of place",
     "unquoted text may not contain ': ', and the fields of one level begin in one column",
     "put the text in quotes or in a block ('run: |'), or correct the indentation"},
    {YAML::ErrorMsg::MAP_KEY, "this '?' is out of place", "", line_up},
    {YAML::ErrorMsg::END_OF_MAP, "the indentation of this line fits no field above it", "", line_up},
    {YAML::ErrorMsg::END_OF_SEQ, "this line does not continue the list above it", "", line_up},
    {YAML::ErrorMsg::END_OF_SEQ_FLOW, "the '[' that opens here is not closed", "", "add the missing ']' or ','"},
    {YAML::ErrorMsg::END_OF_MAP_FLOW, "the '{' that opens here is not closed", "", "add the missing '}' or ','"},
    {YAML::ErrorMsg::EOF_IN_SCALAR, "a quote above is never closed", "", "add the closing quote"},
    {YAML::ErrorMsg::DOC_IN_SCALAR, "a quote above is not closed before this", "", "add the closing quote"},
    {YAML::ErrorMsg::FLOW_END, "a ']' or '}' that closes nothing", "", "remove it, or quote the text"},
    {YAML::ErrorMsg::BLOCK_ENTRY, "a '- ' where no list can begin", "",
     "begin the list on the line below its field's name"},
    {YAML::ErrorMsg::UNKNOWN_ANCHOR, "this alias names nothing that stands above it", "",
     "to begin a text with '*', put it in quotes"},
    {YAML::ErrorMsg::INVALID_UNICODE, "an escape that is no character", "", ""},
    {YAML::ErrorMsg::INVALID_HEX, "an escape with a digit that is not hexadecimal", "",
     "use single quotes, where a backslash is only a backslash"},
    {YAML::ErrorMsg::INVALID_ESCAPE, "an unknown escape in double quotes", "",
     "use single quotes, where a backslash is only a backslash"},
};

}  // namespace

std::optional<Flaw> flaw_in_bytes(std::string_view text) {
  if (text.size() > max_bytes) {
    return Flaw{{},
                fmt::format("the file is {}, more than a task file's limit of 1 MiB", show_bytes(text.size())),
                "",
                "is this really the task file?"};
  }
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    return Flaw{{}, "the file is UTF-16, not UTF-8", "", "save it as UTF-8"};
  }
  for (std::size_t i = 0; i < text.size();) {
    const auto length = utf8_length(text.substr(i));
    const auto byte = static_cast<unsigned char>(text[i]);
    if (length == 0) {
      return Flaw{place_at(text, i), fmt::format("byte 0x{:02x} is not UTF-8", byte), "", "save the file as UTF-8"};
    }
    if (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') {
      if (byte == 0) return Flaw{place_at(text, i), "a NUL byte", "this does not look like a text file", ""};
      return Flaw{place_at(text, i), fmt::format("control character 0x{:02x}", byte), "", "remove it"};
    }
    i += length;
  }
  return std::nullopt;
}

std::optional<Flaw> open_quote(std::string_view text, std::size_t position) {
  constexpr std::string_view space = " \t\r\n";
  auto at = position;
  while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
    at = text.find_first_not_of(space, std::min(text.size(), text.find_first_of(space, at)));
    if (at == text.npos) return std::nullopt;
  }
  if (at >= text.size() || (text[at] != '"' && text[at] != '\'')) return std::nullopt;
  const char quote = text[at];
  for (auto i = at + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote) return std::nullopt;
      ++i;
    }
  }
  return Flaw{place_at(text, at), fmt::format("the quote ({}) that opens here is never closed", quote), "",
              "add the closing quote"};
}

Flaw explained(std::string_view text, const YAML::Exception& exception, std::size_t read_to, Place open) {
  Flaw flaw{{std::max(0, exception.mark.line) + 1, std::max(0, exception.mark.column) + 1}, "", "", ""};
  const std::string& theirs = exception.msg;
  const auto line = line_of(text, flaw.at.line);
  if (const int tab = line_with_tab(text, flaw.at.line)) {
    flaw.at = {tab, static_cast<int>(line_of(text, tab).find('\t')) + 1};
    return {flaw.at, "a tab in the indentation", "YAML indents with spaces only", "replace the tab by spaces"};
  }
  if (theirs == YAML::ErrorMsg::EOF_IN_SCALAR || theirs == YAML::ErrorMsg::DOC_IN_SCALAR) {
    auto at = text.find_first_of("\"'", read_to);
    for (int tries = 0; at != text.npos && tries < 100; ++tries, at = text.find_first_of("\"'", at + 1)) {
      if (auto quote = open_quote(text, at)) return *quote;
    }
  }
  if (theirs == YAML::ErrorMsg::END_OF_SEQ_FLOW || theirs == YAML::ErrorMsg::END_OF_MAP_FLOW) flaw.at = open;
  if (theirs == YAML::ErrorMsg::UNKNOWN_TOKEN) {
    const auto column = static_cast<std::size_t>(flaw.at.column) - 1;
    const auto first = column < line.size() ? std::string(1, line[column]) : std::string();
    return {flaw.at, fmt::format("unquoted text cannot begin with '{}'", printable(first)), "",
            "put the text in quotes"};
  }
  for (const auto& words : dictionary) {
    if (theirs.starts_with(words.theirs)) {
      return {flaw.at, fmt::format("not valid YAML: {}", words.what), words.why, words.advice};
    }
  }
  flaw.what = fmt::format("not valid YAML: {}", printable(theirs));
  return flaw;
}

}  // namespace ferry::task
