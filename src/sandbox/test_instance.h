#pragma once
/// \file
/// For tests: an instance in a folder of its own, and a real ssh client to talk to it.

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "sandbox/processes.h"
#include "sandbox/sandbox.h"

namespace ferry::sandbox {

/// Until `holds()` is true, at most a minute (the computer may be busy).
template <class Condition>
bool eventually(Condition&& holds) {
  const auto end = os::system_clock().steady_ms() + 60'000;
  while (!holds()) {
    if (os::system_clock().steady_ms() > end) return false;
    os::system_clock().sleep(Millis(5));
  }
  return true;
}

class TestInstance {
 public:
  explicit TestInstance(std::string_view folder = "i") : dir(temp_.path() / folder) {
    spec.instance_id = "i-" + hex(random_bytes(8));
    spec.hostname = "ip-10-0-0-10";
    spec.private_ip = "10.0.0.10";
    spec.mode = name(mode());
    spec.metadata = {{"latest/meta-data/instance-id", spec.instance_id},
                     {"latest/meta-data/placement/region", "us-east-1"}};
    const os::Path key = temp_.path() / "key";
    (void)os::run_command({.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.string()}});
    spec.authorized_keys = {std::string(trim(os::read_file(key.string() + ".pub").value_or("")))};
  }
  ~TestInstance() { (void)destroy(dir); }

  static Mode mode() {
    static const Mode found = probe(os::TempDir("probe").path()).mode;
    return found;
  }

  /// Boots and waits until it runs.
  void start() {
    const auto booted = boot(dir, spec);
    ASSERT_TRUE(booted) << describe(booted.error());
    ASSERT_TRUE(eventually([&] { return now().state != State::booting; }));
    ASSERT_EQ(now().state, State::running) << now().why << console();
  }

  Status now() const { return sandbox::status(dir); }
  std::string console() const { return os::read_file(dir / "console.log").value_or(""); }
  std::size_t processes() const { return marked_processes(spec.instance_id).size(); }

  /// The client's words up to and with the host. The host key is pinned from the console, as a careful user
  /// would.
  os::Argv client(const std::string& program = "ssh") const {
    const auto at = now();
    std::string line = console();
    line.erase(0, std::min(line.size(), line.rfind("HOST KEY KEYS-----\nssh-") + 19));
    (void)os::write_file(temp_.path() / "known",
                         fmt::format("[{0}]:{1} {2}\n{0} {2}\n", at.address, at.port, line.substr(0, line.find('\n'))));
    return {program,
            "-F",
            "none",
            "-i",
            (temp_.path() / "key").string(),
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
            "-oKexAlgorithms=curve25519-sha256",
            "-oUserKnownHostsFile=" + (temp_.path() / "known").string(),
            "-oStrictHostKeyChecking=yes",
            "-oConnectTimeout=5",
            fmt::format("-oPort={}", at.port)};
  }
  std::string host() const { return now().login_user + "@" + now().address; }

  os::Output run(const std::string& command) const {
    auto argv = client();
    argv.insert(argv.end(), {host(), command});
    return os::run_command({.argv = argv}).value_or(os::Output{{255, 0}, "", "timeout"});
  }
  /// What a command prints, trimmed, with its complaints if it fails.
  std::string said(const std::string& command) const {
    const auto output = run(command);
    return std::string(trim(output.out)) +
           (output.exit.code ? fmt::format(" [exit {}: {}]", output.exit.code, trim(output.err)) : "");
  }

 private:
  os::TempDir temp_;

 public:
  const os::Path dir;
  Spec spec;
};

}  // namespace ferry::sandbox
