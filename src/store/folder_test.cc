#include "store/folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "os/env.h"
#include "store/contract.h"

namespace ferry::store {
namespace {

std::unique_ptr<Store> opened(const os::Path& path, FolderOptions options = {}) {
  auto store = open_folder(path, std::move(options));
  if (!store) throw std::runtime_error(describe(store.error()));
  return std::move(*store);
}

TEST(Folder, KeepsWhatEveryStorePromises) {
  os::TempDir temp;
  keeps_store_contract(*opened(temp.path() / "store"), "runs/x/");
  keeps_store_contract(*opened(temp.path() / "without links", {.has_links = false}), "runs/x/");
}

TEST(Folder, IsRefusedWhereAFileStands) {
  os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "file", "x"));
  EXPECT_EQ(kind_of_failure(open_folder(temp.path() / "file")), Kind::bad_input);
}

TEST(Folder, ReadsNothingThroughLinksAndListsNone) {
  os::TempDir temp;
  const auto store = opened(temp.path() / "store");
  ASSERT_TRUE(store->put("a/b", "x"));
  std::filesystem::create_directory_symlink("..", temp.path() / "store/a/up");
  EXPECT_EQ(keys_below(*store, ""), std::vector<std::string>{"a/b"});
  EXPECT_TRUE(store->remove_all("a/"));
  EXPECT_TRUE(os::is_directory(temp.path() / "store/.ferry-store"));
}

TEST(Folder, HasTheOldOrTheNewContentWhateverStepItsWriterIsKilledAt) {
  os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "new", std::string(100'000, 'n')));
  const Content content = *content_of(temp.path() / "new");
  using Change = std::function<void(Store&)>;
  const std::vector<std::pair<std::string, Change>> changes = {
      {"put_file", [&](Store& store) { (void)store.put_file("k/x", temp.path() / "new", content); }},
      {"put", [&](Store& store) { (void)store.put("k/x", std::string(100'000, 'n'), if_still(hex(sha256("old")))); }},
      {"first", [&](Store& store) { (void)store.put_file("k/first", temp.path() / "new", content, if_absent()); }},
      {"remove", [&](Store& store) { (void)store.remove("k/x"); }},
  };
  for (const bool links : {true, false}) {
    for (const auto& [name, change] : changes) {
      bool ended = false;
      for (int last = 0; !ended; ++last) {
        const os::Path root = temp.path() / ("s" + name + std::to_string(last) + (links ? "l" : ""));
        ASSERT_TRUE(opened(root)->put("k/x", "old"));
        const pid_t child = ::fork();
        if (child == 0) {
          int steps = 0;
          FolderOptions options{.has_links = links};
          options.step = [&](const char*) {
            if (steps++ == last) ::_exit(9);
          };
          const auto store = open_folder(root, options);
          change(**store);
          ::_exit(0);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        const auto store = opened(root);
        for (const auto& key : keys_below(*store, "")) {
          const auto got = store->get(key);
          ASSERT_TRUE(got) << describe(got.error());
          EXPECT_TRUE(got->bytes == "old" || got->bytes == std::string(100'000, 'n')) << name << " " << last;
        }
        // Nor does what was left stand in anybody's way.
        EXPECT_TRUE(store->put("k/x", "again"));
        EXPECT_TRUE(store->put("k/y", "again", if_absent()));
      }
    }
  }
}

/// How many of two writers at once were told that it worked, and that there is what the winner wrote.
int winners(const os::Path& root, const Condition& condition, const std::string& key, std::mt19937& random) {
  // Each its own, as a lease's nonce sees to: versions are those of contents.
  const std::string content = condition.version + " by ";
  std::atomic<int> ready{0};
  std::array<bool, 2> won{};
  const auto write = [&](std::size_t who, unsigned spins) {
    const auto store = opened(root);
    ++ready;
    while (ready < 2) std::this_thread::yield();
    for (unsigned i = 0; i < spins; ++i) std::atomic_thread_fence(std::memory_order_seq_cst);
    const auto put = store->put(key, key + content + std::to_string(who), condition);
    EXPECT_TRUE(put || put.error().kind == Kind::conflict) << describe(put.error());
    won[who] = put.has_value();
  };
  const auto first = static_cast<unsigned>(random() % 2000), second = static_cast<unsigned>(random() % 2000);
  std::thread one(write, 0, first), two(write, 1, second);
  one.join();
  two.join();
  EXPECT_EQ(opened(root)->get(key)->bytes, key + content + (won[0] ? "0" : "1"));
  return won[0] + won[1];
}

TEST(Folder, LetsOneOfTwoWinAThousandTimes) {
  // In memory, where there is such a place: thousands of flushes are not what this is about.
  const auto before = os::env("TMPDIR");
  if (os::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 1);
  os::TempDir temp;
  before ? ::setenv("TMPDIR", before->c_str(), 1) : ::unsetenv("TMPDIR");
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    const auto key = "lease" + std::to_string(i);
    ASSERT_EQ(winners(temp.path(), if_absent(), key, random), 1) << i;
    const auto version = opened(temp.path())->look(key)->version;
    ASSERT_EQ(winners(temp.path(), if_still(version), key, random), 1) << i;
  }
}

TEST(Folder, RemovesWhatTheKilledLeftADayAgoAndNothingYounger) {
  os::TempDir temp;
  (void)opened(temp.path());
  const os::Path left = temp.path() / ".ferry-store/tmp/old", young = temp.path() / ".ferry-store/tmp/young";
  ASSERT_TRUE(os::write_file(left, "x") && os::write_file(young, "x"));
  std::filesystem::last_write_time(left, std::filesystem::file_time_type::clock::now() - std::chrono::hours(25));
  (void)opened(temp.path());
  EXPECT_FALSE(os::exists(left));
  EXPECT_TRUE(os::exists(young));
}

TEST(Folder, StopsWhenItIsToldToAndLeavesNothingHalf) {
  os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "f", std::string(1'000'000, 'x')));
  const Content content = *content_of(temp.path() / "f");
  const auto store = opened(temp.path() / "store");
  const Moved stop = [](std::uint64_t) { return false; };
  EXPECT_EQ(kind_of_failure(store->put_file("k", temp.path() / "f", content, {}, stop)), Kind::cancelled);
  ASSERT_TRUE(store->put_file("k", temp.path() / "f", content));
  EXPECT_EQ(kind_of_failure(store->get_file("k", temp.path() / "g", content, stop)), Kind::cancelled);
  EXPECT_EQ(os::list_dir(temp.path())->size(), 2u);
}

}  // namespace
}  // namespace ferry::store
