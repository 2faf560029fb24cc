#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/pipeline.h"
#include "cli/task_options.h"
#include "cli/way_out.h"
#include "job/git_workdir.h"
#include "os/env.h"
#include "os/terminal.h"
#include "rehearsal/identity.h"
#include "rehearsal/rehearsal.h"
#include "run/actions.h"
#include "run/record.h"
#include "run/run.h"

namespace ferry::cli {

namespace {

constexpr const char* run_footer =
    "What happens, in order:\n"
    "  check     the task is read, scripts and imports are looked at, the workdir is listed\n"
    "  plan      the cheapest machine that fits and that your account allows; on AWS you are asked\n"
    "  launch    key pair, security group (port 22 for your address only), instance; where there is no room, "
    "the next\n"
    "            zone, region or type\n"
    "  connect   ssh, with the host key ferry gave the machine\n"
    "  sync      the workdir goes over (.gitignore and .ferryignore are honoured)\n"
    "  setup     the Python environment that the workdir asks for, then your setup commands\n"
    "  train     your command; its output streams through as it is written\n"
    "  fetch     outputs come home to ./runs/RUN, every SHA-256 checked\n"
    "  release   everything that was made is deleted\n"
    "\n"
    "Ctrl-C at a terminal asks: detach, cancel or go on. SIGTERM cancels: what outputs exist come home. A "
    "second "
    "one\n"
    "stops waiting, too: the machine is kept, and one line says how to come back. A terminal that closes "
    "detaches.\n"
    "Exit code (all: ferry help exit-codes): the training's own, but never 0 for a run that was stopped: 130 if it was "
    "cancelled, 124 if it was cut\n"
    "at max_duration, by the budget or because it was idle. 75 if nothing was rented and the same may work later. 125 "
    "if ferry or the\n"
    "machine failed, or outputs are not home.\n"
    "\n"
    "Examples:\n"
    "  ferry run examples/digits --infra rehearsal\n"
    "  ferry run task.yaml --detach\n"
    "  ferry run --gpus A10G -- python train.py --epochs 10\n";

struct RunOptions {
  TaskOptions task;
  WayOutOptions way_out;
  bool detach = false, keep = false, no_check = false, follow = false, yes = false, rehearse = false, quiet = false;
  std::string results = "runs", wait, hold;
  int from = 0;
};

/// One question before the first call that costs, showing price and cap.
Status ask_to_rent(const run::Confirmation& question) {
  const auto& offer = question.offers.front();
  std::string text =
      fmt::format("Rent {}{} in {} for {}/h", offer.type.name, offer.market == plan::Market::spot ? " (spot)" : "",
                  offer.region, offer.hourly ? show_hourly(*offer.hourly) : "an unknown price");
  if (offer.price_is_old) text += fmt::format(" (a price of {}, {})", offer.price_date, plan::old_price_words);
  if (question.ceiling && offer.hourly && *question.ceiling > *offer.hourly)
    text += fmt::format(" (up to {}/h if that is not to be had)", show_hourly(*question.ceiling));
  if (offer.total) text += fmt::format(", estimated {}", show(*offer.total));
  if (question.at_most) text += fmt::format(", at most {} whatever happens", show_at_most(*question.at_most));
  text += fmt::format(", {} itself at the latest {} after its boot", question.disk_month ? "stopping" : "ending",
                      show_duration(question.until_power_off));
  if (question.disk_month)
    text += fmt::format("; then its disk costs {} a month until  ferry down RUN", show(*question.disk_month));
  const auto answer = may_ask() ? os::ask(text + "? [y/N] ") : std::nullopt;
  if (!answer)
    return fail(Kind::bad_input, "nobody is here to say yes to renting a machine", {},
                "pass --yes (or set FERRY_YES=1) to rent without a question");
  if (answer->starts_with('y') || answer->starts_with('Y')) return {};
  return fail(Kind::cancelled, "not rented");
}

/// The same task on the local cloud, whatever the task says about where.
void move_to_rehearsal(task::Task& task) {
  const auto here = [](task::Resources& candidate) {
    candidate.infra = task::Infra{.provider = task::Provider::rehearsal};
    candidate.use_spot = false;
    candidate.max_hourly_cost.reset();
    candidate.image = {};
  };
  here(task.resources);
  for (auto& candidate : task.candidates) here(candidate);
  task.budget.reset();
  task.aws = {};
}

/// Rehearses, runs, or both. `named`: called with the name of each run, and with none before the next.
int run_in(Context& context, const RunOptions& options, bool only_rehearse, run::RunRequest order,
           const std::function<void(const std::string&)>& named) {
  order.named = [&](const std::string& given) {
    named(given);
    context.progress().named(given);
  };
  if (options.rehearse || only_rehearse) {
    run::RunRequest first = order;
    move_to_rehearsal(first.task);
    if (const auto laid = lay_way_out(options.way_out, first); !laid) return report(laid.error());
    first.confirm = nullptr;
    const int code = run::start(context.run_context(), first);
    if (only_rehearse) return code;
    if (code != 0) {
      context.progress().note(fmt::format("the rehearsal exited {}: nothing was rented", code));
      return code;
    }
    named("");
  }
  order.detach = options.detach;
  order.keep = options.keep;
  order.is_free = [](const std::string& endpoint) { return rehearsal::is_own(rehearsal::default_dir(), endpoint); };
  return run::start(context.run_context(), order);
}

/// Clones the task's repository, where it has one, and makes it the workdir.
Status clone_if_asked(Context& context, const task::GitSource& git, os::Path& workdir) {
  if (git.url.empty()) return {};
  auto& run_context = context.run_context();
  const auto is_stopped = [&] { return run_context.check_signals(false) != fleet::Interrupt::go_on; };
  job::CloneOptions options{.cache = os::cache_dir() / "git",
                            .may_prompt = os::is_terminal(0) && may_ask(),
                            .is_stopped = is_stopped,
                            .tell = [&](const std::string& line) { context.progress().note(line); }};
  TRY_SET(clone, "", job::clone_workdir(git, options));
  context.progress().note(fmt::format("the workdir is {}: {}", task::show(git), clone.commit));
  workdir = clone.folder;
  return {};
}

/// What is wrong with the request for a task, before anything is looked at; `code`: to leave with.
bool is_refused(const RunOptions& options, bool only_rehearse, Described& described, int& code) {
  const auto refuse = [&](int with) { return code = with, true; };
  if (const auto checked = run::check_nodes(described.task); !checked) return refuse(report(checked.error()));
  if (only_rehearse) move_to_rehearsal(described.task);
  if (const auto exists = settle_hardware(options.task, described.task); !exists) return refuse(report(exists.error()));
  const auto infra = described.task.all_candidates()[0].infra.value_or(task::Infra{});
  if (options.way_out.is_given() && infra.provider != task::Provider::rehearsal && !options.rehearse)
    return refuse(report_usage("--no-internet and --reach are for rehearsals; this run's machine is none",
                               "leave them out, or add --infra rehearsal or --rehearse"));
  return false;
}

/// One task's run, from its clone on.
int run_one(Context& context, const RunOptions& options, bool only_rehearse, Described described,
            const std::function<Status(const run::Confirmation&)>& ask,
            const std::function<void(const std::string&)>& named, const std::vector<std::string>& arguments) {
  if (const auto cloned = clone_if_asked(context, described.task.git, described.workdir); !cloned)
    return report(cloned.error(), true);
  if (!described.carried.empty()) carry_outputs(described.carried, described.workdir, described.task);
  run::RunRequest order;
  order.task = std::move(described.task);
  order.arguments = arguments;
  order.workdir = described.workdir;
  order.passed_on = described.carried_run;
  order.results = std::filesystem::absolute(options.results).lexically_normal();
  order.check = !options.no_check;
  order.follow = options.follow;
  if (!options.wait.empty()) {
    const auto wait = parse_duration(options.wait);
    if (!wait) return report_usage("--wait: " + wait.error().what, wait.error().advice);
    order.wait = *wait;
  }
  if (const auto laid = lay_way_out(options.way_out, order); !laid) return report(laid.error());
  order.confirm = ask;
  context.run_context().is_ending = false;  // of a run before
  return run_in(context, options, only_rehearse, std::move(order), named);
}

/// What cannot be had of several tasks that run one after the other.
std::optional<int> refused_for_pipelines(const RunOptions& options) {
  const auto no = [](const char* what, const char* why, const char* advice) { return report_usage(what, advice, why); };
  if (options.detach)
    return no("--detach is for one task, and the file has several",
              "this ferry begins each when the one before is over",
              "leave it out (in the background: nohup ferry run FILE --yes &)");
  if (options.keep)
    return no("--keep is for one task, and the file has several",
              "every task has a machine of its own, given back after it", "leave it out");
  if (options.rehearse)
    return no("--rehearse is for one task, and the file has several", "each begins with what the one before made",
              "ferry rehearse FILE, then ferry run FILE");
  return std::nullopt;
}

int run_command(const Program& program, const RunOptions& options, bool only_rehearse) {
  auto all = describe_tasks(options.task, program.after_dashes, program.has_dashes);
  if (!all) return report(all.error());
  std::optional<Seconds> hold;
  if (!options.hold.empty()) {
    const auto read = task::read_hold(options.hold);
    if (!read) return report_usage("--hold-connection: " + read.error().what, read.error().advice);
    hold = *read;
  }
  int code = 0;
  for (auto& one : *all)
    if (is_refused(options, only_rehearse, one, code)) return code;
  const bool is_pipeline = all->size() > 1;
  if (const auto refused = is_pipeline ? refused_for_pipelines(options) : std::nullopt) return *refused;
  if (!is_pipeline && options.from != 0)
    return report_usage("--from is for a file with several documents", "leave it out", "this task is one");
  auto context = Context::open(program.carried,
                               options.quiet && !in_json() ? watch::Renderer::quiet : renderer_for(in_json()), true);
  if (!context) return report(context.error(), true);
  if (hold) (*context)->run_context().hold = *hold;
  if (auto recovered = (*context)->recover_orphans(); !recovered) (*context)->progress().error(recovered.error());
  if (!is_pipeline) tell_of_pipelines((*context)->ledger());
  const bool asks = !options.yes && !says_yes();
  const auto ask = asks ? ask_to_rent : std::function<Status(const run::Confirmation&)>();
  std::string name;
  const auto noted = [&](const std::string& given) { name = given; };
  if (is_pipeline) {
    PipelineOptions order{.command = only_rehearse ? "rehearse" : "run",
                          .from = std::max(1, options.from),
                          .asks = asks,
                          .budget = std::nullopt,
                          .confirm = ask};
    if (!options.task.budget.empty()) order.budget = parse_usd(options.task.budget).value_or(Usd{});
    code = run_pipeline(
        **context, *std::move(all), order,
        [&](const Described& one, const auto& question, const auto& named) {
          return run_one(**context, options, only_rehearse, one, question, named, {});
        },
        name);
  } else {
    code = run_one(**context, options, only_rehearse, std::move(all->front()), ask, noted, program.after_dashes);
  }
  // Where there never was a run, finish() answers.
  if (in_json() && !name.empty()) reply_result(run::result_of((*context)->run_context(), name, code, std::nullopt));
  return code;
}

}  // namespace

void add_run_commands(CLI::App& app, Program& program) {
  auto options = std::make_shared<RunOptions>();
  auto* run = app.add_subcommand("run", "Train: rent a machine, send the code, run, bring the outputs home, release");
  run->footer(run_footer);
  options->task.add_to(*run);
  options->way_out.add_to(*run);
  run->add_flag("-d,--detach", options->detach,
                "Return once the training started; a background process brings the outputs home");
  run->add_option("--wait", options->wait,
                  "Where no machine can be had now, or a limit is too low: wait for one, as long as this, e.g. 6h; "
                  "nothing is rented meanwhile (Ctrl-C can leave it to the background)");
  run->add_flag("--keep", options->keep, "Leave the instance when done (it costs until: ferry down RUN)");
  run->add_option("--hold-connection", options->hold,
                  "On a machine that stays (--keep, ssh/HOST): hold a connection in the background, by which the next "
                  "command begins at once, until nobody used it for this long (default: 10m; off: neither hold nor use "
                  "one)")
      ->type_name("DURATION");
  run->add_flag("--no-check", options->no_check, "Do not look at scripts before renting");
  run->add_flag("--follow", options->follow, "Send what links out of the workdir lead to, not only the links");
  run->add_flag("-y,--yes", options->yes, "Do not ask before renting (also FERRY_YES=1)");
  run->add_flag("--rehearse", options->rehearse, "First on the rehearsal cloud; rent only if that succeeds");
  run->add_option("--from", options->from,
                  "Of a file with several documents: begin with this one (from 1), with what the one before had made")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  run->add_flag("-q,--quiet", options->quiet, "Say only what goes wrong; with --detach, print the run's name alone");
  run->add_option("--results", options->results, "Folder under which outputs come home (default: runs)");
  run->callback(
      [&program, options] { program.chosen = [&program, options] { return run_command(program, *options, false); }; });

  auto first = std::make_shared<RunOptions>();
  auto* rehearse = app.add_subcommand("rehearse", "Run a task on this computer first: --infra rehearsal for any task");
  first->task.add_to(*rehearse);
  first->way_out.add_to(*rehearse);
  rehearse->add_option("--from", first->from, "Of a file with several documents: begin with this one (from 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  rehearse->add_flag("--follow", first->follow, "Send what links out of the workdir lead to, not only the links");
  rehearse->add_option("--results", first->results, "Folder under which outputs come home (default: runs)");
  rehearse->callback(
      [&program, first] { program.chosen = [&program, first] { return run_command(program, *first, true); }; });
}

}  // namespace ferry::cli
