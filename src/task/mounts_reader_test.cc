#include <fmt/format.h>
#include <gmock/gmock.h>

#include "task/data_url.h"
#include "task/task.h"

namespace ferry::task {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Task mounted(std::string_view yaml) {
  auto task = parse_task(yaml, "t.yaml");
  EXPECT_TRUE(task) << (task ? "" : describe(task.error()));
  if (!task) return {};
  const auto filled = fill_variables(*task);
  EXPECT_TRUE(filled) << (filled ? "" : describe(filled.error()));
  return *task;
}

TEST(FileMounts, AreReadInEachFormThatSkyPilotHas) {
  struct Row {
    const char *yaml, *target, *url;
    MountMode mode;
    bool is_written;
  };
  const Row rows[] = {
      {"/data: s3://a-bucket/set/", "/data", "s3://a-bucket/set/", MountMode::copy, false},
      {"data: s3://a-bucket", "data", "s3://a-bucket", MountMode::copy, false},
      {"~/d: {source: s3://a-bucket/x, mode: COPY}", "~/d", "s3://a-bucket/x", MountMode::copy, false},
      {"/d: {source: s3://a-bucket/x}", "/d", "s3://a-bucket/x", MountMode::mount, true},
      {"/d: {name: n, source: s3://a-bucket, mode: mount, store: s3, persistent: true}", "/d", "s3://a-bucket",
       MountMode::mount, true},
      {"/d: {source: s3://a-bucket, mode: MOUNT_CACHED, config: {mount_cached: {transfers: 4}}}", "/d", "s3://a-bucket",
       MountMode::cached, true},
      {"/d: {source: s3://a-bucket, type: DATASET_RO}", "/d", "s3://a-bucket", MountMode::mount, false},
      {"/d: {source: s3://a-bucket, config: {mount: {read_only: true}}}", "/d", "s3://a-bucket", MountMode::mount,
       false},
      {"/d: 'https://a-bucket.s3.eu-west-1.amazonaws.com/a%20b/c'", "/d", "s3://a-bucket/a b/c", MountMode::copy,
       false},
      {"/d: https://s3.us-west-2.amazonaws.com/a-bucket/x/", "/d", "s3://a-bucket/x/", MountMode::copy, false},
      {"/d: https://a.b.s3.amazonaws.com/x", "/d", "s3://a.b/x", MountMode::copy, false},
      {"/d: 'https://a-bucket.s3.amazonaws.com/x?X-Amz-Signature=00'", "/d",
       "https://a-bucket.s3.amazonaws.com/x?X-Amz-Signature=00", MountMode::copy, false},
      {"/d.zip: https://example.org:8443/d.zip", "/d.zip", "https://example.org:8443/d.zip", MountMode::copy, false},
  };
  for (const auto& row : rows) {
    const auto task = mounted(fmt::format("file_mounts:\n  {}\n", row.yaml));
    ASSERT_EQ(task.data.size(), 1U) << row.yaml;
    EXPECT_EQ(task.data[0].target, row.target) << row.yaml;
    EXPECT_EQ(task.data[0].url, row.url) << row.yaml;
    EXPECT_EQ(task.data[0].mode, row.mode) << row.yaml;
    EXPECT_EQ(task.data[0].is_written, row.is_written) << row.yaml;
    EXPECT_EQ(task.checkpoints.size(), row.is_written ? 1U : 0U) << row.yaml;
    EXPECT_THAT(task.data[0].at, StartsWith("t.yaml:2:")) << row.yaml;
    EXPECT_TRUE(task.not_yet.empty()) << row.yaml;
  }
}

TEST(FileMounts, OfABucketThatIsOnlyNamedAreFoldersThatComeHomeAndALineSaysSo) {
  const auto task = mounted(
      "envs: {B: my-ckpts}\nfile_mounts:\n  /ckpt/x: {name: $B, mode: MOUNT}\n  ~/out: {name: b, store: gcs}\n"
      "  logs: {name: l, persistent: false}\n");
  ASSERT_EQ(task.output_folders.size(), 3U);
  EXPECT_EQ(task.output_folders[0].bucket, "my-ckpts");
  EXPECT_THAT(task.checkpoints, ElementsAre("mounts/ckpt/x/", "mounts/out/", "logs/"));
  ASSERT_EQ(task.not_yet.size(), 3U);
  EXPECT_THAT(task.not_yet[0], StartsWith("t.yaml:3: file_mounts: /ckpt/x: no bucket is made"));
  EXPECT_THAT(task.not_yet[1], HasSubstr("comes home, as mounts/out/"));
}

TEST(FileMounts, BelowTheWorkdirHaveAPlaceForWhatTheirBucketLacks) {
  const auto task = mounted("file_mounts:\n  out/x: {source: s3://a-bucket}\n  ~/y: {source: s3://b-bucket}\n");
  EXPECT_THAT(task.checkpoints, ElementsAre("out/x/", "mounts/out/x/", "mounts/y/"));
  EXPECT_EQ(unsent_place("out/x"), "mounts/out/x");
  EXPECT_EQ(unsent_place("/out/x"), "mounts/out/x");
}

TEST(FileMounts, OfFilesHereThatABucketWouldHoldGoOverAndComeHome) {
  const auto task =
      mounted("file_mounts:\n  /d: {name: b, source: ./x}\n  /e: {name: b, source: [./one, ~/two/], mode: COPY}\n");
  ASSERT_EQ(task.mounts.size(), 3U);
  EXPECT_TRUE(task.mounts[0].comes_home);
  EXPECT_EQ(task.mounts[1].target, "/e/one");
  EXPECT_EQ(task.mounts[2].target, "/e/two");
  EXPECT_FALSE(task.mounts[2].comes_home);
  EXPECT_THAT(task.checkpoints, ElementsAre("mounts/d/"));
}

TEST(FileMounts, ThatCannotBeAreAllToldAtOnceWithTheirPlacesAndWhatToDo) {
  const auto task = parse_task(
      "file_mounts:\n  /a: gs://b/c\n  /b: {source: r2://x/y}\n  /c: {sauce: s3://b-b}\n  /d: {mode: MOUNT}\n"
      "  /e: {name: n, mode: MONT}\n  /f: s3://B/x\n  /g: 's3://a-bucket/*.tar'\n  /h: https://example.org/folder/\n"
      "  /i: hf://datasets/a/b\n  /j: ftp://x/y\n  /k: [a, b]\n  /l: {source: [s3://a-bucket]}\n  /m: "
      "s3://a-bucket/a/../b\n",
      "t.yaml");
  ASSERT_FALSE(task);
  std::vector<std::string> all = {task.error().what};
  for (const auto& other : task.error().more) all.push_back(other.what);
  EXPECT_THAT(all, ElementsAre(StartsWith("t.yaml:2:7: file_mounts: 'gs://b/c' cannot be brought"),
                               StartsWith("t.yaml:3:16: file_mounts: 'r2://x/y' cannot"),
                               StartsWith("t.yaml:4:8: unknown field 'sauce' in storage"),
                               StartsWith("t.yaml:5:3: file_mounts: '/d' has neither a source nor a name"),
                               StartsWith("t.yaml:6:23: unknown mode 'MONT'"),
                               StartsWith("t.yaml:7:7: file_mounts: 's3://B/x' is no place"),
                               StartsWith("t.yaml:8:7: "), StartsWith("t.yaml:9:7: "), StartsWith("t.yaml:10:7: "),
                               StartsWith("t.yaml:11:7: "), StartsWith("t.yaml:12:7: '/k' must be text or a mapping"),
                               StartsWith("t.yaml:13:17: "), StartsWith("t.yaml:14:7: ")));
  EXPECT_EQ(task.error().kind, Kind::unsupported);
  EXPECT_THAT(task.error().advice, HasSubstr("gcloud storage cp -r gs://b/c"));
}

TEST(FileMounts, ThatVariablesMakeSomethingElseAreRefusedWhenTheirValuesAreKnown) {
  auto task = *parse_task("envs: {U: 's3://a-bucket/x'}\nfile_mounts: {/d: {source: '$U'}, /e: $U}\n", "t.yaml");
  EXPECT_EQ(task.mounts.size(), 2U);  // until then it may be a file of this computer
  ASSERT_TRUE(fill_variables(task));
  ASSERT_EQ(task.data.size(), 2U);
  EXPECT_EQ(task.data[0].url, "s3://a-bucket/x");
  EXPECT_EQ(task.data[0].mode, MountMode::mount);
  EXPECT_FALSE(task.data[1].is_written);
  auto other = *parse_task("envs: {U: 'Up'}\nfile_mounts: {/d: 's3://$U/x'}\n", "t.yaml");
  EXPECT_THAT(fill_variables(other).error().what, HasSubstr("t.yaml:2:19: file_mounts: 's3://Up/x' is no place"));
}

TEST(Volumes, OfACommandLineAreReadAsDockerHasThem) {
  Task task;
  for (const auto* good : {"./d:data", "~/d:/data:rw", "s3://a-bucket/x:/b:ro", "s3://a-bucket/x/:c:rw",
                           "https://example.org:81/a.zip:a.zip"})
    EXPECT_TRUE(add_volume(good, "-v", task)) << good;
  ASSERT_EQ(task.mounts.size(), 2U);
  EXPECT_FALSE(task.mounts[0].comes_home);
  EXPECT_TRUE(task.mounts[1].comes_home);
  ASSERT_EQ(task.data.size(), 3U);
  EXPECT_FALSE(task.data[0].is_written);
  EXPECT_EQ(task.data[1].url, "s3://a-bucket/x/");
  EXPECT_TRUE(task.data[1].is_written);
  EXPECT_EQ(task.data[2].url, "https://example.org:81/a.zip");
  for (const auto* bad : {"data", ":data", "data:", "a:b:c", "s3://a-bucket", "gs://b/x:/d", "./d:/etc/x",
                          "https://example.org/a:a:rw", "a:../b"}) {
    const auto added = add_volume(bad, "-v", task);
    ASSERT_FALSE(added) << bad;
    EXPECT_THAT(added.error().what, StartsWith("-v: ")) << bad;
  }
}

}  // namespace
}  // namespace ferry::task
