#include "aws/retry.h"

#include <gtest/gtest.h>

#include "aws/client.h"
#include "aws/scripted_http.h"

namespace ferry::aws::retry_test {
namespace {

/// A client whose clock, network and dice belong to the test.
struct World {
  os::FakeClock clock;
  ScriptedHttp http;
  double dice = 1.0;
  Client client{{.credentials = fixed_provider({"AKID", "secret", "", ""}),
                 .region = "us-east-1",
                 .endpoint_url = {},
                 .service_endpoints = {},
                 .max_attempts = 3},
                http,
                clock,
                [this] { return dice; }};

  Result<std::string> call(Repeat repeat = Repeat::freely) {
    return client.query("ec2", "DescribeInstances", Params(), repeat);
  }
};

TEST(Retry, AThrottledCallIsAskedThreeTimesWithGrowingDelays) {
  World world;
  for (int i = 0; i < 3; ++i) world.http.reply_fault(503, "RequestLimitExceeded");
  const auto start = world.clock.now;
  const auto answer = world.call();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Kind::throttled);
  EXPECT_EQ(answer.error().code, "RequestLimitExceeded");
  EXPECT_EQ(world.http.asked.size(), 3U);
  EXPECT_EQ(world.clock.now - start, 1000 + 2000);
}

TEST(Retry, HoweverManyAttemptsAreAllowedItGivesUpInBoundedTime) {
  World world;
  Client patient({.credentials = fixed_provider({"AKID", "secret", "", ""}),
                  .region = "us-east-1",
                  .endpoint_url = {},
                  .service_endpoints = {},
                  .max_attempts = 1000},
                 world.http, world.clock, [] { return 1.0; });
  for (int i = 0; i < 1000; ++i) world.http.reply_fault(503, "RequestLimitExceeded");
  const auto start = world.clock.now;
  const auto answer = patient.query("ec2", "TerminateInstances", Params(), Repeat::freely);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Kind::throttled);
  EXPECT_LT(world.clock.now - start, 180'000);
}

TEST(Retry, DelaysAreJittered) {
  World world;
  world.dice = 0.25;
  world.http.reply_fault(503, "RequestLimitExceeded");
  world.http.reply(200, "<ok/>");
  const auto start = world.clock.now;
  EXPECT_EQ(world.call().value(), "<ok/>");
  EXPECT_EQ(world.clock.now - start, 250);
}

TEST(Retry, EveryAttemptIsSignedForItsOwnTime) {
  World world;
  world.http.reply(500, "oops");
  world.http.reply(200, "<ok/>");
  ASSERT_TRUE(world.call());
  EXPECT_NE(header_of(world.http.asked[0], "x-amz-date"), header_of(world.http.asked[1], "x-amz-date"));
  EXPECT_NE(header_of(world.http.asked[0], "authorization"), header_of(world.http.asked[1], "authorization"));
}

TEST(Retry, WhatAwsRefusesForGoodIsAskedOnce) {
  for (const char* code : {"UnauthorizedOperation", "InvalidAMIID.NotFound", "InsufficientInstanceCapacity"}) {
    World world;
    world.http.reply_fault(code == std::string_view("InsufficientInstanceCapacity") ? 500 : 400, code);
    EXPECT_EQ(world.call().error().code, code);
    EXPECT_EQ(world.http.asked.size(), 1U);
  }
}

TEST(Retry, ALostConnectionIsRepeatedOnlyWhereThatIsHarmless) {
  for (const Kind kind : {Kind::lost, Kind::timeout}) {
    World freely;
    freely.http.reply_error(kind);
    freely.http.reply(200, "<ok/>");
    EXPECT_TRUE(freely.call(Repeat::freely));
    World once;
    once.http.reply_error(kind);
    const auto answer = once.call(Repeat::unless_uncertain);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, kind);
    EXPECT_FALSE(answer.error().advice.empty());
    EXPECT_EQ(once.http.asked.size(), 1U);
  }
}

TEST(Retry, ARefusalIsRepeatedEvenWhereALostAnswerIsNot) {
  World world;
  world.http.reply_fault(503, "Unavailable");
  world.http.reply_fault(400, "Throttling");
  world.http.reply(200, "<ok/>");
  EXPECT_TRUE(world.call(Repeat::unless_uncertain));
  World uncertain;
  uncertain.http.reply_fault(500, "InternalError");
  EXPECT_EQ(uncertain.call(Repeat::unless_uncertain).error().kind, Kind::io);
}

TEST(Retry, WhatMustNeverBeDoneTwiceIsSentOnceOnAConnectionOfItsOwn) {
  World throttled;
  throttled.http.reply_fault(400, "Throttling");
  EXPECT_EQ(throttled.call(Repeat::never).error().kind, Kind::throttled);
  World lost;
  lost.http.reply_error(Kind::lost);
  EXPECT_EQ(lost.call(Repeat::never).error().kind, Kind::lost);
  for (const World* world : {&throttled, &lost}) {
    ASSERT_EQ(world->http.asked.size(), 1U);
    EXPECT_TRUE(world->http.asked[0].own_connection);
  }
}

TEST(Retry, AfterASkewErrorTheServersDateIsUsedOnceMore) {
  World world;
  const std::string date = "Fri, 24 Nov 2023 22:13:20 GMT";  // ten days after the fake clock
  world.http.reply_fault(400, "RequestExpired", "too old", {{"date", date}});
  world.http.reply(200, "<ok/>");
  const auto start = world.clock.now;
  ASSERT_TRUE(world.call());
  EXPECT_EQ(world.clock.now, start) << "no waiting";
  EXPECT_EQ(header_of(world.http.asked[1], "x-amz-date"), "20231124T221320Z");
  world.http.reply(200, "<ok/>");
  ASSERT_TRUE(world.call());
  EXPECT_EQ(header_of(world.http.asked[2], "x-amz-date"), "20231124T221320Z") << "the skew is remembered";
}

TEST(Retry, ASecondSkewErrorIsFinal) {
  World world;
  for (int i = 0; i < 2; ++i) {
    world.http.reply_fault(400, "RequestExpired", "too old", {{"date", "Fri, 24 Nov 2023 22:13:20 GMT"}});
  }
  const auto answer = world.call();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Kind::denied);
  EXPECT_NE(answer.error().advice.find("clock"), std::string::npos);
}

TEST(Retry, ABadSignatureWithARightClockIsNotRepeated) {
  World world;
  world.http.reply_fault(403, "SignatureDoesNotMatch", "no", {{"date", "Tue, 14 Nov 2023 22:13:21 GMT"}});
  EXPECT_EQ(world.call().error().kind, Kind::denied);
  EXPECT_EQ(world.http.asked.size(), 1U);
}

TEST(Retry, AnEmptyBudgetEndsRetries) {
  World world;
  for (int call = 0; call < 60; ++call) {
    for (int i = 0; i < 3; ++i) world.http.reply_error(Kind::timeout);
    (void)world.call();
    world.http.replies.clear();
  }
  EXPECT_EQ(world.http.asked.size(), 60U + 500 / 10);
}

TEST(Retry, ReadsHttpDates) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777000);
  for (const char* bad : {"", "yesterday", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT",
                          "Sun, 06 Nov 99999999999 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT"}) {
    EXPECT_FALSE(parse_http_date(bad)) << bad;
  }
}

}  // namespace
}  // namespace ferry::aws::retry_test
