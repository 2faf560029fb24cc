#include "task/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::task::settings_test {
namespace {

using testing::HasSubstr;

TEST(Settings, HoldTheFieldsOfATasksAws) {
  const auto settings = parse_settings("aws:\n  ssh_proxy: ssm\n  instance_profile: ssm\n", "config.yaml");
  ASSERT_TRUE(settings) << describe(settings.error());
  EXPECT_EQ(settings->aws.ssh_proxy, "ssm");
  EXPECT_FALSE(settings->skypilot_defaults);
  EXPECT_TRUE(parse_settings("defaults: skypilot\n", "config.yaml")->skypilot_defaults);
  EXPECT_THAT(parse_settings("defaults: sky\n", "config.yaml").error().what,
              HasSubstr("config.yaml:1:11: unknown defaults"));
  EXPECT_TRUE(parse_settings("", "config.yaml"));
  EXPECT_THAT(parse_settings("asw:\n", "config.yaml").error().advice, HasSubstr("did you mean 'aws'?"));
  EXPECT_THAT(parse_settings("run: 'true'\n", "config.yaml").error().what,
              HasSubstr("config.yaml:1:1: unknown field 'run'"));
  EXPECT_THAT(parse_settings("[aws]", "config.yaml").error().what, HasSubstr("a mapping"));
}

TEST(Settings, AConnectionIsHeldForATimeOrNotAtAll) {
  const auto hold = [](const std::string& text) {
    return parse_settings("hold_connection: " + text + "\n", "config.yaml").map([](const auto& all) {
      return all.hold;
    });
  };
  EXPECT_EQ(*hold("1h"), Seconds(3600));
  for (const char* none : {"off", "no", "false", "0"}) EXPECT_EQ(*hold(none), Seconds(0)) << none;
  EXPECT_FALSE(parse_settings("store: none\n", "config.yaml")->hold);
  EXPECT_THAT(hold("2d").error().what, HasSubstr("a day at most"));
  EXPECT_THAT(hold("soon").error().what, HasSubstr("config.yaml:1:"));
}

TEST(Settings, OfRehearsalsSayWhetherThereIsInternetAndWhatElseIsReached) {
  const auto both =
      parse_settings("aws: {key_name: k}\nrehearsal:\n  internet: no\n  reach: [localhost:3141, 10.0.0.5:80]\n", "c");
  ASSERT_TRUE(both) << describe(both.error());
  EXPECT_EQ(both->rehearsal.internet, false);
  EXPECT_THAT(both->rehearsal.reach, testing::ElementsAre("localhost:3141", "10.0.0.5:80"));
  EXPECT_EQ(both->aws.key_name, "k");
  EXPECT_THAT(parse_settings("rehearsal: {reach: 'localhost:1'}", "c")->rehearsal.reach,
              testing::ElementsAre("localhost:1"));
  for (const char* nothing : {"", "aws:\n", "rehearsal:\n", "rehearsal: {internet: }\n"}) {
    const auto read = parse_settings(nothing, "c");
    ASSERT_TRUE(read) << nothing;
    EXPECT_FALSE(read->rehearsal.internet);
  }
}

TEST(Settings, NameTheStoreOfEveryRun) {
  EXPECT_EQ(parse_settings("store: s3://bucket/team/\n", "c")->store, "s3://bucket/team");
  EXPECT_EQ(parse_settings("store: /shared/runs\n", "c")->store, "/shared/runs");
  EXPECT_EQ(parse_settings("store:\n", "c")->store, std::nullopt);
  EXPECT_EQ(parse_settings("store: none\n", "c")->store, "");
  const auto wrong = parse_settings("aws: {}\nstore: gs://bucket\n", "c.yaml");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().what, HasSubstr("c.yaml:2:8: store: no place for a store: gs://bucket"));
  EXPECT_THAT(wrong.error().advice, HasSubstr("s3://BUCKET/PREFIX"));
}

TEST(Settings, AreWrittenWithAStoreAndAllElseAsItWas) {
  const std::string uri = "s3://bucket/team";
  EXPECT_EQ(with_store("", "c", uri).value(), "store: s3://bucket/team\n");
  EXPECT_EQ(with_store("# mine\naws:\n  key_name: k  # this one\n", "c", uri).value(),
            "# mine\naws:\n  key_name: k  # this one\nstore: s3://bucket/team\n");
  EXPECT_EQ(with_store("aws: {}", "c", uri).value(), "aws: {}\nstore: s3://bucket/team\n");
  EXPECT_EQ(with_store("store: /old  # the team's\naws: {}\n", "c", uri).value(),
            "store: s3://bucket/team  # the team's\naws: {}\n");
  EXPECT_EQ(with_store("", "c", "/a b/#c").value(), "store: \"/a b/#c\"\n");
  for (const char* other : {"{aws: {}}", "store: >\n  /old\n", "nonsense: 1\n"}) {
    const auto written = with_store(other, "c", uri);
    ASSERT_FALSE(written) << other;
    EXPECT_EQ(written.error().kind, Kind::bad_input);
    EXPECT_THAT(written.error().what, HasSubstr("store: s3://bucket/team"));
  }
}

TEST(Settings, LimitsAreAmountsAndANumberOfMachines) {
  const auto read =
      parse_settings("limits: {usd_per_day: 20, usd_per_month: $99.50, usd_per_hour: 6, machines: 3}", "c.yaml");
  ASSERT_TRUE(read) << describe(read.error());
  EXPECT_EQ(read->limits.a_day, Usd{20'000'000});
  EXPECT_EQ(read->limits.a_month, Usd{99'500'000});
  EXPECT_EQ(read->limits.an_hour, Usd{6'000'000});
  EXPECT_EQ(read->limits.machines, 3);
  EXPECT_FALSE(parse_settings("limits:", "c.yaml")->limits.any());
  for (const char* wrong : {"limits: 20", "limits: {usd_per_day: much}", "limits: {usd_per_day: 0}",
                            "limits: {machines: 0}", "limits: {machines: 1.5}", "limits: {usd_a_day: 3}"}) {
    const auto failed = parse_settings(wrong, "c.yaml");
    ASSERT_FALSE(failed) << wrong;
    EXPECT_THAT(failed.error().what, HasSubstr("c.yaml:1:")) << wrong;
  }
}

TEST(Settings, MistakesAreSaidWithTheirPlace) {
  EXPECT_THAT(parse_settings("rehearsal: {internt: no}", "c.yaml").error().advice, HasSubstr("internet"));
  for (const char* wrong :
       {"rehearsal: 1", "rehearsal: {internet: 7x}", "rehearsal: {reach: {a: 1}}", "rehersal: {}", "- a"}) {
    const auto read = parse_settings(wrong, "c.yaml");
    ASSERT_FALSE(read) << wrong;
    EXPECT_THAT(read.error().what, HasSubstr("c.yaml:1:")) << wrong;
  }
}

}  // namespace
}  // namespace ferry::task::settings_test
