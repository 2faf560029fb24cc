#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "os/process.h"
#include "sync/manifest.h"
#include "sync/state.h"
#include "sync/sync_testing.h"

namespace ferry::sync {

namespace {

static_assert(sizeof(Entry) <= 96, "a million of them are to fit beside all else into 200 MiB");

std::vector<std::string> paths_of(const Tree& tree) {
  std::vector<std::string> paths;
  for (const Entry& entry : tree.entries) paths.push_back(entry.path);
  return paths;
}

/// By the standard library's own walk.
std::vector<std::string> what_stands_in(const os::Path& root) {
  std::vector<std::string> paths;
  for (const auto& one : std::filesystem::recursive_directory_iterator(root))
    paths.push_back(one.path().lexically_relative(root).string());
  std::ranges::sort(paths);
  return paths;
}

/// Nothing a receiver would refuse.
void expect_a_list(const Tree& tree) {
  std::vector<Entry> before;
  for (const Entry& entry : tree.entries) {
    ASSERT_OK(check_entry(before, entry));
    before.push_back(entry);
  }
}

/// Whether `check` says so to an ordinary user, in a process of its own.
bool holds_for_a_user(const std::function<bool()>& check) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit((!os::is_root() || ::setresuid(65534, 65534, 65534) == 0) && check() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0;
}

std::string git(const os::Path& folder, const std::string& words) {
  const auto line = "cd " + shell_quoted(folder.string()) + " && git -c user.name=a -c user.email=a@b " + words;
  const auto done = os::run_command({.argv = {"sh", "-c", line}});
  return done && done->exit.code == 0 ? done->out : "failed";
}

TEST(Scan, ListsAllThatStandsThereInTheOrderOfItsBytes) {
  std::uint64_t noise = 88172645463325252ULL;
  const auto random = [&] { return noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17; };
  const std::vector<std::string> around_slash = {"a", "b", "-", ".", " ", "!", "0", "\xff", "\x01", "A"};
  for (int round = 0; round < 20; ++round) {
    const os::TempDir temp;
    std::vector<os::Path> folders{temp.path()};
    for (int i = 0; i < 300; ++i) {
      std::string name = "a";
      for (auto left = random() % 3; left > 0; --left) name += around_slash[random() % around_slash.size()];
      const auto path = folders[random() % folders.size()] / name;
      std::error_code failed;
      if (random() % 3 == 0) {
        if (std::filesystem::create_directory(path, failed)) folders.push_back(path);
      } else if (random() % 5 == 0) {
        std::filesystem::create_symlink("a", path, failed);
      } else if (!os::exists(path)) {
        write(path, name);
      }
    }
    const auto tree = scan(temp.path(), {});
    ASSERT_OK(tree);
    EXPECT_EQ(paths_of(*tree), what_stands_in(temp.path()));
    expect_a_list(*tree);
    std::uint64_t files = 0, bytes = 0;
    for (const Entry& entry : tree->entries) files += entry.type == Type::file ? 1 : 0, bytes += entry.size;
    EXPECT_EQ(tree->files, files);
    EXPECT_EQ(tree->bytes, bytes);
  }
}

TEST(Scan, SaysTheSameEachTimeWhoeverWasFaster) {
  const os::TempDir temp;
  for (int i = 0; i < 2'000; ++i) {
    const auto folder = temp.path() / std::to_string(i % 7) / std::to_string(i % 50);
    write(folder / std::to_string(i), "x");
    if (i % 10 == 0) write(folder / (std::to_string(i) + ".log"), "x");
    if (i % 50 == 0) write(folder / ".gitignore", "*.log\n");
    if (i % 100 == 0) ::mkfifo((folder / "pipe").c_str(), 0600);
  }
  const auto look = [&] {
    const auto tree = scan(temp.path(), {.ignore_rules = true});
    std::vector<std::string> said;
    if (!tree) return said;
    said = paths_of(*tree);
    for (const auto& one : tree->unsent) said.push_back(one.path + ": " + one.by + " " + one.rule);
    said.insert(said.end(), tree->skipped.begin(), tree->skipped.end());
    return said;
  };
  const auto first = look();
  EXPECT_GT(first.size(), 2'000U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(look(), first);
}

TEST(Scan, AThousandLevelsAreTheMost) {
  const os::TempDir temp;
  os::Fd at = *os::open_file(temp.path(), O_RDONLY | O_DIRECTORY);
  const auto deeper = [&] {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    at = os::Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  };
  for (std::size_t i = 0; i < max_levels; ++i) deeper();
  { const os::Fd file(::openat(at.get(), "file", O_WRONLY | O_CREAT, 0644)); }
  auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(tree->entries.size(), max_levels + 1);
  ASSERT_OK(hash_tree(temp.path(), *tree, temp.path() / "hashes"));
  EXPECT_EQ(tree->entries.back().sha256, sha256(""));
  deeper();
  tree = scan(temp.path(), {});
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().kind, Kind::bad_input);
}

TEST(Scan, ManyFoldersInOneAndManyFilesInOneAreListed) {
  const os::TempDir temp;
  for (int i = 0; i < 1'000; ++i) {
    std::filesystem::create_directories(temp.path() / "wide" / std::to_string(i) / "inner");
    write(temp.path() / "plain" / std::to_string(i), "");
  }
  const auto tree = scan(temp.path(), {});
  ASSERT_OK(tree);
  EXPECT_EQ(paths_of(*tree), what_stands_in(temp.path()));
}

TEST(Scan, NamesThatDifferInCaseOrInTheirUnicodeFormStayTwo) {
  const os::TempDir temp;
  const std::set<std::string> traps = {"model",        "Model",        "MODEL",   "caf\xc3\xa9",
                                       "cafe\xcc\x81", "\xe2\x84\xab", "\xc3\x85"};
  for (const auto& name : traps) write(temp.path() / "from" / name / "file", name);
  const auto both = move_tree(temp.path() / "from", temp.path() / "to");
  ASSERT_OK(both.received);
  EXPECT_EQ(picture(temp.path() / "to"), picture(temp.path() / "from"));
  EXPECT_EQ(listing(temp.path() / "to"), std::vector<std::string>(traps.begin(), traps.end()));
}

TEST(Scan, AFolderThatCannotBeReadIsSaidAndTheOthersAreListed) {
  const os::TempDir temp;
  const auto root = temp.path() / "root";
  for (const char* path : {"a/file", "closed/file", "closed/inner/file", "no-search/file", "z/file"})
    write(root / path, "x");
  ::chmod(temp.path().c_str(), 0755);
  ::chmod((root / "closed").c_str(), 0000);
  ::chmod((root / "no-search").c_str(), 0444);
  EXPECT_TRUE(holds_for_a_user([&] {
    const auto tree = scan(root, {});
    return tree && paths_of(*tree) == std::vector<std::string>{"a", "a/file", "z", "z/file"} &&
           tree->skipped.size() == 2 && tree->skipped[0].starts_with("skipped closed: ") &&
           tree->skipped[1].starts_with("skipped no-search: ");
  }));
  for (const char* folder : {"closed", "no-search"}) ::chmod((root / folder).c_str(), 0755);
}

TEST(Scan, WhatComesAndGoesMeanwhileHarmsNothingElse) {
  const os::TempDir temp;
  std::set<std::string> stays;
  for (int i = 0; i < 400; ++i) {
    const auto path = "d" + std::to_string(i % 20) + "/e" + std::to_string(i % 3) + "/" + std::to_string(i);
    write(temp.path() / path, "x");
    stays.insert(path);
  }
  std::atomic<bool> over{false};
  std::thread restless([&] {
    for (int i = 0; !over; ++i) {
      const auto folder = temp.path() / ("d" + std::to_string(i % 20));
      write(folder / "moving/file", "x");
      std::error_code failed;
      std::filesystem::rename(folder / "moving", folder / "moved", failed);
      std::filesystem::create_symlink("/etc", folder / "moving", failed);
      std::filesystem::remove_all(folder / "moved", failed);
      std::filesystem::remove(folder / "moving", failed);
      write(folder / "moving", "now a file");
      std::filesystem::remove(folder / "moving", failed);
    }
  });
  for (int i = 0; i < 50; ++i) {
    const auto tree = scan(temp.path(), {});
    EXPECT_TRUE(tree.has_value());
    if (!tree) break;
    expect_a_list(*tree);
    std::size_t seen = 0;
    for (const Entry& entry : tree->entries) seen += stays.contains(entry.path) ? 1 : 0;
    EXPECT_EQ(seen, stays.size());
  }
  over = true;
  restless.join();
}

TEST(Scan, AVirtualEnvironmentArrivesAsItIsAndStaysWhereARuleSaysSo) {
  const os::TempDir temp;
  const auto from = temp.path() / "from", to = temp.path() / "to", venv = from / ".venv";
  write(venv / "pyvenv.cfg", "home = /usr/bin\n");
  write(venv / "bin/activate", "VIRTUAL_ENV=…\n");
  write(venv / "lib/python3.11/site-packages/pkg/__init__.py", "");
  write(venv / "lib/python3.11/site-packages/pkg/__pycache__/__init__.pyc", std::string("\xa7\r\r\n\0\0", 6), 0444);
  std::filesystem::create_symlink("/usr/bin/python3", venv / "bin/python3");
  std::filesystem::create_symlink("python3", venv / "bin/python");
  std::filesystem::create_symlink("lib", venv / "lib64");
  write(from / "train.py", "print()");
  ASSERT_OK(move_tree(from, to).received);
  EXPECT_EQ(picture(to), picture(from));
  EXPECT_EQ(std::filesystem::read_symlink(to / ".venv/bin/python3"), "/usr/bin/python3");
  write(from / ".gitignore", ".venv\n");
  const auto tree = scan(from, {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(paths_of(*tree), (std::vector<std::string>{".gitignore", "train.py"}));
  ASSERT_EQ(tree->unsent.size(), 1U);
  EXPECT_EQ(tree->unsent[0].path, ".venv");
}

TEST(Scan, ARepositoryWithItsObjectsArrivesAndIsOne) {
  const os::TempDir temp;
  const auto from = temp.path() / "from", to = temp.path() / "to";
  ReceiveOptions options;
  options.mirror = true;
  options.state_file = temp.path() / "state";
  write(from / "a.txt", "one\n");
  ASSERT_NE(git(from, "init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm one"), "failed");
  ASSERT_OK(move_tree(from, to, options).received);
  EXPECT_EQ(picture(to), picture(from));
  write(from / "a.txt", "two\n");
  ASSERT_NE(git(from, "commit -qam two && git gc -q"), "failed");  // read-only files go, others come
  ASSERT_OK(move_tree(from, to, options).received);
  EXPECT_EQ(picture(to), picture(from));
  EXPECT_EQ(git(to, "fsck --strict 2>&1"), git(from, "fsck --strict 2>&1"));
  EXPECT_EQ(git(to, "log --format=%s"), "two\none\n");
}

TEST(HashTree, LargeAndSmallFilesHaveTheHashOfTheirOwnContent) {
  const os::TempDir temp;
  const auto root = temp.path() / "root";
  std::map<std::string, std::string> contents;
  for (int i = 0; i < 200; ++i) {
    const auto size = i % 40 == 7 ? std::size_t{5} << 20 : static_cast<std::size_t>(i) * 13;
    const auto path = "d" + std::to_string(i % 9) + "/" + std::to_string(i);
    contents[path] = std::string(size, static_cast<char>(i));
    write(root / path, contents[path]);
    set_time(root / path, 1'700'000'000);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(40));  // older than a tick of the file clock
  for (int round = 0; round < 3; ++round) {
    auto tree = scan(root, {});
    ASSERT_OK(hash_tree(root, *tree, temp.path() / "cache"));
    for (const Entry& entry : tree->entries) {
      if (entry.type != Type::file) continue;
      EXPECT_EQ(hex(entry.sha256), hex(sha256(contents[entry.path]))) << entry.path;
    }
    EXPECT_EQ(State::load(temp.path() / "cache").loaded(), contents.size());
    if (round == 0) {
      contents["d0/0"] = "edited";
      write(root / "d0/0", "edited");
      set_time(root / "d0/0", 1'700'000'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
    } else if (round == 1) {
      contents.erase("d1/1");
      std::filesystem::remove(root / "d1/1");
    }
  }
}

TEST(HashTree, AFileThatChangesMeanwhileIsNotRememberedWrongly) {
  const os::TempDir temp;
  const auto root = temp.path() / "root", cache = temp.path() / "cache";
  for (int i = 0; i < 30; ++i) write(root / std::to_string(i), std::string(200'000, 'x'));
  std::atomic<bool> over{false};
  std::thread restless([&] {
    for (int i = 0; !over; ++i) {
      std::fstream file(root / std::to_string(i % 30), std::ios::in | std::ios::out);
      file.seekp(i % 200'000);
      file << static_cast<char>('a' + i % 26);
    }
  });
  for (int i = 0; i < 10; ++i) {
    auto tree = scan(root, {});
    EXPECT_TRUE(hash_tree(root, *tree, cache).has_value());
  }
  over = true;
  restless.join();
  auto tree = scan(root, {});
  ASSERT_OK(hash_tree(root, *tree, cache));
  for (const Entry& entry : tree->entries) EXPECT_EQ(hex(entry.sha256), hex(sha256(read(root / entry.path))));
}

}  // namespace

}  // namespace ferry::sync
