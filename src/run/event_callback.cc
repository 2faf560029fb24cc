#include "run/event_callback.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "os/env.h"

namespace ferry::run {

namespace {

constexpr Seconds longest_call{60};
/// What the command says is kept up to here.
constexpr std::uintmax_t most_said = 1 << 20;

/// The task's own, as far as they are kept; the others are in this process's environment, or nowhere.
std::map<std::string, std::string> kept_envs(const ledger::Run& run) {
  std::map<std::string, std::string> out;
  const auto envs = run.task.find("envs");
  if (envs == run.task.end() || !envs->is_object()) return out;
  for (const auto& [name, value] : envs->items())
    if (value.is_string()) out[name] = value.get<std::string>();
  return out;
}

}  // namespace

std::string_view job_status(ledger::Outcome outcome) {
  if (outcome == ledger::Outcome::succeeded) return "SUCCEEDED";
  return outcome == ledger::Outcome::cancelled ? "CANCELLED" : "FAILED";
}

void EventCallback::tell(ledger::Run& run, int attempt, std::string_view status, std::string_view state) {
  const auto command = text_at(run.task, callback_command);
  if (trim(command).empty()) return;
  const auto mark = fmt::format("{}:{}", attempt, status);
  auto& told = run.task[told_events];
  if (!told.is_array()) told = Json::array();
  if (std::ranges::find(told, Json(mark)) != told.end()) return;
  told.push_back(mark);
  if (!context_.ledger.update(run)) return;  // it could be told again and again
  auto env = kept_envs(run);
  env["SKYPILOT_TASK_ID"] = env["SKYPILOT_TASK_IDS"] = env["JOB_ID"] = env["CLUSTER_NAME"] = run.name;
  env["TASK_ID"] = "0";
  env["TASK_NAME"] = run.task_name;
  env["JOB_STATUS"] = status;
  env["FERRY_RUN"] = run.name;
  env["FERRY_STATE"] = state;
  env["FERRY_ATTEMPT"] = std::to_string(attempt);
  env["FERRY_EXIT_CODE"] = run.exit_code ? std::to_string(*run.exit_code) : "";
  const auto cwd = os::is_directory(run.workdir) ? os::Path(run.workdir) : os::home_dir();
  waiting_.push_back({command,
                      fmt::format("=== {} {} (attempt {})\n", os::iso_time(context_.clock.now_ms()), status, attempt),
                      std::move(env), cwd});
  tick();
}

void EventCallback::start() {
  const auto event = std::move(waiting_.front());
  waiting_.pop_front();
  now_ = trim(event.head.substr(4, event.head.find('\n') - 4));
  os::SpawnOptions spawn;
  // Its end comes even when nobody is left here to bring it about.
  spawn.argv = {"timeout", "-k", "5", std::to_string(longest_call.count()), "bash", "-c", event.command};
  spawn.env = event.env;
  spawn.cwd = event.cwd;
  spawn.out = spawn.err = os::Stream::null;
  spawn.new_session = true;  // Ctrl-C is the run's
  const auto file = run_dir_.path / "callback.txt";
  std::error_code unknown;
  const auto size = std::filesystem::file_size(file, unknown);
  auto said = os::open_file(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (said && (unknown || size < most_said)) {
    (void)os::write_all(said->get(), event.head);
    spawn.out_fd = spawn.err_fd = said->get();
  }
  auto process = os::Process::spawn(spawn);
  if (process)
    running_.emplace(std::move(*process));
  else
    context_.progress.warn("event_callback", "it cannot be started: " + process.error().what);
}

void EventCallback::tick() {
  while (running_ || !waiting_.empty()) {
    if (!running_) {
      start();
      continue;
    }
    const auto ended = running_->wait(Millis(0));
    if (!ended) return;
    running_.reset();
    if (ended->code == 0) continue;
    const auto how = ended->code == 124 || ended->code == 137
                         ? fmt::format("was ended after {} s", longest_call.count())
                         : fmt::format("exited {}", ended->code);
    context_.progress.warn("event_callback", fmt::format("{}: it {}; what it said is in {}", now_, how,
                                                         (run_dir_.path / "callback.txt").string()));
  }
}

void EventCallback::finish() {
  const auto end = context_.clock.steady_ms() + Millis(longest_call).count();
  for (tick(); running_ || !waiting_.empty(); tick()) {
    if (context_.letting_go || context_.given_up || context_.clock.steady_ms() > end) break;
    if (running_) (void)running_->wait(Millis(50));
    context_.check_signals(false);
  }
  if (!waiting_.empty())
    context_.progress.warn("event_callback", fmt::format("nobody waited for it any more: {} not told of",
                                                         waiting_.size() == 1 ? "one state was" : "some states were"));
  let_go();
}

void EventCallback::let_go() {
  waiting_.clear();
  running_.reset();
}

}  // namespace ferry::run
