// What is in a run's store, at every moment.

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "agent/spool.h"
#include "agent/store_keeper_testing.h"
#include "base/hash.h"
#include "os/clock.h"
#include "store/content.h"
#include "store/folder.h"

namespace ferry::agent {
namespace {

using store::FileKind;

TEST_F(StoreKeeperTest, StoresWhatIsSettledWhileTheRunGoesOnAndTheRestAtItsEnd) {
  settings.spec.checkpoints = {"outputs/checkpoints/", "ckpt/"};
  write("outputs/model.pt", "a model");
  write("outputs/checkpoints/1.pt", "one");
  write("ckpt/2.pt", "two");
  write("source.py", "no output");
  settle();
  auto half = begin_to_write("outputs/half", "written just now");
  auto& kept = keeper();
  ASSERT_TRUE(kept.pass());
  EXPECT_EQ(names(), "output:outputs/model.pt checkpoint:ckpt/2.pt checkpoint:outputs/checkpoints/1.pt");
  EXPECT_FALSE(manifest().complete);
  EXPECT_FALSE(os::exists(path("store/runs/digits-7k2/a1/r0/outputs/outputs/half")));
  half.reset();
  end(kept);
  EXPECT_TRUE(manifest().complete);
  EXPECT_EQ(stored("outputs/half"), "written just now");
  EXPECT_EQ(stored("outputs/model.pt"), "a model");
  EXPECT_EQ(stored("source.py"), "(not named)");
  const auto record = status_from(*parse_json(stored("end.json")));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->ended_ms, 3);
}

TEST_F(StoreKeeperTest, AFileThatIsWrittenAnewNeverTakesAwayWhatTheManifestNames) {
  write("outputs/last.pt", "first");
  auto& kept = keeper();
  end(kept);
  const auto first = key_of("outputs/last.pt");
  EXPECT_EQ(first, "runs/digits-7k2/a1/r0/outputs/outputs/last.pt");
  write("outputs/last.pt", "second");
  end(kept);
  EXPECT_EQ(stored("outputs/last.pt"), "second");
  EXPECT_FALSE(os::exists(path("store/" + first)));
  write("outputs/last.pt", "third");
  end(kept);
  EXPECT_EQ(stored("outputs/last.pt"), "third");
  EXPECT_EQ(key_of("outputs/last.pt"), first);
}

TEST_F(StoreKeeperTest, WhatWasReplacedIsStillThereForWhoReadsTheManifestBefore) {
  settings.spec.checkpoints = {"ckpt/"};
  const auto write_and_pass = [&](const std::string& text) {
    write("ckpt/last.pt", text);
    settle();
    ASSERT_TRUE(keeper_ ? keeper_->pass() : keeper().pass());
  };
  write_and_pass("one");
  const auto one = path("store/" + key_of("ckpt/last.pt"));
  write_and_pass("two");
  EXPECT_EQ(*os::read_file(one), "one");
  write_and_pass("three");
  EXPECT_EQ(stored("ckpt/last.pt"), "three");
  EXPECT_NE(os::read_file(one).value_or(""), "one");
}

TEST_F(StoreKeeperTest, WhatTheRunRemovedLeavesTheManifestAndStaysInTheStore) {
  write("outputs/1.pt", "one");
  write("outputs/2.pt", "two");
  auto& kept = keeper();
  end(kept);
  const auto key = key_of("outputs/1.pt");
  ASSERT_TRUE(os::remove_all(path("work/outputs/1.pt")));
  end(kept);
  EXPECT_EQ(names(), "output:outputs/2.pt");
  EXPECT_EQ(*os::read_file(path("store/" + key)), "one");
}

TEST_F(StoreKeeperTest, WhereEverythingIsGoneAtOnceTheManifestKeepsWhatItHad) {
  write("outputs/1.pt", "one");
  auto& kept = keeper();
  settle();
  ASSERT_TRUE(kept.pass());
  ASSERT_TRUE(os::remove_all(path("work/outputs")));
  ASSERT_TRUE(kept.pass());
  EXPECT_EQ(stored("outputs/1.pt"), "one");
  end(keeper());
  EXPECT_EQ(stored("outputs/1.pt"), "one");
}

TEST_F(StoreKeeperTest, AWorkdirThatIsGoneIsNoCompleteEnd) {
  write("outputs/1.pt", "one");
  settle();
  ASSERT_TRUE(keeper().pass());
  ASSERT_TRUE(os::remove_all(path("work")));
  const auto done = keeper().last_pass(over, false);
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_FALSE(done->left_out.empty());
  EXPECT_FALSE(manifest().complete);
  EXPECT_EQ(stored("outputs/1.pt"), "one");
}

TEST_F(StoreKeeperTest, AFileThatIsBeingWrittenKeepsWhatItWas) {
  write("outputs/last.pt", "first");
  write("outputs/other", "x");
  settle();
  auto& kept = keeper();
  ASSERT_TRUE(kept.pass());
  const auto half = begin_to_write("outputs/last.pt", "half of the sec");
  ASSERT_TRUE(kept.pass());
  EXPECT_EQ(stored("outputs/last.pt"), "first");
}

TEST_F(StoreKeeperTest, AFileThatChangesWhileItIsPutComesTheNextTime) {
  write("outputs/a.pt", "hashed as this");
  faults->before = [&](const std::string& key) -> std::optional<Error> {
    if (key.ends_with("a.pt") && std::exchange(first_, false)) write("outputs/a.pt", "put as that");
    return std::nullopt;
  };
  auto& kept = keeper();
  const auto failed = kept.last_pass(over, false);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, Kind::corrupt);
  EXPECT_FALSE(manifest().complete);
  end(kept);
  EXPECT_EQ(stored("outputs/a.pt"), "put as that");
}

TEST_F(StoreKeeperTest, WhatIsThereIsNotSentAgainWhateverItIsCalledNow) {
  write("outputs/1.pt", "the same bytes");
  end(keeper());
  std::vector<std::string> puts;
  faults->after = [&](const std::string& key) { puts.push_back(key); };
  end(keeper());  // a second start
  EXPECT_TRUE(puts.empty()) << puts.front();
  write("outputs/best.pt", "the same bytes");
  end(keeper());
  EXPECT_EQ(puts, std::vector<std::string>{"runs/digits-7k2/a1/r0/manifest.json"});
  EXPECT_EQ(stored("outputs/best.pt"), "the same bytes");
}

TEST_F(StoreKeeperTest, WhatAnEarlierAttemptStoredIsNotSentAgain) {
  write("outputs/1.pt", "the same bytes");
  end(keeper());
  settings.attempt = 3;
  write("outputs/2.pt", "new");
  end(keeper());
  const auto now = manifest(3);
  ASSERT_TRUE(now.complete);
  ASSERT_GE(now.entries.size(), 2u);
  EXPECT_EQ(now.entries[0].key, "runs/digits-7k2/a1/r0/outputs/outputs/1.pt");
  EXPECT_EQ(now.entries[1].key, "runs/digits-7k2/a3/r0/outputs/outputs/2.pt");
}

TEST_F(StoreKeeperTest, AStoreThatIsFullOrRefusesWorksWhenItIsMended) {
  for (int i = 0; i < 20; ++i) write("outputs/" + std::to_string(i), "file " + std::to_string(i));
  auto& kept = keeper();
  refused = Error{Kind::denied, "this machine has no role", "", "", ""};
  EXPECT_EQ(kept.last_pass(over, false).error().kind, Kind::denied);
  refused.reset();
  std::atomic<int> puts = 0;
  faults->before = [&](const std::string&) -> std::optional<Error> {
    if (++puts > 5) return Error{Kind::disk_full, "no space left", "", "", ""};
    return std::nullopt;
  };
  EXPECT_EQ(kept.last_pass(over, false).error().kind, Kind::disk_full);
  EXPECT_FALSE(manifest().complete);
  faults->before = {};
  end(kept);
  EXPECT_TRUE(manifest().complete);
  EXPECT_EQ(stored("outputs/19"), "file 19");
}

TEST_F(StoreKeeperTest, AManifestWhoseAnswerWasLostIsLookedAtAgain) {
  write("outputs/1.pt", "one");
  auto& kept = keeper();
  faults->after = [&](const std::string& key) {
    if (key.ends_with("manifest.json")) throw std::runtime_error("the answer is lost");
  };
  EXPECT_THROW((void)kept.last_pass(over, false), std::runtime_error);
  faults->after = {};
  write("outputs/1.pt", "two");
  end(kept);
  EXPECT_EQ(stored("outputs/1.pt"), "two");
}

TEST_F(StoreKeeperTest, ALinkToWhatIsStoredStaysALinkAndAnyOtherBringsWhatItLeadsTo) {
  write("outputs/step-7/model.pt", "seven");
  write("outputs/step-9/model.pt", "nine");
  ASSERT_EQ(::symlink("step-9", path("work/outputs/last").c_str()), 0);
  ASSERT_EQ(::symlink("last/model.pt", path("work/outputs/best.pt").c_str()), 0);
  ASSERT_EQ(::symlink("nowhere", path("work/outputs/dangling").c_str()), 0);
  ASSERT_EQ(::symlink(".", path("work/outputs/round").c_str()), 0);
  write("other/data", "from outside the outputs");
  ASSERT_EQ(::symlink("../other", path("work/outputs/brought").c_str()), 0);
  end(keeper());
  EXPECT_EQ(link_of("outputs/last"), "step-9");
  EXPECT_EQ(link_of("outputs/best.pt"), "step-9/model.pt");
  EXPECT_EQ(link_of("outputs/dangling"), "nowhere");
  EXPECT_EQ(stored("outputs/brought/data"), "from outside the outputs");
  EXPECT_EQ(stored("outputs/step-9/model.pt"), "nine");
}

TEST_F(StoreKeeperTest, ARunThatMadeNothingOfItsOutputsHasAllThatItMadeStored) {
  settings.spec.outputs = {"results/"};
  write("somewhere/model.pt", "a model");
  ASSERT_TRUE(os::make_dirs(path("elsewhere")));
  end(keeper());
  EXPECT_EQ(stored("somewhere/model.pt"), "a model");
}

TEST_F(StoreKeeperTest, ARunThatMadeNothingInItsWorkdirHasStoredWhatItWroteElsewhere) {
  over.run_started_ms = settings.began_ms;
  settings.elsewhere = {path("elsewhere")};
  settings.spec.uri = path("elsewhere/store");
  ASSERT_TRUE(os::make_dirs(path("elsewhere/store")));
  ASSERT_TRUE(os::write_file(path("elsewhere/model.pt"), "a model"));
  ASSERT_TRUE(os::write_file(path("elsewhere/store/object"), "the store's own"));
  end(keeper());
  const auto name = "outputs-elsewhere" + std::filesystem::canonical(path("elsewhere")).string();
  EXPECT_EQ(stored(name + "/model.pt"), "a model");
  EXPECT_EQ(names(), "output:" + name + "/model.pt");
}

TEST_F(StoreKeeperTest, ThePiecesOfTheLogPutTogetherAreTheLog) {
  auto spool = Spool::open(path("run/log"));
  ASSERT_TRUE(spool);
  std::string said;
  const auto say = [&](int lines) {
    for (int i = 0; i < lines; ++i) {
      const std::string line = "step " + std::to_string(i) + std::string(100, '.') + "\n";
      spool->add(LogStream::out, LogPhase::run, 7, line);
      said += line;
    }
  };
  const auto log = [&] {
    std::string bytes, text;
    for (const auto& entry : manifest().entries) {
      if (entry.kind != FileKind::log) continue;
      EXPECT_EQ(entry.path, fmt::format("frames-{:012}", bytes.size()));
      bytes += *os::read_file(path("store/" + entry.key));
    }
    EXPECT_EQ(bytes, os::read_file(path("run/log"))->substr(0, bytes.size()));
    for (std::size_t at = 0; const auto record = parse_record(std::string_view(bytes).substr(at));
         at += record_header + record->bytes.size())
      text += record->bytes;
    return text;
  };
  write("outputs/x", "x");
  say(10);
  ASSERT_TRUE(keeper().pass());
  EXPECT_EQ(log(), said);
  const auto so_far = said;
  say(10);
  ASSERT_TRUE(keeper_->pass());
  EXPECT_EQ(log(), so_far);  // within a minute a few lines wait for more
  say(60'000);               // more than a piece
  ASSERT_TRUE(keeper_->pass());
  EXPECT_GT(log().size(), StoreLog::most_bytes / 2);
  end(keeper());
  EXPECT_EQ(log(), said);
}

TEST_F(StoreKeeperTest, ALogWhoseEndACrashTookGoesOnFromWhereItIs) {
  write("outputs/x", "x");
  {
    auto spool = Spool::open(path("run/log"));
    spool->add(LogStream::out, LogPhase::run, 7, "kept\n");
    spool->add(LogStream::out, LogPhase::run, 7, "lost with the machine\n");
  }
  ASSERT_TRUE(keeper().pass());
  const auto whole = *os::read_file(path("run/log"));
  ASSERT_EQ(::truncate(path("run/log").c_str(), static_cast<off_t>(record_header + 5)), 0);
  auto spool = Spool::open(path("run/log"));
  spool->add(LogStream::out, LogPhase::run, 7, "other words\n");
  end(keeper());
  std::string bytes;
  for (const auto& entry : manifest().entries) {
    if (entry.kind == FileKind::log) bytes += *os::read_file(path("store/" + entry.key));
  }
  EXPECT_EQ(bytes, *os::read_file(path("run/log")));
  EXPECT_NE(bytes, whole);
}

TEST_F(StoreKeeperTest, ANameThatIsNoKeyIsStoredAllTheSame) {
  write("outputs/caf\xe9.pt", "not UTF-8");
  write("outputs/a\\b", "a backslash");
  end(keeper());
  EXPECT_EQ(stored("outputs/caf\xe9.pt"), "not UTF-8");
  EXPECT_EQ(stored("outputs/a\\b"), "a backslash");
}

TEST_F(StoreKeeperTest, WhatIsNewIsNamedWhileALargeFileIsStillOnItsWay) {
  write("outputs/large", std::string(100'000, 'x'));
  for (int i = 0; i < 5; ++i) write("outputs/small" + std::to_string(i), "small " + std::to_string(i));
  keeper_.emplace(KeeperOptions{.settings = settings,
                                .dir = path("run"),
                                .open = [this]() -> Result<std::unique_ptr<store::Store>> {
                                  return std::make_unique<KeptStore>(path("store"), faults);
                                },
                                .small = 1000,
                                .commit_every = Millis(20)});
  std::string seen;
  faults->before = [&](const std::string& key) -> std::optional<Error> {
    const auto end = os::system_clock().steady_ms() + 10'000;
    while (key.ends_with("large") && names().find("small4") == std::string::npos &&
           os::system_clock().steady_ms() < end)
      os::system_clock().sleep(Millis(5));
    if (key.ends_with("large")) seen = names();
    return std::nullopt;
  };
  end(*keeper_);
  EXPECT_NE(seen.find("outputs/small4"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("outputs/large"), std::string::npos) << seen;
}

}  // namespace
}  // namespace ferry::agent
