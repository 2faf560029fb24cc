#include <gtest/gtest.h>

#include "ledger/ledger.h"

namespace ferry::ledger {
namespace {

TEST(Spent, IsBilledByTheSecondAndAMinuteAtLeast) {
  Instance it;
  it.hourly = Usd{3'600'000};
  it.intent_ms = 1'000;
  EXPECT_EQ(spent(it, 50'000), Usd{});  // only an intent
  it.state = Rent::live;
  it.launched_ms = 10'000;
  EXPECT_EQ(spent(it, 11'000), Usd{60'000});
  EXPECT_EQ(spent(it, 10'000 + 90'001), Usd{91'000});
  it.running_ms = 40'000;
  EXPECT_EQ(spent(it, 10'000 + 130'000), Usd{100'000}) << "not while it was pending";
  it.stopped_ms = 120'000;
  it.disk.gib = 730;
  const auto disk = cost(disk_hour(it.disk, ""), Seconds(990));
  EXPECT_EQ(spent(it, 1'000'000), Usd{80'000} + disk) << "a stopped one's disk is billed on";
  it.stopped_ms = 0;
  it.paused_ms = 880'000;
  EXPECT_EQ(spent(it, 1'000'000), Usd{80'000} + disk) << "it was started again at 1,000 s";
  it.state = Rent::released;
  it.released_ms = it.running_ms;
  EXPECT_EQ(spent(it, 1'000'000), cost(disk_hour(it.disk, ""), Seconds(60))) << "it ended before it ran";
  it = {.hourly = {}, .state = Rent::live, .launched_ms = 10'000};
  EXPECT_EQ(spent(it, 50'000), std::nullopt);
  it.state = Rent::released;
  it.launched_ms = 0;
  EXPECT_EQ(spent(it, 50'000), Usd{});  // an intent that came to nothing
}

}  // namespace
}  // namespace ferry::ledger
