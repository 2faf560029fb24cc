#include "watch/screen_filter.h"

#include <algorithm>

#include "base/text.h"
#include "os/terminal.h"

namespace ferry::watch {
namespace {

constexpr std::size_t longest_parameters = 64;
constexpr int most_rows = 1'000'000;
constexpr std::string_view replacement = "\xef\xbf\xbd";
constexpr char escape_byte = '\x1b', cancel = '\x18', substitute = '\x1a';

std::size_t utf8_length(unsigned char lead) {
  return lead < 0xc2 || lead > 0xf4 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool is_only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

std::optional<ScreenFilter> screen_filter_for(int fd) {
  return os::is_terminal(fd) ? std::optional<ScreenFilter>(ScreenFilter()) : std::nullopt;
}

std::string ScreenFilter::pass(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char byte : bytes) take(byte, out);
  return out;
}

std::string ScreenFilter::finish() {
  state_ = State::text;
  held_.clear();
  return std::exchange(coloured_, false) ? "\x1b[0m" : "";
}

void ScreenFilter::take(char byte, std::string& out) {
  // These end whatever sequence they stand in; a line's end does so too, or one byte could hide all that follows.
  const bool ends = byte == cancel || byte == substitute || byte == '\n';
  switch (state_) {
    case State::text:
      return text(byte, out);
    case State::character:
      if ((static_cast<unsigned char>(byte) & 0xc0) != 0x80) {
        out += replacement;
        state_ = State::text;
        return text(byte, out);
      }
      held_ += byte;
      if (held_.size() < utf8_length(static_cast<unsigned char>(held_[0]))) return;
      state_ = State::text;
      out += printable(held_) == held_ ? std::string_view(held_) : replacement;
      return;
    case State::escape:
    case State::intermediate:
      if (ends || static_cast<unsigned char>(byte) > 0x7e) {
        state_ = State::text;
        return text(byte, out);
      }
      if (byte == escape_byte) {
        state_ = State::escape;
      } else if (state_ == State::escape && byte == '[') {
        state_ = State::control;
        held_.clear();
        overlong_ = false;
      } else if (state_ == State::escape && std::string_view("]PX^_").find(byte) != std::string_view::npos) {
        state_ = State::string;
      } else if (byte >= ' ' && byte <= '/') {
        state_ = State::intermediate;
      } else if (byte >= '0') {
        state_ = State::text;
      }
      return;
    case State::control:
      if (ends || static_cast<unsigned char>(byte) > 0x7e) {
        state_ = State::text;
        return text(byte, out);
      }
      if (byte == escape_byte) {
        state_ = State::escape;
      } else if (byte >= '@') {
        state_ = State::text;
        if (!overlong_) control(byte, out);
      } else if (byte >= ' ') {
        overlong_ |= held_.size() >= longest_parameters;
        if (!overlong_) held_ += byte;
      }
      return;
    case State::string:
    case State::string_escape:
      if (ends) {
        state_ = State::text;
        return text(byte, out);
      }
      if (state_ == State::string_escape && byte != '\\') {
        // Any other escape sequence ends the string and begins.
        state_ = State::escape;
        return take(byte, out);
      }
      if (state_ == State::string_escape || byte == '\a') {
        state_ = State::text;
      } else if (byte == escape_byte) {
        state_ = State::string_escape;
      }
      return;
  }
}

void ScreenFilter::text(char byte, std::string& out) {
  const auto code = static_cast<unsigned char>(byte);
  if (byte == '\n') {
    row_ = std::min(row_ + 1, most_rows);
    last_row_ = std::max(last_row_, row_);
    out += byte;
  } else if (byte == '\r' || byte == '\b' || byte == '\t') {
    out += byte;
  } else if (byte == escape_byte) {
    state_ = State::escape;
  } else if (code >= 0x80) {
    if (utf8_length(code) == 0) {
      if (code >= 0xa0) out += replacement;  // below are C1 controls
      return;
    }
    held_.assign(1, byte);
    state_ = State::character;
  } else if (code >= 0x20 && code != 0x7f) {
    out += byte;
  }
}

void ScreenFilter::control(char final, std::string& out) {
  const auto emit = [&](std::string_view parameters) {
    out += "\x1b[";
    out += parameters;
    out += final;
  };
  if (final == 'm') {
    if (!is_only(held_, "0123456789;:")) return;
    coloured_ = !held_.empty() && held_ != "0";
    return emit(held_);
  }
  if (!is_only(held_, "0123456789") || held_.size() > 6) return;
  const int count = std::max<int>(1, static_cast<int>(parse_int(held_).value_or(1)));
  switch (final) {
    case 'A':
    case 'B': {
      const int rows = std::min(count, final == 'A' ? row_ : last_row_ - row_);
      row_ += final == 'A' ? -rows : rows;
      if (rows > 0) emit(std::to_string(rows));
      return;
    }
    case 'C':
    case 'D':
    case 'G':
      return emit(held_);
    case 'K':
      if (held_.empty() || held_ == "0" || held_ == "1" || held_ == "2") emit(held_);
      return;
    case 'J':
      if (held_.empty() || held_ == "0") emit(held_);
      return;
    default:
      return;
  }
}

}  // namespace ferry::watch
