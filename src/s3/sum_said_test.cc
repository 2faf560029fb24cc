#include "s3/sum_said.h"

#include <gtest/gtest.h>

namespace ferry::s3 {
namespace {

TEST(SumSaid, IsReadFromAnAnswerThatTellsItOfTheWholeObjectOnly) {
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
