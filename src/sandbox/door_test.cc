#include "sandbox/door.h"

#include <gtest/gtest.h>

namespace ferry::sandbox {

TEST(Door, LetsInWhomItsRangesHoldAndTheMachineItself) {
  const Door door{{"203.0.113.7/32", "10.0.0.0/8"}, "203.0.113.7"};
  EXPECT_TRUE(lets_in(door, "127.0.0.1", "127.80.0.10")) << "the caller, whose address is another outside";
  EXPECT_TRUE(lets_in(door, "10.255.0.1", "127.80.0.10"));
  EXPECT_TRUE(lets_in(door, "127.80.0.10", "127.80.0.10"));
  EXPECT_FALSE(lets_in(door, "11.0.0.1", "127.80.0.10"));
  EXPECT_FALSE(lets_in(door, "127.0.0.5", "127.80.0.10"));
  EXPECT_FALSE(lets_in({door.from, "203.0.113.8"}, "127.0.0.1", "127.80.0.10")) << "it has moved";
  EXPECT_FALSE(lets_in({{}, "203.0.113.7"}, "127.0.0.1", "127.80.0.10"));
  EXPECT_TRUE(lets_in({{"0.0.0.0/0"}, "203.0.113.8"}, "127.0.0.1", "127.80.0.10"));
  EXPECT_FALSE(lets_in({{"x", "1.2.3.4/33", "/", ""}, "1.2.3.4"}, "127.0.0.1", "127.80.0.10"));
}

TEST(Door, SurvivesItsFile) {
  const auto back = door_from(text_of({{"10.0.0.0/8"}, "127.0.0.1"}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->from, std::vector<std::string>{"10.0.0.0/8"});
  EXPECT_EQ(back->caller, "127.0.0.1");
  for (const char* bad : {"", "[]", "{}", "{\"from\": 1}", "{\"from\": [1]}"}) EXPECT_FALSE(door_from(bad)) << bad;
}

}  // namespace ferry::sandbox
