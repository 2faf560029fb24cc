#include "cli/reply.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "base/text.h"
#include "base/version.h"
#include "cli/command.h"
#include "os/env.h"
#include "os/file.h"
#include "os/terminal.h"
#include "plan/nearest.h"
#include "run/run.h"

namespace ferry::cli {

namespace {

constexpr int cancelled_code = 130;

struct Answering {
  std::string command;
  bool goes_on = false;
  int fd = -1;  ///< what standard output was
  std::unique_ptr<watch::Progress> events;
  std::optional<Error> error;
  int code = 0;           ///< the answer could not be written
  std::string at_signal;  ///< the whole answer
};

/// None: answers are for people. Made once, and never unmade: a signal may look at it at any time.
Answering* answering = nullptr;
volatile std::sig_atomic_t has_answered = 0;

std::string event_schema() {
  // A rehearsal is a run.
  const auto& command = answering->command;
  return "ferry." + (command == "rehearse" ? "run" : command) + ".event/1";
}

/// The result where a command could not be done; the events know the run, if there is one.
Json result_without_run(int code) {
  const bool is_run = answering->command == "run" || answering->command == "rehearse";
  return {{"infra", Json()},   {"outcome", is_run ? Json("not_started") : Json()},
          {"exit_code", code}, {"outputs", Json()},
          {"cost", Json()},    {"error", Json()}};
}

Json error_object(const Error& error, int code) {
  return {{"schema", "ferry.error/1"},
          {"ferry_version", ferry_version()},
          {"command", answering->command},
          {"exit_code", code},
          {"error", error_json(error)}};
}

void write_answer(const std::string& text) {
  has_answered = 1;
  const auto written = os::write_all(answering->fd, text);
  // Whoever went away is not told.
  if (written || written.error().kind == Kind::lost) return;
  answering->code = report(Error{Kind::io, "standard output cannot be written to", written.error().what, {}, {}});
}

void on_signal(int) {
  if (!has_answered) {
    const auto& text = answering->at_signal;
    if (::write(answering->fd, text.data(), text.size()) < 0) ::_exit(cancelled_code);
  }
  ::_exit(cancelled_code);
}

std::string answer_at_signal() {
  const Error error{Kind::cancelled, "stopped by a signal before anything was done", {}, {}, {}};
  auto object = error_object(error, cancelled_code);
  if (answering->goes_on) {
    object = result_without_run(cancelled_code);
    object["schema"] = event_schema();
    object["ferry_version"] = ferry_version();
    object["event"] = "result";
    object["run"] = nullptr;
    object["time"] = os::iso_time(os::system_clock().now_ms(), true);
    object["error"] = error_json(error);
  }
  return dump_json(object) + "\n";
}

}  // namespace

void answer_with_json(const std::string& command) {
  constexpr std::array<std::string_view, 4> streams = {"run", "rehearse", "logs", "wait"};
  os::ignore_sigpipe();
  answering = new Answering;
  answering->command = command;
  answering->goes_on = std::ranges::find(streams, command) != streams.end();
  answering->fd = ::fcntl(1, F_DUPFD_CLOEXEC, 3);
  ::dup2(2, 1);
  if (answering->goes_on) answering->events = watch::make_json(answering->fd, event_schema());
  answering->at_signal = answer_at_signal();
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action = {};
    if (::sigaction(number, nullptr, &action) < 0 || action.sa_handler == SIG_IGN) continue;
    action.sa_handler = on_signal;
    ::sigaction(number, &action, nullptr);
  }
}

bool in_json() { return answering != nullptr; }

bool may_ask() { return !in_json() && !os::called_by_agent() && os::is_terminal(2); }

watch::Progress& events() { return *answering->events; }

void reply_result(const Json& result) {
  if (has_answered) return;
  has_answered = 1;
  events().result(result);
}

void reply(std::string_view schema, Json object) {
  object["schema"] = schema;
  object["ferry_version"] = ferry_version();
  write_answer(dump_json(object) + "\n");
}

int report(const Error& error, bool may_try_later) {
  watch::make_progress(watch::Renderer::plain, 2, 2)->error(error);
  if (in_json()) {
    if (!answering->error) answering->error = error;
    if (answering->goes_on && !has_answered) events().error(error);
  }
  if (error.code == plan::no_such_hardware || error.code == mistake_code) return usage_error;
  return may_try_later ? run::exit_code_for(error.kind) : run::ferry_failed;
}

int report_usage(const std::string& what, const std::string& advice, const std::string& why) {
  (void)report(Error{Kind::bad_input, what, why, advice, mistake_code});
  return usage_error;
}

int finish(int code) {
  if (!in_json()) return code;
  if (!has_answered && answering->goes_on) reply_result(result_without_run(code));
  if (!has_answered) {
    const auto error = answering->error.value_or(Error{
        code == 0 ? Kind::unsupported : Kind::conflict, answering->command + " has no answer in JSON", {}, {}, {}});
    write_answer(dump_json(error_object(error, code)) + "\n");
  }
  return code == 0 ? answering->code : code;
}

}  // namespace ferry::cli
