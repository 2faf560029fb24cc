// What becomes of an attempt, by table: docs/decisions.md is made here.
#include "run/next_step.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "base/text.h"
#include "os/env.h"
#include "os/file.h"

namespace ferry::run {
namespace {

using How = AttemptEnd::How;
using Machine = AttemptEnd::Machine;

constexpr std::array<std::pair<How, const char*>, 6> hows = {{{How::over, "over"},
                                                              {How::failed, "failed"},
                                                              {How::interrupted, "interrupted"},
                                                              {How::trouble, "trouble"},
                                                              {How::passing, "passing"},
                                                              {How::cancelled, "cancelled"}}};
constexpr std::array<std::pair<Machine, const char*>, 5> machines = {{{Machine::none, "none"},
                                                                      {Machine::there, "there"},
                                                                      {Machine::stopped, "stopped"},
                                                                      {Machine::ended, "ended"},
                                                                      {Machine::taken, "taken"}}};
constexpr std::array<std::pair<Policy, const char*>, 7> policies = {
    {{Policy{}, "one attempt"},
     {Policy{.may_begin_again = true}, "attempts left"},
     {Policy{.may_begin_again = true, .recovers = true}, "… job_recovery"},
     {Policy{.may_begin_again = true, .recovers = true, .retries_failures = true}, "… and of its exit code"},
     {Policy{.recovers = true, .retries_failures = true}, "job_recovery, nothing left"},
     {Policy{.keeps_machine = true}, "--keep"},
     {Policy{.stops_machine = true}, "ends: stop"}}};

std::string words(Step step) {
  switch (step) {
    case Step::bring_home:
      return "bring home";
    case Step::leave:
      return "leave";
    case Step::leave_stopped:
      return "leave stopped";
    case Step::keep:
      return "keep";
    case Step::stop:
      return "stop";
    case Step::begin_again:
      return "begin again";
    case Step::give_back:
      return "give back";
  }
  return {};
}

constexpr const char* head = R"(# What ferry decides when an attempt ends

A run is tried in attempts, each on a machine of its own; usually there is one. When nothing is left to wait for, one
function decides what becomes of the machine and of the run: `next_step()` in `src/run/next_step.h`. It has no other
inputs than the columns below, and this table is made from it by its test, which fails when they differ.

How the attempt stands:

* **over**: the job ended well or was stopped, or nothing failed. **failed**: it ended by itself with an exit code other
  than 0. **interrupted**: the cloud said that it wants the machine back, and the job was stopped for that, or saved and
  left. **trouble**: something else failed, and the job may still run, or what it made cannot be had. **passing**: the
  same, by what passes by itself: the network, no room for a machine, a limit. **cancelled**: nobody waits for it any
  more.
* **machine**: *none* was rented; it is *there*, or nobody knows better; it is *stopped*; it *ended* by itself or
  because somebody called for that; it was *taken* by the cloud, as EC2 tells it (`Server.…`: a spot machine that was
  wanted back, hardware that failed).
* **holds outputs**: it may have what nothing else has: something of the task ran there, and its outputs are neither at
  home nor in the run's store.

What is done:

* *bring home*: fetch the outputs, or wait until they are stored; then the table is asked again.
* *leave*: the machine goes on; a follower in the background, or the next ferry command, comes back to it. Its own timer
  ends it at the latest.
* *leave stopped*: it is yours to start again or to give up (`ferry down`); only its disk costs.
* *keep*: it stays rented, as you asked.
* *stop*: the run is over; its machine is stopped, as `ends: stop` asks, and its disk stays until `ferry down`.
* *begin again*: it is given back, and when it is gone the next attempt begins on another machine, with exactly the code
  of the first and with what the run had saved (`FERRY_RESUMED=1`, `FERRY_ATTEMPT=2`).
* *give back*: the machine is ended, and so is the run.

An attempt is left as long as there were fewer than twenty, time is left of `max_duration` and money of what was agreed
to or of `budget`, for all attempts together, and you have not asked it to stop. Any ferry of the ledger that the run is
in can begin it: what was asked for and what was sent were kept, secrets excepted, which must be in its environment.
`job_recovery` is a field of the task's `resources`; with `use_spot` and without that field it is on, without both it is
off: then a training that its machine is taken from is lost, and only one that had not begun begins again.

| attempt | machine | holds outputs |)";

std::string document() {
  std::string text = head;
  for (const auto& [policy, name] : policies) text += fmt::format(" {} |", name);
  text += "\n|---|---|---|";
  for (std::size_t i = 0; i < policies.size(); ++i) text += "---|";
  text += "\n";
  for (const bool holds : {true, false}) {
    for (const auto& [machine, machine_word] : machines) {
      if (holds && machine == Machine::none) continue;  // there is nothing that could
      for (const auto& [how, how_word] : hows) {
        text += fmt::format("| {} | {} | {} |", how_word, machine_word, holds ? "yes" : "no");
        const AttemptEnd end{how, machine, holds};
        for (const auto& [policy, name] : policies) text += fmt::format(" {} |", words(next_step(end, policy)));
        text += "\n";
      }
    }
  }
  return text;
}

TEST(NextStep, IsAsTheDocumentTells) {
  const auto file = os::Path(os::env("FERRY_DOCS").value_or("../docs")) / "decisions.md";
  const auto wanted = document();
  if (os::env("FERRY_WRITE_DOCS")) (void)os::write_file(file, wanted);
  const auto found = os::read_file(file);
  ASSERT_TRUE(found) << file;
  const auto lines = split(wanted, '\n'), there = split(*found, '\n');
  ASSERT_EQ(lines.size(), there.size());
  for (std::size_t i = 0; i < lines.size(); ++i)
    EXPECT_EQ(lines[i], there[i]) << "line " << i + 1 << "; renew it: FERRY_WRITE_DOCS=1 ctest -R run_test";
}

/// Every policy there can be.
template <class Act>
void with_each_end_and_policy(Act act) {
  for (const auto& how : hows) {
    for (const auto& machine : machines) {
      for (const bool holds : {false, true}) {
        for (unsigned bits = 0; bits < 32; ++bits) {
          const Policy policy{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
          act(AttemptEnd{how.first, machine.first, holds}, policy);
        }
      }
    }
  }
}

TEST(NextStep, AMachineThatHoldsOutputsIsNeverGivenBackWhileItIsThere) {
  with_each_end_and_policy([](const AttemptEnd& end, const Policy& policy) {
    const bool is_there = end.machine == Machine::there || end.machine == Machine::stopped;
    if (!end.holds_outputs || !is_there) return;
    const auto step = next_step(end, policy);
    EXPECT_TRUE(step == Step::bring_home || step == Step::leave || step == Step::leave_stopped) << words(step);
  });
}

TEST(NextStep, WithoutOutputsNothingStaysRentedUnlessItWasAskedFor) {
  with_each_end_and_policy([](const AttemptEnd& end, const Policy& policy) {
    if (end.holds_outputs) return;
    const auto step = next_step(end, policy);
    EXPECT_TRUE(step == Step::give_back || step == Step::begin_again || (step == Step::keep && policy.keeps_machine) ||
                (step == Step::stop && policy.stops_machine))
        << words(step);
  });
}

TEST(NextStep, NothingBeginsAgainThatNobodyWantsOrThatSomebodyEnded) {
  with_each_end_and_policy([](const AttemptEnd& end, const Policy& policy) {
    if (next_step(end, policy) != Step::begin_again) return;
    EXPECT_TRUE(policy.may_begin_again);
    EXPECT_NE(end.how, How::cancelled);
    const bool recovers = end.how == How::interrupted || end.how == How::passing;
    EXPECT_TRUE(end.machine == Machine::taken || (end.how == How::failed && policy.retries_failures) ||
                (recovers && policy.recovers));
  });
}

}  // namespace
}  // namespace ferry::run
