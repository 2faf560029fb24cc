#pragma once
/// \file
/// For tests only: a real sshd on loopback, run by the user who runs them.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>

#include "base/text.h"
#include "mux/testing.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/file.h"
#include "os/socket.h"
#include "ssh/keys.h"
#include "ssh/session.h"

namespace ferry::ssh {

/// This test program, for any processor.
inline Programs serving_programs(const std::string& name = "ferry-agent-test") {
  const auto script = mux::serving_script();
  Programs out;
  for (const char* arch : {"x86_64", "aarch64"})
    out.push_back({arch, name, [script] { return Result<std::string>(script); }});
  return out;
}

class Sshd : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::exists("/usr/sbin/sshd")) GTEST_SKIP() << "no sshd here";
    if (os::is_root()) (void)os::make_dirs("/run/sshd");
    user_ = run_("id -un");
    if (run_("getent passwd " + user_ + " | cut -d: -f7").find("nologin") != std::string::npos) {
      GTEST_SKIP() << "this user has no login shell";
    }
    host_ = *make_key(dir_.path(), "host");
    key_ = *ensure_key(dir_.path() / "id", "me");
    ASSERT_TRUE(os::write_file(dir_.path() / "host_key", host_.private_text, 0600));
    ASSERT_TRUE(os::write_file(dir_.path() / "authorized", key_.public_line + "\n", 0600));
    port_ = free_port();
    const auto config = fmt::format(
        "ListenAddress 127.0.0.1:{}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes "
        "no\n"
        "PasswordAuthentication no\nPermitRootLogin yes\nSetEnv HOME={}\n",
        port_, (dir_.path() / "host_key").string(), (dir_.path() / "authorized").string(), home_.path().string());
    ASSERT_TRUE(os::write_file(dir_.path() / "config", config));
    start();
    target_ = {user_, "127.0.0.1", port_, dir_.path() / "id", dir_.path() / "known", "run-1"};
    ASSERT_TRUE(os::write_file(target_.known_hosts, known_hosts_line("run-1", host_.public_line)));
  }
  void TearDown() override { stop(); }

  void start() {
    os::SpawnOptions options;
    options.argv = {"/usr/sbin/sshd", "-D", "-e", "-f", (dir_.path() / "config").string()};
    options.err = os::Stream::null;
    options.new_session = true;
    options.die_with_parent = true;
    sshd_.emplace(*os::Process::spawn(options));
    for (int i = 0; i < 500 && !os::connect_tcp("127.0.0.1", port_, Millis(100)); ++i)
      os::system_clock().sleep(Millis(10));
  }
  void stop() {
    if (!sshd_) return;
    sshd_->signal(SIGKILL);
    sshd_->wait(Millis(-1));
    sshd_.reset();
  }
  static Programs programs() { return serving_programs(); }
  static std::string run_(const std::string& shell) {
    os::SpawnOptions options;
    options.argv = {"sh", "-c", shell};
    return std::string(trim(os::run_command(options)->out));
  }
  static int free_port() {
    auto listener = os::listen_tcp("127.0.0.1", 0);
    return os::local_port(listener->get());
  }
  static int mode_of(const os::Path& path) {
    struct stat info;
    return ::stat(path.c_str(), &info) == 0 ? static_cast<int>(info.st_mode & 07777) : -1;
  }

  os::TempDir dir_, home_;
  std::string user_;
  Key host_, key_;
  int port_ = 0;
  std::optional<os::Process> sshd_;
  Target target_;
};

}  // namespace ferry::ssh
