#include "aws/provider.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "aws/client.h"
#include "aws/scripted_http.h"

namespace ferry::aws::provider_test {
namespace {

/// A source whose credentials last an hour, that counts how often it was asked, and can be out of order.
struct Source {
  os::FakeClock clock;
  int asked = 0;
  bool broken = false;
  std::int64_t lasts_ms = 3'600'000;
  Provider provider{[this]() -> Result<Credentials> {
                      ++asked;
                      if (broken) return fail(Kind::denied, "out of order");
                      return Credentials{"AKID" + std::to_string(asked), "secret", "token", "test",
                                         lasts_ms ? clock.now + lasts_ms : 0};
                    },
                    clock};
  std::string key() {
    const auto keys = provider.get();
    return keys ? keys->access_key_id : "(" + keys.error().what + ")";
  }
};

TEST(Provider, CredentialsAreFoundOnceAndKept) {
  Source source;
  EXPECT_EQ(source.key(), "AKID1");
  source.clock.advance(Millis(50 * 60'000));
  EXPECT_EQ(source.key(), "AKID1");
  EXPECT_EQ(source.asked, 1);
}

TEST(Provider, KeysWithoutAnEndAreNeverFoundAnew) {
  Source source;
  source.lasts_ms = 0;
  EXPECT_EQ(source.key(), "AKID1");
  source.clock.advance(Millis(365LL * 24 * 3'600'000));
  EXPECT_EQ(source.key(), "AKID1");
}

TEST(Provider, NewOnesAreFoundFiveMinutesBeforeTheOldEnd) {
  Source source;
  EXPECT_EQ(source.key(), "AKID1");
  source.clock.advance(Millis(55 * 60'000 + 1));
  EXPECT_EQ(source.key(), "AKID2");
}

TEST(Provider, FailingToRenewEarlyIsCalmAndNotTriedAllTheTime) {
  Source source;
  EXPECT_EQ(source.key(), "AKID1");
  source.broken = true;
  source.clock.advance(Millis(56 * 60'000));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(source.key(), "AKID1");
  EXPECT_EQ(source.asked, 2);
  source.clock.advance(Millis(60'000));
  EXPECT_EQ(source.key(), "AKID1");
  EXPECT_EQ(source.asked, 3);
  source.clock.advance(Millis(3 * 60'000));
  EXPECT_EQ(source.key(), "(out of order)") << "the old ones have ended";
  source.broken = false;
  EXPECT_EQ(source.key(), "AKID5");
}

TEST(Provider, CredentialsThatNeverLastFiveMinutesAreNotFoundForEveryCall) {
  Source source;
  source.lasts_ms = 4 * 60'000;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(source.key(), "AKID1");
}

TEST(Provider, RefusedOnesAreReplacedAtOnceButOnlyWhileTheyAreTheOnesAtHand) {
  Source source;
  const auto first = source.provider.get().value();
  source.provider.refused(first);
  EXPECT_EQ(source.key(), "AKID2");
  source.provider.refused(first);
  EXPECT_EQ(source.key(), "AKID2");
}

TEST(Provider, ManyThreadsAskTheSourceOnce) {
  std::atomic<int> asked = 0;
  Provider provider(
      [&]() -> Result<Credentials> {
        ++asked;
        std::this_thread::sleep_for(Millis(20));
        return Credentials{"AKID", "secret", "", ""};
      },
      os::system_clock());
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_TRUE(provider.get()); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(asked, 1);
}

/// A client whose credentials come from a Source.
struct World {
  Source source;
  ScriptedHttp http;
  Client client{{.credentials = std::shared_ptr<Provider>(&source.provider, [](Provider*) {}),
                 .region = "us-east-1",
                 .endpoint_url = {},
                 .service_endpoints = {},
                 .max_attempts = 1},
                http,
                source.clock};
  Result<std::string> call() { return client.query("ec2", "DescribeInstances", Params(), Repeat::freely); }
  std::string key_of(std::size_t request) const {
    const std::string header = header_of(http.asked.at(request), "authorization");
    const auto at = header.find("AKID");
    return header.substr(at, header.find('/', at) - at);
  }
};

TEST(Expiry, ACallRefusedForItIsMadeOnceMoreWithNewCredentials) {
  for (const char* code : {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}) {
    World world;
    world.http.reply_fault(400, code);
    world.http.reply(200, "<ok/>");
    EXPECT_EQ(world.call().value(), "<ok/>") << code;
    EXPECT_EQ(world.key_of(0), "AKID1");
    EXPECT_EQ(world.key_of(1), "AKID2");
    world.http.reply(200, "<ok/>");
    ASSERT_TRUE(world.call());
    EXPECT_EQ(world.key_of(2), "AKID2");
  }
}

TEST(Expiry, ASecondRefusalIsFinal) {
  World world;
  for (int i = 0; i < 2; ++i) world.http.reply_fault(403, "ExpiredToken");
  const auto answer = world.call();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Kind::denied);
  EXPECT_NE(answer.error().advice.find("sign in again"), std::string::npos);
  EXPECT_EQ(world.http.asked.size(), 2U);
}

TEST(Expiry, WhereTheSourceHasNothingNewItSaysWhy) {
  World world;
  ASSERT_EQ(world.source.key(), "AKID1");
  world.source.broken = true;
  world.http.reply_fault(403, "ExpiredToken");
  EXPECT_EQ(world.call().error().what, "out of order");
}

TEST(Expiry, TheSameCredentialsAreNotSentTwice) {
  ScriptedHttp http;
  os::FakeClock clock;
  Client client({.credentials = fixed_provider({"AKID", "secret", "old", ""}),
                 .region = "us-east-1",
                 .endpoint_url = {},
                 .service_endpoints = {},
                 .max_attempts = 1},
                http, clock);
  http.reply_fault(403, "ExpiredToken");
  EXPECT_EQ(client.query("ec2", "DescribeInstances", Params(), Repeat::freely).error().code, "ExpiredToken");
  EXPECT_EQ(http.asked.size(), 1U);
}

}  // namespace
}  // namespace ferry::aws::provider_test
