#include "sync/packed.h"

#include <gtest/gtest.h>

namespace ferry::sync::packed_test {
namespace {

TEST(Packed, GivesBackWhatWasPackedAndNothingForWhatIsDamaged) {
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(std::int64_t{i} * 7919);
  const auto frame = pack(text);
  ASSERT_TRUE(is_packed(frame));
  const auto back = unpack(frame, 4'000'000);
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(*back, text);
  EXPECT_EQ(unpack(pack(""), 10).value(), "");
  EXPECT_FALSE(
      is_packed("\x7f"
                "ELF"));
  for (const std::string& wrong :
       {std::string(),
        std::string("\x7f"
                    "ELF"),
        frame.substr(0, 4), frame.substr(0, frame.size() - 1), frame + "x", frame.substr(0, 1000) + frame.substr(1001)})
    EXPECT_EQ(unpack(wrong, 4'000'000).error().kind, Kind::corrupt) << wrong.size();
  EXPECT_EQ(unpack(frame, 2'000'000).error().kind, Kind::corrupt);
}

}  // namespace
}  // namespace ferry::sync::packed_test
