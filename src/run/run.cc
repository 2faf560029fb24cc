#include "run/run.h"

#include "base/hash.h"
#include "base/text.h"
#include "fleet/access.h"
#include "fleet/buckets.h"
#include "fleet/labels.h"
#include "fleet/stand_in.h"
#include "fleet/store_role.h"
#include "job/buckets.h"
#include "job/data.h"
#include "job/environment.h"
#include "job/git_state.h"
#include "job/late.h"
#include "job/mounts.h"
#include "job/preflight.h"
#include "job/requirements.h"
#include "job/sent.h"
#include "run/event_callback.h"
#include "run/kept.h"
#include "run/passed_on.h"
#include "run/record.h"
#include "run/run_controller.h"
#include "watch/report.h"

namespace ferry::run {

namespace {

/// The store that the run's machine is to fill; empty: none, or none that it could.
std::string store_of(const RunRequest& request) {
  const auto store = request.task.store.value_or("");
  const auto infra = request.task.all_candidates()[0].infra.value_or(task::Infra{});
  const bool is_own = infra.provider == task::Provider::ssh;
  // A machine of one's own has no role that S3 knows; one that is kept must not end itself.
  return (is_own && store.starts_with("s3://")) || request.keep ? "" : store;
}

struct Added {
  ledger::Run run;
  RunLock owner;
};

/// Owned before it is in the ledger: an unfinished run without an owner is recovered by the next ferry command.
Result<Added> add_run(fleet::Context& context, const RunRequest& request, const job::Preflight& ready) {
  ledger::Run run;
  run.task_name = request.task.name;
  run.infra = task::show(request.task.resources.infra.value_or(task::Infra{}));
  run.workdir = request.workdir.string();
  run.keep = request.keep;
  run.store = store_of(request);
  run.created_ms = run.phase_ms = context.clock.now_ms();
  run.task = {{"run", request.task.run}, {"setup", request.task.setup}, {"outputs", request.task.outputs}};
  if (request.task.recovers_by_aws) run.task[fleet::recovers_by_aws] = true;
  if (request.task.taken) run.task[fleet::reads_run] = request.task.taken->run;
  if (request.task.ends == task::Ends::stop) run.task["ends"] = fleet::ends_stop;
  if (!request.task.checkpoints.empty()) run.task["checkpoints"] = request.task.checkpoints;
  if (auto data = fleet::buckets_to_keep(request.task); !data.is_null()) run.task["data"] = std::move(data);
  run.task["envs"] = envs_to_keep(request.task.envs);
  if (!trim(request.task.event_callback).empty()) run.task[callback_command] = request.task.event_callback;
  if (!request.arguments.empty()) run.task["arguments"] = request.arguments;
  for (const auto& [secret, value] : request.task.secrets) run.task["secrets"].push_back(secret);
  const auto& interrupt = request.task.environment;
  run.task["environment_wish"] = {{"kind", interrupt.kind}, {"name", interrupt.name}, {"file", interrupt.file}};
  TRY_SET(ledger, "", fleet::ledger_id(context.data));
  run.task["ledger"] = ledger;  // what is made for the run says whose it is
  if (auto git = job::git_state(request.workdir); !git.is_null()) run.task["git"] = std::move(git);
  if (const auto& source = request.task.git; !source.url.empty()) {
    run.task["git"]["url"] = source.url;
    if (!source.ref.empty()) run.task["git"]["ref"] = source.ref;
  }
  for (const auto& [key, value] : request.task.all_candidates()[0].labels) {
    if (!key.starts_with("ferry:")) run.task["labels"][key] = value;  // those are between ferry and its own cloud
  }
  if (request.task.max_duration) run.task["max_duration_s"] = request.task.max_duration->count();
  if (request.wait || may_recover(request.task)) run.task[kept_request] = request_to_keep(request, ready);
  if (request.wait) run.task[waits_until_ms] = context.clock.now_ms() + Millis(*request.wait).count();
  for (int tries = 0;; ++tries) {
    run.name = request.task.name + "-" + random_name(3 + static_cast<std::size_t>(tries) / 8);
    run.output_dir = (request.results / run.name).string();
    TRY_SET(owner, "", RunLock::try_take(fleet::RunDir(context.data, run.name)));
    auto added = owner ? context.ledger.add_run(run) : fail(Kind::exists, "another ferry owns " + run.name);
    if (added) return Added{std::move(run), std::move(*owner)};
    if (added.error().kind != Kind::exists || tries > 50) return tl::unexpected<Error>(std::move(added).error());
  }
}

std::string where(const task::Infra& infra) {
  if (infra.provider == task::Provider::rehearsal) return "rehearsal (no AWS account used, nothing is billed)";
  if (infra.provider == task::Provider::ssh) return infra.host + " (a machine of your own, nothing is billed)";
  return task::show(infra);
}

/// One line on what is asked for in vain of a machine that is there already; empty: nothing is.
std::string not_on_own_machine(const task::Task& task) {
  const auto& interrupt = task.all_candidates()[0];
  if (!interrupt.infra || interrupt.infra->provider != task::Provider::ssh) return {};
  std::vector<std::string> names;
  const auto add = [&](bool asked, const char* name) {
    if (asked) names.emplace_back(name);
  };
  add(!interrupt.accelerators.choices.empty(), "accelerators");
  add(!interrupt.instance_type.empty(), "instance_type");
  add(interrupt.cpus.has_value(), "cpus");
  add(interrupt.memory.has_value(), "memory");
  add(interrupt.disk_gib > 0 || !interrupt.disk_tier.empty(), "disk");
  add(interrupt.local_disk.has_value(), "local_disk");
  add(!interrupt.image.flavour.empty() || !interrupt.image.system.empty() || !interrupt.image.amis.empty(), "image");
  add(interrupt.use_spot, "spot");
  add(interrupt.max_hourly_cost.has_value(), "max_hourly_cost");
  add(task.budget.has_value(), "budget");
  add(task.store.value_or("").starts_with("s3://"), "store");
  if (names.empty()) return {};
  return fmt::format("{} is taken as it is: nothing is done about {}", interrupt.infra->host, join(names, ", "));
}

Status check_store(const task::Task& task) {
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  const auto store = task.store.value_or("");
  if (store.empty() || store.starts_with("s3://") || infra.provider == task::Provider::ssh) return {};
  return fail(Kind::bad_input, "a folder is no store for a machine that is rented: " + printable(store),
              "it would be on that machine, and end with it",
              "store: s3://BUCKET/PREFIX (ferry store setup makes one), or --store none");
}

/// What AWS goes on with by itself must be where AWS is, and without secrets: nobody is there to give them.
Status check_recover(const RunRequest& request) {
  const auto& task = request.task;
  if (!task.recovers_by_aws) return {};
  const auto cannot = [](const std::string& why, const std::string& advice) {
    return fail(Kind::bad_input, "recover: aws cannot be had: " + why, {}, advice);
  };
  if (!task.secrets.empty() || !task.missing_secrets.empty())
    return cannot(
        "the task has secrets, and what AWS begins by itself holds none",
        "let the training fetch them by the machine's own role, as from AWS Secrets Manager; or leave recover "
        "out: a ferry that has them begins the next attempt");
  if (!task.store.value_or("").starts_with("s3://"))
    return cannot("the run has no store in S3, from which the next machine takes all",
                  "store: s3://BUCKET/PREFIX; ferry store setup makes one");
  if (request.keep) return cannot("a machine that is kept is not replaced", "leave --keep out");
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  if (infra.provider == task::Provider::ssh)
    return cannot("AWS knows nothing of a machine of your own", "leave recover out");
  if (task.ends == task::Ends::stop)
    return cannot("a machine that is stopped is replaced, and ends", "leave out recover, or ends: stop");
  if (!task.aws.capacity_reservation.empty())
    return cannot("capacity that was reserved is one machine's", "leave recover out, or the reservation");
  for (const auto& one : task.all_candidates()) {
    if (one.recovery && !one.recovery->is_wanted)
      return cannot("job_recovery: none says that nothing is to be begun again", "leave one of the two out");
  }
  return {};
}

/// All that is missing at once.
Status check_task(const RunRequest& request) {
  std::vector<Error> found;
  const auto keep = [&](Status checked) {
    if (!checked) found.push_back(std::move(checked).error());
  };
  if (trim(request.task.run).empty()) {
    keep(fail(Kind::bad_input, "the task has nothing to run", "the field run is missing or empty",
              "add  run: python train.py  to the task file, or: ferry run -- python train.py"));
  }
  const auto missing = [&](const std::vector<std::string>& names, const char* what, const char* cure) {
    if (names.empty()) return;
    keep(fail(Kind::bad_input, fmt::format("no value for the {} {}", what, join(names, ", ")),
              "it is left to you, and the environment that ferry runs in does not have it",
              fmt::format("{} {}=…", cure, names[0])));
  };
  missing(request.task.missing_envs, "variable", "--env");
  missing(request.task.missing_secrets, "secret", "run ferry again after: export");
  keep(check_nodes(request.task));
  keep(task::check_ends(request.task));
  keep(task::check_volumes(request.task));
  keep(job::check_outputs(request.task));
  if (request.check) keep(check_store(request.task));
  keep(check_recover(request));
  keep(job::check_start(request.task));
  if (!os::is_directory(request.workdir)) {
    keep(fail(Kind::bad_input, "the workdir is no folder: " + request.workdir.string(), {},
              "set workdir, or --workdir"));
  }
  if (request.task.all_candidates()[0].infra.value_or(task::Infra{}).provider == task::Provider::aws)
    keep(fleet::check_access(request.task.aws));
  if (!found.empty()) return fail(std::move(found));
  return {};
}

}  // namespace

Status check_nodes(const task::Task& task) {
  if (task.num_nodes == 1) return {};
  return fail(Kind::unsupported,
              fmt::format("{}: num_nodes: running {} machines for one task comes later", task.nodes_at, task.num_nodes),
              "ferry plan plans and prices them; a run has one machine, and nothing was rented",
              "write num_nodes: 1, with more GPUs in that machine (as in accelerators: A100:8)");
}

int start(fleet::Context& context, const RunRequest& asked) {
  auto& progress = context.progress;
  auto request = asked;
  progress.title(request.task.name, where(request.task.resources.infra.value_or(task::Infra{})));
  for (const auto& line : request.task.not_yet) progress.warn("check", line);

  const auto began = context.clock.steady_ms();
  progress.begin("check", "looking at the task");
  job::Preflight ready;
  std::vector<std::string> by_store;
  const auto checked = [&]() -> Status {
    TRY("", check_task(request));
    job::store_large_mounts(request.task, request.follow, by_store);
    const auto passed_on = find_passed_on(context, request, store_of(request), by_store);
    const auto* from_store = passed_on ? &passed_on->files : nullptr;
    if (request.check) {
      TRY("", job::check_environment(request.task, request.workdir));
      TRY_SET(found, "",
              job::preflight(request.task, request.workdir,
                             {request.follow, request.results, request.cut_off, from_store}));
      ready = std::move(found);
      TRY("", job::look_for_data(context, request.task));
    } else {
      TRY_SET(tree, "", job::list_workdir(request.workdir, request.follow));
      ready.tree = std::move(tree);
      TRY("", job::add_mounts(request.task, request.follow, ready.tree, ready.warnings));
      TRY_SET(candidates, "", job::find_requirements(request.task, request.workdir, ready.tree));
      ready.requirements_file = candidates.file;
      ready.installers = candidates.installers;
      ready.needed = candidates.needed;
      if (from_store) {
        TRY_SET(taken, "", job::leave_to_store(ready.tree, request.workdir, *from_store));
        ready.taken = taken;
      }
      for (auto& line : job::tell_sent(ready.tree, request.workdir, request.task.outputs))
        ready.warnings.push_back(std::move(line));
      std::ranges::move(job::tell_late(request.task, ready.tree, ready.needed), std::back_inserter(ready.warnings));
      ready.summary =
          fmt::format("{}, {} to send", watch::counted(ready.tree.files, "file"), show_bytes(ready.tree.bytes));
    }
    if (passed_on) note_taken(request, *passed_on, ready.taken, by_store);
    TRY("make the folder for outputs", job::make_results(request.results));
    constexpr std::uint64_t little = 1'000'000'000;
    if (const auto free = os::free_space(request.results); free < little) {
      ready.warnings.push_back(fmt::format("only {} are free where the outputs are to come home ({})", show_bytes(free),
                                           request.results.string()));
    }
    return {};
  }();
  std::ranges::move(by_store, std::back_inserter(ready.warnings));
  std::ranges::move(job::tell_mounts(request.task), std::back_inserter(ready.warnings));
  if (const auto sent = job::sent_outputs(request.task.outputs, ready.tree); !sent.empty())
    ready.warnings.push_back(sent);
  if (const auto unkept = not_on_own_machine(request.task); !unkept.empty()) ready.warnings.push_back(unkept);
  if (!checked) {
    progress.error(checked.error());
    return exit_code_for(checked.error().kind);
  }
  if (request.keep && !request.task.store.value_or("").empty())
    ready.warnings.push_back("nothing is stored of a machine that is kept: its outputs come home");
  for (const auto& warning : ready.warnings) progress.warn("check", warning);
  progress.done("check", ready.summary,
                {{"files", ready.tree.files}, {"bytes", ready.tree.bytes}, {"ms", context.clock.steady_ms() - began}});

  auto added = add_run(context, request, ready);
  if (!added) {
    progress.error(added.error());
    return exit_code_for(added.error().kind);
  }
  if (request.named) request.named(added->run.name);
  RunController controller(context, std::move(added->run), std::move(added->owner));
  return controller.from_the_start(request, std::move(ready));
}

int follow(fleet::Context& context, const std::string& run_name, RunLock owner) {
  auto run = context.ledger.run(run_name);
  if (!run) {
    context.progress.error(run.error());
    return ferry_failed;
  }
  RunController controller(context, std::move(*run), std::move(owner));
  return controller.from_training();
}

}  // namespace ferry::run
