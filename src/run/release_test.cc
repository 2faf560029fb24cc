// Ending one machine, whatever the cloud says and does not say, on a clock turned by hand.
#include <gtest/gtest.h>

#include "fleet/machine.h"
#include "run/stage.h"

namespace ferry::run::release_test {
namespace {

struct ReleaseTest : testing::Test {
  ReleaseTest() {
    stage.leave_at(ledger::Phase::connecting);
    id = stage.machine_id();
  }
  Result<std::vector<std::string>> release() {
    began = stage.clock.now_ms();
    auto here = stage.context();
    return fleet::release_all(here, stage.run());
  }
  void refuse_to_end(Kind kind) { stage.cloud.add({.call = "terminate", .error = failure(kind), .times = -1}); }
  /// When the ledger says that the machine ended.
  std::int64_t released_ms() { return must(stage.ledger().instances(stage.run().name)).front().released_ms; }
  std::int64_t waited() { return stage.clock.now_ms() - began; }

  Stage stage;
  std::string id;
  std::int64_t began = 0;
};

TEST_F(ReleaseTest, AMachineThatEndsItselfNeedsNoHearing) {
  stage.cloud.tells_ends = false;
  refuse_to_end(Kind::throttled);
  std::int64_t ended = 0;
  stage.clock.in(Millis(3'800), [&] {
    ended = stage.clock.now_ms();
    stage.cloud.end(id);
  });
  const auto gone = release();
  ASSERT_TRUE(gone) << describe(gone.error());
  EXPECT_EQ(*gone, std::vector<std::string>{id});
  EXPECT_LE(std::abs(released_ms() - ended), 1000);
  EXPECT_LT(waited(), 10'000) << "nothing was waited for after its end";
}

TEST_F(ReleaseTest, TheEndIsTheCloudsAndNotWhenWeLooked) {
  const auto ended = stage.clock.now_ms();
  stage.cloud.end(id);
  stage.clock.sleep(stage.cloud.memory / 2);
  ASSERT_TRUE(release());
  EXPECT_EQ(released_ms(), ended);
}

TEST_F(ReleaseTest, AnEndThatNobodyHearsIsAnErrorAfterItsLimitAndTheMachineStaysNoted) {
  refuse_to_end(Kind::throttled);
  const auto released = release();
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().kind, Kind::throttled);
  EXPECT_EQ(stage.ledger().unreleased()->size(), 1U);
  EXPECT_GE(waited(), 180'000);
  EXPECT_LT(waited(), 260'000);
}

TEST_F(ReleaseTest, ARefusalIsToldWhenTheMachineHasNotEndedItselfWithinAMinute) {
  refuse_to_end(Kind::denied);
  EXPECT_EQ(release().error().kind, Kind::denied);
  EXPECT_LT(waited(), 62'000);
  EXPECT_EQ(stage.ledger().unreleased()->size(), 1U);
}

TEST_F(ReleaseTest, AYoungMachineThatIsNotKnownYetIsWaitedForAndEnded) {
  stage.cloud.invisible = Millis(12'000);
  const auto visible = stage.cloud.machines().front().rented_ms + 12'000;
  ASSERT_TRUE(release());
  EXPECT_GE(stage.cloud.count("terminate"), 2);
  EXPECT_GE(released_ms(), visible);
  EXPECT_EQ(stage.cloud.left().size(), 0U);
}

TEST_F(ReleaseTest, AnOrderThatChangesNothingIsGivenAgain) {
  stage.cloud.ignored_ends = 2;
  ASSERT_TRUE(release());
  EXPECT_EQ(stage.cloud.count("terminate"), 3);
}

}  // namespace
}  // namespace ferry::run::release_test
