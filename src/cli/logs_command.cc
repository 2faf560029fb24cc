// ferry logs: a run's output, whole or what is asked for of it.

#include "base/text.h"
#include "cli/chosen_runs.h"
#include "cli/command.h"
#include "cli/last_lines.h"
#include "cli/log_sieve.h"
#include "run/actions.h"
#include "run/record.h"
#include "run/run.h"
#include "watch/screen_filter.h"

namespace ferry::cli {

namespace {

struct LogFlags {
  bool follow = false;
  std::optional<std::size_t> tail;
  std::string since, until, search;
};

/// Why there is nothing to show, on standard error.
void tell_why_no_log(const ledger::Run& run) {
  if (run.phase != ledger::Phase::released && run.phase < ledger::Phase::training) {
    fmt::print(stderr, "! {} has no log yet: it is {}\n", run.name, name(run.phase));
    return;
  }
  if (run.phase < ledger::Phase::fetching) return;
  fmt::print(stderr, "! {} wrote no log: {}{}\n", run.name, ledger::words(run.outcome),
             run.error.empty() ? "" : " (" + printable(run.error) + ")");
}

/// The run's end, as `ferry run` has it: its exit code, and where everything is.
Result<int> end_as_run_does(Context& context, const std::string& name) {
  const auto code = run::wait(context.run_context(), name);
  if (!code && code.error().kind == Kind::cancelled) {
    (void)report(code.error());
    return 130;
  }
  if (!code) return tl::unexpected<Error>(code.error());
  TRY_SET(run, "", context.ledger().run(name));
  const auto exit = run.exit_code && *run.exit_code != 0 ? fmt::format(" (exit {})", *run.exit_code) : std::string();
  fmt::print(stderr, "{} {}{}{}{}\n", run.name, ledger::words(run.outcome), exit,
             run.error.empty() ? "" : ": " + printable(run.error),
             run.outputs_home ? "      home: " + printable(run.output_dir) + "/" : "");
  return *code;
}

Result<int> logs(Context& context, const std::string& name, const RunFilter& wanted, const LogFlags& flags) {
  const auto now = os::system_clock().now_ms();
  std::int64_t since_ms = 0, until_ms = 0;
  if (!flags.since.empty()) {
    TRY_SET(moment, "", moment_of("--since", flags.since, now));
    since_ms = moment;
  }
  if (!flags.until.empty()) {
    TRY_SET(moment, "", moment_of("--until", flags.until, now));
    until_ms = moment;
  }
  auto sieve = LogSieve::make(since_ms, until_ms, flags.search);
  if (!sieve) return mistake(sieve.error());
  TRY_SET(run, "", one_run(context, name, wanted));
  if (in_json()) events().named(run);
  const bool follow = flags.follow;
  const auto& tail = flags.tail;
  std::array filters{watch::screen_filter_for(1), watch::screen_filter_for(2)};
  const auto write = [&](std::string_view bytes, bool is_error) -> Status {
    if (in_json()) {
      events().output(bytes, is_error);
      return {};
    }
    auto& filter = filters[is_error ? 1 : 0];
    return os::write_all(is_error ? 2 : 1, filter ? filter->pass(bytes) : std::string(bytes));
  };
  LastLines last(tail.value_or(0));
  bool holding = tail.has_value();
  const auto let_go = [&]() -> Status {
    holding = false;
    return last.write(write);
  };
  bool any = false;
  const auto show = [&](std::string_view bytes, bool is_error) {
    if (!holding) return write(bytes, is_error);
    last.add(bytes, is_error);
    return Status();
  };
  const auto shown = run::logs(
      context.run_context(), run, follow,
      [&](std::string_view bytes, bool is_error, std::int64_t time_ms) {
        any = true;
        return sieve->add(bytes, is_error, time_ms, show);
      },
      let_go);
  TRY("", sieve->finish(show));
  if (holding) TRY("", let_go());
  for (const int fd : {1, 2})
    if (auto& filter = filters[static_cast<std::size_t>(fd) - 1]) (void)os::write_all(fd, filter->finish());
  TRY("", shown);
  TRY_SET(after, "", context.ledger().run(run));
  if (!any) tell_why_no_log(after);
  int code = 0;
  if (follow) {
    TRY_SET(end, "", end_as_run_does(context, run));
    code = end;
  }
  if (in_json()) reply_result(run::result_of(context.run_context(), run, code, std::nullopt));
  return code;
}

}  // namespace

void add_logs_command(CLI::App& app, Program& program) {
  struct Options {
    std::string run;
    LogFlags logs;
    RunFilter filter;
  };
  auto options = std::make_shared<Options>();
  auto* logs_command =
      app.add_subcommand("logs", "Show a run's output, every byte once (the newest run if none is named)");
  logs_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  logs_command->add_flag("-f,--follow", options->logs.follow,
                         "Go on until the run is over, and exit as ferry run does: with the training's own code");
  logs_command->add_option("--since", options->logs.since,
                           "Only what came since: 5m back, a day (2026-01-31) or a moment (2026-01-31T12:00:00Z), by "
                           "the machine's clock");
  logs_command->add_option("--until", options->logs.until, "Only what came until then");
  logs_command->add_option("--search", options->logs.search, "Only lines with this (as grep -E has it)")
      ->type_name("RE");
  options->filter.add_label_to(*logs_command);
  logs_command
      ->add_option("-n,--tail", options->logs.tail,
                   "Only the last N lines of what is there by now, of those that the other flags leave")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1'000'000}));
  logs_command->callback([&program, options] {
    program.chosen = [&program, options] {
      return with_context(program.carried, [options](Context& context) {
        return logs(context, options->run, options->filter, options->logs);
      });
    };
  });
}

}  // namespace ferry::cli
