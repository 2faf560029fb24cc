#include "agent/job.h"

#include <csignal>
#include <cstring>

#include "agent/pipes.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"

extern "C" char** environ;

namespace ferry::agent {
namespace {

/// One argument holds at most 128 KiB (MAX_ARG_STRLEN).
constexpr std::size_t longest_argument = 100 * 1024;
/// A reader whose writers are gone ends by itself, once it has taken the rest.
constexpr std::int64_t reader_ms = 2'000;

/// Folders that a login shell has in PATH and a command over ssh has not.
std::string login_path(const std::string& path, const std::string& home) {
  std::string out = path.empty() ? "/usr/local/bin:/usr/bin:/bin" : path;
  const auto has = split(out, ':');
  for (const std::string& folder :
       {home + "/.local/bin", std::string("/usr/local/sbin"), std::string("/usr/sbin"), std::string("/sbin")}) {
    if (std::find(has.begin(), has.end(), folder) == has.end()) out += ":" + folder;
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> Job::environment() const {
  std::map<std::string, std::string> out{{"PYTHONUNBUFFERED", "1"}};  // or Python keeps what it prints for minutes
  for (char** at = environ; at && *at; ++at) {
    const std::string_view entry = *at;
    const auto equals = entry.find('=');
    if (equals == entry.npos || entry.starts_with("SSH_") || entry.starts_with("FERRY_AGENT_")) continue;
    out[std::string(entry.substr(0, equals))] = entry.substr(equals + 1);
  }
  if (!out.contains("HOME")) out["HOME"] = os::home_dir();
  if (!out.contains("USER")) out["USER"] = os::user_name();
  if (!out.contains("LOGNAME")) out["LOGNAME"] = out["USER"];
  out["PATH"] = login_path(out["PATH"], out["HOME"]);
  for (const auto& [key, value] : spec_.env) out[key] = value;
  for (const auto& [key, value] : spec_.secrets) out[key] = value;
  const auto equals = marker_.find('=');
  out[marker_.substr(0, equals)] = marker_.substr(equals + 1);
  return out;
}

Result<os::Argv> Job::shell_for(const std::string& script) const {
  const std::string shell = os::find_program("bash").value_or("/bin/sh");
  if (script.size() <= longest_argument) return os::Argv{shell, "-c", script};
  const os::Path file = dir_ / (phase_ == LogPhase::setup ? "setup.sh" : "run.sh");
  TRY("", os::write_file(file, script, 0700));
  return os::Argv{shell, file.string()};
}

Status Job::launch(LogPhase phase) {
  phase_ = phase;
  TRY("make the workdir", os::make_dirs(spec_.workdir));
  TRY_SET(argv, "", shell_for(phase == LogPhase::setup ? spec_.setup : spec_.command));
  TRY_SET(shell, phase == LogPhase::setup ? "start setup" : "start the run",
          os::Process::spawn({.argv = argv,
                              .env = environment(),
                              .clean_env = true,
                              .cwd = spec_.workdir,
                              .in = os::Stream::null,
                              .out = os::Stream::pipe,
                              .err = os::Stream::pipe,
                              .new_session = true,
                              .die_with_parent = true}));
  // When memory runs out, the training should go before the agent that reports it.
  (void)os::append_file("/proc/" + std::to_string(shell.pid()) + "/oom_score_adj", "300");
  sources_.push_back({std::move(shell.out), LogStream::out, phase});
  sources_.push_back({std::move(shell.err), LogStream::err, phase});
  only_outlives_ = phase == LogPhase::run && spec_.command.starts_with(outlives_its_end);
  exit_code_.reset();
  readers_.clear();
  told_.clear();
  shell_ = std::move(shell);
  return {};
}

void Job::forget_spec() {
  for (auto* pairs : {&spec_.env, &spec_.secrets}) {
    for (auto& [key, value] : *pairs) explicit_bzero(value.data(), value.size());
    pairs->clear();
    pairs->shrink_to_fit();
  }
  for (auto* script : {&spec_.setup, &spec_.command}) std::string().swap(*script);
}

void Job::reap_ended() {
  while (const auto child = ended_child()) {
    if (shell_ && !exit_code_ && *child == shell_->pid()) {
      const auto end = shell_->wait(Millis(0));
      exit_code_ = end ? end->code : 127;
    } else {
      reap(*child);
    }
  }
}

std::set<pid_t> Job::busy_readers(const std::vector<pid_t>& group) const {
  // What left the group may stand between: `train | setsid filter | tee`.
  auto processes = descendants();
  processes.insert(processes.end(), group.begin(), group.end());
  return readers_of({group.begin(), group.end()}, pipe_ends(processes));
}

void Job::terminate() {
  if (!shell_) return;
  const auto group = group_members(shell_->pid());
  const auto busy = busy_readers(group);
  if (busy.empty()) return signal_group(shell_->pid(), SIGTERM);
  std::vector<pid_t> first;
  for (const pid_t pid : group) {
    if (busy.contains(pid)) {
      readers_.emplace(named(pid), 0);
    } else {
      first.push_back(pid);
      told_.insert(named(pid));
    }
  }
  send_signal(first, SIGTERM);
}

std::size_t Job::tell(int number) {
  if (!shell_) return 0;
  // What left the group did so to be told of an end by those that stayed: docker's client is one.
  auto processes = number == SIGTERM ? std::vector<pid_t>() : family_of(shell_->pid());
  const auto group = group_members(shell_->pid());
  processes.insert(processes.end(), group.begin(), group.end());
  const bool only_outlives = number == SIGTERM && only_outlives_;
  std::set<pid_t> handling;
  for (const pid_t pid : processes) {
    if (handles(pid, number) && !(only_outlives && pid == shell_->pid())) handling.insert(pid);
  }
  std::vector<pid_t> first;
  for (const pid_t pid : handling) {
    const auto parent = parent_of(pid);
    if (!handling.contains(parent) || command_line(parent) != command_line(pid)) first.push_back(pid);
  }
  send_signal(first, number);
  return first.size();
}

void Job::terminate_readers(std::int64_t now, bool all) {
  if (!shell_ || readers_.empty()) return;
  const auto group = group_members(shell_->pid());
  const auto busy = all ? std::set<pid_t>() : busy_readers(group);
  const auto is_in_group = [&](pid_t pid) { return std::find(group.begin(), group.end(), pid) != group.end(); };
  std::vector<pid_t> due;
  for (auto at = readers_.begin(); at != readers_.end();) {
    const pid_t reader = at->first.first;
    const bool is_there = is_in_group(reader) && named(reader) == at->first;
    if (busy.contains(reader)) {
      at->second = 0;
    } else if (at->second == 0) {
      at->second = now;
    }
    if (is_there && !all && (busy.contains(reader) || now - at->second < reader_ms)) {
      ++at;
      continue;
    }
    if (is_there) due.push_back(reader);
    at = readers_.erase(at);
  }
  std::vector<pid_t> told;
  for (const pid_t reader : due) {
    // A shell that read may have gone on to its next command.
    for (const pid_t pid : family_of(reader)) {
      if (is_in_group(pid) && !readers_.contains(named(pid)) && told_.insert(named(pid)).second) told.push_back(pid);
    }
  }
  send_signal(told, SIGTERM);
}

void Job::kill_all(const std::set<pid_t>& without) { send_signal(descendants(without), SIGKILL); }

bool Job::group_alive() const { return shell_ && !group_members(shell_->pid()).empty(); }

std::vector<int> Job::sources() const {
  std::vector<int> out;
  for (const Source& source : sources_) out.push_back(source.fd.get());
  return out;
}

void Job::read(int source, Spool& spool) {
  const auto at =
      std::find_if(sources_.begin(), sources_.end(), [&](const Source& each) { return each.fd.get() == source; });
  if (at == sources_.end()) return;
  const auto bytes = os::read_some(source);
  if (!bytes || bytes->empty()) {
    sources_.erase(at);
  } else {
    spool.add(at->stream, at->phase, os::system_clock().now_ms(), *bytes);
  }
}

void Job::read_rest(Spool& spool) {
  for (const int source : sources()) {
    // A full pipe holds a MiB at most; what comes after that is written by someone who cannot be stopped.
    for (int reads = 0; reads < 64 && os::wait_readable(source, Millis(0)); ++reads) {
      const auto before = sources_.size();
      read(source, spool);
      if (sources_.size() != before) break;
    }
  }
  sources_.clear();
}

bool Job::drained() const {
  return std::none_of(sources_.begin(), sources_.end(), [&](const Source& source) { return source.phase == phase_; });
}

}  // namespace ferry::agent
