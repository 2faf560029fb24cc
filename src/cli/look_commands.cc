// ferry wait, show, cost, env, help: how a run goes, what it cost and saw, and how things are called.

#include "base/text.h"
#include "base/version.h"
#include "cli/chosen_runs.h"
#include "cli/command.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/record.h"
#include "run/run.h"
#include "watch/cost.h"
#include "watch/report.h"

namespace ferry::cli {

namespace {

struct ExitCode {
  std::string_view code, meaning;
};

constexpr ExitCode codes_of_runs[] = {
    {"0", "trained to its own end, and its outputs are home"},
    {"1 to 255", "the training's (or setup's) own code; 128 + a signal's number where a signal ended it"},
    {"75",
     "nothing was rented, and the same command may work later: no capacity, a limit of "
     "your own, asked too often, no network"},
    {"124", "was cut at max_duration, by the budget or because it was idle, and the training said 0"},
    {"125", "ferry, the machine or the start failed; or outputs are not home; or you stopped waiting"},
    {"130", "was cancelled, and the training said 0 or nothing; wait: Ctrl-C, the run goes on"},
};

constexpr ExitCode codes_of_commands[] = {
    {"0", "done"},
    {"1", "check: something is wrong; down --all: not everything could be looked at; a question was answered with no"},
    {"2", "a mistake on the command line"},
    {"75", "quota, catalog update: the cloud was asked too often or is out of reach; the same command may work later"},
    {"125", "ferry could not do it; what, why and what to do are on standard error"},
};

}  // namespace

std::string exit_codes() {
  std::string text = "Exit codes of ferry run, ferry rehearse and ferry wait:\n";
  for (const auto& [code, meaning] : codes_of_runs) text += fmt::format("  {:<8}  {}\n", code, meaning);
  text +=
      "Of several runs, ferry wait gives the first code that is not 0, in the order they were named. 75 of a training\n"
      "and 75 of ferry are told apart by the result of --json: its outcome is not_started where it is ferry's.\n"
      "\nOf every command:\n";
  for (const auto& [code, meaning] : codes_of_commands) text += fmt::format("  {:<8}  {}\n", code, meaning);
  return text + "ferry ssh gives the code of the command that ran there.\n";
}

namespace {

Json exit_codes_json() {
  const auto list = [](std::span<const ExitCode> codes) {
    Json all = Json::array();
    for (const auto& [code, meaning] : codes) all.push_back({{"code", code}, {"meaning", meaning}});
    return all;
  };
  return {{"of_runs", list(codes_of_runs)}, {"of_commands", list(codes_of_commands)}};
}

Result<watch::RunView> view_of(Context& context, const std::string& name) {
  TRY_SET(run, "", context.ledger().run(name));
  TRY_SET(instances, "", context.ledger().instances(run.name));
  return watch::RunView{std::move(run), std::move(instances), {}, {}, {}};
}

Result<int> wait(Context& context, const std::vector<std::string>& names, const RunFilter& filter) {
  std::vector<std::string> runs;
  if (names.empty() || !filter.empty()) {
    // A label leads to what is not over yet.
    if (filter.empty()) return fail(Kind::bad_input, "name a run or a label", {}, "ferry wait RUN", mistake_code);
    EndChoice choice{names, filter, true};
    TRY_SET(found, "", runs_to_end(context, choice, "wait"));
    runs = std::move(found);
  }
  for (const auto& name : filter.empty() ? names : std::vector<std::string>()) {
    TRY_SET(run, "", context.ledger().run(name));
    runs.push_back(run.name);
  }
  if (runs.empty()) return 0;
  int first = 0;
  std::string told = runs.back();  // the run that the code is of
  for (const auto& name : runs) {
    const auto code = run::wait(context.run_context(), name);
    if (in_json()) events().named(name);
    if (!code && code.error().kind == Kind::cancelled) {
      (void)report(code.error());
      return 130;
    }
    // One that cannot be waited for does not keep the others from being heard.
    if (!code) (void)report(code.error());
    const int its_code = code.value_or(run::ferry_failed);
    if (first == 0 && its_code != 0) told = name;
    if (first == 0) first = its_code;
    TRY_SET(view, "", view_of(context, name));
    const auto exit = view.run.exit_code ? fmt::format(" (exit {})", *view.run.exit_code) : std::string();
    const auto line = fmt::format("{} {}{}", view.run.name, ledger::words(view.run.outcome), exit);
    if (in_json()) {
      events().done("wait", line, watch::runs_json({&view, 1}, os::system_clock().now_ms()).front());
    } else {
      fmt::print("{}\n", line);
    }
  }
  if (in_json()) {
    events().named(told);
    reply_result(run::result_of(context.run_context(), told, first, std::nullopt));
  }
  return first;
}

std::string moment(std::int64_t ms) {
  using namespace std::chrono;
  if (ms == 0) return {};
  const sys_seconds at(duration_cast<seconds>(milliseconds(ms)));
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss time(at - day);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count());
}

/// Files under the folder where outputs came home, relative to it.
std::vector<std::pair<std::string, std::uint64_t>> files_in(const os::Path& home, std::size_t most) {
  std::vector<std::pair<std::string, std::uint64_t>> out;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(home, error), end; !error && it != end && out.size() < most;
       it.increment(error)) {
    std::error_code of_file;
    if (it->is_regular_file(of_file) && !it->is_symlink(of_file))
      out.emplace_back(it->path().lexically_relative(home).string(), it->file_size(of_file));
  }
  std::ranges::sort(out);
  return out;
}

Result<int> show(Context& context, const std::string& name) {
  TRY_SET(found, "", one_run(context, name, {}));
  TRY_SET(view, "", view_of(context, found));
  const auto& run = view.run;
  const auto now = os::system_clock().now_ms();
  constexpr std::size_t most = 1000, shown = 12;
  const auto files = files_in(run.output_dir, most);
  const auto at_most = ledger::at_most(context.ledger(), run);
  if (in_json()) {
    auto told = watch::runs_json({&view, 1}, now).front();
    told["command"] = text_at(run.task, "run");
    told["setup"] = text_at(run.task, "setup");
    told["image"] = run.task.contains("image") ? run.task["image"] : Json();
    told["at_most_usd"] = watch::json_usd(at_most);
    told["outputs"] = Json::array();
    for (const auto& [file, bytes] : files) told["outputs"].push_back({{"path", file}, {"bytes", bytes}});
    reply("ferry.show/1", std::move(told));
    return 0;
  }
  const auto line = [](std::string_view what, const std::string& value) {
    if (!value.empty()) fmt::print("{:<9} {}\n", what, short_line(value));
  };
  line("run", run.name + "  (task " + run.task_name + ")");
  line("command", text_at(run.task, "run"));
  line("setup", text_at(run.task, "setup"));
  const auto exit = run.exit_code ? fmt::format(" (exit {})", *run.exit_code) : std::string();
  const bool over = run.outcome != ledger::Outcome::none;
  line("outcome", over ? std::string(ledger::words(run.outcome)) + exit : std::string());
  line("reason", run.error);
  const bool will_be_kept = run.keep && run.phase < ledger::Phase::fetching;
  const auto resting = watch::resting_month(view);
  line("state", watch::state_words(view) + (will_be_kept ? ", to be kept" : "") +
                    (resting ? fmt::format("; its disk costs {} a month until  ferry down {}", show(*resting), run.name)
                             : std::string()));
  line("where", run.infra);
  for (const auto& one : view.instances) {
    line("machine", fmt::format("{} {} {}{}  {}", one.type, one.zone.empty() ? one.region : one.zone, one.id,
                                one.market == "spot" ? " spot" : "", ledger::name(one.state)));
  }
  if (run.task.contains("image"))
    line("image", text_at(run.task["image"], "id") + "  " + text_at(run.task["image"], "name"));
  line("began", moment(run.created_ms));
  line("training", moment(run.train_start_ms));
  if (run.train_end_ms > run.train_start_ms && run.train_start_ms > 0)
    line("took", show_duration(Millis(run.train_end_ms - run.train_start_ms)));
  line("ended", moment(run.ended_ms));
  if (!view.instances.empty()) {
    const auto total = watch::total_spent(view.instances, now);
    line("cost", (total ? ferry::show(*total) : "unknown") + (at_most ? " of at most " + show_at_most(*at_most) : ""));
  }
  line("workdir", run.workdir);
  if (run.task.contains("git") && run.task["git"].contains("url")) {
    const auto& git = run.task["git"];
    const auto ref = text_at(git, "ref");
    line("git", text_at(git, "url") + (ref.empty() ? "" : " at " + ref) + "  " + text_at(git, "commit"));
  }
  line("home", run.output_dir + "/" +
                   (run.outputs_home ? "  (outputs are home, sha-256 verified)" : "  (outputs are not home)"));
  line("store", run.store + (run.outputs_stored ? "  (all outputs are there)" : ""));
  for (std::size_t i = 0; i < std::min(files.size(), shown); ++i)
    line(i ? "" : "files", files[i].first + "  " + show_bytes(files[i].second));
  if (files.size() > shown)
    line("", fmt::format("… and {}{} more", files.size() - shown, files.size() == most ? " or" : ""));
  return 0;
}

Result<int> cost(Context& context, const std::string& since, const std::string& by_word, const std::string& infra,
                 const RunFilter& filter) {
  const auto now = os::system_clock().now_ms();
  std::int64_t since_ms = 0;
  if (!since.empty()) {
    TRY_SET(moment, "", moment_of("--since", since, now));
    since_ms = moment;
  }
  TRY_SET(sieve, "", RunSieve::make(filter, now));
  TRY_SET(runs, "", context.ledger().runs(false));
  std::vector<watch::RunView> views;
  for (auto& run : runs) {
    TRY_SET(instances, "", context.ledger().instances(run.name));
    watch::RunView view{std::move(run), std::move(instances), {}, {}, {}};
    if (!sieve.passes({view.run, watch::state_words(view), view.instances})) continue;
    std::erase_if(view.instances, [&](const auto& one) { return one.provider != infra; });
    views.push_back(std::move(view));
  }
  const auto width = os::is_terminal(1) ? static_cast<std::size_t>(os::terminal_width(1)) : 0;
  const auto by = by_word == "type" ? watch::CostBy::type : by_word == "day" ? watch::CostBy::day : watch::CostBy::run;
  const auto report = watch::cost_report(views, by, since_ms, now);
  std::vector<ledger::Purchase> blocks;
  Usd paid;
  if (filter.empty()) {
    TRY_SET(all, "", context.ledger().purchases());
    for (auto& one : all) {
      if (one.state == ledger::Bought::no || one.provider != infra || one.asked_ms < since_ms) continue;
      paid = paid + one.fee;
      blocks.push_back(std::move(one));
    }
  }
  if (in_json()) {
    auto json = watch::cost_json(report, by);
    json["capacity_blocks"] = Json::array();
    for (const auto& one : blocks)
      json["capacity_blocks"].push_back({{"reservation", one.reservation.empty() ? Json() : Json(one.reservation)},
                                         {"instance_type", one.instance_type},
                                         {"machines", one.machines},
                                         {"hours", one.hours},
                                         {"day", os::iso_time(one.asked_ms).substr(0, 10)},
                                         {"usd", watch::json_usd(one.fee)}});
    json["capacity_blocks_usd"] = watch::json_usd(paid);
    reply("ferry.cost/1", json);
    return 0;
  }
  for (const auto& one : blocks)
    fmt::print("{} {} × {} for {} h, paid at once on {}: {}\n",
               one.reservation.empty() ? "a capacity block that may have been bought:" : printable(one.reservation),
               one.machines, printable(one.instance_type), one.hours, os::iso_time(one.asked_ms).substr(0, 10),
               show(one.fee));
  if (report.lines.empty()) {
    fmt::print("nothing was rented on {}{}\n", infra,
               infra == "aws" ? " (rehearsals are not billed; what they would have cost: --infra rehearsal)" : "");
  } else {
    fmt::print("{}", watch::cost_table(report, by, width));
    if (infra == "rehearsal") fmt::print("this is what AWS would have billed; rehearsals are free\n");
  }
  return 0;
}

Result<int> env(Context& context, const std::string& name) {
  TRY_SET(found, "", one_run(context, name, {}));
  TRY_SET(run, "", context.ledger().run(found));
  const auto& facts = run.task.contains("environment") ? run.task["environment"] : Json();
  if (!facts.is_object())
    return fail(Kind::not_found, run.name + " has no environment yet", "it is looked at before setup",
                "ferry show " + run.name + " says how far it came");
  if (in_json()) {
    reply("ferry.env/1", {{"run", run.name}, {"environment", facts}, {"image", run.task.value("image", Json())}});
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

/// `ferry help TOPIC` where TOPIC is no command: those are asked with --help before this is reached.
int help(const std::string& topic) {
  if (topic == "exit-codes" || topic == "exit-code" || topic == "exit") {
    if (in_json()) {
      reply("ferry.exit-codes/1", exit_codes_json());
    } else {
      fmt::print("{}", exit_codes());
    }
    return 0;
  }
  return report_usage(fmt::format("there is no help about '{}'", printable(topic)),
                      "ferry help, ferry help COMMAND or ferry help exit-codes");
}

}  // namespace

void add_look_commands(CLI::App& app, Program& program) {
  struct Options {
    std::vector<std::string> runs;
    std::string run, topic, since, by = "run", infra = "aws";
    RunFilter filter;
  };
  auto options = std::make_shared<Options>();
  auto* wait_command = app.add_subcommand(
      "wait", "Wait until runs are over; exits with the run's own code, of several with the first that is not 0");
  wait_command->add_option("run", options->runs, "Names of runs, or the beginnings of them")->type_name("RUN");
  options->filter.add_label_to(*wait_command);
  wait_command->footer("Ctrl-C ends the waiting (130); the runs go on. All codes: ferry help exit-codes");
  wait_command->callback([&program, options] {
    program.chosen = [&program, options] {
      return with_context(program.carried,
                          [options](Context& context) { return wait(context, options->runs, options->filter); });
    };
  });

  auto* show_command = app.add_subcommand(
      "show", "All about one run: command, machine, cost, outcome, outputs (the newest if none is named)");
  show_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  show_command->callback([&program, options] {
    program.chosen = [&program, options] {
      return with_context(program.carried, [options](Context& context) { return show(context, options->run); });
    };
  });

  const auto choose = [&program](CLI::App* command, std::function<Result<int>(Context&)> act) {
    command->callback(
        [&program, act] { program.chosen = [&program, act] { return with_context(program.carried, act); }; });
  };
  auto* cost_command = app.add_subcommand("cost", "What runs have cost: machines, disks, addresses, by the second");
  cost_command->add_option("--since", options->since, "A day (2026-01-31, UTC) or a time back (7d)");
  cost_command->add_option("--by", options->by, "One line for each: run, type or day")
      ->check(CLI::IsMember({"run", "type", "day"}));
  cost_command->add_option("--infra", options->infra, "Of aws (default) or rehearsal")
      ->check(CLI::IsMember({"aws", "rehearsal"}));
  options->filter.add_label_to(*cost_command);
  choose(cost_command, [options](Context& context) {
    return cost(context, options->since, options->by, options->infra, options->filter);
  });

  auto* env_command = app.add_subcommand("env", "The Python, frameworks, CUDA and driver that a run's training saw");
  env_command->add_option("run", options->run, "Name of the run, or the beginning of it")->type_name("RUN");
  choose(env_command, [options](Context& context) { return env(context, options->run); });

  auto* help_command = app.add_subcommand("help", "What a command does, or: ferry help exit-codes");
  help_command->add_option("topic", options->topic, "A command, or exit-codes")->type_name("TOPIC")->required();
  help_command->callback([&program, options] { program.chosen = [options] { return help(options->topic); }; });
  auto* version = app.add_subcommand("version", "As --version")->group("");
  version->add_flag("--json", program.json, "As one JSON object");
  version->callback([&program] {
    program.chosen = [] {
      if (in_json()) {
        reply("ferry.version/1", Json::object());
        return 0;
      }
      fmt::print("ferry {}\n", ferry_version());
      return 0;
    };
  });
}

}  // namespace ferry::cli
