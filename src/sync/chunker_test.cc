#include "sync/chunker.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "base/text.h"
#include "os/fd.h"
#include "os/file.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

std::vector<std::string> chunks_of(std::string_view bytes) {
  std::vector<std::string> chunks;
  while (!bytes.empty()) {
    chunks.emplace_back(bytes.substr(0, first_chunk(bytes)));
    bytes.remove_prefix(chunks.back().size());
  }
  return chunks;
}

/// As the paper says it, bit by bit: the hash of the last 64 bytes, made anew at each place.
std::size_t first_chunk_by_the_book(std::string_view bytes) {
  std::vector<std::uint64_t> gear;
  std::uint64_t seed = 0x6665727279;
  for (int i = 0; i < 256; ++i) {
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    gear.push_back(z ^ (z >> 31));
  }
  for (std::size_t end = smallest_chunk + 1; end <= std::min(bytes.size(), largest_chunk); ++end) {
    std::uint64_t hash = 0;
    for (std::size_t i = std::max(smallest_chunk, end > 64 ? end - 64 : 0); i < end; ++i)
      hash = hash * 2 + gear[static_cast<unsigned char>(bytes[i])];
    const int zeros = end <= usual_chunk ? 20 : 16;
    if (hash >> (64 - zeros) == 0) return end;
  }
  return std::min(bytes.size(), largest_chunk);
}

TEST(Chunker, CutsWhereThePaperCuts) {
  std::string bytes = noise(6'000'000, 7);
  for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(first_chunk(rest)))
    ASSERT_EQ(first_chunk(rest), first_chunk_by_the_book(rest)) << bytes.size() - rest.size();
}

TEST(Chunker, ChunksKeepTheirBoundsAndTheirUsualSize) {
  const auto chunks = chunks_of(noise(100'000'000, 1));
  for (std::size_t i = 0; i + 1 < chunks.size(); ++i) {
    EXPECT_GT(chunks[i].size(), smallest_chunk);
    EXPECT_LE(chunks[i].size(), largest_chunk);
  }
  EXPECT_GT(chunks.size(), 100'000'000 / usual_chunk / 2);
  EXPECT_LT(chunks.size(), 100'000'000 / usual_chunk * 2);
  EXPECT_EQ(first_chunk(std::string(3'000'000, 'x')), largest_chunk);
  EXPECT_EQ(first_chunk("short"), 5U);
}

TEST(Chunker, WhatIsInsertedOrTakenOutChangesOnlyTheChunksAroundIt) {
  const std::string before = noise(20'000'000, 2);
  const auto known = chunks_of(before);
  const std::set<std::string> old(known.begin(), known.end());
  for (const std::size_t at : {std::size_t{0}, std::size_t{1'000'000}, std::size_t{9'999'999}}) {
    std::string longer = before, shorter = before;
    longer.insert(at, "inserted");
    shorter.erase(at, 1234);
    for (const std::string& after : {longer, shorter}) {
      std::size_t fresh = 0;
      for (const std::string& chunk : chunks_of(after)) fresh += old.contains(chunk) ? 0 : 1;
      EXPECT_LE(fresh, 4U) << at;
    }
  }
}

/// Cuts them in a file, by several threads.
std::vector<std::string> chunks_of_file(const std::string& bytes, std::uint64_t size) {
  const os::TempDir temp;
  EXPECT_TRUE(os::write_file(temp.path() / "file", bytes).has_value());
  const os::Fd file(::open((temp.path() / "file").c_str(), O_RDONLY | O_CLOEXEC));
  const auto found = sync::chunks_of(file.get(), size, [] { return Status(); });
  std::vector<std::string> chunks;
  std::size_t at = 0;
  for (const Chunk& chunk : found.value()) {
    chunks.push_back(bytes.substr(at, chunk.length));
    at += chunk.length;
    EXPECT_EQ(chunk.id, chunk_id(chunks.back()));
  }
  return chunks;
}

TEST(Chunker, AFileIsCutAsItsBytesAre) {
  for (const std::size_t size : {0, 1, 9'000'001, 32 << 20, (32 << 20) + 1, 70'000'000}) {
    const std::string bytes = noise(size, 3);
    EXPECT_TRUE(chunks_of_file(bytes, size) == chunks_of(bytes)) << size;
  }
}

/// By another program: openssl mac -cipher AES-128-GCM -macopt hexkey:… -macopt hexiv:… -in FILE GMAC
TEST(Chunker, TheNameOfAChunkIsItsGmac) {
  const auto name = [](std::string_view bytes) {
    const ChunkId id = chunk_id(bytes);
    return hex({id.data(), id.size()});
  };
  EXPECT_EQ(name("x"), "f4b9b2df5d7c5ce66d47d9753dd6727d");
  EXPECT_EQ(name(std::string(70'000, 'y')), "e16722c20dea2be22942802340969dbd");
}

TEST(Chunker, AFileWithoutPlacesToCutAtIsCutAsItsBytesAre) {
  std::string bytes = noise(1'000'000, 4) + std::string(40'000'000, 'x') + noise(30'000'000, 5);
  EXPECT_TRUE(chunks_of_file(bytes, bytes.size()) == chunks_of(bytes));
  bytes = "x" + std::string(70'000'000, '\0');
  EXPECT_TRUE(chunks_of_file(bytes, bytes.size()) == chunks_of(bytes));
}

TEST(Chunker, OfAFileThatGrowsNoMoreIsCutThanWasAskedFor) {
  const std::string bytes = noise(40'000'000, 6);
  EXPECT_TRUE(chunks_of_file(bytes, 35'000'000) == chunks_of(std::string_view(bytes).substr(0, 35'000'000)));
  EXPECT_TRUE(chunks_of_file(bytes, 99'000'000) == chunks_of(bytes)) << "it has been cut off";
}

TEST(Chunker, CuttingEndsWhenItIsToldSo) {
  const os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "file", "").has_value());
  std::filesystem::resize_file(temp.path() / "file", std::uint64_t{1} << 40);
  const os::Fd file(::open((temp.path() / "file").c_str(), O_RDONLY | O_CLOEXEC));
  const auto cut = sync::chunks_of(file.get(), std::uint64_t{1} << 40, [] { return fail(Kind::cancelled, "enough"); });
  ASSERT_FALSE(cut.has_value());
  EXPECT_EQ(cut.error().kind, Kind::cancelled);
}

}  // namespace
}  // namespace ferry::sync
