#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/last_lines.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/machine.h"
#include "run/run.h"
#include "watch/cost.h"
#include "watch/report.h"
#include "watch/screen_filter.h"

namespace ferry::cli {

namespace {

/// The run that was named, or the newest one.
Result<std::string> run_or_newest(World& world, const std::string& name) {
  if (!name.empty()) {
    TRY_SET(run, "", world.ledger().run(name));
    return run.name;
  }
  TRY_SET(runs, "", world.ledger().runs(false));
  if (runs.empty())
    return fail(Kind::not_found, "there are no runs yet", {}, "ferry run examples/digits --infra rehearsal");
  return runs.front().name;
}

struct PsFlags {
  bool all = false, json = false, quiet = false;
  std::size_t last = 0;  ///< 0: all of them
};

Result<int> ps(World& world, const PsFlags& flags) {
  const bool all = flags.all || flags.last > 0, json = flags.json;
  if (!flags.quiet) TRY("", run::look_at_clouds(world.doors()));
  TRY_SET(runs, "", world.ledger().runs(!all));
  if (flags.last > 0 && runs.size() > flags.last) runs.resize(flags.last);
  if (flags.quiet) {
    for (const auto& run : runs) fmt::print("{}\n", run.name);
    return 0;
  }
  const auto now = os::system_clock().now_ms();
  std::vector<watch::RunView> views;
  for (auto& run : runs) {
    TRY_SET(instances, "", world.ledger().instances(run.name));
    watch::RunView view{std::move(run), std::move(instances), {}, {}, {}};
    const auto limit = int_at(view.run.task, "max_duration_s", 24 * 3600) * 1000;
    if (view.run.phase == ledger::Phase::training && view.run.train_start_ms &&
        view.run.outcome == ledger::Outcome::none) {
      view.left = show_duration(Millis(std::max<std::int64_t>(0, view.run.train_start_ms + limit - now)));
    }
    views.push_back(std::move(view));
  }
  if (json) {
    fmt::print("{}\n", dump_json(watch::runs_json(views, now)));
    return 0;
  }
  const auto width = os::is_terminal(1) ? static_cast<std::size_t>(os::terminal_width(1)) : 0;
  fmt::print("{}", watch::runs_table(views, now, width));
  if (!all && views.empty()) fmt::print("(finished ones: ferry ps --all)\n");
  return 0;
}

/// "7d", "12h", or a day "2026-01-31", in milliseconds since 1970.
Result<std::int64_t> moment(const std::string& text, std::int64_t now_ms) {
  if (text.empty()) return 0;
  if (const auto parts = split(text, '-'); parts.size() == 3) {
    const auto year = parse_int(parts[0]), month = parse_int(parts[1]), day = parse_int(parts[2]);
    const auto unsigned_of = [](const auto& number) { return static_cast<unsigned>(number.value_or(0)); };
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year.value_or(-32768))),
                                           std::chrono::month(unsigned_of(month)),
                                           std::chrono::day(unsigned_of(day))};
    if (date.ok()) return std::chrono::sys_days(date).time_since_epoch().count() * 86'400'000LL;
  }
  auto back = parse_duration(text);
  if (!back)
    return fail(Kind::bad_input, "--since: not a day or a time back: " + printable(text), {},
                "write 2026-01-31, 7d or 12h", mistake_code);
  return now_ms - back->count() * 1000;
}

Result<int> cost(World& world, const std::string& since, const std::string& by_word, const std::string& infra,
                 bool json) {
  const auto now = os::system_clock().now_ms();
  TRY_SET(since_ms, "", moment(since, now));
  TRY_SET(runs, "", world.ledger().runs(false));
  std::vector<watch::RunView> views;
  for (auto& run : runs) {
    TRY_SET(instances, "", world.ledger().instances(run.name));
    std::erase_if(instances, [&](const auto& one) { return one.world != infra; });
    views.push_back({std::move(run), std::move(instances), {}, {}, {}});
  }
  const auto by = by_word == "type"  ? watch::CostBy::type
                  : by_word == "day" ? watch::CostBy::day
                                     : watch::CostBy::run;
  const auto report = watch::cost_report(views, by, since_ms, now);
  if (json) {
    fmt::print("{}\n", dump_json(watch::cost_json(report, by)));
  } else if (report.lines.empty()) {
    fmt::print(
        "nothing was rented on {}{}\n", infra,
        infra == "aws" ? " (rehearsals are not billed; what they would have cost: --infra rehearsal)" : "");
  } else {
    fmt::print("{}", watch::cost_table(report, by));
    if (infra == "rehearsal") fmt::print("this is what AWS would have billed; rehearsals are free\n");
  }
  return 0;
}

Result<int> env(World& world, const std::string& name, bool json) {
  TRY_SET(found, "", run_or_newest(world, name));
  TRY_SET(run, "", world.ledger().run(found));
  const auto& facts = run.task.contains("environment") ? run.task["environment"] : Json();
  if (!facts.is_object())
    return fail(Kind::not_found, run.name + " has no environment yet", "it is looked at before setup");
  if (json) {
    fmt::print("{}\n", dump_json(facts));
    return 0;
  }
  const auto line = [](std::string_view what, const std::string& value) {
    if (!value.empty()) fmt::print("{:<12} {}\n", what, printable(value));
  };
  if (run.task.contains("image"))
    line("image", text_at(run.task["image"], "id") + "  " + text_at(run.task["image"], "name") + "  " +
                      text_at(run.task["image"], "created").substr(0, 10));
  line("python", text_at(facts, "python") + "  " + text_at(facts, "program"));
  line("made", text_at(facts, "made"));
  if (facts.contains("scratch")) line("scratch", text_at(facts["scratch"], "folder"));
  line("CUDA", text_at(facts, "cuda"));
  line("driver", text_at(facts, "driver"));
  if (facts.contains("gpus"))
    for (const auto& gpu : facts["gpus"]) line("GPU", gpu.is_string() ? gpu.get<std::string>() : "");
  if (facts.contains("packages"))
    for (const auto& [package, version] : facts["packages"].items())
      line(package, version.is_string() ? version.get<std::string>() : "");
  return 0;
}

Result<int> logs(World& world, const std::string& name, bool follow, std::optional<std::size_t> tail) {
  TRY_SET(run, "", run_or_newest(world, name));
  std::array filters{watch::screen_filter_for(1), watch::screen_filter_for(2)};
  const auto write = [&](std::string_view bytes, bool is_error) {
    auto& filter = filters[is_error ? 1 : 0];
    return os::write_all(is_error ? 2 : 1, filter ? filter->pass(bytes) : std::string(bytes));
  };
  LastLines last(tail.value_or(0));
  bool holding = tail.has_value();
  const auto let_go = [&]() -> Status {
    holding = false;
    return last.write(write);
  };
  const auto shown = run::logs(
      world.doors(), run, follow,
      [&](std::string_view bytes, bool is_error) {
        if (!holding) return write(bytes, is_error);
        last.add(bytes, is_error);
        return Status();
      },
      let_go);
  if (holding) TRY("", let_go());
  for (const int fd : {1, 2})
    if (auto& filter = filters[static_cast<std::size_t>(fd) - 1]) (void)os::write_all(fd, filter->finish());
  TRY("", shown);
  return 0;
}

/// Whether to start a machine that was stopped, which costs again from then on.
bool may_start(const std::string& run, const Error& stopped, bool yes) {
  if (yes || says_yes()) return true;
  const auto answer = os::ask(fmt::format(
      "{}.\nStart it, bring the outputs of {} home and release it? [y/N] ", printable(stopped.what), run));
  return answer && (answer->starts_with('y') || answer->starts_with('Y'));
}

Result<int> fetch(World& world, const std::string& name, bool yes) {
  TRY_SET(found, "", run_or_newest(world, name));
  TRY_SET(run, "", world.ledger().run(found));
  if (run.outputs_home) {
    if (const auto whole = run::complete_log(world.doors(), run.name); !whole)
      world.progress().warn("fetch", "the log could not be looked after: " + whole.error().what);
    fmt::print("the outputs of {} are home, sha-256 verified: {}/\n", run.name, run.home);
    return 0;
  }
  world.doors().ask = nullptr;  // Ctrl-C means to end here: there is nothing to choose
  auto outputs = run::fetch(world.doors(), run.name);
  if (!outputs && outputs.error().code == run::stopped_code && may_start(run.name, outputs.error(), yes)) {
    TRY_SET(ended, "", run::down(world.doors(), run.name, true));
    for (const auto& id : ended) fmt::print("{} terminated\n", id);
    fmt::print("the outputs of {} are home, sha-256 verified: {}/\n", run.name, run.home);
    return 0;
  }
  if (!outputs) {
    // Its owner may have brought them home just now.
    TRY_SET(again, "", world.ledger().run(found));
    if (again.outputs_home) return fetch(world, found, yes);
    return tl::unexpected<Error>(std::move(outputs).error());
  }
  for (const auto& missing : outputs->missing)
    fmt::print(stderr, "! the output '{}' does not exist (yet)\n", printable(missing));
  outputs->missing.clear();
  for (const auto& line : run::tell(*outputs, run)) fmt::print(stderr, "! {}\n", line);
  fmt::print("{}, {}, sha-256 verified → {}/\n", watch::counted(outputs->report.files, "file"),
             show_bytes(outputs->report.bytes), run.home);
  return 0;
}

Result<int> ssh(World& world, const std::string& name, const std::vector<std::string>& command) {
  TRY_SET(run, "", run_or_newest(world, name));
  return run::visit(world.doors(), run, command);
}

Result<int> cancel(World& world, const std::string& name) {
  TRY("", run::cancel(world.doors(), name));
  TRY_SET(run, "", world.ledger().run(name));
  fmt::print("{} {}{}{}\n", run.name, ledger::words(run.outcome), run.keep ? "; its machine is released" : "",
             run.outputs_home ? "; what it saved is in " + run.home + "/" : "");
  return 0;
}

struct DownFlags {
  bool all = false, no_fetch = false, forget = false, every_ledger = false;
};

void print_ended(const std::vector<std::string>& ids) {
  for (const auto& id : ids)
    fmt::print("{} {}\n", id, id.starts_with("ssh/") ? "is free again, and runs on" : "terminated");
}

Result<int> down_all(World& world, const DownFlags& flags) {
  run::SweepOptions options{!flags.no_fetch, flags.every_ledger, {}};
  if (os::is_terminal(0) && os::is_terminal(2)) {
    options.ask = [](const std::vector<std::string>& lines) {
      const auto answer = os::ask(fmt::format(
          "These were made from another ledger of this user and computer:\n  {}\nEnd them, too? [y/N] ",
          join(lines, "\n  ")));
      return answer && (answer->starts_with('y') || answer->starts_with('Y'));
    };
  }
  TRY_SET(sweep, "", run::down_all(world.doors(), options));
  print_ended(sweep.ended);
  for (const auto& line : sweep.removed) fmt::print("{} removed\n", line);
  for (const auto& line : sweep.of_other_ledgers) fmt::print(stderr, "! left alone: {}\n", line);
  if (!sweep.of_other_ledgers.empty())
    fmt::print(stderr, "  they are of another ledger of this user and computer; to end them, too: ferry down "
                       "--all --every-ledger\n");
  TRY_SET(left, "", world.ledger().unreleased());
  if (!left.empty()) return fail(Kind::conflict, watch::counted(left.size(), "instance") + " not released");
  if (sweep.failed) return run::ferry_failed;
  if (sweep.incomplete || !sweep.of_other_ledgers.empty()) {
    fmt::print("nothing is left running that this ledger knows of; see above for the rest\n");
    return 1;
  }
  fmt::print("nothing left running\n");
  return 0;
}

Result<int> down(World& world, const std::string& name, const DownFlags& flags) {
  if (flags.all == !name.empty())
    return fail(Kind::bad_input, "name one run, or pass --all", {}, "ferry down --all", mistake_code);
  if (flags.all && flags.forget)
    return fail(Kind::bad_input, "--forget gives up one run: name it", {}, "ferry down --forget RUN", mistake_code);
  if (flags.every_ledger && !flags.all)
    return fail(Kind::bad_input, "--every-ledger goes with --all", {}, "ferry down --all --every-ledger", mistake_code);
  if (flags.all) return down_all(world, flags);
  if (flags.forget) {
    TRY_SET(left, "", run::forget(world.doors(), name));
    for (const auto& line : left) fmt::print("{}\n", line);
    fmt::print("{}: given up; no machine of it is known\n", name);
    return 0;
  }
  TRY_SET(ended, "", run::down(world.doors(), name, !flags.no_fetch));
  print_ended(ended);
  fmt::print("{}: nothing left running\n", name);
  return 0;
}

}  // namespace

void add_runs_commands(CLI::App& app, Program& program) {
  struct Options {
    std::string run, since, by = "run", infra = "aws";
    bool json = false, follow = false, yes = false;
    std::optional<std::size_t> tail;
    PsFlags ps;
    DownFlags down;
  };
  auto options = std::make_shared<Options>();
  const auto choose = [&program](CLI::App* command, std::function<Result<int>(World&)> act) {
    command->callback([&program, act] {
      program.chosen = [&program, act] { return with_settled_world(program.carried, act); };
    });
  };

  auto* ps_command = app.add_subcommand("ps", "List runs: what trains, what it costs so far");
  ps_command->add_flag("-a,--all", options->ps.all, "Also those that are over");
  ps_command->add_option("-n,--last", options->ps.last, "Only the newest N, also those that are over")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  ps_command->add_flag("-q,--quiet", options->ps.quiet, "Names only, one a line");
  ps_command->add_flag("--json", options->ps.json, "As a JSON array");
  choose(ps_command, [options](World& world) { return ps(world, options->ps); });

  auto* logs_command =
      app.add_subcommand("logs", "Show a run's output, every byte once (the newest run if none is named)");
  logs_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  logs_command->add_flag("-f,--follow", options->follow, "Go on until the training is over");
  logs_command->add_option("-n,--tail", options->tail, "Only the last N lines of what is there by now")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1'000'000}));
  choose(logs_command,
         [options](World& world) { return logs(world, options->run, options->follow, options->tail); });

  auto* fetch_command = app.add_subcommand("fetch", "Bring a run's outputs home as they are now");
  fetch_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  fetch_command->add_flag("-y,--yes", options->yes,
                          "Start a machine that was stopped, bring the outputs home and release it, without a "
                          "question");
  choose(fetch_command, [options](World& world) { return fetch(world, options->run, options->yes); });

  auto* ssh_command = app.add_subcommand(
      "ssh", "Log in to a run's machine, or run a command there: ferry ssh RUN -- nvidia-smi");
  ssh_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  choose(ssh_command,
         [options, &program](World& world) { return ssh(world, options->run, program.after_dashes); });

  auto* cost_command =
      app.add_subcommand("cost", "What runs have cost: machines, disks, addresses, by the second");
  cost_command->add_option("--since", options->since, "A day (2026-01-31, UTC) or a time back (7d)");
  cost_command->add_option("--by", options->by, "One line for each: run, type or day")
      ->check(CLI::IsMember({"run", "type", "day"}));
  cost_command->add_option("--infra", options->infra, "Of aws (default) or rehearsal")
      ->check(CLI::IsMember({"aws", "rehearsal"}));
  cost_command->add_flag("--json", options->json, "As one JSON object");
  choose(cost_command, [options](World& world) {
    return cost(world, options->since, options->by, options->infra, options->json);
  });

  auto* env_command =
      app.add_subcommand("env", "The Python, frameworks, CUDA and driver that a run's training saw");
  env_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  env_command->add_flag("--json", options->json, "As one JSON object");
  choose(env_command, [options](World& world) { return env(world, options->run, options->json); });

  auto* cancel_command =
      app.add_subcommand("cancel", "Stop a training, bring home what there is, release the machine");
  cancel_command->add_option("run", options->run, "Name of the run, or the beginning of it")
      ->type_name("RUN")
      ->required();
  choose(cancel_command, [options](World& world) { return cancel(world, options->run); });

  auto* down_command = app.add_subcommand(
      "down", "Release a run's machine and everything made for it, now; or all that ferry ever made");
  down_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  down_command->add_flag("--all", options->down.all,
                         "Every run, and whatever carries your tags: in the rehearsal cloud, and in every region "
                         "of the AWS account in force");
  down_command->add_flag("--no-fetch", options->down.no_fetch,
                         "Do not bring outputs home first: they are lost");
  down_command->add_flag("--every-ledger", options->down.every_ledger,
                         "With --all: also what another ledger of the same user and computer made, without a "
                         "question");
  down_command->add_flag("--forget", options->down.forget,
                         "Give up a run for which no machine was ever rented, without asking the cloud");
  down_command->callback([&program, options] {
    program.chosen = [&program, options] {
      // Not settled first: that would start the very processes that are to be ended.
      auto world = World::open(program.carried, watch::Face::plain, false);
      if (!world) return report(world.error());
      auto done = down(**world, options->run, options->down);
      return done ? *done : report(done.error());
    };
  });
}

}  // namespace ferry::cli
