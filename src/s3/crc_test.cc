#include "s3/crc.h"

#include <gtest/gtest.h>

namespace ferry::s3 {
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

TEST(Crc, IsReadFromAnAnswerThatTellsItOfTheWholeObjectOnly) {
  os::HttpResponse answer;
  EXPECT_FALSE(sum_said(answer));
  answer.headers = {{"x-amz-checksum-crc32", "y/Q5Jg=="}, {"x-amz-checksum-type", "FULL_OBJECT"}};
  ASSERT_TRUE(sum_said(answer));
  EXPECT_EQ(sum_said(answer)->value, 0xcbf43926U);
  answer.headers[1].second = "COMPOSITE";
  EXPECT_FALSE(sum_said(answer));
  answer.headers = {{"x-amz-checksum-crc32", "AAA="}};
  EXPECT_FALSE(sum_said(answer));
}

}  // namespace
}  // namespace ferry::s3
