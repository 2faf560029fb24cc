#include "agent/power.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <vector>

#include "base/text.h"
#include "os/env.h"
#include "os/file.h"
#include "os/process.h"

namespace ferry::agent {
namespace {

std::vector<os::Argv> ways_to_power_off() {
  if (const auto own = os::env("FERRY_AGENT_POWEROFF")) return {{*own}};
  return {{"sudo", "-n", "shutdown", "-h", "now"},
          {"sudo", "-n", "systemctl", "poweroff"},
          {"shutdown", "-h", "now"},
          {"poweroff"}};
}

/// PATH of a session over ssh lacks the folders where shutdown lives.
std::string wide_path() { return os::env("PATH").value_or("/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"; }

}  // namespace

Status power_off() {
  std::string reasons;
  for (const auto& argv : ways_to_power_off()) {
    const auto line = join(argv, " ");
    os::SpawnOptions options{.argv = {"/bin/sh", "-c", "exec \"$@\"", "sh"}, .env = {{"PATH", wide_path()}}};
    options.argv.insert(options.argv.end(), argv.begin(), argv.end());
    const auto output = os::run_command(options, {}, Millis(20'000));
    if (output && output->exit.code == 0) return {};
    reasons += line + ": ";
    reasons +=
        output ? "exit " + std::to_string(output->exit.code) + " " + printable(trim(output->err)) : output.error().what;
    reasons += "; ";
  }
  return fail(Kind::denied, "the machine cannot be powered off from inside", reasons);
}

Status put_off_power_off(const std::string& run, Seconds in) {
  const os::Path file = os::Path(os::env("FERRY_AGENT_RUN").value_or("/run")) / ("ferry-end-" + run);
  if (!os::exists(file))
    return fail(Kind::unsupported, "the machine's own timer cannot be put off",
                "it was armed by a ferry before this one, or by nobody");
  TRY_SET(uptime, "see how long the machine runs", os::read_file("/proc/uptime"));
  const auto now = parse_int(std::string_view(uptime).substr(0, uptime.find('.')));
  if (!now) return fail(Kind::corrupt, "/proc/uptime is not what it should be");
  const auto write =
      fmt::format("echo {0} >{1}.new && mv -f {1}.new {1}", *now + in.count(), shell_quoted(file.string()));
  std::string reasons;
  for (const auto& way : {os::Argv{"sudo", "-n", "/bin/sh", "-c", write}, os::Argv{"/bin/sh", "-c", write}}) {
    os::SpawnOptions options{.argv = {"/bin/sh", "-c", "exec \"$@\"", "sh"}, .env = {{"PATH", wide_path()}}};
    options.argv.insert(options.argv.end(), way.begin(), way.end());
    const auto output = os::run_command(options, {}, Millis(20'000));
    if (output && output->exit.code == 0) return {};
    reasons += (output ? printable(trim(output->err)) : output.error().what) + "; ";
  }
  return fail(Kind::denied, "the machine's own timer cannot be put off", reasons);
}

double CpuMeter::percent() {
  const auto text = os::read_file("/proc/stat");
  if (!text) return 0;
  std::istringstream fields(text->substr(0, text->find('\n')));
  std::string label;
  fields >> label;
  double total = 0, idle = 0, value = 0;
  for (int i = 0; i < 8 && fields >> value; ++i) {  // guest time, which follows, is counted in user time already
    total += value;
    if (i == 3 || i == 4) idle += value;
  }
  const double busy = total - idle, passed = total - total_;
  const double percent = total_ > 0 && passed > 0 ? 100 * (busy - busy_) / passed : 0;
  busy_ = busy;
  total_ = total;
  return std::round(10 * std::clamp(percent, 0.0, 100.0)) / 10;
}

}  // namespace ferry::agent
