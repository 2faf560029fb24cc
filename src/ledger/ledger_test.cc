#include "ledger/ledger.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "ledger/schema.h"
#include "ledger/sqlite.h"

namespace ferry::ledger {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Ledger> open() {
    auto opened = Ledger::open(file, clock);
    EXPECT_TRUE(opened) << describe(opened.error());
    return opened ? std::move(*opened) : nullptr;
  }
  static ledger::Run some_run(std::string run_name) {
    ledger::Run run;
    run.name = std::move(run_name);
    run.task_name = "digits";
    run.infra = "aws/us-east-1";
    run.task = Json{{"run", "python train.py"}};
    run.workdir = "/home/a/b";
    run.output_dir = "/home/a/runs";
    return run;
  }
  static Instance some_instance(std::string token) {
    Instance it;
    it.token = std::move(token);
    it.run = "digits-7k2";
    it.provider = "aws";
    it.region = "us-east-1";
    it.type = "t3.medium";
    it.hourly = Usd{41'600};
    return it;
  }

  os::TempDir dir;
  os::Path file = dir.path() / "data" / "ferry" / "ledger.db";
  os::FakeClock clock;
};

TEST_F(LedgerTest, ANewLedgerIsPrivateAndEmpty) {
  auto ledger = open();
  EXPECT_TRUE(ledger->runs(false)->empty());
  EXPECT_TRUE(ledger->unreleased()->empty());
  using std::filesystem::perms;
  const auto mode = [](const os::Path& path) { return std::filesystem::status(path).permissions(); };
  EXPECT_EQ(mode(file.parent_path()), perms::owner_all);
  ASSERT_TRUE(ledger->add_run(some_run("a")));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    EXPECT_EQ(mode(os::Path(file) += suffix), perms::owner_read | perms::owner_write) << suffix;
  }
}

TEST_F(LedgerTest, AFileThatOthersCouldReadIsMadePrivate) {
  open();
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  open();
  EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
}

TEST_F(LedgerTest, ARunComesBackAsItWasWritten) {
  ledger::Run run = some_run("digits-7k2");
  run.task["odd"] = "snow ☃ \n \"q\"";
  run.workdir = std::string("/not/utf8/\xff\xfe");
  run.outcome = Outcome::failed;
  run.exit_code = 3;
  run.error = "exit 3";
  run.keep = true;
  run.store = "s3://b/runs/";
  run.created_ms = 5;
  run.train_start_ms = 6;
  ASSERT_TRUE(open()->add_run(run));
  const auto back = open()->run("digits-7k2");
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(back->task, run.task);
  EXPECT_EQ(back->workdir, run.workdir);
  EXPECT_EQ(back->outcome, Outcome::failed);
  EXPECT_EQ(back->exit_code, 3);
  EXPECT_TRUE(back->keep);
  EXPECT_EQ(back->store, run.store);
  EXPECT_FALSE(back->outputs_stored);
  EXPECT_FALSE(back->outputs_home);
  EXPECT_EQ(back->created_ms, 5);
  EXPECT_EQ(back->train_start_ms, 6);
  EXPECT_EQ(back->ended_ms, 0);
}

TEST_F(LedgerTest, UpdateChangesEverythingButNameAndPhase) {
  auto ledger = open();
  ledger::Run run = some_run("a");
  ASSERT_TRUE(ledger->add_run(run));
  ASSERT_TRUE(ledger->move("a", Phase::training));
  run.exit_code = 0;
  run.outcome = Outcome::succeeded;
  run.outputs_home = true;
  run.ended_ms = 9;
  ASSERT_TRUE(ledger->update(run));  // its phase still says checking
  const auto back = *ledger->run("a");
  EXPECT_EQ(back.phase, Phase::training);
  EXPECT_EQ(back.phase_ms, clock.now);
  EXPECT_EQ(back.exit_code, 0);
  EXPECT_EQ(back.outcome, Outcome::succeeded);
  EXPECT_TRUE(back.outputs_home);
  EXPECT_EQ(back.ended_ms, 9);
  EXPECT_EQ(ledger->update(some_run("b")).error().kind, Kind::not_found);
}

TEST_F(LedgerTest, ATakenNameIsRefused) {
  auto ledger = open();
  ASSERT_TRUE(ledger->add_run(some_run("a")));
  EXPECT_EQ(ledger->add_run(some_run("a")).error().kind, Kind::exists);
}

TEST_F(LedgerTest, ARunIsFoundByNameOrByItsOnlyBeginning) {
  auto ledger = open();
  for (const char* run_name : {"digits-7k2", "digits-9x4", "llama", "llama-2b3"}) {
    ASSERT_TRUE(ledger->add_run(some_run(run_name)));
  }
  EXPECT_EQ(ledger->run("digits-7")->name, "digits-7k2");
  EXPECT_EQ(ledger->run("llama")->name, "llama");  // the exact name wins over longer ones
  const auto both = ledger->run("digits");
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().kind, Kind::bad_input);
  EXPECT_EQ(both.error().advice, "say which: digits-7k2, digits-9x4");
  const auto typo = ledger->run("digist-7k2");
  ASSERT_FALSE(typo);
  EXPECT_EQ(typo.error().kind, Kind::not_found);
  EXPECT_EQ(typo.error().advice, "did you mean digits-7k2? All runs: ferry ps --all");
  EXPECT_EQ(ledger->run("").error().kind, Kind::not_found);
  EXPECT_EQ(ledger->run("50%_").error().kind, Kind::not_found);
}

TEST_F(LedgerTest, RunsComeNewestFirstAndFinishedOnesCanBeLeftOut) {
  auto ledger = open();
  for (const char* run_name : {"a", "b", "c"}) {
    clock.advance(Millis(1000));
    ASSERT_TRUE(ledger->add_run(some_run(run_name)));
  }
  ASSERT_TRUE(ledger->move("b", Phase::released));
  const auto names = [](const std::vector<ledger::Run>& runs) {
    std::string all;
    for (const auto& run : runs) all += run.name;
    return all;
  };
  EXPECT_EQ(names(*ledger->runs(false)), "cba");
  EXPECT_EQ(names(*ledger->runs(true)), "ca");
}

TEST_F(LedgerTest, PhasesGoForwardOnlyAndEachMoveIsAnEvent) {
  auto ledger = open();
  ASSERT_TRUE(ledger->add_run(some_run("a")));
  ASSERT_TRUE(ledger->move("a", Phase::launching));
  EXPECT_EQ(ledger->move("a", Phase::checking).error().kind, Kind::conflict);
  EXPECT_EQ(ledger->move("a", Phase::launching).error().kind, Kind::conflict);
  ASSERT_TRUE(ledger->move("a", Phase::releasing));
  ASSERT_TRUE(ledger->move("a", Phase::released));
  EXPECT_EQ(ledger->move("a", Phase::releasing).error().kind, Kind::conflict);
  EXPECT_EQ(ledger->move("nobody", Phase::setup).error().kind, Kind::not_found);
  const auto events = *ledger->events("a");
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].kind, "phase");
  EXPECT_EQ(events[0].data, (Json{{"from", "checking"}, {"to", "launching"}}));
  EXPECT_EQ(events[2].data, (Json{{"from", "releasing"}, {"to", "released"}}));
  EXPECT_LT(events[0].id, events[1].id);
}

TEST_F(LedgerTest, AnInstanceGoesFromIntentToLiveToReleased) {
  auto ledger = open();
  Instance it = some_instance("digits-7k2/1");
  ASSERT_TRUE(ledger->record_intent(it));
  EXPECT_EQ(ledger->record_intent(it).error().kind, Kind::exists);
  const auto intended = clock.now;
  EXPECT_EQ(ledger->unreleased()->at(0).intent_ms, intended);

  clock.advance(Millis(1500));
  const auto launched = clock.now;
  it.id = "i-0f3c";
  it.state = Rent::live;
  ASSERT_TRUE(ledger->record_instance(it));
  clock.advance(Millis(90'000));
  it.address = "127.0.0.9";
  it.disk = {.type = "io2", .gib = 40, .iops = 20'000, .mib_per_s = 7};
  it.running_ms = launched + 1;
  it.stopped_ms = launched + 2;
  it.paused_ms = 3;
  ASSERT_TRUE(ledger->record_instance(it));  // says launched_ms = 0 again
  EXPECT_EQ(ledger->instances("digits-7k2")->at(0).launched_ms, launched);

  it.state = Rent::released;
  ASSERT_TRUE(ledger->record_instance(it));
  EXPECT_TRUE(ledger->unreleased()->empty());
  const auto back = ledger->instances("digits-7k2")->at(0);
  EXPECT_EQ(back.released_ms, clock.now);
  EXPECT_EQ(back.launched_ms, launched);
  EXPECT_EQ(back.intent_ms, intended);
  EXPECT_EQ(back.address, "127.0.0.9");
  EXPECT_EQ(back.disk.type, "io2");
  EXPECT_EQ(back.disk.gib, 40);
  EXPECT_EQ(back.disk.iops, 20'000);
  EXPECT_EQ(back.disk.mib_per_s, 7);
  EXPECT_EQ(back.running_ms, launched + 1);
  EXPECT_EQ(back.stopped_ms, launched + 2);
  EXPECT_EQ(back.paused_ms, 3);
  EXPECT_EQ(spent(back, clock.now + 999'999),
            cost(Usd{41'600}, Seconds(60)) + cost(disk_hour(back.disk, "us-east-1"), Seconds(90)));
  EXPECT_EQ(ledger->record_instance(some_instance("other")).error().kind, Kind::not_found);
}

TEST_F(LedgerTest, AResourceIsNotedOnceAndThenReleased) {
  auto ledger = open();
  Resource key{"a", "aws", "us-east-1", "", "key-pair", "ferry-a", false};
  ASSERT_TRUE(ledger->record_resource(key));
  ASSERT_TRUE(ledger->record_resource(key));
  ASSERT_TRUE(ledger->record_resource({"b", "aws", "us-east-1", "", "key-pair", "ferry-a", false}));
  EXPECT_EQ(ledger->resources("a")->size(), 1U);
  EXPECT_EQ(ledger->unreleased_resources()->size(), 2U);
  key.released = true;
  ASSERT_TRUE(ledger->record_resource(key));
  EXPECT_TRUE(ledger->resources("a")->at(0).released);
  ASSERT_EQ(ledger->unreleased_resources()->size(), 1U);
  EXPECT_EQ(ledger->unreleased_resources()->at(0).run, "b");
}

TEST_F(LedgerTest, EventsComeBackInOrderWithTheirData) {
  auto ledger = open();
  ASSERT_TRUE(ledger->add_event("a", "note", Json{{"text", "hello"}}));
  clock.advance(Millis(5));
  ASSERT_TRUE(ledger->add_event("a", "warning", nullptr));
  ASSERT_TRUE(ledger->add_event("b", "note", Json::array({1, 2})));
  const auto events = *ledger->events("a");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].data["text"], "hello");
  EXPECT_EQ(events[1].kind, "warning");
  EXPECT_EQ(events[1].time_ms, clock.now);
  EXPECT_TRUE(events[1].data.is_null());
}

TEST_F(LedgerTest, ARunHasOneAttemptWhichIsAsTheRunIsAndItsNodeIsTheMachineThatWasHadLast) {
  auto ledger = open();
  auto run = some_run("digits-7k2");
  ASSERT_TRUE(ledger->add_run(run));
  ASSERT_TRUE(ledger->add_run(some_run("another")));
  ASSERT_TRUE(ledger->move("digits-7k2", Phase::launching));
  ASSERT_TRUE(ledger->record_intent(some_instance("t-1")));
  auto machine = some_instance("t-2");
  ASSERT_TRUE(ledger->record_intent(machine));
  machine.zone = "us-east-1b";
  machine.state = Rent::live;
  ASSERT_TRUE(ledger->record_instance(machine));
  run.outcome = Outcome::failed;
  run.exit_code = 3;
  run.error = "exit 3";
  run.train_start_ms = 5;
  run.train_end_ms = 6;
  run.ended_ms = 7;
  ASSERT_TRUE(ledger->update(run));
  const auto attempts = ledger->attempts("digits-7k2").value();
  ASSERT_EQ(attempts.size(), 1U);
  const auto& attempt = attempts.front();
  EXPECT_EQ(attempt.n, 1);
  EXPECT_EQ(attempt.phase, Phase::launching);
  EXPECT_EQ(attempt.outcome, Outcome::failed);
  EXPECT_EQ(attempt.reason, "exit 3");
  EXPECT_EQ(attempt.place, "aws/us-east-1b");
  EXPECT_EQ(attempt.ended_ms, 7);
  const auto nodes = ledger->nodes("digits-7k2").value();
  ASSERT_EQ(nodes.size(), 1U);
  EXPECT_EQ(nodes.front().token, "t-2");
  EXPECT_EQ(nodes.front().exit_code, 3);
  EXPECT_EQ(nodes.front().train_end_ms, 6);
  EXPECT_EQ(ledger->attempts("another")->front().phase, Phase::checking);
  EXPECT_TRUE(ledger->nodes("another")->empty());
}

TEST_F(LedgerTest, AnotherAttemptOpensTheRunAgainAndKeepsWhatTheOneBeforeCameTo) {
  auto ledger = open();
  auto run = some_run("a");
  ASSERT_TRUE(ledger->add_run(run));
  ASSERT_TRUE(ledger->move("a", Phase::training));
  auto machine = some_instance("t-1");
  machine.run = "a";
  ASSERT_TRUE(ledger->record_intent(machine));
  run.outcome = Outcome::lost;
  run.error = "taken";
  run.outputs_home = true;
  run.train_start_ms = 5;
  ASSERT_TRUE(ledger->update(run));
  EXPECT_EQ(ledger->begin_attempt("a", "/home/runs/a").value(), 2);
  const auto now = ledger->run("a").value();
  EXPECT_EQ(now.phase, Phase::planning);
  EXPECT_EQ(now.outcome, Outcome::none);
  EXPECT_FALSE(now.exit_code || now.outputs_home || now.outputs_stored);
  EXPECT_EQ(now.error, "");
  EXPECT_EQ(now.train_start_ms, 0);
  machine.token = "t-2";
  ASSERT_TRUE(ledger->record_intent(machine));
  const auto attempts = ledger->attempts("a").value();
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(attempts[0].outcome, Outcome::lost);
  EXPECT_EQ(attempts[0].reason, "taken");
  EXPECT_EQ(attempts[0].phase, Phase::training);
  EXPECT_GT(attempts[0].ended_ms, 0);
  EXPECT_EQ(attempts[1].resumed_from, "/home/runs/a");
  EXPECT_EQ(attempts[1].phase, Phase::planning);
  const auto nodes = ledger->nodes("a").value();
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].token, "t-1");
  EXPECT_EQ(nodes[0].train_start_ms, 5);
  EXPECT_EQ(nodes[1].token, "t-2");
  ASSERT_TRUE(ledger->move("a", Phase::released));
  EXPECT_EQ(ledger->begin_attempt("a", "").error().kind, Kind::conflict);
}

TEST_F(LedgerTest, ObjectsAreRecordedAsAWholeInsteadOfThoseBefore) {
  auto ledger = open();
  ASSERT_TRUE(ledger->add_run(some_run("a")));
  const std::string odd = "outputs/\xff\n";
  ASSERT_TRUE(ledger->record_objects("a", {{.path = "b", .bytes = 2, .sha256 = "22", .home_ms = 9}, {.path = odd}}));
  ASSERT_TRUE(ledger->record_objects(
      "a", {{.path = odd, .kind = "sent"}, {.path = "a", .bytes = 1, .uri = "s3://x/a", .stored_ms = 8}}));
  const auto objects = ledger->objects("a").value();
  ASSERT_EQ(objects.size(), 2U);
  EXPECT_EQ(objects[0].path, "a");
  EXPECT_EQ(objects[0].uri, "s3://x/a");
  EXPECT_EQ(objects[0].stored_ms, 8);
  EXPECT_EQ(objects[0].home_ms, 0);
  EXPECT_EQ(objects[1].path, odd);
  EXPECT_EQ(objects[1].kind, "sent");
  EXPECT_TRUE(ledger->objects("b")->empty());
}

TEST_F(LedgerTest, ALedgerOfTheVersionBeforeComesOverInTheMiddleOfARunWhoseFollowerWritesOn) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file).flush();
  auto old = Database::open(file).value();
  ASSERT_TRUE(migrate(old, 0, 6));
  ASSERT_TRUE(old.execute(
      "INSERT INTO runs(name, task_name, infra, task, workdir, home, phase, outcome, exit_code, error, keep, "
      "outputs_home, created_ms, "
      "phase_ms, train_start_ms, train_end_ms, ended_ms) VALUES('r', 't', 'aws', '{}', '/w', '/h', 'training', 'none', "
      "NULL, '', 0, 0, 5, "
      "6, 7, 0, 0), ('q', 't', 'aws', '{}', '/w', '/h', 'released', 'lost', 3, 'gone', 0, 0, 1, 2, 3, 4, 5);"
      "INSERT INTO instances(token, run, world, region, endpoint, id, type, zone, address, ssh_port, login_user, "
      "hourly_micros, state, "
      "intent_ms, launched_ms, released_ms) VALUES('r-1', 'r', 'aws', 'us-east-1', '', '', 't3', '', '', 22, 'u', 1, "
      "'released', 8, 0, 9), "
      "('r-2', 'r', 'aws', 'us-east-1', '', 'i-2', 't3', 'us-east-1c', '', 22, 'u', 1, 'live', 10, 11, 0);"
      "INSERT INTO events(run, time_ms, kind, data) VALUES('q', 1, 'outputs', "
      "'{\"files\":[{\"path\":\"old\",\"bytes\":1,\"sha256\":\"00\"}]}'),"
      "('q', 2, 'outputs', '{\"files\":[{\"path\":\"m\",\"bytes\":5,\"sha256\":\"aa\",\"as_sent\":true}, "
      "{\"path\":\"bad\"}]}'),"
      "('r', 3, 'outputs', 'no JSON at all')"));
  auto ledger = open();
  const auto follower = [&](const char* sql) { ASSERT_TRUE(old.execute(sql)) << sql; };
  EXPECT_EQ(ledger->attempts("q")->front().reason, "gone");
  EXPECT_EQ(ledger->attempts("r")->front().place, "aws/us-east-1c");
  EXPECT_EQ(ledger->nodes("r")->front().token, "r-2");
  const auto objects = ledger->objects("q").value();
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects[0].path + objects[0].sha256 + objects[0].kind, "maasent");
  follower("UPDATE runs SET phase = 'fetching', phase_ms = 20 WHERE name = 'r'");
  follower("UPDATE runs SET exit_code = 0, train_end_ms = 21, outcome = 'succeeded', ended_ms = 22 WHERE name = 'r'");
  EXPECT_EQ(ledger->attempts("r")->front().phase, Phase::fetching);
  EXPECT_EQ(ledger->attempts("r")->front().ended_ms, 22);
  EXPECT_EQ(ledger->nodes("r")->front().exit_code, 0);
  follower(
      "INSERT INTO runs(name, task_name, infra, task, workdir, home, phase, outcome, exit_code, error, keep, "
      "outputs_home, created_ms, "
      "phase_ms, train_start_ms, train_end_ms, ended_ms) VALUES('s', 't', 'aws', '{}', '/w', '/h', 'checking', 'none', "
      "NULL, '', 0, 0, 5, 6, "
      "0, 0, 0)");
  EXPECT_EQ(ledger->attempts("s")->size(), 1U);
}

TEST_F(LedgerTest, NamesOfPhasesOutcomesAndRentsReadBack) {
  for (int i = 0; i <= static_cast<int>(Phase::released); ++i) {
    EXPECT_EQ(phase_from(name(static_cast<Phase>(i))), static_cast<Phase>(i));
  }
  for (int i = 0; i <= static_cast<int>(Outcome::not_started); ++i) {
    EXPECT_EQ(outcome_from(name(static_cast<Outcome>(i))), static_cast<Outcome>(i));
    EXPECT_EQ(name(static_cast<Outcome>(i)).find(' '), std::string_view::npos) << "JSON's words have no spaces";
  }
  EXPECT_EQ(outcome_from("did not start"), Outcome::not_started) << "an older ferry's word";
  EXPECT_EQ(words(Outcome::not_started), "did not start");
  EXPECT_EQ(rent_from("live"), Rent::live);
  EXPECT_EQ(phase_from("Training"), std::nullopt);
}

TEST_F(LedgerTest, OpeningACurrentLedgerWritesNothingAndTakesAMillisecond) {
  ASSERT_TRUE(open()->add_run(some_run("a")));
  const auto before = os::read_file(file).value();
  auto best = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    open()->runs(false).value();
    best = std::min(best, std::chrono::steady_clock::now() - start);
  }
  EXPECT_EQ(os::read_file(file).value(), before);
  EXPECT_LT(best, std::chrono::milliseconds(20));  // about 0.3 ms; generous for sanitizers and a busy machine
  RecordProperty("best_us", static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(best).count()));
}

TEST_F(LedgerTest, AMachineIsAdoptedWithItsRunAsAWholeOrNotAtAll) {
  auto ledger = open();
  auto instance = some_instance("stray-i-1");
  instance.run = "lost-1";
  instance.id = "i-1";
  instance.state = Rent::live;
  const Resource key{.run = "lost-1",
                     .provider = "aws",
                     .region = "us-east-1",
                     .endpoint = "",
                     .kind = "key-pair",
                     .name = "k",
                     .released = false,
                     .account = "",
                     .profile = ""};
  ASSERT_TRUE(ledger->adopt(some_run("lost-1"), instance, {key}));
  EXPECT_EQ(ledger->instances("lost-1")->at(0).id, "i-1");
  EXPECT_EQ(ledger->resources("lost-1")->size(), 1U);
  EXPECT_EQ(ledger->events("lost-1")->at(0).kind, "adopted");

  instance.run = "lost-2";
  EXPECT_EQ(ledger->adopt(some_run("lost-2"), instance, {key}).error().kind, Kind::exists);
  EXPECT_EQ(ledger->runs(false)->size(), 1U) << "no run without its machine";
}

}  // namespace
}  // namespace ferry::ledger
