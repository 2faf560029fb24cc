#include "sync/content_store.h"

#include <sys/file.h>

#include <algorithm>

#include "sync/state.h"
#include "sync/sync_testing.h"

namespace ferry::sync {

namespace {

class Contents : public testing::Test {
 protected:
  os::Fd to_be_filled(const char* name = "to") {
    return *os::open_file(temp_.path() / name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  }
  ContentStore store() { return *ContentStore::open(folder_); }
  bool put(const std::string& content) {
    write(temp_.path() / "from", content);
    return *store().offer(os::open_file(temp_.path() / "from", O_RDONLY)->get(), sha256(content), content.size());
  }
  /// What comes out, or "(absent)".
  std::string taken(const std::string& content) {
    const auto to = to_be_filled();
    const bool found = *store().take(sha256(content), content.size(), to.get());
    const auto is = read(temp_.path() / "to");
    EXPECT_TRUE(found || is.empty()) << is;
    return found ? is : "(absent)";
  }
  os::Path file_of(const std::string& content) const {
    const auto name = hex(sha256(content));
    return folder_ / name.substr(0, 2) / name.substr(2);
  }
  std::size_t files() const {
    const auto all = std::filesystem::recursive_directory_iterator(folder_);
    return static_cast<std::size_t>(
        std::count_if(begin(all), end(all), [](const auto& one) { return !one.is_directory(); }));
  }

  const os::TempDir temp_;
  const os::Path folder_ = temp_.path() / "ferry/contents";
};

TEST_F(Contents, WhatWasPutInComesOutAndStays) {
  const std::string large(700'000, 'x');
  for (const std::string& content : {std::string("small"), large, std::string()}) {
    EXPECT_EQ(taken(content), "(absent)");
    EXPECT_TRUE(put(content));
    EXPECT_FALSE(put(content)) << "it is there already";
    EXPECT_EQ(taken(content), content);
    EXPECT_EQ(taken(content), content);
  }
  EXPECT_EQ(std::filesystem::status(folder_).permissions(), std::filesystem::perms::owner_all);
  EXPECT_EQ(std::filesystem::status(file_of("small")).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(Contents, WhatIsNotWhatItsCallerSaysIsNotTakenIn) {
  write(temp_.path() / "from", "one thing");
  const auto from = *os::open_file(temp_.path() / "from", O_RDONLY);
  EXPECT_FALSE(*store().offer(from.get(), sha256("another"), 9));
  EXPECT_FALSE(*store().offer(from.get(), sha256("one thing"), 8));
  EXPECT_FALSE(store().offer(from.get(), Digest(), 9));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Contents, OneThatIsDamagedIsAbsentAndGone) {
  for (const char* damage : {"damagee", "short", "much longer than it was"}) {
    ASSERT_TRUE(put("content"));
    write(file_of("content"), damage);
    EXPECT_EQ(taken("content"), "(absent)") << damage;
    EXPECT_FALSE(os::exists(file_of("content")));
  }
}

TEST_F(Contents, NoLinkAndNoPipeInTheStoreIsFollowedOrWaitedFor) {
  const auto place = file_of("content");
  write(temp_.path() / "elsewhere", "content");
  std::filesystem::create_directories(place.parent_path());
  std::filesystem::create_symlink(temp_.path() / "elsewhere", place);
  EXPECT_EQ(taken("content"), "(absent)");
  ASSERT_EQ(::mkfifo(place.c_str(), 0600), 0);
  EXPECT_EQ(taken("content"), "(absent)");
  std::filesystem::remove_all(place.parent_path());
  std::filesystem::create_directories(temp_.path() / "group");
  write(temp_.path() / "group" / place.filename(), "content");
  std::filesystem::create_directory_symlink(temp_.path() / "group", place.parent_path());
  EXPECT_EQ(taken("content"), "(absent)");
  EXPECT_EQ(read(temp_.path() / "elsewhere"), "content");
  EXPECT_EQ(read(temp_.path() / "group" / place.filename()), "content");
}

TEST_F(Contents, AStoreThatOthersCanWriteToIsRefused) {
  std::filesystem::create_directories(folder_);
  ::chmod(folder_.c_str(), 0777);
  const auto open = ContentStore::open(folder_);
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().kind, Kind::denied);
  std::filesystem::remove(folder_);
  std::filesystem::create_directories(temp_.path() / "mine");
  std::filesystem::create_directory_symlink(temp_.path() / "mine", folder_);
  EXPECT_FALSE(ContentStore::open(folder_));
}

TEST_F(Contents, WhatIsTakenOutIsNoSecondNameOfWhatIsThere) {
  ASSERT_TRUE(put("content"));
  EXPECT_EQ(taken("content"), "content");
  std::ofstream(temp_.path() / "to", std::ios::in) << "edited!";
  EXPECT_EQ(taken("content"), "content");
}

TEST_F(Contents, WhatHasHolesComesOutWithHoles) {
  const std::uint64_t size = std::uint64_t{16} << 20;
  const auto from = to_be_filled("from");
  ASSERT_EQ(::ftruncate(from.get(), static_cast<off_t>(size)), 0);
  ASSERT_EQ(::pwrite(from.get(), "x", 1, 5'000'000), 1);
  std::string content(size, '\0');
  content[5'000'000] = 'x';
  ASSERT_TRUE(*store().offer(from.get(), sha256(content), size));
  const auto to = to_be_filled();
  ASSERT_TRUE(*store().take(sha256(content), size, to.get()));
  for (const int fd : {from.get(), to.get()}) {
    struct stat info;
    ASSERT_EQ(::fstat(fd, &info), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(info.st_size), size);
    EXPECT_LT(info.st_blocks * 512, 1 << 20);
  }
  EXPECT_EQ(read(temp_.path() / "to"), content);
}

TEST_F(Contents, AFileMovesInUnlessItHasAnotherName) {
  write(temp_.path() / "a", "content", 0755);
  const auto inode = [](const os::Path& path) {
    struct stat info;
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  };
  const auto was = inode(temp_.path() / "a");
  std::filesystem::create_hard_link(temp_.path() / "a", temp_.path() / "b");
  const os::Fd at = *os::open_file(temp_.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_FALSE(store().adopt(at.get(), "a", sha256("content"), 7));
  std::filesystem::remove(temp_.path() / "b");
  EXPECT_TRUE(store().adopt(at.get(), "a", sha256("content"), 7));
  EXPECT_FALSE(os::exists(temp_.path() / "a"));
  EXPECT_EQ(inode(file_of("content")), was) << "its bytes were not copied";
  EXPECT_EQ(taken("content"), "content");
  write(temp_.path() / "again", "content");
  EXPECT_FALSE(store().adopt(at.get(), "again", sha256("content"), 7));
  EXPECT_TRUE(os::exists(temp_.path() / "again"));
}

TEST_F(Contents, WhatWasOfUseLongestAgoGoesFirst) {
  for (const char* content : {"aaaa", "bbbb", "cccc", "dddd"}) ASSERT_TRUE(put(content));
  set_time(file_of("aaaa"), 1'700'000'000);
  set_time(file_of("bbbb"), 1'700'000'100);
  set_time(file_of("cccc"), 1'700'000'200);
  EXPECT_EQ(taken("aaaa"), "aaaa");  // of use now
  ASSERT_OK(store().trim(8));
  EXPECT_TRUE(os::exists(file_of("aaaa")));
  EXPECT_FALSE(os::exists(file_of("bbbb")));
  EXPECT_FALSE(os::exists(file_of("cccc")));
  EXPECT_TRUE(os::exists(file_of("dddd")));
  ASSERT_OK(store().trim(0));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Contents, WhatSomebodyWhoWasKilledLeftGoesAfterADayAndOnlyThat) {
  (void)store();
  write(folder_ / "new-old", "x");
  set_time(folder_ / "new-old", 1'700'000'000);
  write(folder_ / "new-fresh", "x");
  write(folder_ / "notes", "somebody's");
  write(folder_ / "ab" / "notes", "somebody's");
  ASSERT_OK(store().trim(0));
  EXPECT_EQ(listing(folder_), (std::vector<std::string>{"ab", "new-fresh", "notes"}));
  EXPECT_TRUE(os::exists(folder_ / "ab/notes"));
}

TEST_F(Contents, OnlyOneProcessRemovesAtATime) {
  ASSERT_TRUE(put("content"));
  const os::Fd other = *os::open_file(folder_, O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  ASSERT_OK(store().trim(0));
  EXPECT_TRUE(os::exists(file_of("content")));
}

TEST_F(Contents, ManyAtOnceNeverSeeHalfAContent) {
  std::vector<std::string> contents;
  for (int i = 0; i < 8; ++i) contents.push_back(std::string(300'000, static_cast<char>('a' + i)));
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      auto mine = store();
      const auto name = temp_.path() / ("thread" + std::to_string(thread));
      for (std::size_t round = 0; round < 40; ++round) {
        const auto& content = contents[(round * 3 + static_cast<std::size_t>(thread)) % contents.size()];
        const auto file = *os::open_file(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        const bool found = *mine.take(sha256(content), content.size(), file.get());
        EXPECT_EQ(read(name), found ? content : "");
        if (!found) {
          ASSERT_OK(os::write_file(name, content));
          ASSERT_OK(mine.offer(os::open_file(name, O_RDONLY)->get(), sha256(content), content.size()));
        }
        if (round % 10 == 9) ASSERT_OK(mine.trim(1'000'000));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_OK(store().trim(std::uint64_t{1} << 40));
  EXPECT_LE(files(), contents.size());
}

TEST_F(Contents, ARunsFilesAreKeptThatItLeftAsTheyCame) {
  const auto from = temp_.path() / "laptop", to = temp_.path() / "work", state = temp_.path() / "state";
  write(from / "code/a.py", "print(1)");
  write(from / "code/b.py", "print(2)");
  write(from / "code/edited.py", "print(3)");
  for (const char* name : {"a.py", "b.py", "edited.py"}) set_time(from / "code" / name, 1'700'000'000);
  ReceiveOptions options;
  options.state_file = state;
  ASSERT_OK(move_tree(from, to, options).received);
  // The marks of a file count once it is older than a tick of the file clock.
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  ASSERT_OK(move_tree(from, to, options).received);
  std::ofstream(to / "code/edited.py", std::ios::in) << "PRINT";
  write(to / "outputs/model", "a model");
  auto contents = store();
  const auto kept = keep_contents(contents, to, state);
  ASSERT_OK(kept);
  EXPECT_EQ(*kept, 2U);
  EXPECT_EQ(files(), 2U);
  EXPECT_EQ(taken("print(1)"), "print(1)");
  EXPECT_EQ(taken("print(2)"), "print(2)");
  EXPECT_EQ(taken("a model"), "(absent)") << "no output is kept";
  EXPECT_FALSE(os::exists(to / "code/a.py"));
  EXPECT_TRUE(os::exists(to / "code/edited.py"));
}

}  // namespace

}  // namespace ferry::sync
