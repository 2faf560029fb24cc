#include "base/crc.h"

#include <gtest/gtest.h>

namespace ferry {
namespace {

TEST(Crc, IsWhatTheStandardsSayOfTheirCheckText) {
  EXPECT_EQ(crc(Sum::crc32, "123456789"), 0xcbf43926U);
  EXPECT_EQ(crc(Sum::crc32c, "123456789"), 0xe3069283U);
  EXPECT_EQ(crc(Sum::crc64nvme, "123456789"), 0xae8b14860a799888U);
}

TEST(Crc, OfPiecesIsThatOfTheWholeWhereverItIsCut) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 37 + i / 5);
  for (const auto sum : {Sum::crc32, Sum::crc32c, Sum::crc64nvme}) {
    const auto whole = crc(sum, text);
    for (std::size_t cut = 0; cut <= text.size(); cut += 37) {
      const std::string_view first = std::string_view(text).substr(0, cut), second = std::string_view(text).substr(cut);
      EXPECT_EQ(crc(sum, second, crc(sum, first)), whole) << cut;
      EXPECT_EQ(joined_crc(sum, crc(sum, first), crc(sum, second), second.size()), whole) << cut;
    }
  }
}

TEST(Crc, ByMultiplicationIsTheSameAsByTablesWhateverTheLengthAndWhereItBegins) {
  std::string text;
  std::uint64_t seed = 42;
  for (int i = 0; i < 5000; ++i)
    text += static_cast<char>((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56);
  for (const auto sum : {Sum::crc32, Sum::crc32c, Sum::crc64nvme}) {
    for (std::size_t size = 0; size < 700; ++size) {
      const std::string_view bytes = std::string_view(text).substr(size % 17, size);
      ASSERT_EQ(crc(sum, bytes), crc_by_tables(sum, bytes)) << size;
      ASSERT_EQ(crc(sum, bytes, 0xdeadbeef), crc_by_tables(sum, bytes, 0xdeadbeef)) << size;
    }
    EXPECT_EQ(crc(sum, text), crc_by_tables(sum, text));
  }
}

}  // namespace
}  // namespace ferry
