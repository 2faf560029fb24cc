#pragma once
/// \file
/// Which paths a task calls its outputs: shell globs anchored at the root, where a folder means all below it. A
/// name that is one with the glob as written is meant, too: lo[gs]/ is the folders log, los and "lo[gs]".

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::sync {

class Globs {
 public:
  /// Empty list: everything matches. A glob that is empty, absolute or contains ".." is bad_input.
  static Result<Globs> parse(const std::vector<std::string>& globs);

  enum class Reach {
    outside,  ///< neither it nor anything below it
    passing,  ///< a folder that matches nothing itself, but something below may
    inside,   ///< it, and all below it
  };
  /// `path` is relative to the root. Notes which globs matched.
  Reach reach(std::string_view path, bool is_folder);

  /// Those (as written) for which reach() never answered inside.
  std::vector<std::string> unmatched() const;

 private:
  struct Glob {
    std::string written;
    std::vector<std::string> components;
    bool folders_only = false, matched = false;
  };
  static Reach reach(const Glob& glob, const std::vector<std::string_view>& path, bool is_folder);
  std::vector<Glob> globs_;
};

}  // namespace ferry::sync
