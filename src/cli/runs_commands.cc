#include <unistd.h>

#include "base/text.h"
#include "cli/chosen_runs.h"
#include "cli/command.h"
#include "cli/pipeline.h"
#include "fleet/labels.h"
#include "fleet/machine.h"
#include "os/env.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/record.h"
#include "run/run.h"
#include "watch/report.h"
#include "watch/screen_filter.h"

namespace ferry::cli {

namespace {

struct PsFlags {
  bool all = false, quiet = false;
  std::size_t last = 0;  ///< 0: all of them
  RunFilter filter;
};

/// How wide a table may be; 0: as wide as it is.
std::size_t table_width() { return os::is_terminal(1) ? static_cast<std::size_t>(os::terminal_width(1)) : 0; }

watch::RunView view_of(ledger::Run run, std::vector<ledger::Instance> instances, std::int64_t now) {
  watch::RunView view{std::move(run), std::move(instances), {}, {}, {}};
  const auto limit = int_at(view.run.task, "max_duration_s", 24 * 3600) * 1000;
  if (view.run.phase == ledger::Phase::training && view.run.train_start_ms && view.run.outcome == ledger::Outcome::none)
    view.left = show_duration(Millis(std::max<std::int64_t>(0, view.run.train_start_ms + limit - now)));
  return view;
}

/// Those that pass, the newest first.
Result<std::vector<watch::RunView>> views_of(Context& context, const PsFlags& flags, bool unfinished,
                                             std::size_t most) {
  const auto now = os::system_clock().now_ms();
  TRY_SET(sieve, "", RunSieve::make(flags.filter, now));
  TRY_SET(runs, "", context.ledger().runs(unfinished));
  std::vector<watch::RunView> views;
  for (auto& run : runs) {
    if (most > 0 && views.size() == most) break;
    TRY_SET(instances, "", context.ledger().instances(run.name));
    auto view = view_of(std::move(run), std::move(instances), now);
    if (sieve.passes({view.run, watch::state_words(view), view.instances})) views.push_back(std::move(view));
  }
  return views;
}

Result<int> ps(Context& context, const PsFlags& flags) {
  // Whoever asks for an outcome or a code asks about runs that are over, too.
  const auto about_ended = [](const std::string& filter) {
    return filter.starts_with("outcome=") || filter.starts_with("exited=") || filter == "state=released";
  };
  const bool all = flags.all || flags.last > 0 || std::ranges::any_of(flags.filter.filters, about_ended);
  if (!flags.quiet) TRY("", run::look_at_clouds(context.run_context()));
  TRY_SET(views, "", views_of(context, flags, !all, flags.last));
  if (flags.quiet && !in_json()) {
    for (const auto& view : views) fmt::print("{}\n", view.run.name);
    return 0;
  }
  tell_of_pipelines(context.ledger());
  const auto now = os::system_clock().now_ms();
  if (in_json()) {
    reply("ferry.ps/1", {{"runs", watch::runs_json(views, now)}});
    return 0;
  }
  if (!views.empty() || all) {
    fmt::print("{}", watch::runs_table(views, now, table_width()));
    return 0;
  }
  if (os::called_by_agent()) {
    fmt::print("no runs\n");
    fmt::print(stderr, "(finished ones: ferry ps --all)\n");
    return 0;
  }
  constexpr std::size_t shown = 3;
  TRY_SET(last, "", views_of(context, flags, false, shown));
  if (last.empty()) {
    fmt::print("no runs{}\n", flags.filter.empty() ? "" : " that are so");
  } else {
    fmt::print("nothing is running; the last {} (all: ferry ps --all):\n{}", last.size() == 1 ? "run" : "runs",
               watch::runs_table(last, now, table_width()));
  }
  return 0;
}

/// "$1.006/h while it runs".
std::string start_price(Context& context, const ledger::Run& run) {
  const auto instances = context.ledger().instances(run.name).value_or(std::vector<ledger::Instance>());
  const auto hour = instances.empty() ? Usd{} : instances.back().hourly;
  return hour.micros > 0 ? show_hourly(hour) + "/h while it runs" : "again while it runs";
}

/// Whether to start a machine that was stopped, which costs again from then on.
bool may_start(Context& context, const ledger::Run& run, const Error& stopped, bool yes) {
  if (yes || says_yes()) return true;
  if (!may_ask()) return false;
  const auto price = start_price(context, run);
  const auto answer =
      os::ask(fmt::format("{}.\nStart it, which costs {}, bring the outputs of {} home and {} it? [y/N] ",
                          printable(stopped.what), price, run.name, fleet::ends_by_stop(run) ? "stop" : "release"));
  return answer && (answer->starts_with('y') || answer->starts_with('Y'));
}

void print_ended(const std::vector<std::string>& ids) {
  for (const auto& id : ids)
    fmt::print("{} {}\n", id, id.starts_with("ssh/") ? "is free again, and runs on" : "terminated");
}

/// Of outputs that are home: `missing` names those that the training did not write.
Result<int> say_fetched(Context& context, const std::string& name, const std::vector<std::string>& missing) {
  TRY_SET(run, "", context.ledger().run(name));
  if (in_json()) {
    auto told = run::result_of(context.run_context(), name, 0, std::nullopt);
    told["missing"] = missing;
    reply("ferry.fetch/1", std::move(told));
  } else {
    fmt::print("the outputs of {} are home, sha-256 verified: {}/\n", run.name, run.output_dir);
  }
  return 0;
}

/// Something of it was removed here since it came home.
bool is_missing_here(Context& context, const ledger::Run& run) {
  const auto objects = context.ledger().objects(run.name).value_or(std::vector<ledger::Object>());
  return std::ranges::any_of(objects, [&](const auto& one) {
    std::error_code ignored;
    return !std::filesystem::exists(std::filesystem::symlink_status(os::Path(run.output_dir) / one.path, ignored));
  });
}

Result<int> fetch(Context& context, const std::string& name, const RunFilter& filter, bool yes) {
  TRY_SET(found, "", one_run(context, name, filter, Prefer::started));
  TRY_SET(run, "", context.ledger().run(found));
  if (run.outputs_home && !(run.outputs_stored && is_missing_here(context, run))) {
    if (const auto whole = run::complete_log(context.run_context(), run.name); !whole)
      context.progress().warn("fetch", "the log could not be looked after: " + whole.error().what);
    return say_fetched(context, run.name, {});
  }
  context.run_context().ask = nullptr;  // Ctrl-C means to end here: there is nothing to choose
  auto outputs = run::fetch(context.run_context(), run.name);
  if (!outputs && outputs.error().code == fleet::stopped_code && may_start(context, run, outputs.error(), yes)) {
    TRY_SET(ended, "", run::fetch_stopped(context.run_context(), run.name));
    if (!in_json()) print_ended(ended);
    return say_fetched(context, run.name, {});
  }
  if (!outputs) {
    // Its owner may have brought them home just now.
    TRY_SET(again, "", context.ledger().run(found));
    if (again.outputs_home && !run.outputs_home) return fetch(context, found, {}, yes);
    return tl::unexpected<Error>(std::move(outputs).error());
  }
  for (const auto& missing : outputs->missing)
    fmt::print(stderr, "! the output '{}' does not exist (yet)\n", printable(missing));
  const auto missing = std::exchange(outputs->missing, {});
  for (const auto& line : job::tell(*outputs, run)) fmt::print(stderr, "! {}\n", line);
  if (in_json()) return say_fetched(context, run.name, missing);
  fmt::print("{}, {}, sha-256 verified → {}/\n", watch::counted(outputs->report.files, "file"),
             show_bytes(outputs->report.bytes), run.output_dir);
  return 0;
}

/// Starts the machine of a run that rests, for a visit. Asks: it costs.
Result<int> ssh_started(Context& context, const std::string& name, const std::vector<std::string>& command, bool yes) {
  TRY_SET(found, "", one_run(context, name, {}));
  TRY_SET(run, "", context.ledger().run(found));
  if (in_json())
    return fail(Kind::bad_input, "--start goes with no --json: the machine stops when the visit is over", {},
                "leave one of them out", mistake_code);
  if (!yes && !says_yes()) {
    const auto question = fmt::format("Start the machine of {}, which costs {}, until you leave it? [y/N] ", run.name,
                                      start_price(context, run));
    const auto answer = os::is_terminal(0) && may_ask() ? os::ask(question) : std::nullopt;
    if (!answer)
      return fail(Kind::bad_input, "nobody is here to say yes to what it costs", question,
                  "pass --yes (or set FERRY_YES=1)");
    if (!answer->starts_with('y') && !answer->starts_with('Y')) return fail(Kind::cancelled, "not started");
  }
  return run::visit_started(context.run_context(), run.name, command);
}

Result<int> ssh(Context& context, const std::string& name, const std::vector<std::string>& command) {
  TRY_SET(run, "", one_run(context, name, {}));
  if (in_json()) {
    TRY_SET(argv, "", run::visit_argv(context.run_context(), run, command));
    reply("ferry.ssh/1", {{"run", run}, {"argv", argv}});
    return 0;
  }
  return run::visit(context.run_context(), run, command);
}

Result<int> cancel(Context& context, const std::string& name, Json& told) {
  TRY("", run::cancel(context.run_context(), name));
  TRY_SET(run, "", context.ledger().run(name));
  told = run::result_of(context.run_context(), run.name, 0, std::nullopt);
  if (in_json()) return 0;
  fmt::print("{} {}{}{}\n", run.name, ledger::words(run.outcome),
             run.phase != ledger::Phase::released ? "; its machine rests, until  ferry down " + run.name
             : run.keep                           ? "; its machine is released"
                                                  : "",
             run.outputs_home ? "; what it saved is in " + run.output_dir + "/" : "");
  return 0;
}

/// One after the other; what cannot be ended is told, and does not keep the others. `end` tells in JSON what it did:
/// one run's is "ferry.VERB/1", of what may be several "ferry.VERB.runs/1".
Result<int> each_of(Context& context, const EndChoice& choice, const std::string& verb,
                    const std::function<Result<int>(const std::string& run, Json& told)>& end) {
  TRY_SET(names, "", runs_to_end(context, choice, verb));
  Json told;
  if (names.size() == 1 && choice.names.size() == 1) {
    TRY_SET(code, "", end(names.front(), told));
    if (in_json()) reply(fmt::format("ferry.{}/1", verb), std::move(told));
    return code;
  }
  int code = names.empty() ? 1 : 0;
  if (names.empty()) fmt::print(stderr, "nothing was done\n");
  Json all = Json::array();
  for (const auto& name : names) {
    const auto done = end(name, told);
    if (!done) context.progress().error(done.error());
    all.push_back(done ? std::move(told) : Json{{"run", name}, {"error", error_json(done.error())}});
    code = std::max(code, done.value_or(run::ferry_failed));
    if (!done && done.error().kind == Kind::cancelled) break;
  }
  if (in_json()) reply(fmt::format("ferry.{}.runs/1", verb), {{"runs", std::move(all)}});
  return code;
}

struct DownFlags {
  bool all = false, no_fetch = false, forget = false, every_ledger = false;
};

/// What --json says. `left`: what may be there still, a line each.
Json told_down(const Json& run, const std::vector<std::string>& ended, const std::vector<std::string>& removed,
               const std::vector<std::string>& left, bool nothing_left) {
  return {{"run", run}, {"ended", ended}, {"removed", removed}, {"left", left}, {"nothing_left", nothing_left}};
}

Result<int> down_all(Context& context, const DownFlags& flags) {
  run::SweepOptions options{!flags.no_fetch, flags.every_ledger, {}};
  if (os::is_terminal(0) && may_ask()) {
    options.ask = [](const std::vector<std::string>& lines) {
      const auto answer = os::ask(
          fmt::format("These were made from another ledger of this user and computer:\n  {}\nEnd them, too? [y/N] ",
                      join(lines, "\n  ")));
      return answer && (answer->starts_with('y') || answer->starts_with('Y'));
    };
  }
  TRY_SET(sweep, "", run::down_all(context.run_context(), options));
  const bool all_ended = !sweep.failed && !sweep.incomplete && sweep.of_other_ledgers.empty();
  if (in_json())
    reply("ferry.down/1",
          told_down(Json(), sweep.ended, sweep.removed, sweep.of_other_ledgers,
                    all_ended && context.ledger().unreleased().value_or(std::vector<ledger::Instance>(1)).empty()));
  print_ended(sweep.ended);
  for (const auto& line : sweep.removed) fmt::print("{} removed\n", line);
  for (const auto& line : sweep.of_other_ledgers) fmt::print(stderr, "! left alone: {}\n", line);
  if (!sweep.of_other_ledgers.empty())
    fmt::print(stderr,
               "  they are of another ledger of this user and computer; to end them, too: ferry down "
               "--all --every-ledger\n");
  TRY_SET(left, "", context.ledger().unreleased());
  if (!left.empty())
    return fail(Kind::conflict, watch::counted(left.size(), "instance") + " not released",
                "what stands above says of each why", "ferry down --all  again; what it costs meanwhile: ferry ps");
  if (sweep.failed) return run::ferry_failed;
  if (sweep.incomplete || !sweep.of_other_ledgers.empty()) {
    fmt::print("nothing is left running that this ledger knows of; see above for the rest\n");
    return 1;
  }
  fmt::print("nothing left running\n");
  return 0;
}

Result<int> down(Context& context, const EndChoice& choice, const DownFlags& flags) {
  const bool named = !choice.names.empty() || !choice.filter.empty();
  if (flags.all == named)
    return fail(Kind::bad_input, "name one run, or pass --all", {}, "ferry down --all", mistake_code);
  if (flags.all && flags.forget)
    return fail(Kind::bad_input, "--forget gives up one run: name it", {}, "ferry down --forget RUN", mistake_code);
  if (flags.every_ledger && !flags.all)
    return fail(Kind::bad_input, "--every-ledger goes with --all", {}, "ferry down --all --every-ledger", mistake_code);
  if (flags.all) return down_all(context, flags);
  if (flags.forget) {
    if (choice.names.size() != 1)
      return fail(Kind::bad_input, "--forget gives up one run: name it", {}, "ferry down --forget RUN", mistake_code);
    const auto& name = choice.names.front();
    TRY_SET(left, "", run::forget(context.run_context(), name));
    if (in_json()) reply("ferry.down/1", told_down(name, {}, {}, left, left.empty()));
    for (const auto& line : left) fmt::print("{}\n", line);
    fmt::print("{}: given up; no machine of it is known\n", name);
    return 0;
  }
  return each_of(context, choice, "down", [&](const std::string& name, Json& told) -> Result<int> {
    TRY_SET(ended, "", run::down(context.run_context(), name, !flags.no_fetch));
    told = told_down(name, ended, {}, {}, true);
    print_ended(ended);
    fmt::print("{}: nothing left running\n", name);
    return 0;
  });
}

}  // namespace

void add_runs_commands(CLI::App& app, Program& program) {
  struct Options {
    std::string run;
    bool yes = false, start = false;
    RunFilter filter;
    EndChoice end;
    PsFlags ps;
    DownFlags down;
  };
  auto options = std::make_shared<Options>();
  const auto choose = [&program](CLI::App* command, std::function<Result<int>(Context&)> act) {
    command->callback(
        [&program, act] { program.chosen = [&program, act] { return with_context(program.carried, act); }; });
  };

  auto* ps_command = app.add_subcommand("ps", "List runs: what trains, what it costs so far");
  ps_command->add_flag("-a,--all", options->ps.all, "Also those that are over");
  ps_command->add_option("-n,--last", options->ps.last, "Only the newest N, also those that are over")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  ps_command->add_flag("-q,--quiet", options->ps.quiet, "Names only, one a line");
  options->ps.filter.add_label_to(*ps_command);
  options->ps.filter.add_filter_to(*ps_command);
  choose(ps_command, [options](Context& context) { return ps(context, options->ps); });

  add_logs_command(app, program);

  auto* fetch_command = app.add_subcommand("fetch", "Bring a run's outputs home as they are now");
  fetch_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  fetch_command->add_flag("-y,--yes", options->yes,
                          "Start a machine that was stopped, bring the outputs home and release it, without a "
                          "question");
  options->filter.add_label_to(*fetch_command);
  choose(fetch_command,
         [options](Context& context) { return fetch(context, options->run, options->filter, options->yes); });

  auto* ssh_command =
      app.add_subcommand("ssh", "Log in to a run's machine, or run a command there: ferry ssh RUN -- nvidia-smi");
  ssh_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  ssh_command->add_flag("--start", options->start,
                        "Start a machine that rests (ends: stop) for it, and stop it again afterwards; asks");
  ssh_command->add_flag("-y,--yes", options->yes, "Start it without a question");
  choose(ssh_command, [options, &program](Context& context) {
    return options->start ? ssh_started(context, options->run, program.after_dashes, options->yes)
                          : ssh(context, options->run, program.after_dashes);
  });

  auto* cancel_command = app.add_subcommand("cancel", "Stop a training, bring home what there is, release the machine");
  const auto add_choice = [options](CLI::App* command) {
    command
        ->add_option("run", options->end.names,
                     "Names of runs, beginnings of them, or patterns ('digits-*', which asks)")
        ->type_name("RUN");
    options->end.filter.add_label_to(*command);
    command->add_flag("-y,--yes", options->end.yes,
                      "Do not ask about what a pattern or a label leads to (also FERRY_YES=1)");
  };
  add_choice(cancel_command);
  choose(cancel_command, [options](Context& context) {
    return each_of(context, options->end, "cancel",
                   [&](const std::string& name, Json& told) { return cancel(context, name, told); });
  });

  auto* down_command = app.add_subcommand(
      "down", "Release a run's machine and everything made for it, now; or all that ferry ever made");
  add_choice(down_command);
  down_command->add_flag("--all", options->down.all,
                         "Every run, and whatever carries your tags: in the rehearsal cloud, and in every region "
                         "of the AWS account in force");
  down_command->add_flag("--no-fetch", options->down.no_fetch, "Do not bring outputs home first: they are lost");
  down_command->add_flag("--every-ledger", options->down.every_ledger,
                         "With --all: also what another ledger of the same user and computer made, without a "
                         "question");
  down_command->add_flag("--forget", options->down.forget,
                         "Give up a run for which no machine was ever rented, without asking the cloud");
  down_command->callback([&program, options] {
    program.chosen = [&program, options] {
      // Not recovered first: that would start the very processes that are to be ended.
      auto context = Context::open(program.carried, watch::Renderer::plain, false);
      if (!context) return report(context.error());
      auto done = down(**context, options->end, options->down);
      return done ? *done : report(done.error());
    };
  });
}

}  // namespace ferry::cli
