#include "watch/cursor.h"

#include <algorithm>

#include "base/text.h"
#include "watch/columns.h"

namespace ferry::watch {
namespace {

constexpr std::size_t longest_sequence = 64;

std::size_t character_length(unsigned char lead) { return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4; }

}  // namespace

void Cursor::fresh_line() {
  const std::string colours = std::move(colours_);
  *this = Cursor();
  colours_ = colours;
}

void Cursor::feed(std::string_view bytes, int width) {
  for (const char byte : bytes) {
    switch (state_) {
      case State::text:
        text_byte(byte, width);
        break;
      case State::character:
        if ((static_cast<unsigned char>(byte) & 0xc0) != 0x80) {
          state_ = State::text;
          character(held_.substr(0, 1), width);
          text_byte(byte, width);
        } else if ((held_ += byte).size() == character_length(static_cast<unsigned char>(held_[0]))) {
          state_ = State::text;
          character(held_, width);
        }
        break;
      case State::escape:
        held_.clear();
        state_ = byte == '['                                 ? State::control
                 : byte == ']' || byte == 'P' || byte == '_' ? State::string
                 : byte == '(' || byte == ')' || byte == '#' ? State::one_more
                                                             : State::text;
        // Saving and restoring the place, moving by lines, or a reset.
        if (std::string_view("78DEMc").find(byte) != std::string_view::npos) lost_ = true;
        break;
      case State::control:
        if (byte >= '@' && byte <= '~') {
          state_ = State::text;
          control_end(byte, width);
        } else if (held_.size() < longest_sequence) {
          held_ += byte;
        }
        break;
      case State::string:
        if (byte == '\a') state_ = State::text;
        if (byte == '\x1b') state_ = State::string_escape;
        break;
      case State::string_escape:
        state_ = byte == '\\' ? State::text : State::string;
        break;
      case State::one_more:
        state_ = State::text;
        break;
    }
  }
}

void Cursor::text_byte(char byte, int width) {
  const auto code = static_cast<unsigned char>(byte);
  if (byte == '\n') {
    // A row that was reached by going up and down again may hold something.
    row_empty_ = rows_up_ == 0;
    rows_up_ = std::max(0, rows_up_ - 1);
    column_ = 0;
    at_edge_ = false;
  } else if (byte == '\r') {
    column_ = 0;
    at_edge_ = false;
  } else if (byte == '\b') {
    column_ = std::max(0, column_ - 1);
    at_edge_ = false;
  } else if (byte == '\t') {
    column_ = std::min((column_ / 8 + 1) * 8, width - 1);
    row_empty_ = false;
  } else if (byte == '\x1b') {
    state_ = State::escape;
  } else if (byte == '\v' || byte == '\f') {
    lost_ = true;
  } else if (code >= 0xc2 && code < 0xf5) {
    held_.assign(1, byte);
    state_ = State::character;
  } else if (code >= 0x20 && code != 0x7f) {
    character(std::string_view(&byte, 1), width);
  }
}

void Cursor::character(std::string_view bytes, int width) {
  const int wide = columns(take_character(bytes));
  if (wide == 0) return;
  if (column_ + wide > width) column_ = 0;
  column_ = std::min(column_ + wide, width);
  at_edge_ = column_ >= width;
  row_empty_ = false;
}

void Cursor::control_end(char final, int width) {
  const bool is_private = held_.starts_with('?');
  const int count = static_cast<int>(std::clamp<std::int64_t>(parse_int(held_).value_or(1), 1, 10'000));
  switch (final) {
    case 'm':
      if (held_.empty() || held_ == "0") {
        colours_.clear();
      } else if (colours_.size() < longest_sequence) {
        colours_ += "\x1b[" + held_ + "m";
      }
      break;
    case 'A':
      rows_up_ = std::min(rows_up_ + count, 10'000);
      break;
    case 'B':
      rows_up_ = std::max(0, rows_up_ - count);
      break;
    case 'C':
      column_ = std::min(column_ + count, width - 1);
      break;
    case 'D':
      column_ = std::max(0, column_ - count);
      break;
    case 'G':
      column_ = std::min(count - 1, width - 1);
      break;
    case 'h':
    case 'l':
      lost_ |= !is_private || (held_ != "?25" && held_ != "?7" && held_ != "?2004");
      break;
    case 'K':
    case 'n':
    case 'c':
    case 't':
    case 'q':
      break;
    default:
      lost_ = true;
  }
  if (final == 'A' || final == 'B') row_empty_ = false;
  if (final == 'C' || final == 'D' || final == 'G') at_edge_ = false;
}

}  // namespace ferry::watch
