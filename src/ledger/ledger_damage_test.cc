// What the ledger says when the world is against it.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "ledger/damaging.h"
#include "ledger/ledger.h"
#include "ledger/schema.h"
#include "ledger/sqlite.h"
#include "os/env.h"

namespace ferry::ledger {
namespace {

/// Runs `check` in a child and returns its exit code.
template <class Check>
int in_child(const Check& check) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(check());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
constexpr int skipped = 77;

Error open_error(const os::Path& file) {
  os::FakeClock clock;
  auto opened = Ledger::open(file, clock);
  return opened ? Error{Kind::bug, "it opened", {}, {}, {}} : opened.error();
}

/// A ledger with three runs, the machine of the first, and an event each.
void fill(const os::Path& file, os::Clock& clock) {
  auto ledger = Ledger::open(file, clock).value();
  for (const char* name : {"a-1", "b-1", "c-1"}) {
    ledger::Run run;
    run.name = name;
    run.task = {{"run", std::string(1500, 'r')}};
    ASSERT_TRUE(ledger->add_run(run));
    ASSERT_TRUE(ledger->add_event(name, "note", std::string(3000, 'n')));
  }
  Instance machine;
  machine.token = "t-1";
  machine.run = "a-1";
  machine.id = "i-1";
  ASSERT_TRUE(ledger->record_intent(machine));
  ASSERT_TRUE(ledger->move("a-1", Phase::training));
}

TEST(LedgerDamage, AFileThatIsNoDatabaseIsSetAsideAndAnotherMade) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  const std::string garbage(5000, 'x');
  std::ofstream(file) << garbage;
  os::FakeClock clock;
  auto ledger = Ledger::open(file, clock);
  ASSERT_TRUE(ledger) << describe(ledger.error());
  EXPECT_TRUE((*ledger)->runs(false)->empty());
  EXPECT_EQ(os::read_file(dir.path() / "ledger.db.damaged").value(), garbage);
  const auto mending = last_mending(file);
  ASSERT_TRUE(mending);
  EXPECT_TRUE(mending->lost_some);
  EXPECT_NE(mending->line.find("ledger.db.damaged"), std::string::npos) << mending->line;
  EXPECT_EQ(mending->line.find('\n'), std::string::npos);
  forget_mending(file);
  EXPECT_FALSE(last_mending(file));
  ledger->reset();
  EXPECT_TRUE(Ledger::open(file, clock));
  EXPECT_FALSE(last_mending(file)) << "once is enough";
}

TEST(LedgerDamage, OfABrokenPageWhatIsElsewhereStays) {
  const os::TempDir dir;
  os::FakeClock clock;
  fill(dir.path() / "whole.db", clock);
  const auto size = std::filesystem::file_size(dir.path() / "whole.db");
  int with_runs = 0;
  for (std::uintmax_t page = 1; page < size / 4096; ++page) {
    SCOPED_TRACE(page);
    const os::Path file = dir.path() / fmt::format("{}.db", page);
    std::filesystem::copy_file(dir.path() / "whole.db", file);
    overwrite(file, page * 4096, std::string(4096, '\xee'));
    auto ledger = Ledger::open(file, clock);
    ASSERT_TRUE(ledger) << describe(ledger.error());
    const auto runs = (*ledger)->runs(false);
    ASSERT_TRUE(runs) << describe(runs.error());
    with_runs += runs->size() >= 2;
    for (const auto& run : *runs) {
      EXPECT_TRUE((*ledger)->events(run.name));
      EXPECT_EQ(run.name == "a-1", (*ledger)->instances(run.name)->size() == 1) << "a run whole, or not at all";
      EXPECT_EQ((*ledger)->attempts(run.name)->size(), 1U);
    }
    EXPECT_TRUE((*ledger)->add_event("b-1", "note", {}));
  }
  EXPECT_GT(with_runs, 5);
}

TEST(LedgerDamage, AtAnyPlaceARunIsThereWholeOrNotAtAll) {
  // Nothing of it need outlive the computer.
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
  const os::TempDir dir;
  os::FakeClock clock;
  const os::Path whole = dir.path() / "whole.db", file = dir.path() / "ledger.db";
  fill(whole, clock);
  const auto size = std::filesystem::file_size(whole);
  int kept = 0;
  constexpr unsigned seeds = 400;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 chance(seed);
    for (const auto& one : std::filesystem::directory_iterator(dir.path())) {
      if (one.path() != whole) std::filesystem::remove(one.path());
    }
    std::filesystem::copy_file(whole, file);
    const auto at = chance() % size;
    std::string bytes(1 + chance() % (seed % 3 == 0 ? 5000 : 40), '\0');
    for (auto& byte : bytes) byte = static_cast<char>(chance());
    if (seed % 4 == 0)
      std::filesystem::resize_file(file, at);
    else
      overwrite(file, at, bytes);
    auto ledger = Ledger::open(file, clock);
    ASSERT_TRUE(ledger) << describe(ledger.error());
    const auto runs = (*ledger)->runs(false);
    ASSERT_TRUE(runs) << describe(runs.error());
    kept += static_cast<int>(runs->size());
    for (const auto& run : *runs) {
      const auto machines = (*ledger)->instances(run.name);
      ASSERT_TRUE(machines) << describe(machines.error());
      EXPECT_TRUE(run.phase != Phase::training || machines->size() == 1U);
      EXPECT_TRUE((*ledger)->events(run.name));
    }
    EXPECT_TRUE((*ledger)->unreleased());
    ledger::Run next;
    next.name = "d-1";
    const auto added = (*ledger)->add_run(next);
    ASSERT_TRUE(added) << describe(added.error());
    ASSERT_TRUE((*ledger)->move("d-1", Phase::releasing));
  }
  EXPECT_GT(kept, 400);
}

TEST(LedgerDamage, IsMendedUnderTheProcessThatHasItOpen) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  fill(file, clock);
  auto ledger = Ledger::open(file, clock).value(), other = Ledger::open(file, clock).value();
  ASSERT_TRUE(ledger->move("a-1", Phase::fetching) && other->runs(false));
  // All pages are gone but those of an empty ledger, with the tables' own text.
  ASSERT_TRUE(Ledger::open(dir.path() / "empty.db", clock));
  const auto size = std::filesystem::file_size(file), begin = std::filesystem::file_size(dir.path() / "empty.db");
  ASSERT_GT(size, begin + 8192);
  overwrite(file, begin, std::string(size - begin, '\xee'));
  for (int i = 0; i < 2; ++i) {
    ledger::Run run;
    run.name = fmt::format("d-{}", i);
    auto& writer = i == 0 ? *ledger : *other;
    const auto added = writer.add_run(run);
    ASSERT_TRUE(added) << describe(added.error());
    for (auto* one : {&*ledger, &*other}) {
      const auto there = one->run(run.name);
      EXPECT_TRUE(there) << "both are on the same file: " << describe(there.error());
    }
  }
}

TEST(LedgerDamage, AFileThatWasRemovedUnderAFerryIsMadeAgainOfWhatItHolds) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  fill(file, clock);
  auto held = Ledger::open(file, clock).value();
  ASSERT_TRUE(held->runs(false));
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(os::Path(file) += end);
  auto fresh = Ledger::open(file, clock).value();
  EXPECT_TRUE(fresh->runs(false)->empty());
  ASSERT_TRUE(held->move("a-1", Phase::fetching));
  EXPECT_EQ(fresh->run("a-1")->phase, Phase::fetching);
  EXPECT_EQ(fresh->instances("a-1")->size(), 1U);
  EXPECT_EQ(fresh->events("b-1")->size(), 1U);
  EXPECT_EQ(fresh->attempts("b-1")->size(), 1U);
  EXPECT_FALSE(last_mending(file)) << "nothing was damaged";
}

TEST(LedgerDamage, ANumberOfTheSchemaThatWasDamagedIsPutRight) {
  for (const int number : {0, 1, 5, 77, 2'000'000'000, -3}) {
    SCOPED_TRACE(number);
    const os::TempDir dir;
    const os::Path file = dir.path() / "ledger.db";
    os::FakeClock clock;
    fill(file, clock);
    ASSERT_TRUE(Database::open(file).value().execute(fmt::format("PRAGMA user_version={}", number).c_str()));
    auto ledger = Ledger::open(file, clock);
    ASSERT_TRUE(ledger) << describe(ledger.error());
    EXPECT_EQ((*ledger)->runs(false)->size(), 3U);
    EXPECT_FALSE(last_mending(file)) << "nothing else was damaged";
  }
}

TEST(LedgerDamage, AHeaderThatForbidsToWriteIsDamage) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  fill(file, clock);
  overwrite(file, 18, "\x07");
  auto ledger = Ledger::open(file, clock);
  ASSERT_TRUE(ledger) << describe(ledger.error());
  EXPECT_TRUE((*ledger)->add_event("b-1", "note", {}));
}

TEST(LedgerDamage, WhatAKilledMenderLeftIsFinished) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  fill(dir.path() / "made.db", clock);
  std::filesystem::rename(dir.path() / "made.db", dir.path() / "ledger.db.mended");
  std::ofstream(file) << "damaged";
  std::ofstream(dir.path() / "ledger.db-wal") << "of the damaged one";
  auto ledger = Ledger::open(file, clock);
  ASSERT_TRUE(ledger) << describe(ledger.error());
  EXPECT_EQ((*ledger)->runs(false)->size(), 3U);
  EXPECT_EQ(os::read_file(dir.path() / "ledger.db.damaged").value(), "damaged");
  EXPECT_EQ(os::read_file(dir.path() / "ledger.db.damaged-wal").value(), "of the damaged one");
  EXPECT_FALSE(os::exists(dir.path() / "ledger.db.mended"));
}

TEST(LedgerDamage, WhatAnOlderFerryCalledNotStartedIsCalledSoInOneWord) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  ledger::Run run;
  run.name = "a";
  ASSERT_TRUE(Ledger::open(file, clock).value()->add_run(run));
  ASSERT_TRUE(Database::open(file).value().execute(
      "DROP TRIGGER run_added_copied; DROP TRIGGER run_changed_copied; DROP TRIGGER run_removed_copied; "
      "DROP TRIGGER instance_added_copied; DROP TRIGGER instance_changed_copied; "
      "DROP TRIGGER instance_removed_copied; DROP TABLE run_copies; DROP TABLE instance_copies; "
      "UPDATE runs SET outcome = 'did not start'; ALTER TABLE instances DROP COLUMN running_ms; "
      "ALTER TABLE instances DROP COLUMN stopped_ms; ALTER TABLE instances DROP COLUMN paused_ms; "
      "DROP TRIGGER run_added; DROP TRIGGER run_changed; DROP TRIGGER instance_added; DROP TRIGGER instance_placed; "
      "DROP TABLE attempts; DROP TABLE nodes; DROP TABLE objects; DROP TABLE reservations; "
      "DROP TABLE purchases; "
      "ALTER TABLE runs DROP COLUMN store; ALTER TABLE runs DROP COLUMN outputs_stored; "
      "PRAGMA user_version = 4"));
  EXPECT_EQ(Ledger::open(file, clock).value()->run("a")->outcome, Outcome::not_started);
  EXPECT_EQ(Database::open(file).value().number("SELECT count(*) FROM runs WHERE outcome = 'not_started'").value(), 1);
}

TEST(LedgerDamage, ADatabaseOfAnotherProgramIsLeftAlone) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  std::ofstream(file).flush();
  ASSERT_TRUE(Database::open(file).value().execute("CREATE TABLE theirs(a)"));
  EXPECT_EQ(open_error(file).kind, Kind::corrupt);
  EXPECT_EQ(Database::open(file).value().number("SELECT count(*) FROM sqlite_schema").value(), 1);
}

/// Runs `check` as an ordinary user, for whom permissions count.
template <class Check>
int in_child_without_power(const Check& check) {
  return in_child([&] {
    if (os::is_root() && (::setgroups(0, nullptr) || ::setgid(65534) || ::setuid(65534))) return skipped;
    return check();
  });
}

TEST(LedgerDamage, AWriteProtectedLedgerIsDeniedAndTheFolderNamed) {
  const os::TempDir dir;
  os::FakeClock clock;
  Ledger::open(dir.path() / "ledger.db", clock).value().reset();
  std::filesystem::permissions(dir.path() / "ledger.db", std::filesystem::perms(0444));
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0555));
  const int code = in_child_without_power([&] {
    const Error error = open_error(dir.path() / "ledger.db");
    if (error.kind != Kind::denied) return 1;
    return error.advice.find(dir.path().string()) == std::string::npos ? 2 : 0;
  });
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  if (code == skipped) GTEST_SKIP() << "cannot become an ordinary user here";
  EXPECT_EQ(code, 0);
}

/// A real full disk: a tmpfs of 256 KiB in a mount namespace of its own.
int fill_small_disk(const os::Path& mount_point) {
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  if (::unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0) return skipped;
  if (user != 0) {
    // Without a mapping nobody could own what is made on the new disk.
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << fmt::format("{0} {0} 1", user);
    std::ofstream("/proc/self/gid_map") << fmt::format("{0} {0} 1", group);
  }
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=256k,mode=777") != 0) {
    return skipped;
  }
  os::FakeClock clock;
  auto ledger = Ledger::open(mount_point / "ledger.db", clock);
  if (!ledger) return 1;
  int acknowledged = 0;
  std::optional<Error> error;
  for (int i = 0; i < 200 && !error; ++i) {
    auto added = (*ledger)->add_event("a", "note", std::string(4000, 'x'));
    if (added) {
      ++acknowledged;
    } else {
      error = added.error();
    }
  }
  if (!error || error->kind != Kind::disk_full) return 2;
  if (error->advice.find(mount_point.string()) == std::string::npos) return 3;
  const auto kept = (*ledger)->events("a");
  if (!kept || static_cast<int>(kept->size()) != acknowledged) return 4;
  const os::Path elsewhere = mount_point / "more";
  std::ofstream(mount_point / "filler") << std::string(400'000, 'x');
  const Error making = open_error(elsewhere / "ledger.db");
  return making.kind == Kind::disk_full ? 0 : 5;
}

TEST(LedgerDamage, AFullDiskIsSaidAndWhatWasAcknowledgedStays) {
  const os::TempDir dir;
  const int code = in_child([&] { return fill_small_disk(dir.path()); });
  if (code == skipped) GTEST_SKIP() << "no mount namespace here";
  EXPECT_EQ(code, 0);
}

TEST(LedgerDamage, ADatabaseThatMayNotGrowIsDiskFull) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  Ledger::open(file, clock).value().reset();
  auto database = Database::open(file).value();
  ASSERT_TRUE(database.execute("PRAGMA max_page_count=1"));
  const std::string_view add = "INSERT INTO events(run, time_ms, kind, data) VALUES('a', 0, 'note', ?1)";
  auto added = database.run(add, std::string(100'000, 'x'));
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().kind, Kind::disk_full);
}

TEST(LedgerDamage, AFolderInThePlaceOfTheFileIsAnErrorNotACrash) {
  const os::TempDir dir;
  const Error error = open_error(dir.path());
  EXPECT_EQ(error.kind, Kind::denied);
}

}  // namespace
}  // namespace ferry::ledger
