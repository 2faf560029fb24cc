#include "cli/chosen_runs.h"

#include <gtest/gtest.h>

namespace ferry::cli::chosen_runs_test {
namespace {

constexpr std::int64_t now = 1'700'000'000'000;

bool passes(const RunFilter& filter) {
  ledger::Run run;
  run.name = "digits-7k2";
  run.task_name = "digits";
  run.phase = ledger::Phase::released;
  run.outcome = ledger::Outcome::not_started;
  run.exit_code = 3;
  run.created_ms = now - 3'600'000;
  run.task = {{"labels", {{"team", "vision"}, {"try", "2"}}}};
  std::vector<ledger::Instance> instances(1);
  instances[0].type = "g5.xlarge";
  const auto sieve = RunSieve::make(filter, now);
  if (!sieve) ADD_FAILURE() << sieve.error().what;
  return sieve && sieve->passes({run, "released", instances});
}

TEST(RunSieve, EveryLabelMustBeThere) {
  EXPECT_TRUE(passes({}));
  EXPECT_TRUE(passes({{"team=vision"}, {}}));
  EXPECT_TRUE(passes({{"team", "try=2"}, {}}));
  EXPECT_FALSE(passes({{"team=vision", "try=3"}, {}}));
  EXPECT_FALSE(passes({{"owner"}, {}}));
  EXPECT_TRUE(passes({{}, {"label=team=vision"}}));
}

TEST(RunSieve, OfTwoFiltersWithOneKeyOneMustFitAndOfTwoKeysBoth) {
  EXPECT_TRUE(passes({{}, {"state=training", "state=released"}}));
  EXPECT_FALSE(passes({{}, {"state=released", "type=p3.*"}}));
  EXPECT_TRUE(passes({{}, {"type=g5.*", "name=digits*", "exited=3", "since=2h"}}));
  EXPECT_FALSE(passes({{}, {"since=30m"}}));
  EXPECT_TRUE(passes({{}, {"outcome=not_started"}}));
  EXPECT_TRUE(passes({{}, {"outcome=did not start"}}));
  EXPECT_FALSE(passes({{}, {"exited=0"}}));
}

TEST(RunSieve, AFilterThatSaysNothingIsAMistakeOfTheCommandLine) {
  for (const char* filter : {"state", "state=", "sate=training", "since=soon", "=x"}) {
    const auto sieve = RunSieve::make({{}, {filter}}, now);
    ASSERT_FALSE(sieve) << filter;
    EXPECT_EQ(sieve.error().code, mistake_code) << filter;
  }
  EXPECT_EQ(RunSieve::make({{}, {"sate=training"}}, now).error().advice, "did you mean 'state='?");
}

TEST(Moment, IsADayAMomentOrATimeBack) {
  EXPECT_EQ(moment_of("--since", "5m", now).value(), now - 300'000);
  EXPECT_EQ(moment_of("--since", "2023-11-14", now).value(), 1'699'920'000'000);
  EXPECT_EQ(moment_of("--since", "2023-11-14T22:13:20Z", now).value(), now);
  EXPECT_EQ(moment_of("--since", "2023-11-14T22:13", now).value(), now - 20'000);
  for (const char* text : {"soon", "2023-13-01", "2023-11-14T25:00", "2023-11-14Tx", ""})
    EXPECT_FALSE(moment_of("--since", text, now)) << text;
}

}  // namespace
}  // namespace ferry::cli::chosen_runs_test
