#include "agent/spool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <random>

namespace ferry::agent {
namespace {

Spool opened(const os::Path& file) {
  auto spool = Spool::open(file);
  if (!spool) throw std::runtime_error(describe(spool.error()));
  return std::move(*spool);
}

std::vector<LogChunk> read_all(Spool& spool, std::uint64_t offset = 0, std::size_t budget = 1000) {
  std::vector<LogChunk> chunks;
  FrameReader reader;
  Place place{offset, {}};
  while (true) {
    std::string frames;
    EXPECT_TRUE(spool.read(place, budget, frames));
    if (frames.empty()) return chunks;
    reader.add(frames);
    while (true) {
      const auto frame = reader.next();
      if (!frame || !*frame) break;
      chunks.push_back(*decode_log((*frame)->body));
    }
  }
}

std::string bytes_of(const std::vector<LogChunk>& chunks) {
  std::string all;
  for (const LogChunk& chunk : chunks) all += chunk.bytes;
  return all;
}

/// Random output in random pieces.
std::string fill(Spool& spool, std::size_t size) {
  std::mt19937 random(7);
  std::string all(size, '\0');
  for (char& c : all) c = static_cast<char>(random());
  for (std::size_t at = 0; at < size;) {
    const std::size_t piece = 1 + random() % (at % 5 == 0 ? 100'000 : 90);
    spool.add(LogStream::out, LogPhase::run, 1, std::string_view(all).substr(at, piece));
    at += piece;
  }
  return all;
}

TEST(Spool, GivesBackWhatWasAddedInOrderWithItsStreamAndPhase) {
  const os::TempDir temp;
  Spool spool = opened(temp.path() / "log");
  spool.add(LogStream::out, LogPhase::setup, 10, "one\r");
  spool.add(LogStream::err, LogPhase::run, 11, std::string("\0two", 4));
  const auto chunks = read_all(spool);
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].bytes, "one\r");
  EXPECT_EQ(chunks[0].phase, LogPhase::setup);
  EXPECT_EQ(chunks[0].time_ms, 10);
  EXPECT_EQ(chunks[1].offset, 4u);
  EXPECT_EQ(chunks[1].stream, LogStream::err);
  EXPECT_EQ(chunks[1].bytes, std::string("\0two", 4));
  EXPECT_EQ(spool.size(), 8u);
}

TEST(Spool, GivesExactlyTheBytesFromAnyOffsetOn) {
  const os::TempDir temp;
  Spool spool = opened(temp.path() / "log");
  const std::string all = fill(spool, 3'000'000);
  for (const std::size_t offset : {0ul, 1ul, 65'535ul, 1'234'567ul, 2'999'999ul, 3'000'000ul, 9'000'000ul}) {
    const auto chunks = read_all(spool, offset, 300'000);
    EXPECT_TRUE(bytes_of(chunks) == (offset < all.size() ? all.substr(offset) : "")) << offset;
    EXPECT_TRUE(chunks.empty() || chunks[0].offset == offset);
  }
}

TEST(Spool, AReaderAheadOfTheLogGetsOnlyWhatComesAfterItsOffset) {
  const os::TempDir temp;
  Spool spool = opened(temp.path() / "log");
  Place place{4, {}};
  std::string frames;
  spool.add(LogStream::out, LogPhase::run, 1, "abc");
  EXPECT_TRUE(spool.read(place, 1000, frames));
  EXPECT_TRUE(frames.empty());
  spool.add(LogStream::out, LogPhase::run, 1, "defg");
  EXPECT_TRUE(spool.read(place, 1000, frames));
  EXPECT_EQ(frames, encode_log({.offset = 4, .time_ms = 1, .bytes = "efg"}));
}

TEST(Spool, ATornEndIsCutOffWhereverTheCrashHappened) {
  const os::TempDir temp;
  const os::Path file = temp.path() / "log";
  {
    Spool spool = opened(file);
    spool.add(LogStream::out, LogPhase::run, 1, "kept");
    spool.add(LogStream::err, LogPhase::run, 2, "torn away");
  }
  const std::string whole = *os::read_file(file);
  const std::size_t first = record_header + 4;
  for (std::size_t size = first; size < whole.size(); ++size) {
    ASSERT_TRUE(os::write_file(file, whole.substr(0, size)));
    Spool spool = opened(file);
    EXPECT_EQ(spool.size(), 4u);
    spool.add(LogStream::out, LogPhase::run, 3, " and more");
    EXPECT_EQ(bytes_of(read_all(spool)), "kept and more");
  }
}

TEST(Spool, ADamagedRecordEndsTheLog) {
  const os::TempDir temp;
  const os::Path file = temp.path() / "log";
  opened(file).add(LogStream::out, LogPhase::run, 1, "good");
  const std::string good = *os::read_file(file);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good + encode_record({4, 2, LogStream::out, LogPhase::run, "bad"});
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    ASSERT_TRUE(os::write_file(file, bad));
    EXPECT_EQ(opened(file).size(), 0u) << at;
  }
}

TEST(Spool, AnOldLogIsTakenUpAgain) {
  const os::TempDir temp;
  std::string all;
  {
    Spool spool = opened(temp.path() / "log");
    all = fill(spool, 2'500'000);
  }
  Spool spool = opened(temp.path() / "log");
  EXPECT_EQ(spool.size(), all.size());
  EXPECT_TRUE(bytes_of(read_all(spool, 2'000'000, 50'000)) == all.substr(2'000'000));
}

TEST(Spool, AFullDiskDropsOutputAndSaysSoOnceThereIsSpaceAgain) {
  const os::TempDir temp;
  Spool spool = opened(temp.path() / "log");
  // A limit on file size refuses in the middle of a record, as a full disk does.
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  spool.add(LogStream::out, LogPhase::run, 1'000, "before");
  spool.add(LogStream::out, LogPhase::run, 1'001, std::string(500, 'x'));
  spool.add(LogStream::out, LogPhase::run, 1'002, "too early");
  EXPECT_EQ(spool.dropped(), 509u);
  EXPECT_FALSE(spool.trouble().empty());
  EXPECT_EQ(spool.size(), 6u);
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, old_handler);
  spool.add(LogStream::out, LogPhase::run, 2'500, "after");
  const auto chunks = read_all(spool);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].bytes, "before");
  EXPECT_EQ(chunks[1].stream, LogStream::err);
  EXPECT_NE(chunks[1].bytes.find("509 bytes of output were dropped"), std::string::npos);
  EXPECT_EQ(chunks[2].bytes, "after");
  EXPECT_TRUE(spool.trouble().empty());
}

}  // namespace
}  // namespace ferry::agent
