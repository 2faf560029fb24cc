#include "sandbox/power.h"

#include "base/text.h"

namespace ferry::sandbox {

namespace {

/// One script under five names. @FOLDER@, @INIT@ and @ONLY_ROOT@ are filled in.
constexpr std::string_view power_script = R"sh(#!/bin/sh
# Ends or restarts this machine: shutdown, poweroff, halt, reboot, and systemctl's verbs of that name.
folder=@FOLDER@
init=@INIT@
only_root=@ONLY_ROOT@

name=${0##*/}
action=poweroff
due=now
cancel=no

if [ "$name" = systemctl ]; then
  verb=
  for word in "$@"; do
    case $word in
      poweroff | halt | reboot) verb=$word ;;
      -*) ;;
      *) [ -n "$verb" ] || verb=other ;;
    esac
  done
  case $verb in
    poweroff | halt | reboot)
      name=$verb
      set --
      ;;
    *)
      for real in /usr/bin/systemctl /bin/systemctl; do
        [ -x $real ] && exec $real "$@"
      done
      echo "systemctl: this machine has no systemd" >&2
      exit 1
      ;;
  esac
fi
[ "$name" = reboot ] && action=reboot
[ "$name" = shutdown ] && due=+1

while [ $# -gt 0 ]; do
  case $1 in
    -r | -rf | -fr | --reboot) action=reboot ;;
    -c) cancel=yes ;;
    -k) exit 0 ;;
    -p | -P | -h | -H | --poweroff | --halt) action=poweroff ;;
    -t) shift ;;
    -*) ;;
    now | +[0-9]* | [0-9]*:[0-9]*) [ "$name" = shutdown ] && due=$1 ;;
  esac
  shift
done

if [ $only_root = yes ] && [ "$(id -u)" != 0 ]; then
  echo "$name: must be superuser" >&2
  exit 1
fi
if [ $cancel = yes ]; then
  rm -f "$folder/power"
  kill -USR1 $init
  exit 0
fi

now=$(date +%s)
case $due in
  now | +0) at=0 ;;
  +*) at=$((now + ${due#+} * 60)) ;;
  *)
    at=$(date -d "$due" +%s) || exit 1
    [ "$at" -gt "$now" ] || at=$((at + 86400))
    ;;
esac
echo "$action $at" >"$folder/power.new" && mv -f "$folder/power.new" "$folder/power" || exit 1
if [ $at != 0 ]; then
  echo "$action scheduled for $(date -d "@$at"), use 'shutdown -c' to cancel." >&2
fi
kill -USR1 $init
)sh";

/// Where there is one uid only.
constexpr std::string_view sudo_script = R"sh(#!/bin/sh
# This machine has one user; the command is run as it is.
while [ $# -gt 0 ]; do
  case $1 in
    -u | -g | -p | -C | -h | -r | -t | -T | -U | -D | -R)
      shift
      [ $# -gt 0 ] && shift
      ;;
    -l | -v | -k | -K | --list | --validate) exit 0 ;;
    -i | -s | --login | --shell)
      shift
      [ $# -gt 0 ] || exec "${SHELL:-/bin/sh}"
      ;;
    --)
      shift
      break
      ;;
    -*) shift ;;
    [A-Za-z_]*=*)
      export "$1"
      shift
      ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { echo "usage: sudo command" >&2; exit 1; }
exec "$@"
)sh";

std::string replaced(std::string text, std::string_view from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

os::Path request_file(const Machine& machine) { return machine.at("run/ferry/power"); }

}  // namespace

ferry::Status write_power_commands(const Machine& machine, std::int64_t init_pid) {
  const std::string folder = machine.isolated() ? "/run/ferry" : machine.at("run/ferry").string();
  std::string script = replaced(std::string(power_script), "@FOLDER@", shell_quoted(folder));
  script = replaced(script, "@INIT@", std::to_string(init_pid));
  script = replaced(script, "@ONLY_ROOT@", machine.has_root() ? "yes" : "no");
  for (const char* command : {"shutdown", "poweroff", "halt", "reboot", "systemctl"}) {
    TRY("", os::write_file(machine.shims() / command, script, 0755));
  }
  if (!machine.has_root()) TRY("", os::write_file(machine.shims() / "sudo", sudo_script, 0755));
  return {};
}

std::optional<PowerRequest> read_power_request(const Machine& machine) {
  const auto text = os::read_file(request_file(machine), 256);
  if (!text) return std::nullopt;
  const auto words = split(trim(*text), ' ');
  if (words.size() != 2 || (words[0] != "poweroff" && words[0] != "reboot")) return std::nullopt;
  const auto due = parse_int(words[1]);
  if (!due || *due < 0) return std::nullopt;
  return PowerRequest{words[0], *due};
}

ferry::Status clear_power_request(const Machine& machine) { return os::remove_all(request_file(machine)); }

}  // namespace ferry::sandbox
