#pragma once
/// \file
/// What goes wrong again and again is told once, and then at growing distances.

#include <fmt/format.h>

#include <bit>
#include <map>
#include <string>

namespace ferry::job {

class Repeats {
 public:
  /// What to tell of something that went wrong once more: the 1st, 2nd, 4th, 8th … time; empty: nothing.
  std::string tell(const std::string& text) {
    const auto count = ++counts_[text];
    if (!std::has_single_bit(count)) return {};
    return count == 1 ? text : fmt::format("{} (for the {}{} time)", text, count, count == 2 ? "nd" : "th");
  }
  /// It went well meanwhile.
  void clear() { counts_.clear(); }

 private:
  std::map<std::string, unsigned> counts_;
};

}  // namespace ferry::job
