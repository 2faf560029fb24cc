#include "watch/report.h"

#include <gtest/gtest.h>

namespace ferry::watch {
namespace {

constexpr std::int64_t now = 1'700'000'000'000;

RunView training() {
  RunView view;
  view.run.name = "llama-9x4";
  view.run.phase = ledger::Phase::training;
  view.run.created_ms = now - 3'700'000;
  ledger::Instance it;
  it.id = "i-0ab14f55c0de77f21";
  it.provider = "aws";
  it.type = "g5.xlarge";
  it.zone = "us-east-1b";
  it.hourly = Usd{1'006'000};
  it.state = ledger::Rent::live;
  it.launched_ms = now - 3'600'000;
  view.instances = {it};
  view.gpu_percent = 97;
  view.loss = 1.84;
  view.left = "$3.69";
  return view;
}

RunView finished() {
  RunView view;
  view.run.name = "digits-7k2";
  view.run.phase = ledger::Phase::released;
  view.run.outcome = ledger::Outcome::failed;
  view.run.exit_code = 3;
  view.run.created_ms = now - 200'000'000;
  ledger::Instance it;
  it.id = "i-0f3c5e2a77b1d09a1";
  it.provider = "rehearsal";
  it.type = "t3.medium";
  it.zone = "us-east-1a";
  it.hourly = Usd{41'600};
  it.state = ledger::Rent::released;
  it.launched_ms = now - 199'990'000;
  it.released_ms = now - 199'900'000;
  view.instances = {it};
  return view;
}

TEST(Report, TheTableShowsWhatIsKnownInColumns) {
  const std::vector<RunView> runs = {training(), finished()};
  EXPECT_EQ(runs_table(runs, now),
            "RUN          STATE      WHERE                              OUTCOME            GPU   LOSS      "
            "COST   AGE    LEFT\n"
            "llama-9x4    training   g5.xlarge us-east-1b                                 97 %   1.84     "
            "$1.01   1 h   $3.69\n"
            "digits-7k2   released   t3.medium us-east-1a (rehearsal)   failed (exit 3)                 "
            "$0.0010   2 d\n");
}

TEST(Report, ColumnsThatNobodyFillsAreLeftOutAndOthersWhereThereIsNoRoomButNothingIsCut) {
  const std::vector<RunView> runs = {finished()};
  EXPECT_EQ(runs_table(runs, now),
            "RUN          STATE      WHERE                              OUTCOME              COST   AGE\n"
            "digits-7k2   released   t3.medium us-east-1a (rehearsal)   failed (exit 3)   $0.0010   2 d\n");
  EXPECT_EQ(runs_table(runs, now, 60),
            "RUN          STATE      OUTCOME              COST   AGE\n"
            "digits-7k2   released   failed (exit 3)   $0.0010   2 d\n");
  EXPECT_EQ(runs_table(runs, now, 5), "RUN\ndigits-7k2\n");
  EXPECT_EQ(runs_table({}, now), "no runs\n");
}

TEST(Report, AFinishedRunWithAnInstanceStillRentedSaysSo) {
  RunView view = finished();
  view.instances[0].state = ledger::Rent::live;
  const std::vector<RunView> runs = {view};
  EXPECT_NE(runs_table(runs, now).find("still rented"), std::string::npos);
}

TEST(Report, AStoppedMachineIsCalledSoCostsItsDiskAndNoTimeIsLeft) {
  RunView view = training();
  auto& it = view.instances[0];
  it.stopped_ms = now - 1'800'000;
  it.disk.gib = 73;
  view.run.outcome = ledger::Outcome::lost;
  const std::vector<RunView> runs = {view};
  const auto spent = Usd{503'000} + cost(disk_hour(it.disk, ""), Seconds(3600));
  const auto table = runs_table(runs, now);
  EXPECT_NE(table.find("stopped"), std::string::npos) << table;
  EXPECT_NE(table.find(show(spent)), std::string::npos) << table;
  EXPECT_EQ(table.find("LEFT"), std::string::npos) << table;
  const auto json = runs_json(runs, now)[0];
  EXPECT_EQ(json["state"].get<std::string>(), "stopped");
  EXPECT_EQ(json["phase"].get<std::string>(), "training");
  EXPECT_FALSE(json.contains("left"));
  EXPECT_EQ(json["instances"][0]["stopped_since"].get<std::string>(), os::iso_time(it.stopped_ms, true));
}

TEST(Report, ACodingAgentReadsTenRunsInFewCharactersAndEveryIdWhole) {
  ::setenv("AI_AGENT", "1", 1);
  std::vector<RunView> runs;
  for (int i = 0; i < 5; ++i) runs.insert(runs.end(), {training(), finished()});
  const auto table = runs_table(runs, now, 40);
  const auto receipt = release_text(finished().instances, {}, now);
  ::setenv("AI_AGENT", "0", 1);
  EXPECT_NE(runs_table(runs, now), table);
  ::unsetenv("AI_AGENT");
  EXPECT_LE(table.size(), 1600U) << table;
  EXPECT_NE(
      table.find("\ndigits-7k2\treleased\tt3.medium us-east-1a (rehearsal)\tfailed (exit 3)\t-\t-\t$0.0010\t2 d\t-\n"),
      table.npos)
      << table;
  EXPECT_NE(receipt.find("i-0f3c5e2a77b1d09a1 terminated"), receipt.npos) << receipt;
}

TEST(Report, StatesInJsonAreOneWord) {
  RunView view = finished();
  view.instances[0].state = ledger::Rent::live;
  EXPECT_EQ(runs_json(std::vector{view}, now)[0]["state"].get<std::string>(), "still_rented");
}

TEST(Report, ARunThatHasNoMachineAndGoesOnLaterWaits) {
  RunView view = finished();
  const auto state = [&] { return runs_json(std::vector{view}, now)[0]["state"].get<std::string>(); };
  view.run.phase = ledger::Phase::launching;
  view.instances[0].state = ledger::Rent::released;
  EXPECT_EQ(state(), "launching");
  view.run.task["attempt"] = 2;
  EXPECT_EQ(state(), "waiting");
  view.instances[0].state = ledger::Rent::intent;
  EXPECT_EQ(state(), "launching");
  view.instances[0].state = ledger::Rent::released;
  view.run.task.erase("attempt");
  view.run.task["waits_until_ms"] = now;
  EXPECT_EQ(state(), "waiting");
}

TEST(Report, TextFromOutsideCannotSteerTheTerminal) {
  RunView view = finished();
  view.run.name = "a\x1b[2J";
  view.instances[0].zone = "b\n";
  const std::vector<RunView> runs = {view};
  const auto table = runs_table(runs, now);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 2);
}

TEST(Report, JsonHasTheSameFacts) {
  const std::vector<RunView> runs = {training(), finished()};
  const Json json = runs_json(runs, now);
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["run"], "llama-9x4");
  EXPECT_EQ(json[0]["spent_usd"], 1.006);
  EXPECT_EQ(json[0]["instances"][0]["hourly_usd"], 1.006);
  EXPECT_TRUE(json[0]["exit_code"].is_null());
  EXPECT_EQ(json[1]["exit_code"], 3);
  EXPECT_EQ(json[1]["outcome"], "failed");
  EXPECT_FALSE(json[1].contains("left"));
}

TEST(Report, TheReceiptSaysWhatIsGoneAndWhatItCost) {
  const auto gone = finished().instances;
  const std::vector<ledger::Resource> key = {{"digits-7k2", "aws", "us-east-1", "", "key-pair", "ferry-d", true}};
  EXPECT_EQ(release_text(gone, key, now), "i-0f3c…9a1 terminated · nothing left running · total $0.0010");
  EXPECT_EQ(release_text(gone, key, now, Usd{190'000}),
            "i-0f3c…9a1 terminated · nothing left running · total $0.0010 of at most $0.19");
  EXPECT_EQ(release_json(gone, key, now, Usd{190'000})["at_most_usd"], 0.19);
  EXPECT_EQ(release_json(gone, key, now)["all_released"], true);
  auto open_key = key;
  open_key[0].released = false;
  const auto live = training().instances;
  EXPECT_EQ(release_text(live, open_key, now), "still rented: i-0ab1…f21, key-pair ferry-d · total $1.01");
  EXPECT_EQ(release_json(live, open_key, now)["all_released"], false);
  EXPECT_EQ(release_text({}, {}, now), "nothing left running · total $0.00");
}

TEST(Report, AMachineOfOnesOwnIsFreeAgainAndNotTerminated) {
  auto instances = finished().instances;
  instances[0].provider = "ssh";
  instances[0].id = "ssh/a-host-with-a-long-name";
  EXPECT_EQ(release_text(instances, {}, now), "ssh/a-host-with-a-long-name is free again, and runs on");
}

TEST(Report, OneThingIsNotMany) {
  EXPECT_EQ(counted(1, "file"), "1 file");
  EXPECT_EQ(counted(0, "file"), "0 files");
}

TEST(Report, AKeptRunIsCalledKept) {
  auto view = training();
  view.run.phase = ledger::Phase::fetching;
  view.run.keep = true;
  EXPECT_NE(runs_table({&view, 1}, now).find(" fetching "), std::string::npos);
  view.run.outputs_home = true;
  EXPECT_NE(runs_table({&view, 1}, now).find(" kept "), std::string::npos);
}

TEST(Report, AnUnknownPriceIsNotShownAsNothing) {
  auto view = training();
  view.instances[0].hourly = Usd{};
  EXPECT_EQ(total_spent(view.instances, now), std::nullopt);
  const std::vector<RunView> runs = {view};
  EXPECT_NE(runs_table(runs, now).find(" ? "), std::string::npos);
  EXPECT_TRUE(runs_json(runs, now)[0]["spent_usd"].is_null());
}

TEST(Report, TheClosingLinePointsAtTheModel) {
  const std::vector<std::string> files = {"outputs/metrics.jsonl", "outputs/epoch3.pt", "outputs/model.pt"};
  EXPECT_EQ(closing_line("digits-7k2", "runs/digits-7k2", files),
            "model: runs/digits-7k2/outputs/model.pt      log: ferry logs digits-7k2");
  const std::vector<std::string> booster = {"outputs/plot.png", "outputs/model.json"};
  EXPECT_EQ(model_among(booster), "outputs/model.json");
  EXPECT_EQ(closing_line("a", "runs/a/", std::vector<std::string>{"plot.png"}),
            "outputs: runs/a/      log: ferry logs a");
  EXPECT_EQ(closing_line("a", "runs/a/", {}), "log: ferry logs a");
}

TEST(Report, WhereAWideColumnMadeRoomANarrowerOneStays) {
  auto view = finished();
  view.run.task = {{"run", "'python' 'a b.py' 'lr=0.1'"}};
  EXPECT_EQ(runs_table({&view, 1}, now, 84),
            "RUN          STATE      COMMAND                  OUTCOME              COST   AGE\n"
            "digits-7k2   released   python 'a b.py' lr=0.1   failed (exit 3)   $0.0010   2 d\n");
}

TEST(Report, WhatItsNameCallsDataIsNotCalledTheModel) {
  for (const char* file :
       {"traindata.pt", "outputs/train_data.npz", "optimizer.pt", "scores.pkl", "outputs/x.bin", "vocab.bin"})
    EXPECT_EQ(model_among(std::vector<std::string>{file}), std::nullopt) << file;
  for (const char* file : {"epoch3.pt", "model_data.pt", "best.pkl", "outputs/pytorch_model.bin", "net.onnx"})
    EXPECT_EQ(model_among(std::vector<std::string>{file}), file);
}

TEST(Report, WhatRanSaysWhetherSetupFailedOrTheTraining) {
  auto view = finished();
  view.run.task = {{"setup", "pip install nothing"}, {"run", "python train.py\necho done"}};
  EXPECT_NE(runs_table({&view, 1}, now).find("setup failed (exit 3)"), std::string::npos);
  view.run.train_start_ms = now;
  EXPECT_EQ(runs_table({&view, 1}, now).find("setup failed"), std::string::npos);
  EXPECT_NE(runs_table({&view, 1}, now).find("   python train.py   "), std::string::npos);
  view.run.outcome = ledger::Outcome::not_started;
  EXPECT_NE(runs_table({&view, 1}, now).find("did not start"), std::string::npos);
}

TEST(Report, IdsAndAgesAreShort) {
  EXPECT_EQ(short_id("i-0f3c5e2a77b1d09a1"), "i-0f3c…9a1");
  EXPECT_EQ(short_id("i-0f3c5e2a"), "i-0f3c5e2a");
  EXPECT_EQ(short_id(""), "");
  EXPECT_EQ(show_age(Millis(8'900)), "8 s");
  EXPECT_EQ(show_age(Millis(300'000)), "5 min");
  EXPECT_EQ(show_age(Millis(-5)), "0 s");
}

}  // namespace
}  // namespace ferry::watch
