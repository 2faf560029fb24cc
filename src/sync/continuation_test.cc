// Of what has only grown nothing is read, hashed or sent twice, and whoever lies about it costs time and no byte.
#include <atomic>

#include "sync/content.h"
#include "sync/manifest.h"
#include "sync/state.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

TEST(HashRange, SeveralThreadsSeeEachByteOnceAndHashAllInOrder) {
  const os::TempDir temp;
  const std::string content = random_bytes(7 * mib + 17);
  write(temp.path() / "file", content);
  const os::Fd file(::open((temp.path() / "file").c_str(), O_RDONLY | O_CLOEXEC));
  for (const std::uint64_t from : {std::uint64_t{0}, std::uint64_t{5}}) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, mib - 1, mib, mib + 1, 5 * mib + 9, 9 * mib}) {
      for (const unsigned threads : {1U, 2U, 5U}) {
        const std::string part = content.substr(from, length);
        std::string seen(part.size(), '\0'), buffer;
        Sha256 hash;
        hash.add("before");
        const auto hashed = hash_range({.fd = file.get(), .from = from, .length = length, .threads = threads}, hash,
                                       buffer, [&](std::string_view bytes, std::uint64_t at) -> Status {
                                         bytes.copy(seen.data() + (at - from), bytes.size());
                                         return {};
                                       });
        ASSERT_OK(hashed);
        EXPECT_EQ(*hashed, part.size());
        EXPECT_TRUE(seen == part);
        EXPECT_EQ(hash.finish(), sha256("before" + part)) << from << " " << length << " " << threads;
      }
    }
  }
}

TEST(HashRange, EndsWithTheFailureOfWhoTakesTheBytes) {
  const os::TempDir temp;
  write(temp.path() / "file", std::string(20 * mib, 'x'));
  const os::Fd file(::open((temp.path() / "file").c_str(), O_RDONLY | O_CLOEXEC));
  std::string buffer;
  Sha256 hash;
  std::atomic<int> parts{0};
  const auto hashed = hash_range({.fd = file.get(), .length = 20 * mib, .threads = 3}, hash, buffer,
                                 [&](std::string_view, std::uint64_t at) -> Status {
                                   ++parts;
                                   return at < 4 * mib ? Status() : fail(Kind::disk_full, "no room");
                                 });
  ASSERT_FALSE(hashed);
  EXPECT_EQ(hashed.error().kind, Kind::disk_full);
  EXPECT_LE(parts, 4 + 3) << "nobody begins more than one that is in vain";
}

class Continuations : public ::testing::Test {
 protected:
  Continuations() {
    receiving_.state_file = temp_.path() / "state";
    sending_.unasked_bytes = 0;
  }
  /// Past the tick in which a file's times say nothing of its content (state.h).
  static void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }
  Tree listed() {
    auto tree = scan(from_, {});
    EXPECT_TRUE(tree && hash_tree(from_, *tree, cache_));
    return *std::move(tree);
  }
  Report move(Tree tree) {
    const Both both = move_listed(std::move(tree), from_, to_, receiving_, sending_);
    EXPECT_TRUE(both.sent.has_value()) << describe(both.sent.error());
    EXPECT_TRUE(both.received.has_value()) << describe(both.received.error());
    EXPECT_FALSE(os::exists(temp_.path() / "state.parts"));
    rest();
    return both.received.value_or(Report());
  }
  /// As `content`, under the marks that it was listed with.
  void exchange(const Tree& tree, std::string_view content) const {
    write(from_ / "log", content);
    const std::int64_t time = tree.entries.at(0).mtime_ns;
    set_time(from_ / "log", time / 1'000'000'000, static_cast<long>(time % 1'000'000'000));
  }

  os::TempDir temp_;
  os::Path from_ = temp_.path() / "from", to_ = temp_.path() / "to", cache_ = temp_.path() / "cache";
  ReceiveOptions receiving_;
  Options sending_;
  std::string old_ = random_bytes(6 * mib + 5), end_ = random_bytes(1000);
};

TEST_F(Continuations, AFileThatHasGrownIsKnownByWhatItBeganWith) {
  write(from_ / "log", old_);  // (so lately that its marks say nothing)
  EXPECT_TRUE(listed().beginnings.empty());
  write(from_ / "log", old_ + end_);
  const Tree grown = listed();
  ASSERT_EQ(grown.beginnings.size(), 1U);
  EXPECT_EQ(grown.beginnings.at("log").size, old_.size());
  EXPECT_EQ(grown.beginnings.at("log").sha256, sha256(old_));
  EXPECT_EQ(grown.entries.at(0).sha256, sha256(old_ + end_));
  EXPECT_TRUE(grown.revised.empty());
  EXPECT_TRUE(listed().beginnings.empty()) << "it has not grown since";
  const std::string otherwise = "x" + (old_ + end_).substr(1);
  write(from_ / "log", otherwise + end_);
  const Tree other = listed();
  EXPECT_EQ(other.beginnings.at("log").sha256, sha256(otherwise)) << "it begins otherwise";
  EXPECT_EQ(other.revised, std::vector<std::string>{"log"});
  write(from_ / "log", old_);
  const Tree cut = listed();
  EXPECT_TRUE(cut.beginnings.empty()) << "it has been cut";
  EXPECT_EQ(cut.revised, std::vector<std::string>{"log"});
}

TEST_F(Continuations, OfAFileThatBeginsOtherwiseTheChangedChunksCome) {
  write(from_ / "log", old_);
  write(from_ / "other", old_);
  move(listed());
  write(from_ / "log", old_.substr(0, 3 * mib) + end_ + old_.substr(3 * mib) + end_);
  write(from_ / "other", end_ + old_.substr(0, 5 * mib));
  Tree tree = listed();
  EXPECT_EQ(tree.revised.size(), 2U);
  EXPECT_LT(move(std::move(tree)).bytes_moved, 5 * largest_chunk);
  EXPECT_EQ(picture(from_), picture(to_));
}

TEST_F(Continuations, WhatIsCutAheadIsForgottenWhenTheFileChanges) {
  write(from_ / "log", old_);
  write(from_ / "other", old_);
  auto root = Root::open(from_);
  const auto marks = root->look("log");
  const auto until_cut = [&](const char* path, const Standing& wanted) {
    std::optional<std::vector<Chunk>> cut;
    while (!cut) {  // begun by now, or we were first
      ChunkAhead ahead(*root->again(), {path});
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (ahead.take("unknown", wanted)) ADD_FAILURE();
      cut = ahead.take(path, wanted);
      EXPECT_TRUE(!cut || !ahead.take(path, wanted)) << "it is taken once";
    }
    return *cut;
  };
  EXPECT_EQ(until_cut("log", *marks),
            sync::chunks_of(root->open_file("log")->get(), old_.size(), [] { return Status(); }).value());
  rest();
  ChunkAhead ahead(*root->again(), {"log", "gone"});
  write(from_ / "log", end_);
  EXPECT_FALSE(ahead.take("log", *root->look("log")));
  EXPECT_FALSE(ahead.take("gone", *marks));
}

TEST_F(Continuations, AHashThatIsRememberedWithoutMarksIsNoReasonNotToRead) {
  write(from_ / "log", old_);
  const Tree before = listed();
  exchange(before, old_.substr(1) + "x");
  EXPECT_EQ(listed().entries.at(0).sha256, sha256(old_.substr(1) + "x"));
}

TEST_F(Continuations, WhatWasHashedForTheListIsNotReadAgain) {
  write(from_ / "log", old_);
  move(listed());
  write(from_ / "log", old_ + end_);
  Tree tree = listed();
  // Whoever reads the beginning now finds another.
  exchange(tree, std::string(old_.size(), 'x') + end_);
  const Report report = move(std::move(tree));
  EXPECT_TRUE(read(to_ / "log") == old_ + end_) << "the content that was listed";
  EXPECT_EQ(report.files_moved, 1U);
  EXPECT_EQ(report.bytes_moved, end_.size());
}

TEST_F(Continuations, WithoutACacheTheBeginningIsReadAndTheEndAloneComes) {
  cache_.clear();
  write(from_ / "log", old_);
  move(listed());
  write(from_ / "log", old_ + end_);
  EXPECT_EQ(move(listed()).bytes_moved, end_.size());
  EXPECT_TRUE(read(to_ / "log") == old_ + end_);
}

TEST_F(Continuations, ALieAboutTheBeginningCostsAResendAndNeverAByte) {
  write(from_ / "log", old_);
  move(listed());
  const std::string other = random_bytes(old_.size());
  write(from_ / "log", other + end_);
  Tree tree = listed();
  tree.beginnings["log"] = {old_.size(), sha256(old_)};
  const Report report = move(std::move(tree));
  EXPECT_TRUE(read(to_ / "log") == other + end_);
  EXPECT_GE(report.bytes_moved, other.size());
}

TEST_F(Continuations, ACacheThatLiesAboutTheBeginningIsFoundOut) {
  write(from_ / "log", old_);
  move(listed());
  const std::string other = random_bytes(old_.size());
  auto cache = State::load(cache_);
  ASSERT_TRUE(cache.find("log"));
  auto record = *cache.find("log");
  record.sha256 = sha256(other);
  cache.note("log", record);
  ASSERT_OK(cache.save(cache_));
  write(from_ / "log", old_ + end_);
  Tree tree = listed();
  EXPECT_EQ(tree.beginnings.at("log").sha256, sha256(old_)) << "as it was read";
  EXPECT_EQ(move(std::move(tree)).bytes_moved, end_.size());
  EXPECT_TRUE(read(to_ / "log") == old_ + end_);
}

TEST_F(Continuations, HolesOfTheBeginningStayHoles) {
  write(from_ / "log", "begin");
  std::filesystem::resize_file(from_ / "log", 50 * mib);
  ASSERT_OK(os::append_file(from_ / "log", old_));
  std::filesystem::resize_file(from_ / "log", 90 * mib);
  if (Root::open(from_)->look("log")->allocated > 40 * mib) GTEST_SKIP() << "this file system has no holes";
  move(listed());
  ASSERT_OK(os::append_file(from_ / "log", end_));
  EXPECT_EQ(move(listed()).bytes_moved, end_.size());
  EXPECT_EQ(picture(from_), picture(to_));
  EXPECT_LT(Root::open(to_)->look("log")->allocated, 40 * mib);
}

/// Says that `old` goes on with `end`, after `meanwhile`; and then what is asked for whole.
Result<Report> continue_after(const os::Path& to, const ReceiveOptions& receiving, const std::string& old,
                              const std::string& end, const std::function<void()>& meanwhile) {
  const std::string all = old + end;
  const auto begin_file = [&](Channel& channel) {
    channel.put("F");
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{all.size()}, std::uint64_t{0644}})
      channel.put_number(value);
    put_mtime(channel, 0);
  };
  const auto put = [&](Channel& channel, std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), mib))) {
      const auto some = bytes.substr(0, mib);
      channel.put_number(some.size() * 4 + static_cast<unsigned>(PieceKind::data));
      channel.put(some);
    }
  };
  const auto keep = [&](Channel& channel) {
    channel.put_number(0);
    channel.put("k");
    channel.put_text(sha256(all));
    channel.put("Z");
    put_notes(channel, {});
    ASSERT_OK(channel.flush());
  };
  return receive_from(
      to,
      [&](Channel& channel) {
        channel.put("M");
        channel.put_number(0);
        ASSERT_OK(put_manifest(
            channel, {{.path = "log", .mode = 0644, .size = all.size(), .mtime_ns = 0, .sha256 = sha256(all)}}));
        ASSERT_OK(put_sparse(channel, {}));
        ASSERT_OK(channel.flush());
        ASSERT_EQ(channel.letter(), 'W');
        ASSERT_EQ(channel.number(10), 1U);
        ASSERT_EQ(channel.number(10), static_cast<unsigned>(WantKind::continued));
        ASSERT_EQ(channel.number(max_file_size), old.size());
        ASSERT_EQ(read_hash(channel), sha256(old));
        meanwhile();
        begin_file(channel);
        channel.put_number(old.size() * 4 + static_cast<unsigned>(PieceKind::same));
        channel.put_number(0);
        put(channel, end);
        keep(channel);
        const auto letter = channel.letter();
        if (letter != 'W') return;  // it is in place
        ASSERT_EQ(channel.number(10), 1U);
        ASSERT_EQ(channel.number(10), 0U) << "whole";
        begin_file(channel);
        put(channel, all);
        keep(channel);
      },
      receiving);
}

TEST_F(Continuations, ABaseThatIsChangedBeforeItIsCopiedNeverBecomesAWrongContent) {
  const auto file = to_ / "log";
  const std::function<void()> changes[] = {
      [] {},
      [&] {
        const os::Fd base(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
        EXPECT_EQ(::pwrite(base.get(), "??", 2, static_cast<off_t>(old_.size() / 2)), 2);
      },
      [&] { std::filesystem::resize_file(file, old_.size() - 1); },
      [&] { std::filesystem::resize_file(file, 10); },
      [&] {
        std::filesystem::resize_file(file, mib);
        std::filesystem::resize_file(file, old_.size());  // with a hole
      },
      [&] { std::filesystem::remove(file); },
  };
  for (const auto& change : changes) {
    write(from_ / "log", old_);
    move(listed());
    const auto got = continue_after(to_, receiving_, old_, end_, change);
    ASSERT_OK(got);
    EXPECT_TRUE(read(file) == old_ + end_);
    std::filesystem::remove(file);
  }
}

TEST_F(Continuations, ABaseThatIsWrittenToWhileItIsCopiedNeverBecomesAWrongContent) {
  const auto large = random_bytes(30 * mib);
  for (int round = 0; round < 5; ++round) {
    write(from_ / "log", large);
    move(listed());
    std::atomic<bool> over{false};
    std::thread writer;
    const auto got = continue_after(to_, receiving_, large, end_, [&] {
      writer = std::thread([&, base = os::Fd(::open((to_ / "log").c_str(), O_WRONLY | O_CLOEXEC))] {
        for (off_t i = 0; !over; ++i) {
          const off_t at = i * 104'729 % static_cast<off_t>(large.size());
          const char c = i % 2 == 0 ? 'x' : large[static_cast<std::size_t>(at)];
          (void)!::pwrite(base.get(), &c, 1, at);
        }
      });
    });
    over = true;
    if (writer.joinable()) writer.join();
    ASSERT_OK(got);
    EXPECT_TRUE(read(to_ / "log") == large + end_);
    std::filesystem::remove(to_ / "log");
  }
}

}  // namespace
}  // namespace ferry::sync
