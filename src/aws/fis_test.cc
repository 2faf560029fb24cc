#include "aws/fis.h"

#include <gtest/gtest.h>

namespace ferry::aws {
namespace {

using State = Experiment::State;

TEST(Experiment, IsUnderWayCompletedOrFailedWithItsReason) {
  const auto read = [](const char* status) {
    return parse_experiment({{"experiment", {{"id", "EXP1"}, {"state", {{"status", status}, {"reason", "why"}}}}}});
  };
  for (const char* status : {"pending", "initiating", "running"}) EXPECT_EQ(read(status)->state, State::under_way);
  EXPECT_EQ(read("completed")->state, State::completed);
  for (const char* status : {"stopping", "stopped", "failed", "cancelled", "new"})
    EXPECT_EQ(read(status)->state, State::failed);
  EXPECT_EQ(read("failed")->reason, "why");
  EXPECT_EQ(read("failed")->id, "EXP1");
}

TEST(Experiment, AnythingElseIsCorrupt) {
  for (const char* wrong : {"null", "[]", "{}", R"({"experiment": 3})", R"({"experiment": {"id": "EXP1"}})",
                            R"({"experiment": {"id": "EXP1", "state": "running"}})",
                            R"({"experiment": {"state": {"status": "running"}}})"}) {
    const auto read = parse_experiment(*parse_json(wrong));
    ASSERT_FALSE(read) << wrong;
    EXPECT_EQ(read.error().kind, Kind::corrupt);
  }
}

}  // namespace
}  // namespace ferry::aws
