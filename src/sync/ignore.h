#pragma once
/// \file
/// .gitignore rules with git's own meaning (gitignore(5)), and .ferryignore with the same rules.

#include <string>
#include <string_view>
#include <vector>

namespace ferry::sync {

/// The lines of one ignore file.
class IgnoreFile {
 public:
  enum class Verdict { silent, ignored, kept };

  /// `base`: the folder that holds the file, relative to the root ("" for the root itself).
  IgnoreFile(std::string base, std::string_view text);

  /// What the last line that matches says of `path` (relative to the root, below `base`).
  Verdict verdict(std::string_view path, bool is_folder) const;

  const std::string& base() const { return base_; }

 private:
  struct Rule {
    std::string pattern;
    std::size_t literal = 0;  ///< bytes before the first special one
    bool negated = false, folders_only = false, any_depth = false;
  };
  void add(std::string_view line);
  bool applies(const Rule& rule, std::string_view path) const;

  std::string base_;
  std::vector<Rule> rules_;
};

/// The ignore files on the way from the root to the folder that is being walked. A deeper file wins over a
/// higher one, .ferryignore over the .gitignore beside it. Does not look at parents: the walker must not
/// enter an ignored folder.
class IgnoreStack {
 public:
  /// Forgets the files that do not apply inside `folder`.
  void enter(std::string_view folder);
  /// Later files win.
  void add(IgnoreFile file) { files_.push_back(std::move(file)); }
  bool ignored(std::string_view path, bool is_folder) const;

 private:
  std::vector<IgnoreFile> files_;
};

}  // namespace ferry::sync
