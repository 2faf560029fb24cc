#pragma once
/// \file
/// Which lines of a log are shown: by when they came, and by what is in them.

#include <regex.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::cli {

/// Takes two streams that are written in turns. Times are milliseconds since 1970; a line's is that of its first
/// byte, and 0 (unknown) passes.
class LogSieve {
 public:
  using Take = std::function<Status(std::string_view bytes, bool is_error)>;

  /// `since_ms`, `until_ms`: 0 for none. `search`: a POSIX extended regular expression; empty: every line. Fails
  /// bad_input with what is wrong about it.
  static Result<LogSieve> make(std::int64_t since_ms, std::int64_t until_ms, const std::string& search);

  /// Hands on what passes. With `search`, a line is held until its end is there.
  Status add(std::string_view bytes, bool is_error, std::int64_t time_ms, const Take& take);
  /// A last line without an end.
  Status finish(const Take& take);

 private:
  struct Free {
    void operator()(regex_t* regex) const {
      ::regfree(regex);
      delete regex;
    }
  };
  struct Line {
    bool begun = false, passes = true;
    std::string held;
  };
  bool in_time(std::int64_t ms) const {
    return ms == 0 || ((since_ms_ == 0 || ms >= since_ms_) && (until_ms_ == 0 || ms <= until_ms_));
  }
  bool has_it(const std::string& line) const;

  std::int64_t since_ms_ = 0, until_ms_ = 0;
  std::unique_ptr<regex_t, Free> search_;
  std::array<Line, 2> lines_;
};

}  // namespace ferry::cli
