#include "sync/ignore.h"

#include <random>
#include <set>

#include "sync/globs.h"
#include "sync/pattern.h"
#include "sync/repository.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

bool ignored(std::string_view rules, std::string_view path, bool is_folder = false) {
  return IgnoreFile("", rules).verdict(path, is_folder) == IgnoreFile::Verdict::ignored;
}

TEST(Ignore, RulesMeanWhatTheGitManualSays) {
  EXPECT_TRUE(ignored("*.o", "deep/x.o"));
  EXPECT_FALSE(ignored("/*.o", "deep/x.o"));
  EXPECT_TRUE(ignored("doc/frotz", "doc/frotz"));
  EXPECT_FALSE(ignored("doc/frotz", "a/doc/frotz"));
  EXPECT_TRUE(ignored("**/foo/bar", "a/b/foo/bar"));
  EXPECT_TRUE(ignored("a/**/b", "a/x/y/b"));
  EXPECT_TRUE(ignored("a/**/b", "a/b"));
  EXPECT_FALSE(ignored("build/", "build"));
  EXPECT_TRUE(ignored("build/", "build", true));
  EXPECT_FALSE(ignored("*.log\n!keep.log", "keep.log"));
  EXPECT_TRUE(ignored("\\#x", "#x"));
  EXPECT_TRUE(ignored("\\!x", "!x"));
  EXPECT_TRUE(ignored("x   ", "x"));
  EXPECT_TRUE(ignored("x\\ ", "x "));
  EXPECT_TRUE(ignored("x\r\ny", "x"));
  EXPECT_TRUE(ignored("[[:digit:]a-c]", "b"));
  EXPECT_FALSE(ignored("[!b]", "b"));
}

TEST(Ignore, TangledPatternsEndInBoundedTime) {
  std::string pattern, text(200, 'a');
  for (int i = 0; i < 40; ++i) pattern += "a*/**/";
  EXPECT_FALSE(matches(pattern + "b", text, Slash::separates));
  pattern.clear();
  for (int i = 0; i < 60; ++i) pattern += "*a";
  EXPECT_FALSE(matches(pattern + "b", text, Slash::ordinary));
}

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  std::size_t roll(std::size_t sides) { return engine_() % sides; }
  template <std::size_t N>
  std::string pick(const char* const (&words)[N]) {
    return words[roll(N)];
  }

 private:
  std::mt19937 engine_;
};

constexpr const char* names[] = {"a",  "b",  "ab", "abc", "foo", "foo.o", "bar", ".x",    "a b", "x ",       "#c",
                                 "!d", "f*", "q?", "[k]", "-",   "\\",    "Foo", "a.txt", "9",   "\xff\xfe", "n\nl"};
constexpr const char* pieces[] = {"a",
                                  "b",
                                  "ab",
                                  "foo",
                                  "*",
                                  "**",
                                  "?",
                                  "/",
                                  "/",
                                  "/",
                                  "[ab]",
                                  "[!a]",
                                  "[^b-z]",
                                  ".o",
                                  "\\",
                                  " ",
                                  "!",
                                  "#",
                                  "**/",
                                  "/**",
                                  "*.txt",
                                  "x\\ ",
                                  "[[:alpha:]]",
                                  "[]a]",
                                  "[a",
                                  "\\*",
                                  "c",
                                  "bar",
                                  "[[:digit:]-]",
                                  "[\\]]",
                                  "***",
                                  "f",
                                  "[a-]",
                                  "\xff"};

std::string random_rules(Dice& dice) {
  std::string text;
  for (std::size_t lines = 1 + dice.roll(6); lines > 0; --lines) {
    if (dice.roll(4) == 0) text += '!';
    if (dice.roll(5) == 0) text += '/';
    for (std::size_t count = 1 + dice.roll(4); count > 0; --count) text += dice.pick(pieces);
    if (dice.roll(4) == 0) text += '/';
    if (dice.roll(8) == 0) text += "  ";
    if (dice.roll(10) == 0) text += '\r';
    text += '\n';
  }
  return text;
}

void random_tree(Dice& dice, const os::Path& folder, int depth) {
  std::filesystem::create_directories(folder);
  if (dice.roll(depth == 0 ? 1 : 3) == 0) write(folder / ".gitignore", random_rules(dice));
  for (std::size_t count = 2 + dice.roll(5); count > 0; --count) {
    const os::Path path = folder / dice.pick(names);
    if (os::exists(path)) continue;
    if (depth < 3 && dice.roll(2) == 0) {
      random_tree(dice, path, depth + 1);
    } else if (dice.roll(8) == 0) {
      std::filesystem::create_symlink("..", path);
    } else {
      write(path, "");
    }
  }
}

constexpr auto plain_git = "HOME=/nonexistent XDG_CONFIG_HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 git ";

std::vector<std::string> git_list(const os::Path& repository, const os::Path& root) {
  const std::string command = "cd " + shell_quoted(root.string()) + " && " + plain_git +
                              "--git-dir=" + shell_quoted(repository.string()) +
                              " --work-tree=. ls-files -z --others --cached --exclude-standard";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string all;
  char buffer[4096];
  for (std::size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) all.append(buffer, got);
  EXPECT_EQ(::pclose(pipe), 0);
  std::vector<std::string> paths;
  for (const std::string& path : split(all, '\0')) {
    if (!path.empty()) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(Ignore, RandomTreesAndRulesGiveExactlyWhatGitLists) {
  const os::TempDir temp;
  const os::Path repository = temp.path() / "repository";
  ASSERT_EQ(std::system((plain_git + ("init -q --bare --template= " + shell_quoted(repository.string()))).c_str()), 0);
  for (unsigned seed = 1; seed <= 120; ++seed) {
    Dice dice(seed);
    const os::Path root = temp.path() / std::to_string(seed);
    random_tree(dice, root, 0);
    const auto tree = scan(root, {.ignore_rules = true});
    ASSERT_OK(tree);
    std::vector<std::string> ours;
    for (const Entry& entry : tree->entries) {
      if (entry.type != Type::folder) ours.push_back(entry.path);
    }
    ASSERT_EQ(ours, git_list(repository, root)) << "seed " << seed << "\n" << read(root / ".gitignore");
  }
}

/// Everything that has a say: rules of parents, of the repository and of the user, and the index.
TEST(Ignore, RandomFoldersOfRandomRepositoriesGiveExactlyWhatGitLists) {
  const os::TempDir temp;
  const auto shell = [&](const std::string& command) {
    return std::system(("cd " + shell_quoted(temp.path().string()) + " && " + plain_git + command).c_str());
  };
  ASSERT_EQ(shell("init -q --template= empty"), 0);
  std::size_t below = 0, saved = 0;
  for (unsigned seed = 1; seed <= 16; ++seed) {
    Dice dice(seed);
    const os::Path top = temp.path() / std::to_string(seed);
    random_tree(dice, top, 0);
    std::filesystem::copy(temp.path() / "empty/.git", top / ".git", std::filesystem::copy_options::recursive);
    write(temp.path() / "excludes", random_rules(dice));
    write(top / ".git/config",
          "[core]\n\trepositoryformatversion = 0\n\texcludesFile = " + (temp.path() / "excludes").string() + "\n");
    write(top / ".git/info/exclude", random_rules(dice));
    std::set<std::string> files;  // in an order that is no file system's
    for (const auto& one : std::filesystem::recursive_directory_iterator(top)) {
      const auto path = one.path().lexically_relative(top).string();
      if ((one.is_symlink() || !one.is_directory()) && !path.starts_with(".git/")) files.insert(path);
    }
    std::string tracked(1, '\0');
    for (const auto& path : files)
      if (dice.roll(4) == 0) tracked += path + '\0';
    write(temp.path() / "tracked", tracked.substr(1));
    ASSERT_EQ(shell("-C " + std::to_string(seed) + " update-index --add -z --stdin < tracked"), 0);
    auto theirs = git_list(top / ".git", top);
    theirs.erase(std::unique(theirs.begin(), theirs.end()), theirs.end());
    // A folder that holds something of no rule is not left out itself.
    std::string from_top;
    const auto& chosen_path = theirs.empty() ? from_top : theirs[dice.roll(theirs.size())];
    if (tracked.find('\0' + chosen_path + '\0') == std::string::npos)
      from_top = chosen_path.substr(0, chosen_path.rfind('/') + 1);
    below += from_top.empty() ? 0 : 1;
    std::erase_if(theirs, [&](const std::string& path) { return !path.starts_with(from_top); });
    for (std::string& path : theirs) path.erase(0, from_top.size());
    const auto tree = scan(top / from_top, {.ignore_rules = true});
    ASSERT_OK(tree);
    ASSERT_EQ(tree->git_trouble, "");
    std::vector<std::string> ours;
    for (const Entry& entry : tree->entries) {
      if (entry.type != Type::folder) ours.push_back(entry.path);
    }
    ASSERT_EQ(ours, theirs) << "seed " << seed << " in " << from_top;
    saved += repository_of(top / from_top)->tracked.empty() ? 0 : 1;
  }
  EXPECT_GT(below, 3U);
  EXPECT_GT(saved, 2U);
}

TEST(Ignore, FoldersWithLineEndsInTheirNamesFollowTheirRepositoryToo) {
  const os::TempDir temp;
  const auto top = temp.path() / "a\nb", inside = top / "c\nd/e\n";
  write(inside / "left", "");
  write(inside / "sent", "");
  write(inside / "named", "");
  ASSERT_EQ(std::system((plain_git + ("init -q --template= " + shell_quoted(top.string()))).c_str()), 0);
  write(top / ".git/info/exclude", "left\n");
  write(temp.path() / "rules\n", "named\n");
  ASSERT_EQ(std::system((plain_git + ("-C " + shell_quoted(top.string()) + " config core.excludesFile " +
                                      shell_quoted((temp.path() / "rules\n").string())))
                            .c_str()),
            0);
  const auto tree = scan(inside, {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(tree->git_trouble, "");
  ASSERT_EQ(tree->entries.size(), 1U);
  EXPECT_EQ(tree->entries[0].path, "sent");
}

TEST(Ignore, FerryignoreWinsInItsFolderAndDeeperFilesWinOverHigher) {
  const os::TempDir temp;
  write(temp.path() / ".gitignore", "*.csv\nsecret\n");
  write(temp.path() / ".ferryignore", "!small.csv\nnotes.txt\n");
  write(temp.path() / "small.csv", "");
  write(temp.path() / "big.csv", "");
  write(temp.path() / "notes.txt", "");
  write(temp.path() / "secret" / "inside", "");
  write(temp.path() / "sub" / ".gitignore", "!notes.txt\n");
  write(temp.path() / "sub" / "notes.txt", "");
  write(temp.path() / "sub" / ".git" / "HEAD", "");
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  std::vector<std::string> paths;
  for (const Entry& entry : tree->entries) paths.push_back(entry.path);
  EXPECT_EQ(paths, (std::vector<std::string>{".ferryignore", ".gitignore", "small.csv", "sub", "sub/.gitignore",
                                             "sub/notes.txt"}));
}

std::vector<std::string> chosen(const os::Path& root, const std::vector<std::string>& globs,
                                std::vector<std::string>* unmatched = nullptr) {
  const auto tree = scan(root, {.globs = globs});
  EXPECT_TRUE(tree.has_value());
  std::vector<std::string> files;
  for (const Entry& entry : tree->entries) {
    if (entry.type != Type::folder) files.push_back(entry.path);
  }
  if (unmatched != nullptr) *unmatched = tree->unmatched;
  return files;
}

TEST(Globs, ChooseOutputsAsPeopleWriteThem) {
  const os::TempDir temp;
  for (const char* path : {"a.pt", "sub/b.pt", "outputs/m.pt", "outputs/x/y", "logs/1.txt", "logs/d/2.txt",
                           "logs/d/e/3.txt", "logs/d/n.bin", "checkpoints/c1", "checkpoints/dir/f", "x"}) {
    write(temp.path() / path, path);
  }
  using List = std::vector<std::string>;
  EXPECT_EQ(chosen(temp.path(), {"outputs/"}), (List{"outputs/m.pt", "outputs/x/y"}));
  EXPECT_EQ(chosen(temp.path(), {"outputs"}), (List{"outputs/m.pt", "outputs/x/y"}));
  EXPECT_EQ(chosen(temp.path(), {"*.pt"}), (List{"a.pt"}));
  EXPECT_EQ(chosen(temp.path(), {"**/*.pt"}), (List{"a.pt", "outputs/m.pt", "sub/b.pt"}));
  EXPECT_EQ(chosen(temp.path(), {"logs/**/*.txt"}), (List{"logs/1.txt", "logs/d/2.txt", "logs/d/e/3.txt"}));
  EXPECT_EQ(chosen(temp.path(), {"checkpoints/*"}), (List{"checkpoints/c1", "checkpoints/dir/f"}));
  EXPECT_EQ(chosen(temp.path(), {"./x"}), (List{"x"}));
  EXPECT_EQ(chosen(temp.path(), {"logs/d/**"}), (List{"logs/d/2.txt", "logs/d/e/3.txt", "logs/d/n.bin"}));
  EXPECT_EQ(chosen(temp.path(), {"."}).size(), 11U);
  List unmatched;
  EXPECT_EQ(chosen(temp.path(), {"x", "x/", "none*"}, &unmatched), (List{"x"}));
  EXPECT_EQ(unmatched, (List{"x/", "none*"}));
}

TEST(Globs, ANameThatIsWrittenAsTheGlobItselfIsMeantToo) {
  const os::TempDir temp;
  for (const char* path : {"lo[gs]/a", "log/b", "logs/c"}) write(temp.path() / path, path);
  EXPECT_EQ(chosen(temp.path(), {"lo[gs]/"}), (std::vector<std::string>{"lo[gs]/a", "log/b"}));
}

TEST(Globs, ThatLeaveTheRootAreRefused) {
  const os::TempDir temp;
  for (const char* bad : {"../x", "/etc/passwd", "a/../../b", "", ".."}) {
    const auto tree = scan(temp.path(), {.globs = {bad}});
    ASSERT_FALSE(tree) << bad;
    EXPECT_EQ(tree.error().kind, Kind::bad_input);
  }
}

}  // namespace
}  // namespace ferry::sync
