#include "sync/blocks.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace ferry::sync {
namespace {

using namespace std::chrono_literals;

std::string text(std::size_t size, std::uint64_t seed) {
  std::string made;
  std::uint64_t noise = seed * 2654435761 + 88172645463325252ULL;
  while (made.size() < size) {
    noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
    made += "value = " + std::to_string(noise % 1000) + '\n';
  }
  return made.substr(0, size);
}

/// What goes over the wire for `bytes`.
std::string pack(Packer& packer, std::string_view bytes) {
  std::string wire;
  const auto send_one = [&] {
    const auto block = packer.first(60s);
    wire += block->header;
    wire += block->body;
    packer.drop_first();
  };
  while (!bytes.empty()) {
    const std::size_t taken = packer.add(bytes);
    bytes.remove_prefix(taken);
    if (taken == 0) send_one();
  }
  if (packer.has_open_block()) packer.close_block();
  while (packer.has_block()) send_one();
  return wire;
}

Result<std::string> unpack(Unpacker& unpacker, std::string_view wire, std::size_t at_once) {
  std::string bytes;
  while (!wire.empty()) {
    std::string_view some = wire.substr(0, at_once);
    wire.remove_prefix(some.size());
    while (!some.empty()) {
      TRY_SET(got, "", unpacker.take(some));
      bytes += got;
    }
  }
  return bytes;
}

TEST(Blocks, WhateverIsPackedComesOutAgain) {
  for (const std::size_t size : {1U, 1000U, 300'000U, 5'000'000U, 60'000'000U}) {
    Packer packer(2);
    Unpacker unpacker;
    const std::string bytes = text(size / 2, size) + random_bytes(size / 4) + text(size - size / 2 - size / 4, size);
    const std::string wire = pack(packer, bytes);
    const auto got = unpack(unpacker, wire, size > 1000 ? 100'000 : 1);
    ASSERT_TRUE(got.has_value()) << size << got.error().why;
    EXPECT_TRUE(*got == bytes) << size;
    EXPECT_LT(wire.size(), std::max<std::size_t>(1000, size / 10 * 8) + 20);
  }
}

TEST(Blocks, WhatWentBeforeMakesTheNextBlockSmall) {
  Packer packer(3);
  Unpacker unpacker;
  const std::string bytes = random_bytes(200'000);
  EXPECT_GE(pack(packer, bytes).size(), bytes.size());
  EXPECT_LT(pack(packer, bytes).size(), 1000U);
}

TEST(Blocks, WhatStandsAloneAndWhatDoesNotComeOutInTheirOrder) {
  Packer packer(3);
  Unpacker unpacker;
  std::string bytes, wire;
  for (std::size_t i = 0; i < 40; ++i) {
    packer.set_effort(i % 4);
    const std::string part = i % 3 == 0 ? random_bytes(300'000 + i) : text(200'000 * (i % 5) + 1, i % 7);
    bytes += part;
    wire += pack(packer, part);
    if (i % 5 != 0) continue;
    const std::size_t length = i % 2 == 0 ? 100'000 : piece_size;
    const std::string whole = text(length, i);
    Buffer piece = make_buffer(length);
    whole.copy(piece.get(), length);
    ASSERT_TRUE(packer.add_whole(piece, length));
    bytes += whole;
    wire += pack(packer, {});
  }
  const auto got = unpack(unpacker, wire, 70'001);
  ASSERT_TRUE(got.has_value()) << got.error().why;
  EXPECT_TRUE(*got == bytes);
}

TEST(Blocks, WhatStandsAloneIsInNobodysPrefix) {
  Packer packer(0);
  const std::string bytes = random_bytes(200'000);
  EXPECT_GE(pack(packer, bytes).size(), bytes.size());
  EXPECT_GE(pack(packer, bytes).size(), bytes.size());
  packer.set_effort(3);
  EXPECT_GE(pack(packer, bytes).size(), bytes.size());
  EXPECT_LT(pack(packer, bytes).size(), 1000U);
}

TEST(Blocks, OfABlockThatIsAsItIsTheBytesCanBeTakenByOthers) {
  Packer packer(0);
  packer.leave_next(1);
  const std::string bytes = random_bytes(1000);
  std::string wire = pack(packer, bytes);
  Unpacker unpacker;
  std::string_view rest = std::string_view(wire).substr(0, 100);
  const std::string head(*unpacker.take(rest));
  ASSERT_EQ(unpacker.plain_next(), bytes.size() - head.size());
  unpacker.skip_plain(bytes.size() - head.size() - 1);
  rest = std::string_view(wire).substr(wire.size() - 1);
  EXPECT_EQ(*unpacker.take(rest), bytes.substr(bytes.size() - 1));
  EXPECT_EQ(unpacker.plain_next(), 0U);
}

TEST(Blocks, WhatDoesNotShrinkGoesAsItIs) {
  Packer packer(2);
  const std::string bytes = random_bytes(3'000'000);
  EXPECT_LT(pack(packer, bytes).size(), bytes.size() + 200);
  packer.leave_next(20'000);
  EXPECT_GT(pack(packer, std::string(10'000, 'x')).size(), 10'000U);
}

TEST(Blocks, BytesThatNoPackerMakesAreCorrupt) {
  const std::vector<std::string> wrong = {
      std::string(1, '\0'),                                // nothing in it
      "\x05\x7f",                                          // one byte, packed into more than it can be
      "\xff\xff\xff\xff\xff\xff\xff",                      // a number without an end
      std::string("\x81\x80\x80\x08\x04\x00\x00\x00", 8),  // too long
      "\x11\x04"
      "abcd",  // no zstd frame
      "\x13\x04"
      "abcd",  // nor is that, and it stands alone
  };
  for (const std::string& bytes : wrong) {
    Unpacker unpacker;
    EXPECT_FALSE(unpack(unpacker, bytes, 100).has_value());
  }
  Packer packer(3);
  std::string wire = pack(packer, text(100'000, 1));
  Unpacker unpacker;
  wire[wire.size() / 2] = static_cast<char>(wire[wire.size() / 2] ^ 0x55);
  const auto got = unpack(unpacker, wire, 100'000);
  EXPECT_TRUE(!got || *got != text(100'000, 1));
}

}  // namespace
}  // namespace ferry::sync
