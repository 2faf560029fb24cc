// Runs that wait for a machine: how long, what it costs, and who goes on with them.
#include <gtest/gtest.h>

#include <csignal>

#include "run/kept.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

constexpr const char* trains = "mkdir -p outputs; echo \"$FERRY_ATTEMPT\"; echo model >outputs/model";
const Error no_room{Kind::no_capacity, "there is no capacity", "everybody trains", "", "InsufficientInstanceCapacity"};

class Waiting : public ::testing::Test {
 protected:
  RunRequest request(Seconds wait = Seconds(6 * 3600)) {
    auto request = stage_.request(trains);
    request.wait = wait;
    return request;
  }
  /// From now until then nothing can be had.
  void no_room_for(Millis time, Error error = no_room) {
    is_full_ = true;
    stage_.clock.in(time, [this] { is_full_ = false; });
    stage_.cloud.refuse = [this, error](const cloud::LaunchRequest&) -> std::optional<Error> {
      for (const auto& one : stage_.cloud.machines()) EXPECT_NE(one.ended_ms, 0) << "a second machine";
      return is_full_ ? std::optional(error) : std::nullopt;
    };
  }

  Stage stage_;
  bool is_full_ = false;
};

TEST_F(Waiting, AMachineIsHadAsSoonAsThereIsRoomAndItIsOne) {
  no_room_for(Millis(2 * 3'600'000));
  const auto began = stage_.clock.now_ms();
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  const auto took = stage_.clock.now_ms() - began;
  EXPECT_LT(took, 2 * 3'600'000 + 15 * 60'000);
  EXPECT_LT(stage_.cloud.count("launch"), 300) << "asked too often";
  EXPECT_EQ(stage_.cloud.machines().size(), 1U);
  EXPECT_TRUE(stage_.was_shown("waits for one, at most until")) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("there was room after 2:"));
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, WithoutBeingAskedToNoRunWaits) {
  no_room_for(Millis(3'600'000));
  auto hasty = request();
  hasty.wait.reset();
  EXPECT_EQ(stage_.start(hasty), try_later);
  EXPECT_EQ(stage_.cloud.machines().size(), 0U);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, ItEndsWhenItsTimeIsOver) {
  no_room_for(Millis(9 * 3'600'000));
  const auto began = stage_.clock.now_ms();
  EXPECT_EQ(stage_.start(request(Seconds(3600))), try_later);
  EXPECT_NEAR(static_cast<double>(stage_.clock.now_ms() - began), 3'600'000, 60'000);
  EXPECT_EQ(stage_.run().outcome, Outcome::not_started);
  EXPECT_TRUE(stage_.was_shown("in all the time that was waited"));
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, WhatDoesNotPassIsNotWaitedFor) {
  no_room_for(Millis(9 * 3'600'000), {Kind::denied, "you may not", "", "", "UnauthorizedOperation"});
  EXPECT_EQ(stage_.start(request()), ferry_failed);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, ALimitThatIsRaisedMeanwhileIsWaitedFor) {
  no_room_for(Millis(3'600'000), {Kind::quota, "the limit is 0 vCPUs", "", "", "VcpuLimitExceeded"});
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, ACancelledOneEndsAtOnce) {
  no_room_for(Millis(9 * 3'600'000));
  stage_.when("begin wait", [] { ::raise(SIGTERM); });
  const auto began = stage_.clock.now_ms();
  EXPECT_EQ(stage_.start(request()), 130);
  EXPECT_LT(stage_.clock.now_ms() - began, 60'000);
  EXPECT_EQ(stage_.run().outcome, Outcome::cancelled);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, WhoseTerminalClosesWaitsOnInTheBackground) {
  no_room_for(Millis(3'600'000));
  stage_.when("begin wait", [] { ::raise(SIGHUP); });
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("waits for a machine in the background"));
  EXPECT_EQ(stage_.let_followers_end(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage_.cloud.machines().size(), 1U);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, AFerryThatIsKilledAtAnyStepOfItIsGoneOnFromWithExactlyOneMachine) {
  bool walked = false;
  for (int step = 1; !walked; step += 2) {
    ASSERT_LT(step, 400);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    int refusals = 2;
    stage.cloud.refuse = [&](const cloud::LaunchRequest&) -> std::optional<Error> {
      for (const auto& one : stage.cloud.machines()) EXPECT_NE(one.ended_ms, 0) << "a second machine";
      return refusals-- > 0 ? std::optional(no_room) : std::nullopt;
    };
    auto request = stage.request(trains);
    request.wait = Seconds(3600);
    stage.kill_at(step);
    const auto code = stage.start(request);
    walked = code.has_value();
    stage.recover_all();
    EXPECT_EQ(stage.trouble(), "") << stage.everything_shown();
    EXPECT_TRUE(!stage.was_shown("begin launch") || stage.model().empty()) << stage.everything_shown();
  }
}

TEST_F(Waiting, WhatWasKeptIsDamagedAndWhatIsRentedIsGivenBackAllTheSame) {
  stage_.when("begin connect", [] { throw Killed(); });
  EXPECT_EQ(stage_.start(request()), std::nullopt);
  auto run = stage_.run();
  run.task[kept_request] = {{"task", 7}};
  must(stage_.ledger().update(run));
  EXPECT_FALSE(stage_.cloud.left().empty());
  stage_.recover_all();
  EXPECT_EQ(stage_.run().phase, Phase::released) << stage_.everything_shown();
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, ANextAttemptWaitsWithoutBeingAskedTo) {
  auto wanted = stage_.request("[ $FERRY_ATTEMPT = 2 ] || exec sleep 1000; mkdir outputs; echo model >outputs/model");
  wanted.task.resources.recovery = task::Recovery{};
  stage_.when("begin train", [&] {
    stage_.cloud.end(stage_.machine_id());
    no_room_for(Millis(3'600'000));
  });
  EXPECT_EQ(stage_.start(wanted), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.cloud.machines().size(), 2U);
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Waiting, ALaunchWhoseAnswerWasLostIsGivenBackBeforeTheNextTry) {
  stage_.cloud.add(
      {.call = "launch", .error = {Kind::lost, "the answer was lost", "", "", ""}, .times = 1, .took_effect = true});
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  int running = 0;
  for (const auto& one : stage_.cloud.machines()) running += one.ended_ms == 0 ? 1 : 0;
  EXPECT_EQ(running, 0);
  EXPECT_EQ(stage_.trouble(), "");
}

}  // namespace
}  // namespace ferry::run
