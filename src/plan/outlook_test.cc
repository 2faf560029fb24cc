#include "plan/outlook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ferry::plan::outlook_test {
namespace {

constexpr std::int64_t hour = 3'600'000;

TEST(PriceHistory, CountsPricesByTheTimeForWhichTheyHeld) {
  // 0.40 for seven hours, 0.90 for one, 0.50 for two; in any order, and one price told twice.
  const std::vector<PricePoint> points = {
      {8 * hour, {500'000}}, {0, {400'000}}, {3 * hour, {400'000}}, {7 * hour, {900'000}}, {-5 * hour, {100'000}}};
  const auto history = price_history(points, 0, 10 * hour, 10);
  ASSERT_TRUE(history);
  EXPECT_EQ(history->now, Usd{500'000});
  EXPECT_EQ(history->least, Usd{400'000});  // what held before does not count
  EXPECT_EQ(history->most, Usd{900'000});
  EXPECT_EQ(history->median, Usd{400'000});
  EXPECT_EQ(history->changes, 2);
  EXPECT_EQ(history->from_ms, 0);
  ASSERT_EQ(history->line.size(), 10U);
  EXPECT_EQ(history->line[0], Usd{400'000});
  EXPECT_EQ(history->line[6], Usd{900'000});
  EXPECT_EQ(history->line[9], Usd{500'000});
}

TEST(PriceHistory, APriceThatHoldsFromBeforeIsOne) {
  const auto history = price_history({{-100 * hour, {400'000}}}, 0, 10 * hour);
  ASSERT_TRUE(history);
  EXPECT_EQ(history->median, Usd{400'000});
  EXPECT_EQ(history->changes, 0);
  EXPECT_EQ(history->from_ms, 0);
}

TEST(PriceHistory, SaysFromWhenItIsKnown) {
  const auto history = price_history({{4 * hour, {400'000}}, {6 * hour, {500'000}}}, 0, 10 * hour);
  ASSERT_TRUE(history);
  EXPECT_EQ(history->from_ms, 4 * hour);
  EXPECT_EQ(history->median, Usd{500'000});
  EXPECT_FALSE(price_history({}, 0, hour));
  EXPECT_FALSE(price_history({{2 * hour, {1}}}, 0, hour)) << "a price that is not yet";
}

TEST(InterruptionBand, IsReadAsTheAdvisorWritesIt) {
  for (const char* label : {"<5%", "5-10%", "15-20%", ">20%"}) {
    const auto band = parse_band(label);
    ASSERT_TRUE(band) << label;
    EXPECT_EQ(show(*band), label);
  }
  for (const char* label : {"", "%", "5", "<x%", "10-5%", "5-200%", "-%", "<-3%"})
    EXPECT_FALSE(parse_band(label)) << label;
}

TEST(InterruptionBand, BecomesAHazardThatTakesAsManyInAMonth) {
  for (const auto& [label, percent] : {std::pair{"<5%", 5.0}, {"15-20%", 20.0}, {">20%", 50.0}}) {
    const double hazard = hourly_hazard(*parse_band(label));
    EXPECT_NEAR(100 * (1 - std::exp(-hazard * 730)), percent, 1e-9) << label;
  }
}

TEST(Expected, WithoutInterruptionsIsTheTimeAndAStart) {
  const auto expected = expect({1'000'000}, 0, Seconds(3600), {Seconds(300), Seconds(900)});
  ASSERT_TRUE(expected);
  EXPECT_EQ(expected->machine_time, Seconds(3900));
  EXPECT_EQ(expected->cost, Usd{1'083'333});
  EXPECT_EQ(expected->interruptions, 0);
}

TEST(Expected, IsWhatTrainingsThatAreInterruptedCostOnAverage) {
  // Played out: the time until a machine is taken is exponential; an interruption while it trains costs what was
  // trained since the last checkpoint, on average `lost`, and another start.
  constexpr double hazard = 0.5, work = 6, start = 0.1, lost = 0.25;
  std::mt19937_64 random(7);
  std::exponential_distribution<double> until_taken(hazard);
  double time = 0, count = 0;
  constexpr int trials = 200'000;
  for (int i = 0; i < trials; ++i) {
    double needed = start + work;  // of machines' time, still
    for (double alive = until_taken(random); alive < needed; alive = until_taken(random)) {
      time += alive;
      needed += start + lost - alive;
      ++count;
    }
    time += needed;
  }
  const auto expected = expect({1'000'000}, hazard, Seconds(6 * 3600), {Seconds(360), Seconds(900)});
  ASSERT_TRUE(expected);
  EXPECT_NEAR(expected->interruptions, count / trials, 0.03);
  EXPECT_NEAR(static_cast<double>(expected->machine_time.count()) / 3600, time / trials, 0.03);
  EXPECT_NEAR(static_cast<double>(expected->cost.micros) / 1e6, time / trials, 0.03);
}

TEST(Expected, IsNothingWhereATrainingWouldNeverEnd) {
  EXPECT_FALSE(expect({1'000'000}, 3.1, Seconds(3600), {Seconds(300), Seconds(900)}));
  EXPECT_TRUE(expect({1'000'000}, 2.9, Seconds(3600), {Seconds(300), Seconds(900)}));
}

}  // namespace
}  // namespace ferry::plan::outlook_test
