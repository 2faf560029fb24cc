// The machine that this room's tests run on, its own tests, and the test program's main.
#include "run/scripted_machine.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>

#include "agent/client.h"
#include "base/text.h"
#include "os/env.h"
#include "os/socket.h"

namespace ferry::run {

namespace {

constexpr const char* as_agent = "FERRY_TEST_IS_AGENT";

void put_program(const os::Path& file, const std::string& script) {
  if (auto put = os::write_file(file, "#!/bin/sh\n" + script + "\n", 0700); !put)
    throw std::runtime_error(describe(put.error()));
}

/// The children of a process; with `deep`, theirs as well. What they leave behind comes to us: see
/// become_parent().
void add_children(pid_t parent, bool deep, std::vector<pid_t>& found) {
  const auto tasks = fmt::format("/proc/{}/task", parent);
  for (const auto& task : os::list_dir(tasks).value_or(std::vector<std::string>())) {
    const auto listed = os::read_file(os::Path(tasks) / task / "children").value_or("");
    for (const auto& word : split(trim(listed), ' ')) {
      const auto pid = parse_int(word);
      if (!pid) continue;
      found.push_back(static_cast<pid_t>(*pid));
      if (deep) add_children(static_cast<pid_t>(*pid), true, found);
    }
  }
}

/// Whatever processes of ours leave behind when they end is a child of this process from now on.
void become_parent() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

/// "" for one that has ended. A process that is just becoming another program has none for a moment.
std::string environment_of(pid_t pid) {
  for (int look = 0; look < 100; ++look) {
    const auto environment = os::read_file(fmt::format("/proc/{}/environ", pid));
    if (!environment || !environment->empty()) return environment.value_or("");
    const auto stat = os::read_file(fmt::format("/proc/{}/stat", pid)).value_or("");
    if (stat.empty() || stat.find(") Z ") != std::string::npos) return "";
    std::this_thread::sleep_for(Millis(1));
  }
  return "";
}

/// The processes whose HOME is this one; `ours`: only those that this process started itself.
std::vector<pid_t> processes_of(const os::Path& home, bool ours) {
  std::vector<pid_t> all, found;
  add_children(::getpid(), !ours, all);
  const std::string mark = "HOME=" + home.string();
  for (const auto pid : all) {
    const auto entries = split(environment_of(pid), '\0');
    if (std::ranges::find(entries, mark) != entries.end()) found.push_back(pid);
  }
  return found;
}

/// True for what ssh would have started for us; whatever goes on by itself reads from no pipe.
bool is_channel(pid_t pid) {
  std::error_code ignored;
  return std::filesystem::read_symlink(fmt::format("/proc/{}/fd/0", pid), ignored).string().starts_with("pipe:");
}

/// Where every machine of this process has its programs: an agent that was sent once is there.
const os::Path& programs() {
  static const os::TempDir folder("ferry-programs");
  return folder.path();
}

}  // namespace

ScriptedMachine::ScriptedMachine(os::Path home) : home_(std::move(home)) {
  become_parent();
  (void)os::make_dirs(home_ / "bin", 0700);
  (void)os::make_dirs(home_ / ".ferry", 0700);
  std::filesystem::create_directory_symlink(programs(), home_ / ".ferry/bin");
  put_program(home_ / "off-switch", ": >\"$HOME/is-off\"");
  put_program(home_ / "bin/python3", "exit 1");  // its absence is quick
}

Result<ssh::Session> ScriptedMachine::connect() {
  std::map<std::string, std::string> env = {
      {"PATH", (home_ / "bin").string() + ":/usr/bin:/bin"},
      {"FERRY_AGENT_POWEROFF", (home_ / "off-switch").string()},
      {"FERRY_SCRATCH_SYS", (home_ / "no-disks").string()},
      {"FERRY_AGENT_RUN", home_.string()},  // where the timer of a machine is put off
  };
  const auto script = scripted_agent();
  ssh::Programs agents;
  for (const char* arch : {"x86_64", "aarch64"})
    agents.push_back({arch, "ferry-agent-test", [script] { return Result<std::string>(script); }});
  auto session = ssh::Session::local(home_, agents, env);
  if (session) carriers_.push_back(session->pid());
  return session;
}

void ScriptedMachine::cut() {
  std::vector<pid_t> children;
  add_children(::getpid(), false, children);
  for (const auto pid : carriers_) {
    if (std::ranges::find(children, pid) == children.end()) continue;
    ::kill(pid, SIGKILL);
    siginfo_t ended;
    ::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT);  // the session itself waits for it later
  }
  carriers_.clear();
  for (const auto pid : processes_of(home_, true)) {
    if (is_channel(pid)) ::kill(-pid, SIGKILL);
  }
}

bool ScriptedMachine::kill_agent(const std::string& run) {
  const auto folder = home_ / ".ferry/runs" / run;
  const auto socket = os::connect_unix(folder / "sock");
  if (!socket) return false;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return false;
  ::kill(peer.pid, SIGKILL);
  while (os::is_locked(folder / "lock") || os::connect_unix(folder / "sock")) std::this_thread::yield();
  return true;
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
    return shipped
               ? fmt::format("#!/bin/sh\nexec {} \"$@\"\n", shell_quoted(*shipped))
               : fmt::format("#!/bin/sh\n{}=1 exec {} \"$@\"\n", as_agent, shell_quoted(os::self_program().string()));
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
