// A later end for a job that runs, and what the training is told of its limits.
#include <gtest/gtest.h>

#include "agent/served.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent::extend_test {
namespace {

/// Prints its deadline, and "longer" as soon as the file has a later one.
constexpr const char* watches_its_limit =
    "of() { sed \"s/.*\\\"$1\\\": *\\([0-9.a-z]*\\).*/\\1/\" \"$FERRY_BUDGET_LEFT\"; }; "
    "echo \"$FERRY_DEADLINE $(of deadline) $(of at_most_usd)\"; "
    "until [ \"$(of deadline)\" -gt \"$FERRY_DEADLINE\" ]; do sleep 0.02; done; echo \"longer $(of at_most_usd)\"; "
    "while :; do sleep 0.02; done";

Extension later(const JobStatus& status, std::int64_t seconds) {
  return {.deadline_ms = status.deadline_ms + seconds * 1000, .retention_s = 30, .power_off_in_s = 86'400};
}

TEST(Extend, PutsOffTheLimitAndTheTrainingSeesIt) {
  Served served;
  auto spec = served.spec(watches_its_limit);
  spec.max_duration_s = 2;
  spec.power_off = false;
  spec.money = MoneySpec{.at_most = 4'500'000, .left = 4'000'000, .hourly = 1'000'000};
  auto client = served.client();
  const auto started = client.start(spec);
  ASSERT_TRUE(started);
  auto order = later(*started, 2);
  order.money = MoneySpec{.at_most = 5'500'000, .left = 5'000'000, .hourly = 1'000'000};
  const auto extended = client.extend(order);
  ASSERT_TRUE(extended) << describe(extended.error());
  EXPECT_EQ(extended->deadline_ms, started->deadline_ms + 2000);
  EXPECT_TRUE(client.extend(order)) << "asking again changes nothing";
  const Seen seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "max_duration");
  EXPECT_GE(seen.done->ended_ms, started->deadline_ms + 2000);
  EXPECT_NE(seen.out.find(std::to_string(started->deadline_ms / 1000) + " "), std::string::npos) << seen.out;
  EXPECT_NE(seen.out.find("longer 5.5"), std::string::npos) << seen.out;
}

TEST(Extend, NeverMakesAnythingShorterNorGoesOnAfterTheEnd) {
  Served served;
  auto spec = served.spec("mkfifo go; echo ready; read -r line <go; true");
  spec.power_off = false;
  auto client = served.client();
  const auto started = client.start(spec);
  ASSERT_TRUE(started);
  EXPECT_EQ(client.extend(later(*started, -1)).error().kind, Kind::bad_input);
  EXPECT_EQ(client.status()->deadline_ms, started->deadline_ms);
  ASSERT_TRUE(client.cancel(Seconds(0)));
  (void)follow(client);
  EXPECT_EQ(client.extend(later(*started, 60)).error().kind, Kind::conflict);
}

TEST(Extend, PutsOffTheMachinesOwnTimerFirst) {
  const os::TempDir folder;
  const Variable place("FERRY_AGENT_RUN", folder.path().string());
  Served served;
  auto spec = served.spec("while :; do sleep 0.02; done");
  auto client = served.client();
  const auto started = client.start(spec);
  ASSERT_TRUE(started);
  const auto refused = client.extend(later(*started, 60));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::unsupported) << "it was not armed so that it could be put off";
  EXPECT_EQ(client.status()->deadline_ms, started->deadline_ms);
  const auto file = folder.path() / ("ferry-end-" + spec.run);
  ASSERT_TRUE(os::write_file(file, "0\n"));
  const auto uptime = [] { return parse_int(split(*os::read_file("/proc/uptime"), '.').front()).value_or(0); };
  const auto before = uptime();
  const auto extended = client.extend(later(*started, 60));
  ASSERT_TRUE(extended) << describe(extended.error());
  const auto until = parse_int(trim(*os::read_file(file))).value_or(0);
  EXPECT_GE(until, before + 86'400);
  EXPECT_LE(until, uptime() + 86'400);
  auto short_one = later(*extended, 60);
  short_one.power_off_in_s = 1;
  EXPECT_EQ(client.extend(short_one).error().kind, Kind::bad_input) << "the machine would end first";
}

}  // namespace
}  // namespace ferry::agent::extend_test
