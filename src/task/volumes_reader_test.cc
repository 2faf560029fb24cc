#include <fmt/format.h>
#include <gmock/gmock.h>

#include "task/task.h"

namespace ferry::task {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Task with_volumes(std::string_view yaml) {
  auto task = parse_task(yaml, "t.yaml");
  EXPECT_TRUE(task) << yaml << (task ? "" : describe(task.error()));
  if (!task) return {};
  const auto filled = fill_variables(*task);
  EXPECT_TRUE(filled) << (filled ? "" : describe(filled.error()));
  return *task;
}

Error refused_volumes(const std::string& yaml) {
  auto task = parse_task(yaml, "t.yaml");
  if (!task) return task.error();
  const auto checked = check_volumes(*task);
  EXPECT_FALSE(checked) << yaml;
  return checked ? Error{} : checked.error();
}

TEST(Volumes, AreReadInEachFormThatSkyPilotHas) {
  struct Row {
    const char *yaml, *target, *name;
    bool read_only;
  };
  const Row rows[] = {
      {"volumes:\n  /mnt/data: my-volume\n", "/mnt/data", "my-volume", false},
      {"volumes:\n  data/: vol-0123456789abcdef0\n", "data", "vol-0123456789abcdef0", false},
      {"volumes:\n  ~/d: {name: v}\n", "~/d", "v", false},
      {"volumes:\n  /d: {name: v, attach_mode: READ_ONLY, type: aws-ebs}\n", "/d", "v", true},
      {"resources: {cpus: 4}\nvolumes:\n  $WHERE/d: $NAME-v\nenvs: {WHERE: /mnt, NAME: me}\n", "/mnt/d", "me-v", false},
      {"resources:\n  volumes:\n    - {path: /d, name: v, storage_type: network, attach_mode: read_only, auto_delete: "
       "false}\n",
       "/d", "v", true},
  };
  for (const auto& row : rows) {
    const auto task = with_volumes(row.yaml);
    ASSERT_EQ(task.volumes.size(), 1U) << row.yaml;
    EXPECT_EQ(task.volumes[0].target, row.target) << row.yaml;
    EXPECT_EQ(task.volumes[0].name, row.name) << row.yaml;
    EXPECT_EQ(task.volumes[0].read_only, row.read_only) << row.yaml;
    EXPECT_THAT(task.volumes[0].at, StartsWith("t.yaml:")) << row.yaml;
    EXPECT_TRUE(task.not_yet.empty()) << row.yaml;
    EXPECT_TRUE(check_volumes(task)) << row.yaml;
  }
}

TEST(Volumes, WhatOneThatIsThereDoesNotHeedIsTold) {
  const auto task = with_volumes("volumes: {/d: {name: v, size: 100, disk_tier: high, labels: {a: b}}}\n");
  ASSERT_EQ(task.not_yet.size(), 3U);
  EXPECT_THAT(task.not_yet[0], HasSubstr("size: the volume is there already"));
}

TEST(Volumes, WhatCannotBeHadIsRefusedWithItsPlaceAndWhatToDo) {
  const std::pair<const char*, const char*> rows[] = {
      {"volumes: [a]\n", "'volumes' must be a mapping"},
      {"volumes: {/mnt: [a]}\n", "must be text or a mapping"},
      {"volumes: {/mnt: {size: 100}}\n", "'/mnt' has no name"},
      {"volumes: {/mnt: ''}\n", "names no volume"},
      {"volumes: {/etc: v}\n", "belongs to the machine's system"},
      {"volumes: {/mnt/a: $V}\n", "volumes: "},
      {"resources: {volumes: {/mnt: a}}\n", "must be a list"},
      {"resources: {volumes: [{name: a}]}\n", "one has no path"},
      {"volumes: {/mnt: {name: a, attach_mode: sideways}}\n", "means nothing"},
      {"volumes: {/mnt: {nme: a}}\n", "unknown field 'nme'"},
      {"volumes: {/a: v, /b: v}\n", "v is there twice"},
      {"volumes: {/a: v}\nnum_nodes: 2\n", "not with several machines"},
      {"volumes: {/a: v}\nrecover: aws\n", "not with recover: aws"},
      {"volumes: {/a: v}\nends: stop\n", "not with ends: stop"},
      {"volumes: {/a: v}\nresources: {infra: ssh/box}\n", "not on a machine of your own"},
  };
  for (const auto& [yaml, what] : rows) {
    const auto error = refused_volumes(yaml);
    EXPECT_THAT(error.what, HasSubstr(what)) << yaml;
    EXPECT_THAT(error.what, StartsWith("t.yaml:")) << yaml;
    EXPECT_NE(error.advice, "") << yaml;
  }
}

}  // namespace
}  // namespace ferry::task
