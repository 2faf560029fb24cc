#include "watch/cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::watch {
namespace {

using testing::HasSubstr;

constexpr std::int64_t noon = 1'769'860'800'000;  // 2026-01-31T12:00:00Z
constexpr std::int64_t hour = 3'600'000;

ledger::Instance rented(std::string run, std::string type, Usd hourly, std::int64_t from, std::int64_t to) {
  ledger::Instance it;
  it.token = run + std::to_string(from);
  it.run = std::move(run);
  it.provider = "aws";
  it.region = "us-east-1";
  it.type = std::move(type);
  it.hourly = hourly;
  it.state = ledger::Rent::released;
  it.intent_ms = it.launched_ms = from;
  it.released_ms = to;
  it.disk.gib = 73;
  it.public_address = true;
  return it;
}

RunView view(std::string name, std::vector<ledger::Instance> instances) {
  RunView out;
  out.run.name = std::move(name);
  out.instances = std::move(instances);
  return out;
}

TEST(Cost, MachineDiskAndAddressAreBilledByTheSecond) {
  const std::vector<RunView> runs = {view("a", {rented("a", "g5.xlarge", {1'006'000}, noon, noon + 2 * hour)})};
  const auto report = cost_report(runs, CostBy::run, 0, noon + 9 * hour);
  ASSERT_EQ(report.lines.size(), 1U);
  const auto& sum = report.lines[0].sum;
  EXPECT_EQ(sum.machine, Usd{2'012'000});
  EXPECT_EQ(sum.address, Usd{10'000});
  EXPECT_EQ(sum.disk, Usd{2 * 8'000});  // 73 GiB at $0.08 a month of 730 hours
  EXPECT_EQ(report.total.sum.total(), Usd{2'038'000});
}

TEST(Cost, ADisksTierIsPartOfTheBill) {
  auto fast = rented("a", "g5.xlarge", {1'006'000}, noon, noon + 730 * hour);
  fast.disk = {.type = "gp3", .gib = 100, .iops = 6000, .mib_per_s = 500};
  auto fastest = fast;
  fastest.run = "b";
  fastest.disk = {.type = "io2", .gib = 100, .iops = 20'000};
  const std::vector<RunView> runs = {view("a", {fast}), view("b", {fastest})};
  const auto report = cost_report(runs, CostBy::run, 0, noon);
  const auto about = [](Usd paid, double dollars) {
    EXPECT_NEAR(static_cast<double>(paid.micros) / 1e6, dollars, 0.01);
  };
  about(report.lines[0].sum.disk, 100 * 0.08 + 3000 * 0.005 + 375 * 0.04);
  about(report.lines[1].sum.disk, 100 * 0.125 + 20'000 * 0.065);
}

TEST(Cost, LinesAreByRunTypeOrDay) {
  const std::vector<RunView> runs = {
      view("b", {rented("b", "p3.2xlarge", {3'060'000}, noon + 24 * hour, noon + 25 * hour)}),
      view("a", {rented("a", "g5.xlarge", {1'006'000}, noon, noon + hour),
                 rented("a", "g5.xlarge", {1'006'000}, noon + 2 * hour, noon + 3 * hour)})};
  const auto types = cost_report(runs, CostBy::type, 0, noon + 99 * hour);
  ASSERT_EQ(types.lines.size(), 2U);
  EXPECT_EQ(types.lines[0].key, "p3.2xlarge");
  EXPECT_EQ(types.lines[1].launches, 2);
  const auto days = cost_report(runs, CostBy::day, 0, noon + 99 * hour);
  ASSERT_EQ(days.lines.size(), 2U);
  EXPECT_EQ(days.lines[0].key, "2026-02-01");
  EXPECT_EQ(cost_report(runs, CostBy::run, noon + 20 * hour, noon + 99 * hour).lines.size(), 1U);
}

TEST(Cost, DataOutIsBilledBeyondAHundredGigabytesAMonth) {
  auto first = rented("a", "t3.medium", {41'600}, noon, noon + hour);
  auto second = rented("b", "t3.medium", {41'600}, noon, noon + hour);
  first.bytes_out = 90'000'000'000;
  second.bytes_out = 20'000'000'000;
  const std::vector<RunView> runs = {view("a", {first}), view("b", {second})};
  EXPECT_EQ(cost_report(runs, CostBy::run, 0, noon).total.sum.data_out, Usd{900'000});
}

TEST(Cost, AnUnknownPriceIsSaidAndNotCountedAsZero) {
  const std::vector<RunView> runs = {view("a", {rented("a", "p6.big", {}, noon, noon + hour)})};
  const auto report = cost_report(runs, CostBy::run, 0, noon + hour);
  EXPECT_EQ(report.total.unpriced, 1);
  EXPECT_THAT(cost_table(report, CostBy::run), HasSubstr("+ ?"));
}

TEST(Cost, AMachineOfOnesOwnCostsNothing) {
  auto own = rented("a", "box", {}, noon, noon + hour);
  own.provider = "ssh";
  EXPECT_EQ(ledger::spent(own, noon), Usd{});
}

}  // namespace
}  // namespace ferry::watch
