// What is in a run's store when its machine is taken back, at whatever moment it goes.
#include "agent/spool.h"
#include "agent/store_keeper_testing.h"
#include "base/text.h"

namespace ferry::agent {
namespace {

class StoreHurryTest : public StoreKeeperTest {
 protected:
  StoreHurryTest() {
    settings.spec.checkpoints = {"ckpt/"};
    connections = 1;
    small = 1'000;
    commit_every = Millis(1);
  }
  /// One generation of a training's checkpoints: a pair that is written anew, one with a folder of its own, one file.
  void save(int generation) {
    const auto text = [&](std::size_t size) { return std::string(size, static_cast<char>('0' + generation)); };
    write("ckpt/last/model", text(5'000));
    write("ckpt/last/optimizer", text(10));
    const std::string own = fmt::format("ckpt/checkpoint-{}/", generation);
    write(own + "model", text(3'000));
    write(own + "optimizer", text(6'000));
    write(own + "rank/state", text(20));
    write(fmt::format("ckpt/{}.pt", generation), text(2'000));
  }
  /// The machine goes after so many puts.
  void goes_after(int puts) {
    faults->before = [left = std::make_shared<std::atomic<int>>(puts)](const std::string&) -> std::optional<Error> {
      os::system_clock().sleep(Millis(3));  // there is a manifest now and then
      if ((*left)-- > 0) return std::nullopt;
      return Error{Kind::lost, "the machine is gone", "", "", ""};
    };
  }
  /// What the manifest names of a generation's own folder.
  std::size_t count_of(const std::string& folder) {
    std::size_t count = 0;
    for (const auto& entry : manifest().entries) count += entry.path.starts_with(folder) ? 1 : 0;
    return count;
  }
  Notice notice() const {
    return {
        .kind = Notice::Kind::interruption, .action = "terminate", .time_ms = os::system_clock().now_ms() + 120'000};
  }
};

TEST_F(StoreHurryTest, WheneverTheMachineGoesWhatBelongsTogetherIsOfOneGeneration) {
  std::set<std::string> seen;
  for (int puts = 0; puts < 40; ++puts) {
    ASSERT_TRUE(os::remove_all(path("store")) && os::remove_all(path("run")) && os::remove_all(path("work")));
    ASSERT_TRUE(os::make_dirs(path("work/outputs")) && os::make_dirs(path("run")));
    faults->before = {};
    save(1);
    settle();
    auto& kept = keeper();
    ASSERT_TRUE(kept.pass());
    save(2);
    goes_after(puts);
    kept.hurry(notice());
    const auto done = kept.last_pass(over, false);
    EXPECT_EQ(stored("ckpt/last/model").front(), stored("ckpt/last/optimizer").front()) << puts;
    EXPECT_EQ(count_of("ckpt/checkpoint-1/"), 3u) << puts;
    const auto second = count_of("ckpt/checkpoint-2/");
    EXPECT_TRUE(second == 0 || second == 3) << puts << ": " << names();
    EXPECT_EQ(manifest().complete, done.has_value()) << puts;
    seen.insert(fmt::format("{}{}{}", stored("ckpt/last/model").front(), second, stored("ckpt/2.pt").front()));
    if (done) break;
  }
  EXPECT_TRUE(seen.contains("10(")) << "nothing of it";
  EXPECT_TRUE(seen.contains("232")) << "all of it";
  EXPECT_GE(seen.size(), 3u) << "and some of it";
}

TEST_F(StoreHurryTest, TheEndAndTheLogAreThereBeforeWhatIsLargeAndTheNoticeIsNamed) {
  auto spool = Spool::open(path("run/log"));
  ASSERT_TRUE(spool);
  spool->add(LogStream::out, LogPhase::run, 1, "saving\n");
  ASSERT_TRUE(spool->sync());
  save(1);
  faults->before = [](const std::string& key) -> std::optional<Error> {
    if (key.ends_with("last/model")) return Error{Kind::lost, "the machine is gone", "", "", ""};
    return std::nullopt;
  };
  auto& kept = keeper();
  kept.hurry(notice());
  over.reason = std::string(interrupted);
  EXPECT_FALSE(kept.last_pass(over, false));
  EXPECT_FALSE(manifest().complete);
  const auto end = status_from(parse_json(stored("end.json")).value_or(Json()));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->reason, interrupted);
  const auto told = notice_from(parse_json(stored("notice.json")).value_or(Json()));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->action, "terminate");
  const auto entries = manifest().entries;
  EXPECT_TRUE(std::any_of(entries.begin(), entries.end(),
                          [](const auto& entry) { return entry.kind == store::FileKind::log; }));
  EXPECT_EQ(stored("ckpt/last/model"), "(not named)");
  EXPECT_EQ(stored("ckpt/1.pt").size(), 2'000u) << "smaller ones go first";
}

TEST_F(StoreHurryTest, WhatWasBeingWrittenWhenTheJobWasKilledStaysAsItWas) {
  save(1);
  settle();
  auto& kept = keeper();
  ASSERT_TRUE(kept.pass());
  save(2);
  over.killed = true;
  over.ended_ms = os::system_clock().now_ms();
  kept.hurry(notice());
  ASSERT_TRUE(kept.last_pass(over, false));
  EXPECT_EQ(stored("ckpt/last/model").front(), '1');
  EXPECT_EQ(stored("ckpt/last/optimizer").front(), '1');
  EXPECT_EQ(count_of("ckpt/checkpoint-2/"), 0u);
  EXPECT_TRUE(manifest().complete) << "there is no better one to come";
}

TEST_F(StoreHurryTest, AnInterruptionEndsWhatIsUnderWayForWhatIsMoreUrgent) {
  save(1);
  settle();
  std::atomic<bool> is_cut = false;
  moved = [&](std::uint64_t) { is_cut = true; };
  cut = [&] { return is_cut.load(); };
  const auto done = keeper().pass();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, Kind::cancelled);
  cut = [] { return false; };
}

}  // namespace
}  // namespace ferry::agent
