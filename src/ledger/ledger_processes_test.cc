// Many ferry processes on one ledger, and processes that die in the middle.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "ledger/ledger.h"
#include "os/fd.h"

namespace ferry::ledger {
namespace {

/// Forks; the child returns from `work` straight into _exit.
template <class Work>
pid_t start_child(const Work& work) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(work());
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST(LedgerProcesses, EightProcessesWriteHundredsOfTimesAndNothingIsLost) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ferry" / "ledger.db";  // made by whoever comes first
  constexpr int processes = 8, writes = 70;
  std::vector<pid_t> children;
  for (int who = 0; who < processes; ++who) {
    children.push_back(start_child([&] {
      auto ledger = Ledger::open(file, os::system_clock());
      if (!ledger) return 1;
      ledger::Run run;
      run.name = fmt::format("run-{}", who);
      if (!(*ledger)->add_run(run)) return 2;
      for (int i = 0; i < writes; ++i) {
        Instance it;
        it.token = fmt::format("{}/{}", run.name, i);
        it.run = run.name;
        if (!(*ledger)->record_intent(it)) return 3;
        it.state = Rent::live;
        if (!(*ledger)->record_instance(it)) return 4;
        if (!(*ledger)->add_event("shared", "note", i)) return 5;
      }
      return 0;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(wait_for(child), 0);
  auto ledger = Ledger::open(file, os::system_clock()).value();
  EXPECT_EQ(ledger->runs(true)->size(), std::size_t{processes});
  EXPECT_EQ(ledger->unreleased()->size(), std::size_t{processes * writes});
  EXPECT_EQ(ledger->events("shared")->size(), std::size_t{processes * writes});
}

TEST(LedgerProcesses, OnlyOneOfManyProcessesMakesTheSameMove) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  ledger::Run run;
  run.name = "a";
  ASSERT_TRUE(Ledger::open(file, os::system_clock()).value()->add_run(run));
  std::vector<pid_t> children;
  for (int who = 0; who < 6; ++who) {
    children.push_back(start_child([&] {
      auto ledger = Ledger::open(file, os::system_clock());
      if (!ledger) return 1;
      const auto moved = (*ledger)->move("a", Phase::releasing);
      if (moved) return 10;
      return moved.error().kind == Kind::conflict ? 20 : 2;
    }));
  }
  int winners = 0, losers = 0;
  for (const pid_t child : children) {
    const int code = WEXITSTATUS(wait_for(child));
    winners += code == 10;
    losers += code == 20;
  }
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(losers, 5);
}

/// Notes intents for ever, acknowledging each on `acks` after it was written.
int write_for_ever(const os::Path& file, int round, int acks) {
  auto ledger = Ledger::open(file, os::system_clock());
  if (!ledger) return 1;
  for (int i = 0;; ++i) {
    Instance it;
    it.token = fmt::format("{}/{}", round, i);
    it.run = "a";
    if (!(*ledger)->record_intent(it)) return 2;
    if (!os::write_all(acks, it.token + "\n")) return 3;
  }
}

TEST(LedgerProcesses, WhatWasAcknowledgedIsThereAfterKillNineAtAnyMoment) {
  const os::TempDir dir;
  const os::Path file = dir.path() / "ledger.db";
  std::set<std::string> acknowledged;
  for (int round = 0; round < 12; ++round) {
    auto pipe = os::make_pipe().value();
    const pid_t child = start_child([&] { return write_for_ever(file, round, pipe.write.get()); });
    pipe.write.reset();
    // Killed after a different number of writes each round, wherever it then is; round 0 while it opens.
    std::string seen;
    const auto wanted = static_cast<std::ptrdiff_t>(round * 3);
    while (std::count(seen.begin(), seen.end(), '\n') < wanted) {
      const auto bytes = os::read_some(pipe.read.get()).value();
      ASSERT_FALSE(bytes.empty()) << "the writer ended by itself";
      seen += bytes;
    }
    ::kill(child, SIGKILL);
    seen += os::read_to_end(pipe.read.get()).value();
    EXPECT_TRUE(WIFSIGNALED(wait_for(child)));
    for (const auto& token : split(trim(seen), '\n')) {
      if (!token.empty()) acknowledged.insert(token);
    }

    auto ledger = Ledger::open(file, os::system_clock());
    ASSERT_TRUE(ledger) << describe(ledger.error());
    std::set<std::string> kept;
    const auto intents = (*ledger)->unreleased();
    ASSERT_TRUE(intents) << describe(intents.error());
    for (const auto& it : *intents) kept.insert(it.token);
    EXPECT_TRUE(std::includes(kept.begin(), kept.end(), acknowledged.begin(), acknowledged.end()));
  }
}

}  // namespace
}  // namespace ferry::ledger
