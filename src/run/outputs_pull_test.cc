#include "job/outputs_pull.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/text.h"
#include "job/outputs.h"
#include "run/actions.h"
#include "run/reach.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

TEST(OutputsPull, RestsSoThatItTakesLittleTimeAndLittleMoney) {
  struct Row {
    std::int64_t took_ms;
    std::uint64_t wire_bytes;
    std::int64_t hourly_micros;
    std::int64_t rest_ms;
  };
  const Row rows[] = {
      {0, 0, 0, 10'000},                             // never less than the least
      {100, 50'000'000'000, 0, 10'000},              // a machine of one's own: data costs nothing
      {2'000, 0, 1'000'000, 20'000},                 // ten times what it took
      {1'000, 1'000'000'000, 1'800'000, 3'600'000},  // 9 cents: a twentieth of an hour at $1.80
      {1'000, 1'000'000'000, 36'000'000, 180'000},   // of a large machine: three minutes
      {1'000, 1'000'000, 1'000'000, 10'000},         // what is small is free
      {0, ~std::uint64_t{0}, 1, 365LL * 24 * 3'600'000},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.rest_ms);
    EXPECT_EQ(job::rest_after_pull(Millis(row.took_ms), row.wire_bytes, Usd{row.hourly_micros}, Millis(10'000)).count(),
              row.rest_ms);
  }
}

/// A job that trains on, with pulls that are ticked by hand.
class Pulls : public ::testing::Test {
 protected:
  Pulls() {
    stage_.leave_at(ledger::Phase::training, "mkdir outputs; cd outputs; echo 1 >one; echo 2 >two; exec sleep 1000");
  }

  os::Path on_machine(const char* file) {
    return stage_.machine().home() / "ferry" / stage_.run().name / "outputs" / file;
  }
  std::string at_home(const char* file) { return os::read_file(stage_.home() / "outputs" / file).value_or("(none)"); }
  /// Ticks until `done` holds; the file system's times and the job are real.
  void pull_until(job::OutputsPull& pull, const std::function<bool()>& done) {
    for (int i = 0; i < 3000 && !done(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      pull.tick(steady_ += 10);
    }
    EXPECT_TRUE(done());
  }
  void with_pulls(const std::function<void(job::OutputsPull&)>& act) {
    stage_.process([&](fleet::Context& context) {
      auto reached = must(reach(context, stage_.run()));
      const auto run = stage_.run();
      job::OutputsPull pull(reached.connection, run, fleet::RunDir(stage_.data(), run.name), Millis(50), pulled_);
      act(pull);
    });
  }

  Stage stage_;
  job::Pulled pulled_;
  std::int64_t steady_ = 1;
};

TEST_F(Pulls, BringWhatIsCompleteAndAgainWhatIsNew) {
  with_pulls([&](job::OutputsPull& pull) {
    pull_until(pull, [&] { return pulled_.home.size() == 2; });
    EXPECT_EQ(at_home("one") + at_home("two"), "1\n2\n");
    const auto half = must(os::open_file(on_machine("three"), O_WRONLY | O_CREAT, 0644));
    ASSERT_TRUE(os::write_all(half.get(), "half"));
    ASSERT_TRUE(os::write_file(on_machine("one"), "one and a half"));
    pull_until(pull, [&] { return at_home("one") == "one and a half"; });
    EXPECT_EQ(at_home("three"), "(none)");
  });
}

TEST_F(Pulls, BeginAtOnceWhenTheMachineMaySoonBeGone) {
  stage_.process([&](fleet::Context& context) {
    auto reached = must(reach(context, stage_.run()));
    const auto run = stage_.run();
    job::OutputsPull pull(reached.connection, run, fleet::RunDir(stage_.data(), run.name), Seconds(3600), pulled_);
    pull.tick(steady_);
    pull.hurry();
    pull_until(pull, [&] { return pulled_.home.size() == 2; });
    ASSERT_TRUE(os::write_file(on_machine("three"), "3"));
    pull_until(pull, [&] { return at_home("three") == "3"; });
  });
}

TEST_F(Pulls, TakeAwayWhatTheTrainingTookAwayButNotWhatSomebodyFetched) {
  with_pulls([&](job::OutputsPull& pull) {
    pull_until(pull, [&] { return pulled_.home.size() == 2; });
    std::filesystem::remove(on_machine("one"));
    pull_until(pull, [&] { return at_home("one") == "(none)"; });
    EXPECT_EQ(at_home("two"), "2\n");
    pull.finish(*std::make_unique<fleet::Context>(stage_.context()));
    stage_.process([&](fleet::Context& context) { EXPECT_TRUE(fetch(context, stage_.run().name)); });
    std::filesystem::remove(on_machine("two"));
    pull_until(pull, [&] { return pulled_.home.empty(); });
    EXPECT_EQ(at_home("two"), "2\n");
  });
}

TEST_F(Pulls, TakeNothingAwayWhereTheWholeFolderIsGone) {
  with_pulls([&](job::OutputsPull& pull) {
    pull_until(pull, [&] { return pulled_.home.size() == 2; });
    const auto outputs = on_machine("one").parent_path();
    std::filesystem::rename(outputs, outputs.parent_path() / "old");
    pull_until(pull, [&] { return pulled_.home.empty(); });
    EXPECT_EQ(at_home("one") + at_home("two"), "1\n2\n");
    std::filesystem::rename(outputs.parent_path() / "old", outputs);
    std::filesystem::remove(on_machine("one"));
    pull_until(pull, [&] { return at_home("one") == "(none)"; });
    EXPECT_EQ(at_home("two"), "2\n");
  });
}

TEST_F(Pulls, LeaveWhatWasChangedAtHome) {
  with_pulls([&](job::OutputsPull& pull) {
    pull_until(pull, [&] { return pulled_.home.size() == 2; });
    ASSERT_TRUE(os::write_file(stage_.home() / "outputs/one", "mine now"));
    std::filesystem::remove(on_machine("one"));
    pull_until(pull, [&] { return pulled_.home.size() == 1; });
    EXPECT_EQ(at_home("one"), "mine now");
  });
}

}  // namespace
}  // namespace ferry::run
