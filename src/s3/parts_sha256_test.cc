#include "s3/parts_sha256.h"

#include <gtest/gtest.h>

namespace ferry::s3 {
namespace {

struct Case {
  std::size_t part, all, at_once;
};

/// All that it says, against OpenSSL's answer.
void is_right(PartsSha256& hash, const Case& one) {
  std::string bytes;
  while (bytes.size() < one.all) bytes += sha256(std::to_string(bytes.size()));
  bytes.resize(one.all);
  const std::string_view all = bytes;
  std::size_t at = 0;
  while (at < all.size()) {
    const auto part = all.substr(at, one.part);
    for (std::size_t i = 0; i < part.size(); i += one.at_once) hash.add(part.substr(i, one.at_once));
    EXPECT_TRUE(hash.end_part() == sha256(part)) << "the part at " << at << " of " << one.all;
    at += part.size();
  }
  EXPECT_TRUE(hash.finish() == sha256(all)) << one.all << " bytes";
}

TEST(PartsSha256, ComesToTheSameAsOneHashOfAllAndOneOfEachPart) {
  for (const std::size_t all : {0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1000, 4096, 70'001}) {
    for (const std::size_t part : {64, 640, 65'536}) {
      for (const std::size_t at_once : {1, 63, 64, 100, 4096}) {
        PartsSha256 here, plain(false);
        is_right(here, {part, all, at_once});
        is_right(plain, {part, all, at_once});
      }
    }
  }
}

TEST(PartsSha256, KnowsTheTwoMessagesOfTheStandard) {
  PartsSha256 hash;
  hash.add("abc");
  EXPECT_TRUE(hash.end_part() == sha256("abc"));
  PartsSha256 longer;
  longer.add("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
  const std::string sum = longer.finish();
  EXPECT_EQ(static_cast<unsigned char>(sum.front()), 0x24);
  EXPECT_EQ(static_cast<unsigned char>(sum.back()), 0xc1);
}

}  // namespace
}  // namespace ferry::s3
