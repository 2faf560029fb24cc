#include <gtest/gtest.h>

#include "ledger/history_json.h"

namespace ferry::ledger {
namespace {

class LedgerHistory : public ::testing::Test {
 protected:
  std::unique_ptr<Ledger> must_open() { return std::move(Ledger::open(dir.path() / "ledger.db", clock)).value(); }
  static ledger::Run some_run(std::string name) {
    ledger::Run run;
    run.name = std::move(name);
    run.task = Json{{"run", "python train.py"}};
    return run;
  }
  static Instance some_instance(std::string token) {
    Instance it;
    it.token = std::move(token);
    it.provider = "aws";
    it.region = "us-east-1";
    it.type = "t3.medium";
    it.hourly = Usd{41'600};
    return it;
  }

  os::TempDir dir;
  os::FakeClock clock;
};

TEST_F(LedgerHistory, WhatAnotherLedgerKnowsOfARunIsTakenAsAWhole) {
  const auto ledger = must_open();
  const auto attempt = [](int n, Outcome outcome) {
    Attempt one{.run = "far-1", .n = n, .phase = Phase::training, .outcome = outcome};
    one.started_ms = n * 1000;
    return one;
  };
  auto first = some_instance("far-i-1"), second = some_instance("far-i-2");
  for (auto* one : {&first, &second}) one->run = "far-1", one->state = Rent::live, one->launched_ms = 5;
  first.id = "i-1", second.id = "i-2";
  const auto node = [](int n, const std::string& token) {
    Node one{.run = "far-1", .attempt = n};
    one.token = token;
    one.train_start_ms = 10 * n;
    return one;
  };
  const Resource key{
      .run = "far-1", .provider = "aws", .region = "us-east-1", .kind = "key-pair", .name = "ferry-far-1"};
  History known{.attempts = {attempt(1, Outcome::lost), attempt(2, Outcome::none)},
                .nodes = {node(1, "far-i-1"), node(2, "far-i-2")},
                .instances = {first, second},
                .resources = {key}};
  auto run = some_run("far-1");
  run.phase = Phase::training;
  ASSERT_TRUE(ledger->take_history(run, known));
  ASSERT_TRUE(ledger->take_history(run, known)) << "again changes nothing";
  EXPECT_EQ(ledger->instances("far-1")->size(), 2U);
  EXPECT_EQ(ledger->resources("far-1")->size(), 1U);
  const auto attempts = ledger->attempts("far-1").value();
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(attempts[0].outcome, Outcome::lost);
  const auto nodes = ledger->nodes("far-1").value();
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].token, "far-i-1");
  EXPECT_EQ(nodes[0].train_start_ms, 10);
  EXPECT_EQ(*ledger->begin_attempt("far-1", ""), 3);

  auto gap = known;
  gap.attempts[1].n = 3;
  EXPECT_EQ(ledger->take_history(some_run("far-2"), gap).error().kind, Kind::bad_input);
  auto of_two = known;
  for (auto& one : of_two.attempts) one.run = "far-3";
  for (auto& one : of_two.nodes) one.run = "far-3";
  for (auto& one : of_two.instances) one.run = "far-3";
  of_two.resources.clear();
  EXPECT_EQ(ledger->take_history(some_run("far-3"), of_two).error().kind, Kind::exists) << "another run's machines";
  EXPECT_EQ(ledger->runs(false)->size(), 1U);
  ASSERT_TRUE(ledger->move("far-1", Phase::released));
  EXPECT_EQ(ledger->take_history(run, known).error().kind, Kind::conflict);
}

TEST_F(LedgerHistory, WhatIsToldAsJsonReadsBackTheSame) {
  auto instance = some_instance("far-i-1");
  instance.run = "far-1", instance.id = "i-0abc";
  auto run = some_run("far-1");
  run.phase = Phase::training;
  const History known{.attempts = {{.run = "far-1", .n = 1}}, .nodes = {{.run = "far-1"}}, .instances = {instance}};
  const auto json = history_json(run, known);
  const auto told = history_from(json, "far-1");
  ASSERT_TRUE(told) << describe(told.error());
  EXPECT_EQ(history_json(told->run, told->tried), json);
  EXPECT_EQ(told->tried.instances[0].hourly.micros, instance.hourly.micros);
  EXPECT_EQ(history_from(json, "far-2").error().kind, Kind::corrupt);
}

}  // namespace
}  // namespace ferry::ledger
