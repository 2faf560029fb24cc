// How long a run may take on a capacity block.
#include "fleet/reservation.h"

#include <gtest/gtest.h>

namespace ferry::fleet {
namespace {

constexpr std::int64_t now = 1'800'000'000'000;

cloud::Reservation block_that_ends_in(Seconds time) {
  cloud::Reservation block;
  block.id = "cr-1";
  block.is_block = true;
  block.end_ms = now + time.count() * 1000;
  return block;
}

TEST(CapacityBlock, ItsMachineIsOffThirtyFiveMinutesBeforeItsEndAndNotMuchEarlier) {
  for (const int minutes : {60, 70, 120, 24 * 60, 14 * 24 * 60}) {
    const auto limits =
        within_block(block_that_ends_in(Seconds(minutes * 60)), TimeLimits{Seconds(30 * 24 * 3600)}, now);
    ASSERT_TRUE(limits) << minutes << describe(limits.error());
    const auto off = limits->until_power_off() + Seconds(35 * 60);
    EXPECT_LE(off, Seconds(minutes * 60)) << minutes;
    EXPECT_GT(off, Seconds(minutes * 60 - 60)) << minutes;
  }
}

TEST(CapacityBlock, WhatFitsStaysAndWhatHasNoTimeIsRefused) {
  EXPECT_EQ(within_block(block_that_ends_in(Seconds(86'400)), TimeLimits{Seconds(3600)}, now)->max_duration,
            Seconds(3600));
  const auto none = within_block(block_that_ends_in(Seconds(50 * 60)), TimeLimits{Seconds(3600)}, now);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, Kind::bad_input);
  auto open = block_that_ends_in(Seconds(60));
  open.is_block = false;
  EXPECT_TRUE(within_block(open, TimeLimits{Seconds(3600)}, now)) << "a reservation that is no block ends nothing";
}

}  // namespace
}  // namespace ferry::fleet
