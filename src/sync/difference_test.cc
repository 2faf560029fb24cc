// What is here already, under whatever name, in whatever part, does not come again.
#include <random>
#include <set>

#include "sync/content_store.h"
#include "sync/manifest.h"
#include "sync/state.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

class Differences : public ::testing::Test {
 protected:
  Differences() {
    options_.state_file = temp_.path() / "state";
    options_.mirror = true;
  }
  /// Past the tick in which a file's times say nothing of its content (state.h).
  static void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }
  /// Brings it over and compares every byte.
  Report move() {
    Options sending;
    sending.unasked_bytes = 0;
    const Both both = move_tree(from_, to_, options_, {}, sending);
    EXPECT_TRUE(both.sent.has_value()) << describe(both.sent.error());
    EXPECT_TRUE(both.received.has_value()) << describe(both.received.error());
    EXPECT_EQ(picture(from_), picture(to_));
    EXPECT_FALSE(os::exists(temp_.path() / "state.parts"));
    if (!both.sent || !both.received) return {};
    EXPECT_EQ(both.sent->files_moved, both.received->files_moved);
    EXPECT_EQ(both.sent->bytes_moved, both.received->bytes_moved);
    rest();
    return *both.received;
  }

  os::TempDir temp_;
  os::Path from_ = temp_.path() / "from", to_ = temp_.path() / "to";
  ReceiveOptions options_;
};

TEST_F(Differences, TheSameContentComesOnce) {
  const std::string content = random_bytes(300'000);
  for (const char* name : {"a", "b", "deep/c", "deep/d"}) write(from_ / name, content, name[0] == 'b' ? 0755 : 0644);
  for (const char* name : {"empty", "deep/empty"}) write(from_ / name, "");
  const Report report = move();
  EXPECT_EQ(report.files_moved, 1U);
  EXPECT_EQ(report.bytes_moved, content.size());
  write(to_ / "a", "each is a file of its own");
  EXPECT_EQ(read(to_ / "b"), content);
}

TEST_F(Differences, AFileUnderAnotherNameDoesNotCome) {
  write(from_ / "old/data", random_bytes(2'000'000));
  write(from_ / "stays", random_bytes(5000));
  move();
  std::filesystem::rename(from_ / "old", from_ / "new");
  std::filesystem::copy(from_ / "stays", from_ / "copy");
  const Report report = move();
  EXPECT_EQ(report.files_moved, 0U);
  EXPECT_LT(report.wire_bytes, 2000U);
}

TEST_F(Differences, OfAFileThatGrewTheEndComes) {
  write(from_ / "log", random_bytes(5'000'000));
  move();
  ASSERT_OK(os::append_file(from_ / "log", random_bytes(1000)));
  const Report report = move();
  EXPECT_EQ(report.files_moved, 1U);
  EXPECT_EQ(report.bytes_moved, 1000U);
}

TEST_F(Differences, OfAFileThatWasEditedInTheMiddleTheChunksAroundComes) {
  std::string content = random_bytes(12'000'000);
  write(from_ / "data", content);
  write(from_ / "other", "1");
  move();
  content.insert(6'000'000, "some more");
  write(from_ / "data", content);
  write(from_ / "other", "2");
  EXPECT_LT(move().bytes_moved, 2 * largest_chunk + 1);
  content.erase(3'000'000, 100'000);
  content.resize(10'000'000);
  write(from_ / "data", content);
  EXPECT_LT(move().bytes_moved, 4 * largest_chunk);
}

TEST_F(Differences, WithoutAStateTheChunksOfWhatStandsThereStillHelp) {
  std::string content = random_bytes(8'000'000);
  write(from_ / "data", content + "new end");
  write(to_ / "data", content);
  EXPECT_LT(move().bytes_moved, 2 * largest_chunk);
}

TEST_F(Differences, AChangedDuplicateIsAskedForByItself) {
  write(from_ / "a", std::string(400'000, 'x'));
  write(from_ / "b", std::string(400'000, 'x'));
  bool done = false;
  Options sending;
  sending.unasked_bytes = 0;
  const Both both = move_tree(from_, to_, options_, {}, sending, [&](Sender& sender) {
    sender.while_reading = [&](std::string_view path) {
      if (path != "a" || std::exchange(done, true)) return;
      write(from_ / "a", "something else");
    };
  });
  ASSERT_OK(both.sent);
  EXPECT_EQ(picture(from_), picture(to_));
  EXPECT_EQ(read(to_ / "a"), "something else");
}

TEST_F(Differences, HolesDoNotComeAndStayHoles) {
  write(from_ / "sparse", "begin");
  {
    const os::Fd file(::open((from_ / "sparse").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(file.get(), "middle", 6, 30'000'000), 6);
    ASSERT_EQ(::ftruncate(file.get(), 100'000'000), 0);
  }
  auto root = Root::open(from_);
  if (root->look("sparse")->allocated > 50'000'000) GTEST_SKIP() << "this file system has no holes";
  write(from_ / "twin", "x");
  ASSERT_EQ(
      std::system(
          ("cp --sparse=always '" + (from_ / "sparse").string() + "' '" + (from_ / "twin").string() + "'").c_str()),
      0);
  const Report report = move();
  EXPECT_LT(report.bytes_moved, 1'000'000U);
  auto received = Root::open(to_);
  EXPECT_LT(received->look("sparse")->allocated, 1'000'000U);
  EXPECT_LT(received->look("twin")->allocated, 1'000'000U);
}

TEST_F(Differences, WhatAnotherRunReceivedOnThisMachineDoesNotComeAgain) {
  for (int i = 0; i < 20; ++i) write(from_ / std::to_string(i), random_bytes(5000));
  write(from_ / "data", random_bytes(3'000'000));
  move();
  move();  // (of small files, it is not known at once that nobody touched them since)
  options_.content_store = temp_.path() / "contents";
  {
    auto store = ContentStore::open(options_.content_store);
    ASSERT_OK(store);
    ASSERT_OK(keep_contents(*store, to_, options_.state_file));
  }
  std::filesystem::remove_all(to_);
  std::filesystem::remove(options_.state_file);
  const Report report = move();
  EXPECT_EQ(report.files_moved, 0U);
  EXPECT_LT(report.wire_bytes, 3000U);

  // What does not stand there as it should comes over.
  std::filesystem::remove_all(to_);
  std::filesystem::remove(options_.state_file);
  for (const auto& kept : std::filesystem::recursive_directory_iterator(options_.content_store)) {
    if (kept.is_regular_file() && kept.file_size() == 3'000'000) write(kept.path(), std::string(3'000'000, 'x'));
  }
  EXPECT_EQ(move().files_moved, 1U);
}

/// Lets through so many bytes in each direction, and then ends.
class Cut {
 public:
  Cut(int a, int b, std::size_t there, std::size_t back)
      : there_([=] { pass(a, b, there); }), back_([=] { pass(b, a, back); }) {}
  ~Cut() {
    there_.join();
    back_.join();
  }

 private:
  static void pass(int from, int to, std::size_t left) {
    std::string buffer(65536, '\0');
    while (left > 0) {
      const ssize_t got = ::read(from, buffer.data(), std::min(left, buffer.size()));
      if (got <= 0) break;
      left -= static_cast<std::size_t>(got);
      if (!os::write_all(to, std::string_view(buffer).substr(0, static_cast<std::size_t>(got)))) break;
    }
    ::shutdown(from, SHUT_RDWR);
    ::shutdown(to, SHUT_RDWR);
  }
  std::thread there_, back_;
};

Both move_through(const os::Path& from, const os::Path& to, const ReceiveOptions& options, std::size_t there,
                  std::size_t back) {
  Both both;
  auto tree = scan(from, {});
  EXPECT_TRUE(tree.has_value() && hash_tree(from, *tree, {}).has_value());
  auto left = os::make_socketpair(), right = os::make_socketpair();
  std::thread receiver([&] {
    const os::Fd end = std::move(right->write);
    both.received = receive_tree(end.get(), end.get(), to, options);
  });
  {
    const Cut cut(left->write.get(), right->read.get(), there, back);
    const os::Fd end = std::move(left->read);
    both.sent = send_tree(end.get(), end.get(), from, *std::move(tree));
    ::shutdown(end.get(), SHUT_RDWR);
    receiver.join();
  }
  return both;
}

TEST_F(Differences, AfterACutOnlyTheRestOfALargeFileComes) {
  write(from_ / "model", random_bytes(40'000'000));
  const Both cut = move_through(from_, to_, options_, 30'000'000, std::size_t{1} << 40);
  ASSERT_FALSE(cut.received);
  EXPECT_EQ(listing(to_), std::vector<std::string>{});
  const Report report = move();
  EXPECT_GT(report.bytes_moved, 9'000'000U);
  EXPECT_LT(report.bytes_moved, 10'000'000U + 2 * largest_chunk + (std::uint64_t{2} << 20));
}

TEST_F(Differences, AfterACutOfAnEditedFileItsOldVersionStillHelps) {
  std::string content = random_bytes(40'000'000);
  write(from_ / "model", content);
  move();
  content.replace(10'000'000, 4'000'000, random_bytes(4'000'000));
  write(from_ / "model", content);
  const Both cut = move_through(from_, to_, options_, 3'000'000, std::size_t{1} << 40);
  ASSERT_FALSE(cut.received);
  EXPECT_TRUE(os::exists(temp_.path() / "state.parts"));
  const Report report = move();
  EXPECT_GT(report.bytes_moved, 500'000U);
  EXPECT_LT(report.bytes_moved, 2'000'000U + 4 * largest_chunk) << "of the part, and of the old version";
}

/// What a receiver that was killed has left of it counts, too.
TEST_F(Differences, AfterAKillOnlyTheRestOfALargeFileComes) {
  write(from_ / "model", random_bytes(40'000'000));
  const pid_t child = ::fork();
  if (child == 0) {
    auto options = options_;
    options.progress = [](const Progress& now) {
      if (now.bytes_done > 30'000'000) ::_exit(9);
    };
    (void)move_tree(from_, to_, options);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(WEXITSTATUS(status), 9);
  EXPECT_LT(move().bytes_moved, 32'000'000U);
}

TEST_F(Differences, CutAtAnyByteAndBegunAgainNothingIsEverWrong) {
  std::mt19937 random(20261130);  // NOLINT(cert-msc51-cpp): the same each time
  std::string large = random_bytes(6'000'000);
  const auto fill = [&] {
    for (int i = 0; i < 40; ++i)
      write(from_ / std::to_string(i % 7) / std::to_string(i),
            random_bytes(random() % 30'000) + std::string(9000, 'x'));
    large.insert(random() % large.size(), random_bytes(random() % 500'000));
    write(from_ / "large", large);
    write(from_ / "same", large);
  };
  std::map<std::string, std::set<std::string>> good;  // path → every content that it may have
  for (int round = 0; round < 12; ++round) {
    fill();
    for (const auto& [path, line] : picture(from_, false)) good[path].insert(line);
    for (int attempt = 0;; ++attempt) {
      ASSERT_LT(attempt, 50);
      const bool to_the_end = attempt > 4;
      const auto limit = [&](std::size_t most) { return to_the_end ? std::size_t{1} << 40 : random() % most; };
      const Both both = move_through(from_, to_, options_, limit(8'000'000), random() % 3 == 0 ? limit(4000) : 1 << 30);
      for (const auto& [path, line] : picture(to_, false)) {
        EXPECT_TRUE(good.contains(path) && (line[0] != '0' || good[path].contains(line))) << path;
      }
      if (both.sent && both.received) break;
      EXPECT_FALSE(to_the_end) << describe(both.sent ? both.received.error() : both.sent.error());
    }
    EXPECT_EQ(picture(from_), picture(to_));
  }
}

}  // namespace
}  // namespace ferry::sync
