// `ferry extend`, killed between any two of its steps: the machine has a timer and the training a limit that come by
// themselves, and what it may cost then was reserved before.
#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

constexpr Seconds added{7'200};

/// What the machine has for an end of its own.
class Ends {
 public:
  explicit Ends(Stage& stage)
      : agent_(stage.machine().home() / ".ferry/runs" / stage.run().name / "state.json"),
        timer_(stage.machine().home() / ("ferry-end-" + stage.run().name)) {}

  /// As a machine is booted: its timer looks at this file when its time has come.
  void arm() const { must(os::write_file(timer_, "0\n")); }
  /// The agent's limit, in milliseconds since 1970.
  std::int64_t limit() const { return int_at(must(parse_json(must(os::read_file(agent_))))["status"], "deadline_ms"); }
  /// To when the timer was put off, in seconds of uptime; 0: it was not.
  std::int64_t timer() const { return parse_int(trim(must(os::read_file(timer_)))).value_or(-1); }
  static std::int64_t uptime() {
    return parse_int(split(must(os::read_file("/proc/uptime")), '.').front()).value_or(0);
  }

 private:
  os::Path agent_, timer_;
};

Usd reserved(Stage& stage) { return must(stage.ledger().reservation(stage.run().name)).value().at_most; }

using ledger::Phase;

TEST(ExtendKilledAnywhere, LeavesATimerAndALimitThatComeByThemselves) {
  int kills = 0, only_reserved = 0;
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 50);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.leave_at(Phase::training,
                   "until [ -e \"$HOME/may-end\" ]; do sleep 0.02; done; mkdir outputs; echo model >outputs/model");
    const Usd before{2'000'000};
    must(stage.ledger().reserve({.run = stage.run().name,
                                 .provider = "rehearsal",
                                 .at_most = before,
                                 .hourly = Usd{1'000'000},
                                 .machine_hourly = Usd{1'000'000}},
                                {}));
    const Ends ends(stage);
    ends.arm();
    const auto limit = ends.limit();
    stage.reservations_are_steps = true;
    stage.kill_at(step);
    const bool lived = stage.process([&](fleet::Context& here) {
      const auto extended = extend(here, stage.run().name, {.time = added, .budget = {}, .ask = {}});
      EXPECT_TRUE(extended) << describe(extended.error());
    });
    const auto moved = Seconds((ends.limit() - limit) / 1000);
    EXPECT_TRUE(moved == Seconds(0) || moved == added) << moved.count();
    // The timer never comes before the limit, and it comes.
    const auto timer = ends.timer();
    EXPECT_TRUE(moved == Seconds(0) || timer >= Ends::uptime() + added.count()) << timer;
    EXPECT_LE(timer, Ends::uptime() + 4 * 3'600 + 1'800);
    // What was promised is paid for, and no more is promised than was reserved.
    EXPECT_TRUE(moved == Seconds(0) || reserved(stage).micros > 3'000'000) << show(reserved(stage));
    only_reserved += moved == Seconds(0) && reserved(stage) > before ? 1 : 0;
    must(os::write_file(stage.machine().home() / "may-end", ""));
    stage.recover_all();
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.trouble(), "");
    if (lived) {
      EXPECT_EQ(moved, added);
      break;
    }
    ++kills;
  }
  EXPECT_GE(kills, 3);
  EXPECT_GE(only_reserved, 1) << "the money comes first";
}

}  // namespace
}  // namespace ferry::run
