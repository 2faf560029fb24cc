#pragma once
/// \file
/// Where the terminal's cursor stands after the training's output, as far as ferry needs to know to draw
/// around it.

#include <string>
#include <string_view>

namespace ferry::watch {

/// Follows plain text, \r, \n, tabs, colours and small moves. What it cannot follow (a program that paints
/// the whole screen) makes it unsettled until fresh_line().
class Cursor {
 public:
  /// Bytes that went to a terminal of `width` columns.
  void feed(std::string_view bytes, int width);
  /// Ferry has put the cursor at the start of an empty line.
  void fresh_line();
  /// True when something may be drawn now: the place is known, the row below is free, and no escape sequence
  /// or character is half written.
  bool settled() const { return state_ == State::text && !lost_ && rows_up_ == 0 && !at_edge_; }
  int column() const { return column_; }
  /// Nothing was written to this row.
  bool row_empty() const { return row_empty_; }
  /// The escape sequences that bring back the colours which the output has set; empty for the normal ones.
  const std::string& colours() const { return colours_; }

 private:
  enum class State { text, character, escape, control, string, string_escape, one_more };
  void text_byte(char byte, int width);
  void character(std::string_view bytes, int width);
  void control_end(char final, int width);

  State state_ = State::text;
  std::string held_;  ///< of a sequence or character that is not complete
  std::string colours_;
  int column_ = 0, rows_up_ = 0;
  bool row_empty_ = true, lost_ = false, at_edge_ = false;
};

}  // namespace ferry::watch
