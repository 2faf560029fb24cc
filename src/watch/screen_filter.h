#pragma once
/// \file
/// What of a machine's output may reach a terminal. A terminal obeys what it is shown: it changes its title
/// and the clipboard, answers questions as if somebody typed, hides the cursor, shows another screen.

#include <optional>
#include <string>
#include <string_view>

namespace ferry::watch {

/// Passes text, line ends, tabs, colours (SGR), and what progress bars move and erase with: carriage return,
/// backspace, cursor up (no further than to the first row since fresh_line()), down, left, right and to a
/// column, erase in line, erase to the end of the display. Everything else is dropped: other control
/// characters (C0 and C1), control and escape sequences, strings (OSC, DCS, APC, PM, SOS) with what is in
/// them. Characters that are broken, that are C1 controls, or that turn the reading direction become U+FFFD.
/// Sequences and characters may be cut anywhere between calls. One object for one stream.
class ScreenFilter {
 public:
  std::string pass(std::string_view bytes);
  /// Ferry has put the cursor at the start of an empty line: what stands above is not the machine's.
  void fresh_line() { row_ = last_row_ = 0; }
  /// What takes back the colours that are still set; forgets a sequence that is not complete.
  std::string finish();

 private:
  enum class State { text, character, escape, intermediate, control, string, string_escape };
  void take(char byte, std::string& out);
  void text(char byte, std::string& out);
  void control(char final, std::string& out);

  State state_ = State::text;
  std::string held_;       ///< of a character or control sequence that is not complete
  bool overlong_ = false;  ///< the control sequence is longer than any of use
  bool coloured_ = false;
  int row_ = 0, last_row_ = 0;  ///< below the first row of the machine's own
};

/// One for what is written to `fd` where that is a terminal; nothing for pipes and files, which get every byte.
std::optional<ScreenFilter> screen_filter_for(int fd);

}  // namespace ferry::watch
