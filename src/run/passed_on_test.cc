#include "run/passed_on.h"

#include <gtest/gtest.h>

namespace ferry::run {
namespace {

TEST(PassingOnByTheStore, IsForTwoRunsWithTheSameStoreInTheSameCloudOfWhichTheFirstIsWholeThere) {
  ledger::Run before;
  before.name = "prepare-7k2";
  before.infra = "aws/eu-west-1";
  before.store = "s3://bucket/team";
  before.outputs_stored = true;
  const auto may = [&](const std::string& store, task::Provider provider) {
    return may_be_taken(before, store, provider);
  };
  EXPECT_TRUE(may("s3://bucket/team", task::Provider::aws));
  EXPECT_FALSE(may("s3://bucket/other", task::Provider::aws));
  EXPECT_FALSE(may("", task::Provider::aws));
  EXPECT_FALSE(may("s3://bucket/team", task::Provider::rehearsal)) << "that has an S3 of its own";
  EXPECT_FALSE(may("s3://bucket/team", task::Provider::ssh));
  before.outputs_stored = false;
  EXPECT_FALSE(may("s3://bucket/team", task::Provider::aws)) << "they were fetched from the machine";
  before.outputs_stored = true;
  before.infra = "ssh/host";
  EXPECT_FALSE(may("s3://bucket/team", task::Provider::ssh)) << "no machine of one's own has a role";
  before.store = "/shared";
  before.infra = "aws";
  EXPECT_FALSE(may("/shared", task::Provider::aws));
}

TEST(PassingOnByTheStore, TheTaskSaysWhatIsTakenAndALineFromWhere) {
  RunRequest request;
  request.task.store = "s3://bucket/team";
  std::vector<std::string> lines;
  const Found found{{}, {"prepare-7k2", 2, std::string(64, 'a')}};
  note_taken(request, found, {.files = 3, .bytes = 20'000'000}, lines);
  EXPECT_TRUE(request.task.taken == found.what);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("what prepare-7k2 made (3 files, 20"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("from the store, s3://bucket/team"), std::string::npos) << lines[0];
  RunRequest other;
  note_taken(other, found, {}, lines);
  EXPECT_FALSE(other.task.taken);
  EXPECT_NE(lines.back().find("is sent from here"), std::string::npos) << lines.back();
}

}  // namespace
}  // namespace ferry::run
