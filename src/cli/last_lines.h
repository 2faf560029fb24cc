#pragma once
/// \file
/// The end of a log.

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::cli {

/// Keeps the last lines of two streams that are written in turns, in their order. A last line without an end
/// counts as one.
class LastLines {
 public:
  explicit LastLines(std::size_t most) : most_(most) {}

  void add(std::string_view bytes, bool is_error) {
    while (!bytes.empty()) {
      const auto end = std::min(bytes.find('\n'), bytes.size() - 1) + 1;
      if (parts_.empty() || parts_.back().text.ends_with('\n') || parts_.back().is_error != is_error)
        parts_.push_back({is_error, {}});
      parts_.back().text += bytes.substr(0, end);
      bytes.remove_prefix(end);
      while (parts_.size() > most_) parts_.pop_front();
      if (most_ == 0) return;
    }
  }

  Status write(const std::function<Status(std::string_view, bool is_error)>& take) {
    for (const auto& part : parts_) TRY("", take(part.text, part.is_error));
    parts_.clear();
    return {};
  }

 private:
  struct Part {
    bool is_error;
    std::string text;
  };
  std::size_t most_;
  std::deque<Part> parts_;
};

}  // namespace ferry::cli
