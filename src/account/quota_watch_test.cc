// Who waits for a limit: what is said of the requests for it, and when there is nothing left to wait for.
#include "account/quota_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::account::quota_watch_test {
namespace {

using testing::HasSubstr;
using testing::Not;
using State = QuotaRequest::State;

const QuotaShortage shortage{"L-DB2E81BA", "G and VT", false, "us-east-1", 0, 0, 4};

QuotaRequest request(State state, const char* status, std::int64_t updated_ms, int desired = 8) {
  return {"id1", "L-DB2E81BA", state, status, desired, 500, updated_ms};
}

TEST(QuotaNews, WithoutARequestTheCommandThatAsksIsSaid) {
  const auto other = QuotaRequest{"id2", "L-3819A6DF", State::open, "PENDING", 8, 500, 500};
  const auto news = news_of(shortage, {other}, 1000);
  EXPECT_FALSE(news.is_hopeless);
  EXPECT_THAT(news.line,
              HasSubstr("nobody has requested more yet: ferry quota request L-DB2E81BA 4 --region us-east-1"));
}

TEST(QuotaNews, AnOpenRequestIsNamedWithItsState) {
  const auto news = news_of(shortage, {request(State::open, "CASE_OPENED", 500)}, 1000);
  EXPECT_FALSE(news.is_hopeless);
  EXPECT_THAT(news.line, HasSubstr("request id1 for 8 vCPUs is CASE_OPENED since 1970-01-01T00:00:00Z"));
  EXPECT_THAT(news_of(shortage, {request(State::open, "PENDING", 500, 2)}, 1000).line,
              HasSubstr("less than the 4 that are needed"));
}

TEST(QuotaNews, ARequestThatIsRefusedWhileOneWaitsEndsTheWaitAndAnOldOneDoesNot) {
  const auto refused = news_of(shortage, {request(State::refused, "DENIED", 2000)}, 1000);
  EXPECT_TRUE(refused.is_hopeless);
  EXPECT_THAT(refused.line, HasSubstr("is DENIED since"));
  const auto old = news_of(shortage, {request(State::refused, "DENIED", 900)}, 1000);
  EXPECT_FALSE(old.is_hopeless);
  EXPECT_THAT(old.line, HasSubstr("nobody has requested more since: ferry quota request"));
  const auto again =
      news_of(shortage, {request(State::open, "PENDING", 3000), request(State::refused, "DENIED", 2000)}, 1000);
  EXPECT_FALSE(again.is_hopeless) << "another one is open";
}

TEST(QuotaNews, AGrantIsWaitedFor) {
  EXPECT_FALSE(news_of(shortage, {request(State::granted, "APPROVED", 2000)}, 1000).is_hopeless);
  EXPECT_THAT(news_of(shortage, {request(State::granted, "APPROVED", 2000, 2)}, 1000).line,
              HasSubstr("and 4 are needed"));
}

TEST(QuotaNews, WhereTheLimitIsEnoughItIsOthersThatAreWaitedFor) {
  auto busy = shortage;
  busy.limit = 8;
  busy.used = 6;
  const auto news = news_of(busy, {request(State::refused, "DENIED", 2000)}, 1000);
  EXPECT_FALSE(news.is_hopeless);
  EXPECT_THAT(news.line, HasSubstr("6 of 8 vCPUs are in use"));
  EXPECT_THAT(news.line, Not(HasSubstr("ferry quota request")));
}

TEST(Patience, AsksLessAndLessOftenAndNeverMoreSeldomThanEveryTwelveMinutes) {
  Patience patience;
  Millis all{0};
  int asked = 0;
  for (; all < Millis(24 * 3'600'000); ++asked) {
    const auto rest = patience.next();
    EXPECT_GE(rest, Millis(24'000));
    EXPECT_LE(rest, Millis(720'000));
    all += rest;
  }
  EXPECT_LT(asked, 200) << "looks in a day";
}

TEST(Shortage, IsOfTheLimitThatAnOfferCountsAgainst) {
  plan::Offer offer;
  offer.type.name = "g5.xlarge";
  offer.type.vcpus = 4;
  offer.region = "eu-west-1";
  offer.market = plan::Market::spot;
  const auto found = shortage_of(offer);
  ASSERT_TRUE(found);
  EXPECT_EQ(quota_name(*found), "L-3819A6DF in eu-west-1 (spot G and VT)");
  offer.type.name = "mac1.metal";
  EXPECT_FALSE(shortage_of(offer));
}

}  // namespace
}  // namespace ferry::account::quota_watch_test
