#include "agent/spool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <random>

#include "base/text.h"

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

TEST(Spool, ARecordHasTheSumThatIsSaid) {
  // Reckoned by the definition of CRC-32C, bit by bit, and not by base/crc.h.
  EXPECT_EQ(hex(encode_record({7, 2, LogStream::out, LogPhase::run, "good"})),
            "04000000dbd10f0e070000000000000002000000000000000102676f6f64");
}

TEST(Spool, TheLogOfAnAgentBeforeIsReadAndGoneOnWith) {
  const os::TempDir temp;
  const os::Path file = temp.path() / "log";
  // The same record with FNV-1a.
  const std::string former("\4\0\0\0\x84\xf0\xa7\x7e\7\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\2good", 30);
  ASSERT_TRUE(os::write_file(file, former));
  {
    Spool spool = opened(file);
    spool.add(LogStream::out, LogPhase::run, 3, " and more");
  }
  Spool spool = opened(file);
  EXPECT_EQ(spool.size(), 20u);
  EXPECT_EQ(bytes_of(read_all(spool, 7)), "good and more");
  for (std::size_t at = 0; at < former.size(); ++at) {
    std::string bad = former;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_FALSE(parse_record(bad)) << at;
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

/// A limit on the size of files refuses in the middle of a record, as a full disk does.
class FullDisk {
 public:
  explicit FullDisk(rlim_t size) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{size, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() { has_room_again(); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  void has_room_again() {
    if (handler_ == SIG_ERR) return;
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
    handler_ = SIG_ERR;
  }

 private:
  rlimit old_{};
  sighandler_t handler_ = SIG_ERR;
};

TEST(Spool, WhatAFullDiskRefusesIsReadFromMemoryAndWrittenOnceThereIsRoom) {
  const os::TempDir temp;
  const os::Path file = temp.path() / "log";
  {
    Spool spool = opened(file);
    FullDisk disk(100);
    spool.add(LogStream::out, LogPhase::run, 1'000, "before ");
    spool.add(LogStream::out, LogPhase::run, 1'001, std::string(500, 'x'));
    spool.add(LogStream::err, LogPhase::run, 1'002, " held");
    EXPECT_FALSE(spool.trouble().empty());
    const auto all = "before " + std::string(500, 'x') + " held";
    EXPECT_EQ(spool.size(), all.size());
    EXPECT_EQ(bytes_of(read_all(spool)), all);
    EXPECT_EQ(bytes_of(read_all(spool, 506)), "x held");
    disk.has_room_again();
    spool.add(LogStream::out, LogPhase::run, 1'500, " asked too soon");
    EXPECT_FALSE(spool.trouble().empty());
    spool.retry(2'500);
    EXPECT_TRUE(spool.trouble().empty());
    spool.add(LogStream::out, LogPhase::run, 2'600, " after");
    EXPECT_EQ(spool.dropped(), 0u);
  }
  Spool again = opened(file);
  const auto chunks = read_all(again);
  EXPECT_EQ(bytes_of(chunks), "before " + std::string(500, 'x') + " held asked too soon after");
  ASSERT_EQ(chunks.size(), 5u);
  EXPECT_EQ(chunks[2].stream, LogStream::err);
  EXPECT_EQ(chunks[2].time_ms, 1'002);
}

TEST(Spool, OfWhatNobodyReadTheFirstAndTheNewestAreHeldAndALineSaysHowMuchIsMissing) {
  const os::TempDir temp;
  Spool spool = opened(temp.path() / "log");
  FullDisk disk(10);
  std::string all;
  auto size = spool.size();
  for (int i = 0; i < 40'000; ++i) {
    const auto line = "line " + std::to_string(i) + std::string(40, '.') + "\n";
    all += line;
    spool.add(i % 3 == 0 ? LogStream::err : LogStream::out, LogPhase::run, 1, line);
    EXPECT_GE(spool.size(), size) << "the end never goes back";
    size = spool.size();
  }
  EXPECT_EQ(spool.size(), Backlog::most);
  const auto kept = bytes_of(read_all(spool));
  EXPECT_EQ(kept.size(), Backlog::most);
  const auto marker = "\nferry: " + std::to_string(spool.dropped()) + " bytes of output were dropped here (";
  const auto at = kept.find(marker);
  ASSERT_EQ(at, Backlog::first);
  EXPECT_TRUE(all.starts_with(kept.substr(0, at)));
  const auto rest = kept.substr(kept.find(")\n", at) + 2);
  EXPECT_TRUE(all.ends_with(rest));
  EXPECT_EQ(at + rest.size() + spool.dropped(), all.size());
  // Read once, it stays as it was told; what comes now pushes out what is home already.
  const auto told = spool.size();
  spool.add(LogStream::out, LogPhase::run, 1, "and more");
  EXPECT_EQ(bytes_of(read_all(spool, told)), "and more");
  EXPECT_EQ(at + rest.size() + spool.dropped(), all.size());
}

TEST(Spool, AReaderThatKeepsUpMissesNothingHoweverMuchAFullDiskRefuses) {
  const os::TempDir temp;
  const os::Path file = temp.path() / "log";
  std::string read;
  std::uint64_t size = 0;
  {
    Spool spool = opened(file);
    FullDisk disk(60'000);
    std::mt19937 random(3);
    std::string all;
    for (int i = 0; i < 3'000; ++i) {
      std::string part(1 + random() % 3'000, '\0');
      for (char& c : part) c = static_cast<char>(random());
      all += part;
      spool.add(LogStream::out, LogPhase::run, 1, part);
      if (random() % 50 == 0) read += bytes_of(read_all(spool, read.size(), 50'000));
    }
    read += bytes_of(read_all(spool, read.size()));
    EXPECT_TRUE(read == all);
    EXPECT_EQ(spool.dropped(), 0u);
    // Whoever asks again is told of the hole, byte for byte as long.
    const auto again = bytes_of(read_all(spool, 0, 100'000));
    EXPECT_EQ(again.size(), all.size());
    EXPECT_NE(again.find("are gone since: the disk was full"), std::string::npos);
    EXPECT_TRUE(again.ends_with(all.substr(all.size() - Backlog::most)));
    disk.has_room_again();
    spool.retry(10'000);
    spool.add(LogStream::out, LogPhase::run, 10'001, "end");
    size = spool.size();
  }
  Spool later = opened(file);
  EXPECT_EQ(later.size(), size);
  const auto whole = bytes_of(read_all(later, 0, 100'000));
  EXPECT_EQ(whole.size(), size);
  EXPECT_TRUE(whole.ends_with(read.substr(read.size() - Backlog::most) + "end"));
}

TEST(Spool, TwoStreamsInTurnsAByteEachTakeNoMoreThanTheirBound) {
  Backlog backlog;
  backlog.begin_at(7);
  std::string all;
  for (int i = 0; i < 100'000; ++i) {
    all += static_cast<char>('a' + i % 26);
    backlog.add(i % 2 == 0 ? LogStream::out : LogStream::err, LogPhase::run, i, all.substr(all.size() - 1), "full");
  }
  int pieces = 0;
  std::string popped;
  for (; !backlog.empty(); ++pieces, backlog.pop_front()) {
    const auto chunk = backlog.front();
    EXPECT_EQ(chunk.offset, 7 + popped.size());
    popped += chunk.bytes;
  }
  EXPECT_EQ(popped, all);
  EXPECT_LT(pieces, 8'200);
}

}  // namespace
}  // namespace ferry::agent
