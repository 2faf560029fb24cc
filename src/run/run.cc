#include "run/run.h"

#include "base/hash.h"
#include "base/text.h"
#include "run/access.h"
#include "run/environment.h"
#include "run/git_state.h"
#include "run/journey.h"
#include "run/labels.h"
#include "run/mounts.h"
#include "run/preflight.h"
#include "run/record.h"
#include "run/sent.h"
#include "run/wishes.h"
#include "watch/report.h"

namespace ferry::run {

namespace {

struct Added {
  ledger::Run run;
  Owner owner;
};

/// Owned before it is in the ledger: an unfinished run without an owner is settled by the next ferry command.
Result<Added> add_run(Doors& doors, const Order& order) {
  ledger::Run run;
  run.task_name = order.task.name;
  run.infra = task::show(order.task.resources.infra.value_or(task::Infra{}));
  run.workdir = order.workdir.string();
  run.keep = order.keep;
  run.created_ms = run.phase_ms = doors.clock.now_ms();
  run.task = {{"run", order.task.run}, {"setup", order.task.setup}, {"outputs", order.task.outputs}};
  run.task["envs"] = envs_to_keep(order.task.envs);
  if (!order.arguments.empty()) run.task["arguments"] = order.arguments;
  for (const auto& [secret, value] : order.task.secrets) run.task["secrets"].push_back(secret);
  const auto& wish = order.task.environment;
  run.task["environment_wish"] = {{"kind", wish.kind}, {"name", wish.name}, {"file", wish.file}};
  TRY_SET(ledger, "", ledger_id(doors.data));
  run.task["ledger"] = ledger;  // what is made for the run says whose it is
  if (auto git = git_state(order.workdir); !git.is_null()) run.task["git"] = std::move(git);
  for (const auto& [key, value] : order.task.wishes()[0].labels) {
    if (!key.starts_with("ferry:")) run.task["labels"][key] = value;  // those are between ferry and its own cloud
  }
  if (order.task.max_duration) run.task["max_duration_s"] = order.task.max_duration->count();
  for (int tries = 0;; ++tries) {
    run.name = order.task.name + "-" + random_name(3 + static_cast<std::size_t>(tries) / 8);
    run.home = (order.results / run.name).string();
    TRY_SET(owner, "", Owner::try_take(Folder(doors.data, run.name)));
    auto added = owner ? doors.ledger.add_run(run) : fail(Kind::exists, "another ferry owns " + run.name);
    if (added) return Added{std::move(run), std::move(*owner)};
    if (added.error().kind != Kind::exists || tries > 50)
      return tl::unexpected<Error>(std::move(added).error());
  }
}

std::string where(const task::Infra& infra) {
  if (infra.world == task::World::rehearsal) return "rehearsal (no AWS account used, nothing is billed)";
  if (infra.world == task::World::ssh) return infra.host + " (a machine of your own, nothing is billed)";
  return task::show(infra);
}

/// One line on what is asked for in vain of a machine that is there already; empty: nothing is.
std::string not_on_own_machine(const task::Task& task) {
  const auto& wish = task.wishes()[0];
  if (!wish.infra || wish.infra->world != task::World::ssh) return {};
  std::vector<std::string> names;
  const auto add = [&](bool asked, const char* name) {
    if (asked) names.emplace_back(name);
  };
  add(!wish.accelerators.choices.empty(), "accelerators");
  add(!wish.instance_type.empty(), "instance_type");
  add(wish.cpus.has_value(), "cpus");
  add(wish.memory.has_value(), "memory");
  add(wish.disk_gib > 0 || !wish.disk_tier.empty(), "disk");
  add(wish.local_disk.has_value(), "local_disk");
  add(!wish.image.flavour.empty() || !wish.image.system.empty() || !wish.image.amis.empty(), "image");
  add(wish.use_spot, "spot");
  add(wish.max_hourly_cost.has_value(), "max_hourly_cost");
  add(task.budget.has_value(), "budget");
  if (names.empty()) return {};
  return fmt::format("{} is taken as it is: nothing is done about {}", wish.infra->host, join(names, ", "));
}

/// All that is missing at once.
Status check_task(const Order& order) {
  std::vector<Error> found;
  const auto keep = [&](Status checked) {
    if (!checked) found.push_back(std::move(checked).error());
  };
  if (trim(order.task.run).empty()) {
    keep(fail(Kind::bad_input, "the task has nothing to run", "the field run is missing or empty",
              "add  run: python train.py  to the task file, or: ferry run -- python train.py"));
  }
  const auto missing = [&](const std::vector<std::string>& names, const char* what, const char* cure) {
    if (names.empty()) return;
    keep(fail(Kind::bad_input, fmt::format("no value for the {} {}", what, join(names, ", ")),
              "it is left to you, and the environment that ferry runs in does not have it",
              fmt::format("{} {}=…", cure, names[0])));
  };
  missing(order.task.missing_envs, "variable", "--env");
  missing(order.task.missing_secrets, "secret", "run ferry again after: export");
  keep(check_outputs(order.task));
  keep(check_start(order.task));
  if (!os::is_directory(order.workdir)) {
    keep(fail(Kind::bad_input, "the workdir is no folder: " + order.workdir.string(), {},
              "set workdir, or --workdir"));
  }
  if (order.task.wishes()[0].infra.value_or(task::Infra{}).world == task::World::aws)
    keep(check_access(order.task.aws));
  if (!found.empty()) return fail(std::move(found));
  return {};
}

}  // namespace

int start(Doors& doors, const Order& order) {
  auto& progress = doors.progress;
  progress.title(order.task.name, where(order.task.resources.infra.value_or(task::Infra{})));
  for (const auto& line : order.task.not_yet) progress.warn("check", line);

  const auto began = doors.clock.steady_ms();
  progress.begin("check", "looking at the task");
  Preflight ready;
  const auto checked = [&]() -> Status {
    TRY("", check_task(order));
    if (order.check) {
      TRY("", check_environment(order.task, order.workdir));
      TRY_SET(found, "", preflight(order.task, order.workdir, {order.follow, order.results, order.cut_off}));
      ready = std::move(found);
    } else {
      TRY_SET(tree, "", list_workdir(order.workdir, order.follow));
      ready.tree = std::move(tree);
      TRY("", add_mounts(order.task, order.follow, ready.tree, ready.warnings));
      TRY_SET(wishes, "", find_wishes(order.task, order.workdir, ready.tree));
      ready.wished = wishes.file;
      ready.installers = wishes.installers;
      for (auto& line : tell_sent(ready.tree, order.workdir, order.task.outputs)) ready.warnings.push_back(std::move(line));
      ready.summary = fmt::format("{}, {} to send", watch::counted(ready.tree.files, "file"),
                                  show_bytes(ready.tree.bytes));
    }
    TRY("make the folder for outputs", make_results(order.results));
    constexpr std::uint64_t little = 1'000'000'000;
    if (const auto free = os::free_space(order.results); free < little) {
      ready.warnings.push_back(fmt::format("only {} are free where the outputs are to come home ({})",
                                           show_bytes(free), order.results.string()));
    }
    return {};
  }();
  if (const auto sent = sent_outputs(order.task.outputs, ready.tree); !sent.empty())
    ready.warnings.push_back(sent);
  if (const auto unkept = not_on_own_machine(order.task); !unkept.empty()) ready.warnings.push_back(unkept);
  if (!checked) {
    progress.error(checked.error());
    return exit_code_for(checked.error().kind);
  }
  for (const auto& warning : ready.warnings) progress.warn("check", warning);
  progress.done(
      "check", ready.summary,
      {{"files", ready.tree.files}, {"bytes", ready.tree.bytes}, {"ms", doors.clock.steady_ms() - began}});

  auto added = add_run(doors, order);
  if (!added) {
    progress.error(added.error());
    return exit_code_for(added.error().kind);
  }
  if (order.named) order.named(added->run.name);
  Journey journey(doors, std::move(added->run), std::move(added->owner));
  return journey.from_the_start(order, std::move(ready));
}

int follow(Doors& doors, const std::string& run_name, Owner owner) {
  auto run = doors.ledger.run(run_name);
  if (!run) {
    doors.progress.error(run.error());
    return ferry_failed;
  }
  Journey journey(doors, std::move(*run), std::move(owner));
  return journey.from_training();
}

}  // namespace ferry::run
