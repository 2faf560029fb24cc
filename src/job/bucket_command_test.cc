#include "job/bucket_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace ferry::job {
namespace {

using task::MountMode;
using testing::HasSubstr;

MountTools tools(std::string_view more) {
  return mount_tools_from(fmt::format(
      "Welcome to Ubuntu\nno_fuse=\nothers=1\nuid=1000\ngid=1001\nscratch=/mnt/ferry-scratch\nfree=1000000\n{}", more));
}
BucketMount bucket(MountMode mode, bool is_written) {
  return {.bucket = "a-bucket",
          .key = "it's a \"set\"; $x",
          .region = "eu-west-1",
          .endpoint = {},
          .mode = mode,
          .is_written = is_written,
          .place = "/home/u/.ferry/runs/r/buckets/0",
          .cache = "/mnt/ferry-scratch/.cache/ferry/r-0",
          .cache_bytes = 800000};
}
std::string words(const MountTools& have, const BucketMount& mount) { return join(mount_words(have, mount), "|"); }

TEST(BucketCommand, MountS3ComesFirstForMountAndRcloneForTheRest) {
  const auto both = tools("tool=mount-s3\ntool=rclone\n");
  EXPECT_EQ(tool_for(both, MountMode::mount), MountTool::mount_s3);
  EXPECT_EQ(tool_for(both, MountMode::cached), MountTool::rclone);
  EXPECT_EQ(tool_for(both, MountMode::copy), MountTool::none);
  EXPECT_EQ(tool_for(tools("tool=rclone\n"), MountMode::mount), MountTool::rclone);
  EXPECT_EQ(tool_for(tools("tool=mount-s3\n"), MountMode::cached), MountTool::none);
}

TEST(BucketCommand, WhyItIsNotMountedSaysWhatIsMissing) {
  const auto why = [](const std::string& more, MountMode mode, bool in_container) {
    return why_not_mounted(tools(more), mode, in_container);
  };
  EXPECT_EQ(why("tool=rclone\n", MountMode::cached, true), "");
  EXPECT_THAT(why("", MountMode::mount, false), HasSubstr("neither mount-s3 nor rclone"));
  EXPECT_THAT(why("tool=mount-s3\n", MountMode::cached, false), HasSubstr("no rclone"));
  EXPECT_EQ(why("tool=rclone\nno_fuse=no /dev/fuse\n", MountMode::mount, false), "no /dev/fuse");
  EXPECT_EQ(why("tool=rclone\nothers=0\n", MountMode::mount, false), "");
  EXPECT_THAT(why("tool=rclone\nothers=0\n", MountMode::mount, true), HasSubstr("user_allow_other"));
  EXPECT_FALSE(why_not_mounted(mount_tools_from("bash: no such thing"), MountMode::mount, false).empty());
  EXPECT_FALSE(why_not_mounted(mount_tools_from("tool=rclone\n"), MountMode::mount, false).empty());
}

TEST(BucketCommand, OfMountS3SaysWhatMayBeDoneThere) {
  const auto have = tools("tool=mount-s3\n");
  const std::string head =
      "mount-s3|a-bucket|/home/u/.ferry/runs/r/buckets/0|--foreground|--prefix|it's a \"set\"; $x/|--region|eu-west-1|";
  const std::string tail = "|--allow-other|--uid|1000|--gid|1001|--dir-mode|0755|--file-mode|0644";
  EXPECT_EQ(words(have, bucket(MountMode::mount, true)), head + "--allow-delete|--allow-overwrite" + tail);
  EXPECT_EQ(words(have, bucket(MountMode::mount, false)), head + "--read-only" + tail);
  auto open = bucket(MountMode::mount, false);
  open.key.clear();
  open.is_anonymous = true;
  open.endpoint = "http://10.0.0.1:9000";
  EXPECT_EQ(words(tools("tool=mount-s3\nothers=0\n"), open),
            "mount-s3|a-bucket|/home/u/.ferry/runs/r/buckets/0|--foreground|--region|eu-west-1|--endpoint-url|"
            "http://10.0.0.1:9000|--force-path-style|--no-sign-request|--read-only|--uid|1000|--gid|1001|--dir-mode|"
            "0755|--file-mode|0644");
  EXPECT_EQ(name_in_cache(have, bucket(MountMode::mount, true)), "") << "it holds nothing back";
}

TEST(BucketCommand, OfRcloneHasItsRemoteInItsEnvironmentAndKeepsWhatIsWrittenUntilItIsPut) {
  const auto have = tools("tool=rclone\n");
  const auto written = words(have, bucket(MountMode::mount, true));
  EXPECT_THAT(written, testing::StartsWith(
                           "RCLONE_CONFIG=/dev/null|RCLONE_CONFIG_FERRY_TYPE=s3|RCLONE_CONFIG_FERRY_PROVIDER=AWS|"
                           "RCLONE_CONFIG_FERRY_ENV_AUTH=true|RCLONE_CONFIG_FERRY_NO_CHECK_BUCKET=true|"
                           "RCLONE_CONFIG_FERRY_ACL=bucket-owner-full-control|"
                           "RCLONE_CONFIG_FERRY_REGION=eu-west-1|rclone|mount|ferry:a-bucket/it's a \"set\"; $x/|"
                           "/home/u/.ferry/runs/r/buckets/0|--vfs-cache-mode|writes|--cache-dir|"
                           "/mnt/ferry-scratch/.cache/ferry/r-0|--vfs-cache-max-size|800000B|--vfs-write-back|1s"));
  EXPECT_THAT(written, HasSubstr("|--allow-other|--uid|1000|--gid|1001|"));
  EXPECT_THAT(written, testing::Not(HasSubstr("--read-only")));
  EXPECT_THAT(words(have, bucket(MountMode::cached, true)), HasSubstr("--vfs-cache-mode|full|"));
  const auto read = words(have, bucket(MountMode::mount, false));
  EXPECT_THAT(read, HasSubstr("--vfs-cache-mode|off|"));
  EXPECT_THAT(read, HasSubstr("|--read-only|"));
  EXPECT_THAT(words(have, bucket(MountMode::cached, false)), HasSubstr("--vfs-cache-mode|full|"));
  auto open = bucket(MountMode::mount, false);
  open.is_anonymous = true;
  open.endpoint = "http://10.0.0.1:9000";
  EXPECT_THAT(words(have, open),
              testing::AllOf(HasSubstr("PROVIDER=Other|RCLONE_CONFIG_FERRY_ENV_AUTH=false|"),
                             HasSubstr("ENDPOINT=http://10.0.0.1:9000|RCLONE_CONFIG_FERRY_FORCE_PATH_STYLE=true|")));
  EXPECT_EQ(name_in_cache(have, bucket(MountMode::cached, true)), "a-bucket/it's a \"set\"; $x");
  EXPECT_EQ(name_in_cache(have, bucket(MountMode::cached, false)), "");
  auto whole = bucket(MountMode::mount, true);
  whole.key.clear();
  EXPECT_EQ(name_in_cache(have, whole), "a-bucket");
}

}  // namespace
}  // namespace ferry::job
