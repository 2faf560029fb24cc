#include "fleet/machine.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"

namespace ferry::fleet {
namespace {

TEST(Machine, UserDataHoldsTheHostKeyAndATimerThatEndsTheMachine) {
  const auto data = user_data("-----BEGIN\nabc\n-----END\n", "ssh-ed25519 AAAA x", Seconds(4242), "one");
  EXPECT_TRUE(data.starts_with("#cloud-config\n"));
  EXPECT_NE(data.find("    abc\n"), std::string::npos);
  EXPECT_NE(data.find("ed25519_public: ssh-ed25519 AAAA x\n"), std::string::npos);
  EXPECT_NE(data.find("--on-active=4242"), std::string::npos);
  EXPECT_NE(data.find("sleep '4242'"), std::string::npos);
}

std::int64_t uptime() {
  const auto text = os::read_file("/proc/uptime").value_or("");
  return parse_int(std::string_view(text).substr(0, text.find('.'))).value_or(0);
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// Arms the timer for a second, as a machine without systemd does at its boot, with `later` in the file that puts it
/// off; gives the uptime at which it switched the machine off.
std::int64_t switched_off_at(const std::string& later) {
  const os::TempDir dir;
  const auto data = user_data("key", "ssh-ed25519 AAAA x", Seconds(1), "one");
  const auto line = data.substr(data.find("bootcmd:\n  - ") + 13);
  auto script = text_at(Json{{"script", parse_json(trim(line)).value().at(2)}}, "script");
  const auto file = dir.path() / "end", off = dir.path() / "off";
  replace_all(script, "/run/ferry-end-one", file.string());
  replace_all(script, "/run/systemd/system", "/none");
  replace_all(script, "sleep 5", "sleep 0.05");
  EXPECT_TRUE(os::write_file(dir.path() / "shutdown", "#!/bin/sh\n: >" + off.string() + "\n", 0755));
  const auto path = dir.path().string() + ":/usr/bin:/bin";
  const auto armed = os::run_command({.argv = {"/bin/sh", "-c", script}, .env = {{"PATH", path}}}, {}, Millis(5000));
  EXPECT_TRUE(armed && armed->exit.code == 0);
  EXPECT_EQ(os::read_file(file).value_or(""), "0\n") << "whoever puts it off sees that it can be";
  if (!later.empty()) {
    EXPECT_TRUE(os::write_file(file, later));
  }
  const auto end = os::system_clock().steady_ms() + 20'000;
  while (!os::exists(off) && os::system_clock().steady_ms() < end) os::system_clock().sleep(Millis(10));
  EXPECT_TRUE(os::exists(off));
  return uptime();
}

TEST(Machine, ItsTimerIsPutOffByTheFileAndByNothingThatCannotBeRead) {
  switched_off_at("");
  switched_off_at("garbage\n");
  const auto later = uptime() + 3;
  EXPECT_GE(switched_off_at(std::to_string(later) + "\n"), later);
}

TEST(Machine, TheTimerNeverFiresBeforeOutputsCouldBeFetched) {
  for (const auto hours : {0, 1, 24, 240}) {
    const TimeLimits lifetime{Seconds(hours * 3600 + 20)};
    EXPECT_GE(lifetime.until_power_off(), lifetime.max_duration + lifetime.retention() + Seconds(60));
    EXPECT_GE(lifetime.retention(), Seconds(30));
  }
}

}  // namespace
}  // namespace ferry::fleet
