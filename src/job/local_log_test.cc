#include "job/local_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace ferry::job {
namespace {

agent::LogChunk chunk(std::uint64_t offset, const std::string& bytes) {
  return {
      .offset = offset, .stream = agent::LogStream::out, .phase = agent::LogPhase::run, .time_ms = 1, .bytes = bytes};
}

std::string whole(const os::Path& file) {
  std::string text;
  LogReader reader(file);
  EXPECT_TRUE(reader.read([&](const agent::LogChunk& one) {
    text += one.bytes;
    return Status();
  }));
  return text;
}

TEST(LocalLog, BytesThatCameBeforeAreNotTakenTwice) {
  os::TempDir dir;
  auto log = LocalLog::open(dir.path() / "log");
  ASSERT_TRUE(log);
  EXPECT_EQ(*log->append(chunk(0, "hello")), "hello");
  EXPECT_EQ(*log->append(chunk(0, "hello")), "");
  EXPECT_EQ(*log->append(chunk(3, "lo world")), " world");
  EXPECT_EQ(log->append(chunk(20, "x")).error().kind, Kind::corrupt);
  EXPECT_EQ(whole(dir.path() / "log"), "hello world");
}

TEST(LocalLog, AFrameCutOffAnywhereIsRemovedAndFetchedAgain) {
  os::TempDir dir;
  const auto file = dir.path() / "log";
  {
    auto log = LocalLog::open(file);
    ASSERT_TRUE(log->append(chunk(0, "first ")));
    ASSERT_TRUE(log->append(chunk(6, "second")));
  }
  const auto bytes = *os::read_file(file);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    ASSERT_TRUE(os::write_file(file, bytes.substr(0, cut)));
    auto log = LocalLog::open(file);
    ASSERT_TRUE(log);
    EXPECT_TRUE(log->size() == 6U || log->size() == 0U) << cut;
    ASSERT_TRUE(log->append(chunk(log->size(), std::string("first second").substr(log->size()))));
    EXPECT_EQ(whole(file), "first second") << cut;
  }
}

TEST(LocalLog, AnUnbrokenBeginningIsKeptWhateverBecameOfTheRest) {
  os::TempDir dir;
  const auto file = dir.path() / "log";
  const std::string text = "one two three four ";
  {
    auto log = LocalLog::open(file);
    for (std::size_t at = 0; at < text.size(); at += 4) ASSERT_TRUE(log->append(chunk(at, text.substr(at, 4))));
  }
  const auto bytes = *os::read_file(file);
  const auto mended = [&](const std::string& damaged, const std::string& what) {
    ASSERT_TRUE(os::write_file(file, damaged));
    LogReader watching(file);
    std::string seen;
    const auto take = [&](const agent::LogChunk& one) {
      seen += one.bytes;
      return Status();
    };
    ASSERT_TRUE(watching.read(take)) << what;
    auto log = LocalLog::open(file);
    ASSERT_TRUE(log) << what;
    EXPECT_EQ(text.substr(0, log->size()), whole(file)) << what;
    ASSERT_TRUE(log->append(chunk(0, text))) << what;
    EXPECT_EQ(whole(file), text) << what;
    ASSERT_TRUE(watching.read(take)) << what;
    EXPECT_EQ(seen, text) << what;
  };
  mended(bytes + std::string(64, '\0'), "NULs at the end");
  mended("", "nothing left");
  mended(std::string(bytes.size(), '\0'), "NULs only");
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x20);
    mended(changed, fmt::format("byte {} changed", at));
    mended(bytes.substr(0, at) + bytes.substr(std::min(at + 9, bytes.size())), fmt::format("9 bytes cut at {}", at));
  }
  std::filesystem::remove(file);
  mended(bytes, "whole");
}

TEST(LocalLog, AReaderThatHasReadFartherThanTheDamageGoesOnWithoutTwiceTheSame) {
  os::TempDir dir;
  const auto file = dir.path() / "log";
  auto log = LocalLog::open(file);
  ASSERT_TRUE(log->append(chunk(0, "one ")));
  ASSERT_TRUE(log->append(chunk(4, "two ")));
  LogReader watching(file);
  std::string seen;
  const auto take = [&](const agent::LogChunk& one) {
    seen += one.bytes;
    return Status();
  };
  ASSERT_TRUE(watching.read(take));
  auto bytes = *os::read_file(file);
  bytes[bytes.size() / 2] = '\0';
  ASSERT_TRUE(os::write_file(file, bytes));
  log = LocalLog::open(file);
  ASSERT_TRUE(watching.read(take));
  ASSERT_TRUE(log->append(chunk(0, "one two three four five six")));
  ASSERT_TRUE(watching.read(take));
  EXPECT_EQ(seen, "one two three four five six");
}

TEST(LocalLog, ALogOfAnOlderFerryIsReadAndGoneOnWith) {
  os::TempDir dir;
  const auto file = dir.path() / "log";
  ASSERT_TRUE(os::write_file(file, agent::encode_log(chunk(0, "old ")) + agent::encode_log(chunk(4, "log "))));
  EXPECT_EQ(whole(file), "old log ");
  auto log = LocalLog::open(file);
  ASSERT_TRUE(log);
  EXPECT_EQ(log->size(), 8U);
  ASSERT_TRUE(log->append(chunk(8, "goes on")));
  EXPECT_EQ(whole(file), "old log goes on");
}

TEST(LocalLog, WhatIsOnlyCountedLeavesNoGapInTheFile) {
  os::TempDir dir;
  const auto file = dir.path() / "log";
  auto log = LocalLog::open(file);
  ASSERT_TRUE(log->append(chunk(0, "kept ")));
  EXPECT_EQ(log->only_count(chunk(3, "t not kept")), "not kept");
  EXPECT_EQ(*log->append(chunk(13, " at all")), " at all");
  EXPECT_EQ(log->size(), 20U);
  EXPECT_EQ(whole(file), "kept ");
  EXPECT_EQ(LocalLog::open(file)->size(), 5U);
}

TEST(LocalLog, AReaderSeesWhatIsAddedWhileItReads) {
  os::TempDir dir;
  const auto file = dir.path() / "log";
  auto log = LocalLog::open(file);
  LogReader reader(file);
  std::string seen;
  const auto take = [&](const agent::LogChunk& one) {
    seen += one.bytes;
    return Status();
  };
  ASSERT_TRUE(log->append(chunk(0, "a")));
  ASSERT_TRUE(reader.read(take));
  ASSERT_TRUE(log->append(chunk(1, "b")));
  ASSERT_TRUE(reader.read(take));
  EXPECT_EQ(seen, "ab");
  EXPECT_EQ(reader.offset(), 2U);
}

}  // namespace
}  // namespace ferry::job
