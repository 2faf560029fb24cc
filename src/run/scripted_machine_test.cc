// The machine that this room's tests run on, its own tests, and the test program's main.
#include "run/scripted_machine.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>

#include "agent/client.h"
#include "base/text.h"
#include "os/env.h"

namespace ferry::run {

namespace {

constexpr const char* as_agent = "FERRY_TEST_IS_AGENT";

void put_program(const os::Path& file, const std::string& script) {
  if (auto put = os::write_file(file, "#!/bin/sh\n" + script + "\n", 0700); !put)
    throw std::runtime_error(describe(put.error()));
}

/// The processes whose HOME is this one; `ours`: only those that this process started itself.
std::vector<pid_t> processes_of(const os::Path& home, bool ours) {
  std::vector<pid_t> found;
  const std::string mark = "HOME=" + home.string();
  for (const auto& name : os::list_dir("/proc").value_or(std::vector<std::string>())) {
    const auto pid = parse_int(name);
    if (!pid) continue;
    const auto environment = os::read_file("/proc/" + name + "/environ");
    if (!environment) continue;
    const auto entries = split(*environment, '\0');
    if (std::ranges::find(entries, mark) == entries.end()) continue;
    if (ours) {
      const auto status = os::read_file("/proc/" + name + "/status").value_or("");
      if (status.find(fmt::format("\nPPid:\t{}\n", ::getpid())) == std::string::npos) continue;
    }
    found.push_back(static_cast<pid_t>(*pid));
  }
  return found;
}

}  // namespace

ScriptedMachine::ScriptedMachine(os::Path home) : home_(std::move(home)) {
  (void)os::make_dirs(home_ / "bin", 0700);
  put_program(home_ / "off-switch", ": >\"$HOME/is-off\"");
  put_program(home_ / "bin/python3", "exit 1");  // its absence is quick
}

Result<ssh::Session> ScriptedMachine::connect() {
  std::map<std::string, std::string> env = {
      {"PATH", (home_ / "bin").string() + ":/usr/bin:/bin"},
      {"FERRY_AGENT_POWEROFF", (home_ / "off-switch").string()},
      {"FERRY_SCRATCH_SYS", (home_ / "no-disks").string()},
  };
  auto session = ssh::Session::local(home_, env);
  if (session) masters_.push_back(session->master_pid());
  return session;
}

void ScriptedMachine::cut() {
  for (const auto pid : masters_) {
    const auto status = os::read_file(fmt::format("/proc/{}/status", pid)).value_or("");
    if (status.find(fmt::format("\nPPid:\t{}\n", ::getpid())) == std::string::npos) continue;
    ::kill(pid, SIGKILL);
    siginfo_t ended;
    ::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT);  // the session itself waits for it later
  }
  masters_.clear();
  for (const auto pid : processes_of(home_, true)) ::kill(-pid, SIGKILL);
}

void ScriptedMachine::die() {
  cut();
  // Those that are killed may just have started others.
  for (auto left = processes_of(home_, false); !left.empty(); left = processes_of(home_, false)) {
    for (const auto pid : left) ::kill(pid, SIGKILL);
  }
}

bool ScriptedMachine::is_off() const { return os::exists(home_ / "is-off"); }

std::string_view scripted_agent() {
  static const std::string script = [] {
    const auto shipped = os::env("FERRY_AGENT");
    return shipped ? fmt::format("#!/bin/sh\nexec {} \"$@\"\n", shell_quoted(*shipped))
                   : fmt::format("#!/bin/sh\n{}=1 exec {} \"$@\"\n", as_agent,
                                 shell_quoted(os::self_program().string()));
  }();
  return script;
}

namespace {

TEST(ScriptedMachineItself, WhatRunsOnItOutlivesACutConnectionAndNotThePower) {
  os::TempDir dir;
  ScriptedMachine machine(dir.path() / "home");
  auto session = machine.connect();
  ASSERT_TRUE(session);
  ASSERT_TRUE(session->run("(setsid sleep 600 </dev/null >/dev/null 2>&1 &); echo $! >pid"));
  auto channel = session->spawn("exec cat");
  ASSERT_TRUE(channel);
  machine.cut();
  EXPECT_TRUE(channel->wait(Millis(-1)));
  EXPECT_FALSE(os::is_directory(machine.home() / "nothing"));
  EXPECT_EQ(session->run("true").error().kind, Kind::lost);
  EXPECT_EQ(processes_of(machine.home(), false).size(), 1U);
  machine.die();
  EXPECT_TRUE(processes_of(machine.home(), false).empty());
}

TEST(ScriptedMachineItself, ItsAgentIsARealOneThatCanSwitchItOff) {
  os::TempDir dir;
  ScriptedMachine machine(dir.path() / "home");
  ASSERT_TRUE(os::write_file(dir.path() / "agent", scripted_agent(), 0700));
  auto session = machine.connect();
  ASSERT_TRUE(session);
  auto channel = session->spawn("exec " + shell_quoted((dir.path() / "agent").string()) + " connect run");
  ASSERT_TRUE(channel);
  auto client = agent::Client::connect(std::move(channel->out), std::move(channel->in), Millis(60'000));
  ASSERT_TRUE(client) << describe(client.error());
  EXPECT_EQ(client->status()->state, agent::JobState::idle);
  EXPECT_FALSE(machine.is_off());
  ASSERT_TRUE(client->release(true));
  while (!machine.is_off()) std::this_thread::yield();
}

}  // namespace
}  // namespace ferry::run

int main(int argc, char** argv) {
  if (ferry::os::env(ferry::run::as_agent)) return ferry::agent::agent_main(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
