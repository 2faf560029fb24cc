// What the ledger says when the world is against it.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

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

TEST(LedgerDamage, AFileThatIsNoDatabaseIsCorruptWithAWayOut) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  std::ofstream(file) << std::string(5000, 'x');
  const Error error = open_error(file);
  EXPECT_EQ(error.kind, Kind::corrupt);
  EXPECT_NE(error.what.find(file.string()), std::string::npos);
  EXPECT_NE(error.why.find("not a database"), std::string::npos) << error.why;
  EXPECT_NE(error.advice.find("ferry down --all"), std::string::npos);
}

TEST(LedgerDamage, ABrokenPageIsCorruptWhenItIsRead) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  {
    auto ledger = Ledger::open(file, clock).value();
    ledger::Run run;
    run.name = "a";
    ASSERT_TRUE(ledger->add_run(run));
  }
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto size = std::filesystem::file_size(file);
  bytes.seekp(4096);
  bytes << std::string(size - 4096, '\xee');
  bytes.close();
  auto ledger = Ledger::open(file, clock);
  const Error error = ledger ? (*ledger)->runs(false).error() : ledger.error();
  EXPECT_EQ(error.kind, Kind::corrupt) << describe(error);
}

TEST(LedgerDamage, ANewerSchemaIsUnsupportedAndStaysUntouched) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  Ledger::open(file, clock).value().reset();
  ASSERT_TRUE(Database::open(file).value().execute("PRAGMA user_version=99"));
  const Error error = open_error(file);
  EXPECT_EQ(error.kind, Kind::unsupported);
  EXPECT_NE(error.why.find("schema 99"), std::string::npos);
  EXPECT_NE(error.advice.find(dir.path().string()), std::string::npos);
  EXPECT_EQ(Database::open(file).value().number("PRAGMA user_version").value(), 99);
}

TEST(LedgerDamage, WhatAnOlderFerryCalledNotStartedIsCalledSoInOneWord) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  os::FakeClock clock;
  ledger::Run run;
  run.name = "a";
  ASSERT_TRUE(Ledger::open(file, clock).value()->add_run(run));
  ASSERT_TRUE(Database::open(file).value().execute(
      "UPDATE runs SET outcome = 'did not start'; ALTER TABLE instances DROP COLUMN running_ms; "
      "ALTER TABLE instances DROP COLUMN stopped_ms; ALTER TABLE instances DROP COLUMN paused_ms; "
      "DROP TRIGGER run_added; DROP TRIGGER run_changed; DROP TRIGGER instance_added; DROP TRIGGER instance_placed; "
      "DROP TABLE attempts; DROP TABLE nodes; DROP TABLE objects; "
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
