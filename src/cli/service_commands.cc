// ferry service: a timer of the user's systemd, so that runs go on after this computer was off, without a command.
#include "base/text.h"
#include "cli/command.h"
#include "os/env.h"
#include "os/process.h"

namespace ferry::cli {

namespace {

os::Path units() { return os::config_dir().parent_path() / "systemd/user"; }
os::Path service_file() { return units() / "ferry.service"; }
os::Path timer_file() { return units() / "ferry.timer"; }

/// A word of ExecStart= or Environment= (systemd.service(5), "Command lines"): quoted, and nothing in it is expanded.
std::string unit_word(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
    if (c == '%' || c == '$') out += c;
  }
  return out + "\"";
}

/// Any command looks after runs whose ferry is gone. What it leaves behind, their followers, must outlive it: KillMode.
std::string service_text() {
  std::string environment;
  for (const char* name : {"XDG_DATA_HOME", "XDG_CONFIG_HOME", "AWS_PROFILE", "AWS_REGION", "AWS_CONFIG_FILE",
                           "AWS_SHARED_CREDENTIALS_FILE"}) {
    if (const auto value = os::env(name); value && value->find('\n') == value->npos)
      environment += "Environment=" + unit_word(std::string(name) + "=" + *value) + "\n";
  }
  return "[Unit]\nDescription=ferry looks after runs that were left "
         "behind\n\n[Service]\nType=oneshot\nKillMode=process\n" +
         environment + "ExecStart=" + unit_word(os::self_program().string()) + " ps --quiet\n";
}

constexpr const char* timer_text =
    "[Unit]\nDescription=ferry looks after runs that were left "
    "behind\n\n[Timer]\nOnStartupSec=15s\nOnUnitActiveSec=5min\n\n"
    "[Install]\nWantedBy=timers.target\n";

/// Nothing, or why systemd could not be told.
std::optional<std::string> systemctl(const os::Argv& words) {
  os::Argv argv = {"systemctl", "--user"};
  argv.insert(argv.end(), words.begin(), words.end());
  const auto done = os::run_command({.argv = argv}, {}, Millis(20'000));
  if (!done) return done.error().what;
  if (done->exit.code == 0) return std::nullopt;
  return printable(trim(done->err.empty() ? done->out : done->err));
}

/// `enabled`: whether systemd took it.
int tell_service(bool installed, bool enabled, const std::string& why) {
  if (in_json()) {
    reply("ferry.service/1",
          {{"installed", installed}, {"enabled", enabled}, {"unit", timer_file().string()}, {"why", why}});
  } else if (!installed) {
    fmt::print("not installed\n");
  } else if (enabled) {
    fmt::print("every five minutes, and after each login, ferry looks after runs that were left behind ({})\n",
               timer_file().string());
  } else {
    fmt::print(
        "{} is written, but systemd did not take it: {}\n  once it runs for you: systemctl --user enable --now "
        "ferry.timer\n",
        timer_file().string(), why);
  }
  return installed && !enabled ? 1 : 0;
}

Result<int> install_service() {
  TRY("", os::make_dirs(units(), 0755));
  TRY("", os::write_file(service_file(), service_text(), 0644));
  TRY("", os::write_file(timer_file(), timer_text, 0644));
  auto why = systemctl({"daemon-reload"});
  if (!why) why = systemctl({"enable", "--now", "ferry.timer"});
  return tell_service(true, !why, why.value_or(""));
}

Result<int> uninstall_service() {
  if (os::exists(timer_file())) (void)systemctl({"disable", "--now", "ferry.timer"});
  for (const auto& file : {timer_file(), service_file()}) {
    std::error_code code;
    std::filesystem::remove(file, code);
    if (code) return fail(Kind::io, "remove " + file.string(), code.message(), "rm " + shell_quoted(file.string()));
  }
  (void)systemctl({"daemon-reload"});
  return tell_service(false, false, "");
}

Result<int> service_status() {
  if (!os::exists(timer_file())) return tell_service(false, false, "");
  const auto why = systemctl({"is-enabled", "ferry.timer"});
  return tell_service(true, !why, why.value_or(""));
}

}  // namespace

void add_service_commands(CLI::App& app, Program& program) {
  auto* service = app.add_subcommand("service", "Runs go on after this computer was off, without a command");
  service->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, Result<int> (*act)()) {
    service->add_subcommand(name, what)->callback([&program, act] {
      program.chosen = [act] {
        const auto done = act();
        return done ? *done : report(done.error());
      };
    });
  };
  add("install", "Write and start a timer of your systemd", install_service);
  add("uninstall", "Stop it and remove it", uninstall_service);
  add("status", "Say whether it is there", service_status);
}

}  // namespace ferry::cli
