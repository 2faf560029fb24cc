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
  enum class Of { git, ferry };

  /// `base`: the folder that holds the file, or is meant by it, relative to the root ("" for the root itself).
  /// `name`: what to call the file in messages.
  IgnoreFile(std::string base, std::string_view text, std::string name = ".gitignore", Of of = Of::git);

  /// What the last line that matches says of `path` (relative to the root, below `base`); that line as
  /// written goes to `line`.
  Verdict verdict(std::string_view path, bool is_folder, std::string_view* line = nullptr) const;

  const std::string& base() const { return base_; }
  const std::string& name() const { return name_; }
  Of of() const { return of_; }

 private:
  struct Rule {
    std::string written, pattern;
    std::size_t literal = 0;  ///< bytes before the first special one
    bool negated = false, folders_only = false, any_depth = false;
    bool is_ending = false;  ///< a star, and then nothing special
  };
  void add(std::string_view line);
  bool applies(const Rule& rule, std::string_view path) const;

  std::string base_, name_;
  Of of_;
  std::vector<Rule> rules_;
};

/// What the rules say of a path, and which one.
struct Judgement {
  bool ignored = false;
  const IgnoreFile* file = nullptr;  ///< whose line decided; null: no line speaks of it
  std::string_view line;
};

/// The ignore files on the way from the root to the folder that is being walked. A deeper file wins over a
/// higher one, .ferryignore over the .gitignore beside it. Does not look at parents: the walker must not
/// enter an ignored folder. The walk may begin below the root, where a repository's root lies above it.
class IgnoreStack {
 public:
  /// Where the walk begins, seen from the root: "" or "exp/sub". Bases of files are seen from the root; paths
  /// and folders that are asked for, from there.
  void begin_below(std::string above) { above_ = std::move(above); }
  /// Forgets the files that do not apply inside `folder`.
  void enter(std::string_view folder);
  /// Later files win.
  void add(IgnoreFile file) { files_.push_back({std::move(file), false}); }
  /// The folder that was entered last is a repository of its own: git's rules from outside end here.
  void begin_repository(std::string_view folder);
  void clear() { files_.clear(); }
  Judgement judge(std::string_view path, bool is_folder) const;
  /// A .ferryignore says in so many words that it goes.
  bool insisted(std::string_view path, bool is_folder) const;

  /// `folder`, seen from the root.
  std::string from_root(std::string_view folder) const;

 private:
  struct Level {
    IgnoreFile file;
    bool is_border;
  };
  std::string above_;
  std::vector<Level> files_;
};

}  // namespace ferry::sync
