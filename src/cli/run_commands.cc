#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/task_options.h"
#include "os/terminal.h"
#include "run/actions.h"
#include "run/run.h"

namespace ferry::cli {

namespace {

constexpr const char* run_footer =
    "What happens, in order:\n"
    "  check     the task is read, scripts are looked at, the workdir is listed\n"
    "  plan      the cheapest machine that fits is chosen\n"
    "  launch    key pair, security group (port 22 for your address only), instance\n"
    "  connect   ssh, with the host key ferry gave the machine\n"
    "  sync      the workdir goes over (.gitignore and .ferryignore are honoured)\n"
    "  setup     your setup commands\n"
    "  train     your command; its output streams through as it is written\n"
    "  fetch     outputs come home to ./runs/RUN, every SHA-256 checked\n"
    "  release   everything that was made is deleted\n"
    "\n"
    "Ctrl-C at a terminal asks: detach, cancel or go on. SIGTERM cancels: what outputs exist come home.\n"
    "Exit code: the training's own; 125 if ferry failed; 130 if cancelled before the training had one.\n"
    "\n"
    "Examples:\n"
    "  ferry run examples/digits --infra rehearsal\n"
    "  ferry run task.yaml --detach\n"
    "  ferry run --gpus A10G -- python train.py --epochs 10\n";

struct RunOptions {
  TaskOptions task;
  bool detach = false, keep = false, no_check = false, yes = false, json = false;
  std::string results = "runs";
};

/// One question before the first call that costs, showing price and cap.
Status confirm(const plan::Offer& offer, Usd at_most) {
  const auto answer =
      os::ask(fmt::format("Rent {} in {} for {}/h, at most {}? [y/N] ", offer.type.name, offer.region,
                          offer.hourly ? show(*offer.hourly) : "an unknown price", show(at_most)));
  if (!answer)
    return fail(Kind::bad_input, "nobody is here to say yes to renting a machine", {},
                "pass --yes to rent without a question");
  if (answer->starts_with('y') || answer->starts_with('Y')) return {};
  return fail(Kind::cancelled, "not rented");
}

int run_command(const Program& program, const RunOptions& options) {
  auto described = describe_task(options.task, program.after_dashes, program.has_dashes);
  if (!described) return report(described.error());
  auto world = World::open(program.carried, face_for(options.json), !options.json);
  if (!world) return report(world.error());
  if (auto settled = run::settle((*world)->doors()); !settled) (*world)->progress().error(settled.error());
  run::Order order;
  order.task = std::move(described->task);
  order.workdir = described->workdir;
  order.results = std::filesystem::absolute(options.results).lexically_normal();
  order.detach = options.detach;
  order.keep = options.keep;
  order.check = !options.no_check;
  if (!options.yes) order.confirm = confirm;
  return run::start((*world)->doors(), order);
}

std::string offer_line(const plan::Offer& offer) {
  return fmt::format("{:<16} {:>4}  {:>7}  {:<14} {:<15} {}", offer.type.name, offer.type.vcpus,
                     fmt::format("{} GiB", (offer.type.memory_mib + 512) / 1024),
                     offer.type.accelerator_count
                         ? fmt::format("{} ×{}", offer.type.accelerator, offer.type.accelerator_count)
                         : "-",
                     offer.zone.empty() ? offer.region : offer.zone,
                     offer.hourly ? show(*offer.hourly) + "/h" : "price unknown");
}

Json offer_json(const plan::Offer& offer) {
  return {{"instance_type", offer.type.name},
          {"vcpus", offer.type.vcpus},
          {"memory_mib", offer.type.memory_mib},
          {"accelerator", offer.type.accelerator},
          {"accelerator_count", offer.type.accelerator_count},
          {"region", offer.region},
          {"hourly_usd", offer.hourly ? Json(static_cast<double>(offer.hourly->micros) / 1e6) : Json()}};
}

int plan_command(const Program& program, const TaskOptions& options, bool json) {
  auto described = describe_task(options, program.after_dashes, program.has_dashes || options.path.empty());
  if (!described && program.has_dashes == false && options.path.empty()) {
    // Without a task, the resources alone are planned for.
    auto with_command = describe_task(options, {"true"}, true);
    described = std::move(with_command);
  }
  if (!described) return report(described.error());
  const auto& task = described->task;
  std::string region = "us-east-1";
  const bool rehearsing = task.resources.infra && task.resources.infra->world == task::World::rehearsal;
  if (!rehearsing) {
    if (auto named = cloud::aws_region_from_environment("")) region = *named;
  }
  auto ranking = plan::rank(task, plan::Catalog::builtin(), {.home_region = region, .rehearsal = rehearsing});
  if (!ranking) return report(ranking.error());
  const auto& offers = ranking->offers;
  if (json) {
    Json list = Json::array();
    for (const auto& offer : offers) list.push_back(offer_json(offer));
    fmt::print("{}\n", dump_json({{"task", task.name},
                                  {"catalog_date", plan::Catalog::builtin().date()},
                                  {"offers", list}}));
    return 0;
  }
  for (const auto& line : task.not_yet) fmt::print(stderr, "! {}\n", line);
  for (const auto& line : ranking->notes) fmt::print(stderr, "! {}\n", line);
  fmt::print("{} would be trained on the first of these (prices as of {}; nothing was called that costs):\n",
             task.name, plan::Catalog::builtin().date());
  fmt::print("  {:<16} {:>4}  {:>7}  {:<14} {:<15} {}\n", "TYPE", "VCPU", "MEMORY", "GPU", "WHERE", "PRICE");
  for (std::size_t i = 0; i < std::min<std::size_t>(offers.size(), 8); ++i)
    fmt::print("{} {}\n", i ? " " : "▸", offer_line((offers)[i]));
  if (offers.size() > 8) fmt::print("  … and {} more\n", offers.size() - 8);
  return 0;
}

}  // namespace

void add_run_commands(CLI::App& app, Program& program) {
  auto options = std::make_shared<RunOptions>();
  auto* run =
      app.add_subcommand("run", "Train: rent a machine, send the code, run, bring the outputs home, release");
  run->footer(run_footer);
  options->task.add_to(*run);
  run->add_flag("-d,--detach", options->detach,
                "Return once the training started; a background process brings the outputs home");
  run->add_flag("--keep", options->keep, "Leave the instance when done (it costs until: ferry down RUN)");
  run->add_flag("--no-check", options->no_check, "Do not look at scripts before renting");
  run->add_flag("-y,--yes", options->yes, "Do not ask before renting");
  run->add_flag("--json", options->json, "One JSON object an event on standard output");
  run->add_option("--results", options->results, "Folder under which outputs come home (default: runs)");
  run->callback([&program, options] {
    program.chosen = [&program, options] { return run_command(program, *options); };
  });

  auto task = std::make_shared<TaskOptions>();
  auto json = std::make_shared<bool>(false);
  auto* plan = app.add_subcommand("plan", "Show what would be rented, and for how much; spends nothing");
  task->add_to(*plan);
  plan->add_flag("--json", *json, "As one JSON object");
  plan->callback([&program, task, json] {
    program.chosen = [&program, task, json] { return plan_command(program, *task, *json); };
  });
}

}  // namespace ferry::cli
