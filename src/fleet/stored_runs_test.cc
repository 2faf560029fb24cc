#include "fleet/stored_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/test_context.h"
#include "store/content.h"
#include "store/folder.h"

namespace ferry::fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t a_day_ms = 24LL * 3600 * 1000;

/// A laptop and a shared store, at a moment so many days after all was written.
struct Shared {
  TestContext test;
  std::unique_ptr<store::Store> store = *store::open_folder(test.dir.path() / "store");

  void put(const std::string& run, bool complete) {
    const auto content = store::content_of_bytes("model");
    const store::ManifestEntry model{.path = "outputs/m",
                                     .bytes = content.bytes,
                                     .sha256 = content.sha256,
                                     .mode = 0644,
                                     .key = "runs/" + run + "/a1/r0/outputs/m"};
    EXPECT_TRUE(store->put(model.key, "model"));
    EXPECT_TRUE(store->put("runs/" + run + "/a1/r0/outputs/half", "unnamed"));
    const auto text = store::manifest_text({.run = run, .made_ms = 1, .complete = complete, .entries = {model}});
    EXPECT_TRUE(store->put(store::manifest_key(run, 1, 0), *text));
  }
  void note(const std::string& name, ledger::Phase phase) {
    ledger::Run run;
    run.name = name;
    run.infra = "aws";
    run.task = Json::object();
    EXPECT_TRUE(test.ledger->add_run(run));
    EXPECT_TRUE(test.ledger->move(name, phase));
  }
  Clearing after(std::int64_t days, std::optional<Seconds> older_than = {}) {
    test.clock.now = os::system_clock().now_ms() + days * a_day_ms;
    const auto found = find_clearing(test.context, *store, nullptr, older_than);
    EXPECT_TRUE(found) << describe(found.error());
    return found ? *found : Clearing();
  }
  static std::vector<std::string> keys(const Clearing& clearing) {
    std::vector<std::string> all;
    for (const auto& one : clearing.objects) all.push_back(one.key);
    return all;
  }
};

TEST(StoredRuns, OnlyWhatNoManifestOfARunNamesIsClearedOnceItIsOverForADay) {
  Shared shared;
  shared.put("over", false);
  shared.note("over", ledger::Phase::released);
  shared.put("going", true);
  shared.note("going", ledger::Phase::training);
  shared.put("theirs-done", true);
  shared.put("theirs", false);
  EXPECT_TRUE(shared.after(0).is_empty()) << "something was written within a day";
  const auto clearing = shared.after(2);
  EXPECT_THAT(Shared::keys(clearing),
              ElementsAre("runs/over/a1/r0/outputs/half", "runs/theirs-done/a1/r0/outputs/half"));
  EXPECT_THAT(clearing.runs, IsEmpty());
  EXPECT_EQ(clearing.bytes, 14u);
  ASSERT_TRUE(clear(*shared.store, nullptr, clearing));
  EXPECT_TRUE(shared.after(2).is_empty());
  for (const char* run : {"over", "going", "theirs", "theirs-done"})
    EXPECT_TRUE(shared.store->look(std::string("runs/") + run + "/a1/r0/outputs/m")) << run;
}

TEST(StoredRuns, WholeRunsGoWhenTheyAreOldAndThisLedgerHasThemNotAsGoing) {
  Shared shared;
  for (const char* run : {"over", "going", "theirs"}) shared.put(run, true);
  shared.note("over", ledger::Phase::released);
  shared.note("going", ledger::Phase::training);
  const Seconds month{30LL * 24 * 3600};
  EXPECT_THAT(shared.after(20, month).runs, IsEmpty());
  const auto clearing = shared.after(40, month);
  ASSERT_EQ(clearing.runs.size(), 2u);
  ASSERT_TRUE(clear(*shared.store, nullptr, clearing));
  const auto left = store::stored_runs(*shared.store);
  ASSERT_TRUE(left);
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ(left->front().name, "going");
}

TEST(StoredRuns, OneWhoseManifestCannotBeReadIsLeftAndTold) {
  Shared shared;
  shared.put("over", true);
  shared.note("over", ledger::Phase::released);
  ASSERT_TRUE(shared.store->put(store::manifest_key("over", 1, 0), "{}"));
  const auto clearing = shared.after(2);
  EXPECT_TRUE(clearing.is_empty());
  ASSERT_EQ(clearing.left.size(), 1u);
}

}  // namespace
}  // namespace ferry::fleet
