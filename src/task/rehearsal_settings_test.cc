#include "task/rehearsal_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::task {

TEST(RehearsalSettings, SayWhetherThereIsInternetAndWhatElseIsReached) {
  const auto both = parse_rehearsal_settings("aws: {key_name: k}\nrehearsal:\n  internet: no\n  reach: [localhost:3141, 10.0.0.5:80]\n", "c");
  ASSERT_TRUE(both) << describe(both.error());
  EXPECT_EQ(both->internet, false);
  EXPECT_THAT(both->reach, testing::ElementsAre("localhost:3141", "10.0.0.5:80"));
  EXPECT_THAT(parse_rehearsal_settings("rehearsal: {reach: 'localhost:1'}", "c")->reach, testing::ElementsAre("localhost:1"));
  for (const char* nothing : {"", "aws:\n", "rehearsal:\n", "rehearsal: {internet: }\n"}) {
    const auto read = parse_rehearsal_settings(nothing, "c");
    ASSERT_TRUE(read) << nothing;
    EXPECT_FALSE(read->internet);
  }
}

TEST(RehearsalSettings, MistakesAreSaidWithTheirPlace) {
  EXPECT_THAT(parse_rehearsal_settings("rehearsal: {internt: no}", "c.yaml").error().advice, testing::HasSubstr("internet"));
  for (const char* wrong : {"rehearsal: 1", "rehearsal: {internet: 7x}", "rehearsal: {reach: {a: 1}}", "rehersal: {}", "- a"}) {
    const auto read = parse_rehearsal_settings(wrong, "c.yaml");
    ASSERT_FALSE(read) << wrong;
    EXPECT_THAT(read.error().what, testing::HasSubstr("c.yaml:1:")) << wrong;
  }
}

}  // namespace ferry::task
