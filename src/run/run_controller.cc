#include "run/run_controller.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>

#include "account/account.h"
#include "base/text.h"
#include "fleet/images.h"
#include "fleet/launch.h"
#include "fleet/planning.h"
#include "fleet/reservation.h"
#include "os/env.h"
#include "run/record.h"

namespace ferry::run {

using ledger::Phase;

namespace {

/// How long a machine that runs may take to let ssh in. Large and bare-metal ones boot for many minutes.
Seconds connect_limit(const plan::InstanceType& type) {
  constexpr int large = 90;  // vCPUs: p3dn, p4d, p5, trn1.32xlarge and the like
  const bool is_large = type.vcpus >= large || type.name.ends_with(".metal");
  return os::env_duration("FERRY_CONNECT_LIMIT", is_large ? Seconds(900) : Seconds(300));
}

/// Where the task wants that, offers in the region of the machine that was lost come after all others.
void prefer_other_region(std::vector<plan::Offer>& offers, const std::vector<task::Resources>& candidates,
                         const ledger::Instance& lost) {
  const auto is_elsewhere = [&](const plan::Offer& offer) {
    const auto& recovery = candidates[offer.candidate].recovery;
    return offer.region != lost.region || !recovery || !recovery->other_region_first;
  };
  std::stable_partition(offers.begin(), offers.end(), is_elsewhere);
}

}  // namespace

RunController::RunController(fleet::Context& context, ledger::Run run, RunLock owner)
    : context_(context),
      run_(std::move(run)),
      owner_(std::move(owner)),
      run_dir_(context.data, run_.name),
      node_(context, run_dir_),
      callback_(context, run_dir_) {
  trial_.n = newest_attempt(context, run_.name);
  if (const auto seconds = int_at(run_.task, "max_duration_s"); seconds > 0)
    node_.lifetime.max_duration = Seconds(seconds);
  context_.while_waiting = [this] {
    if (pull_) pull_->tick(context_.clock.steady_ms());
    callback_.tick();
    if (owner_ && !owner_->still_mine()) stop_at_once("its folder was removed meanwhile");
    if (lease_ && !lease_->keep()) stop_at_once("another computer took it over while this one was not heard of");
  };
}

void RunController::stop_at_once(const std::string& why) {
  // As if we had been killed: two would ruin it.
  context_.progress.error(
      {Kind::conflict, "another ferry looks after " + run_.name + " by now", why, "ferry logs -f " + run_.name, {}});
  context_.progress.result(result_of(context_, run_.name, ferry_failed, std::nullopt));
  pull_.reset();
  node_.connection.reset();  // its socket's folder is nobody's afterwards
  ::_exit(ferry_failed);
}

RunController::~RunController() {
  context_.while_waiting = nullptr;
  if (!callback_.is_busy() || std::uncaught_exceptions() > 0) return;
  // What the command may want of this run, nothing here keeps from it.
  if (hashing_.valid()) hashing_.wait();
  if (beginning_to_send_.valid()) beginning_to_send_.wait();
  workdir_.reset();
  pull_.reset();
  node_.connection.reset();
  lease_.reset();
  owner_.reset();
  callback_.finish();
}

void RunController::tell_phase() {
  const bool is_first = trial_.n == 1;
  const auto state = ledger::name(run_.phase);
  if (run_.phase == Phase::planning) callback_.tell(run_, trial_.n, is_first ? "SUBMITTED" : "RECOVERING", state);
  if (run_.phase == Phase::launching && is_first) callback_.tell(run_, trial_.n, "STARTING", state);
  if (run_.phase == Phase::training) callback_.tell(run_, trial_.n, is_first ? "STARTED" : "RECOVERED", state);
}

void RunController::tell_end() { callback_.tell(run_, trial_.n, job_status(run_.outcome), ledger::name(run_.outcome)); }

Status RunController::enter(Phase phase) {
  if (run_.phase == phase) return {};
  TRY("", context_.ledger.move(run_.name, phase));
  run_.phase = phase;
  run_.phase_ms = context_.clock.now_ms();
  tell_phase();
  return {};
}

Status RunController::plan() {
  const auto& [request, ready] = *beginning_;
  if (run_.phase < Phase::planning) TRY("", enter(Phase::planning));
  const auto infra = request.task.all_candidates()[0].infra.value_or(task::Infra{});
  context_.progress.begin("plan", "choosing a machine");
  if (infra.provider == task::Provider::ssh) return plan_own_machine(infra.host);
  std::string rehearsal_region;
  if (infra.provider == task::Provider::rehearsal) {
    TRY_SET(aws_context, "", context_.rehearsal());
    rehearsal_region = aws_context.region;
  }
  auto task = request.task;
  if (is_agreed()) task.budget = money_left();
  if (infra.provider == task::Provider::aws) {
    TRY_SET(reserved, "", fleet::confine_to_reservation(context_, task));
    trial_.reservation = std::move(reserved);
  }
  if (trial_.reservation) {
    TRY_SET(limited, "", fleet::within_block(*trial_.reservation, node_.lifetime, context_.clock.now_ms()));
    node_.lifetime = limited;
  }
  TRY_SET(planned, "", plan_in_zone(task, rehearsal_region));
  if (planned.location.provider == "aws") TRY("", look_at_account(task, ready.framework, planned));
  // Where it is money that matters, an image's disk counts in a rehearsal, too.
  const bool counts = planned.location.provider == "rehearsal" && task.budget;
  if (counts) TRY("", look_at_image(task, ready.framework, planned));
  for (const auto& note : planned.ranking.notes) context_.progress.warn("plan", note);
  trial_.candidates.assign(task.all_candidates().begin(), task.all_candidates().end());
  trial_.offers = std::move(planned.ranking.offers);
  node_.location = std::move(planned.location);
  node_.lifetime = planned.lifetime;
  trial_.ceiling = planned.ceiling;
  trial_.most = planned.most;
  if (trial_.n > 1) prefer_other_region(trial_.offers, trial_.candidates, last_);
  const auto& best = trial_.offers.front();
  run_.task["max_duration_s"] = node_.lifetime.max_duration.count();
  if (!is_agreed()) {
    run_.task[limited_by] = planned.budget_note.empty() ? "max_duration" : "budget";
    whole_ = node_.lifetime;
    run_.task["whole_max_duration_s"] = whole_.max_duration.count();
    if (best.total) run_.task["estimate_micros"] = best.total->micros;
    run_.task.erase("at_most_micros");
    if (trial_.most) run_.task["at_most_micros"] = trial_.most->micros;
    if (request.task.budget) run_.task["budget_micros"] = request.task.budget->micros;
  }
  TRY("", context_.ledger.update(run_));
  const auto dollars = [](const std::optional<Usd>& money) {
    return money ? Json(static_cast<double>(money->micros) / 1e6) : Json();
  };
  context_.progress.done("plan", fleet::describe_plan(best, node_.lifetime, trial_.most),
                         {{"instance_type", best.type.name},
                          {"region", best.region},
                          {"zone", best.zone},
                          {"market", plan::name(best.market)},
                          {"hourly_usd", dollars(best.hourly)},
                          {"estimate_usd", dollars(best.total)},
                          {"at_most_usd", dollars(trial_.most)},
                          {"considered", planned.ranking.considered}});
  TRY("", reserve());
  if (request.way_out && trial_.n == 1) context_.progress.note(request.way_out());
  if (node_.location.provider == "aws") return ask();
  return run_.task.contains(waits_until_ms) ? note_agreed() : Status();
}

Status RunController::look_at_image(const task::Task& task, const std::string& framework, fleet::Planned& planned) {
  const auto& best = planned.ranking.offers.front();
  planned.location.region = best.region;  // the account's limits may have led to another one
  TRY_SET(there, "", fleet::open_cloud(context_, planned.location));
  TRY_SET(image, "find an image",
          fleet::find_image(context_, *there, planned.location, best, task.all_candidates()[best.candidate].image,
                            framework));
  trial_.image = std::move(image);
  fleet::warn_of_support(context_, trial_.image, "plan");
  fleet::enlarge_disks(task, trial_.image.root_size_gib, planned.ranking);
  return fleet::set_terms(task, node_.lifetime, planned);
}

Status RunController::look_at_account(const task::Task& task, const std::string& framework, fleet::Planned& planned) {
  // The account is looked at before anyone is asked: a question that leads nowhere is a bad one.
  TRY_SET(cloud, "", fleet::open_cloud(context_, planned.location));
  TRY_SET(caller, "", cloud->whoami());
  planned.location.account = caller.account;
  // Reserved capacity counts against the limits when it is reserved.
  if (trial_.reservation) {
    if (trial_.reservation->is_block)
      planned.ranking.notes.push_back(fmt::format(
          "{} is a capacity block: it is paid already, whatever the price below says", trial_.reservation->id));
    return look_at_image(task, framework, planned);
  }
  short_of_.clear();
  TRY_SET(allowed, "",
          account::within_quotas(context_, planned.location, std::move(planned.ranking.offers), short_of_));
  planned.ranking.offers = std::move(allowed);
  return look_at_image(task, framework, planned);
}

Status RunController::reserve() {
  TRY_SET(before, "", context_.ledger.reservation(run_.name));
  auto wanted = before.value_or(ledger::Reservation{});
  wanted.run = run_.name;
  wanted.provider = node_.location.provider;
  wanted.hourly = wanted.machine_hourly = {};
  wanted.at_most = ledger::at_most(context_.ledger, run_).value_or(Usd{});
  if (!is_agreed()) wanted.at_most = trial_.most.value_or(Usd{});
  for (const auto& offer : trial_.offers) {
    const auto rates = offer.not_taken.empty() ? plan::dearest_rates(offer) : std::nullopt;
    if (!rates) continue;
    wanted.hourly = std::max(wanted.hourly, dearest_hour(*rates));
    wanted.machine_hourly = std::max(wanted.machine_hourly, rates->machine);
  }
  // Once it is rented, less is noted than before, and nothing is left to refuse.
  const bool is_rented = !node_.instance.id.empty();
  auto caps = context_.caps && !is_rented ? context_.caps() : Result<Caps>(Caps{});
  if (!caps) return tl::unexpected<Error>(std::move(caps).error());
  return context_.ledger.reserve(wanted, *caps);
}

Status RunController::ask() {
  const auto& request = beginning_->request;
  TRY("", account::may_launch(context_, trial_.offers.front(), trial_.image, request.task.aws));
  if (is_agreed()) return {};  // what was agreed to holds for all attempts, and all tries
  if (request.confirm && !(request.is_free && request.is_free(node_.location.endpoint))) {
    context_.progress.pause();
    TRY("", request.confirm({trial_.offers, node_.lifetime.until_power_off(), trial_.most,
                             plan::resting_month(request.task, trial_.offers.front()), trial_.ceiling}));
  }
  return note_agreed();
}

Status RunController::note_agreed() {
  run_.task[is_agreed_to] = true;
  return context_.ledger.update(run_);
}

Status RunController::plan_own_machine(const std::string& host) {
  node_.location = {"ssh", "", host};
  TRY_SET(cloud, "", fleet::open_cloud(context_, node_.location));
  node_.cloud = std::move(cloud);
  context_.progress.done("plan", host + ", as your ssh config has it; nothing is rented",
                         {{"instance_type", host}, {"hourly_usd", 0}});
  if (beginning_->request.task.idle)
    context_.progress.warn("plan", "idle: ends nothing here: a machine of your own costs nothing while it waits");
  return {};
}

Status RunController::launch() {
  const auto& [request, ready] = *beginning_;
  TRY("", enter(Phase::launching));
  if (!is_store_ready_) TRY("", prepare_store());
  is_store_ready_ = true;
  if (node_.location.provider == "ssh") {
    context_.progress.begin("launch", node_.location.endpoint);
    TRY_SET(borrowed, "", fleet::attach_host(context_, run_, node_.location));
    node_.instance = std::move(borrowed);
    context_.progress.done("launch", fmt::format("nothing to rent; the run is {}", run_.name),
                           {{"instance_id", node_.instance.id}, {"run", run_.name}});
    return {};
  }
  context_.progress.begin("launch", trial_.offers.front().type.name);
  TRY_SET(launched, "",
          fleet::launch(context_, {.run = run_,
                                   .location = node_.location,
                                   .offers = trial_.offers,
                                   .candidates = trial_.candidates,
                                   .framework = ready.framework,
                                   .lifetime = node_.lifetime,
                                   .ceiling = trial_.ceiling,
                                   .budget = is_agreed() || request.task.budget ? money_left() : std::nullopt,
                                   .aws = request.task.aws,
                                   .capacity_block = trial_.reservation && trial_.reservation->is_block}));
  if (launched.image.id != trial_.image.id) fleet::warn_of_support(context_, launched.image, "launch");
  node_.instance = std::move(launched.instance);
  node_.cloud = std::move(launched.cloud);
  node_.location = std::move(launched.location);
  trial_.offers = {std::move(launched.offer)};
  trial_.launched_by = std::move(launched.order);
  if (const auto noted = reserve(); !noted) context_.progress.warn("launch", noted.error().what);
  run_.task[rented_candidate] = trial_.offers.front().candidate;
  run_.task["host_key"] = launched.host_key;
  run_.task["image"] = {{"id", launched.image.id},
                        {"name", launched.image.name},
                        {"created", launched.image.created},
                        {"supported_until", launched.image.supported_until}};
  TRY("", context_.ledger.update(run_));
  context_.progress.done("launch", fmt::format("{} running as {}", node_.instance.id, run_.name),
                         {{"instance_id", node_.instance.id}, {"run", run_.name}, {"zone", node_.instance.zone}});
  return {};
}

Status RunController::connect() {
  TRY("", enter(Phase::connecting));
  TRY("", take_lease());
  context_.progress.begin("connect", node_.instance.address);
  const auto type = trial_.offers.empty() ? plan::InstanceType{} : trial_.offers.front().type;
  TRY("", node_.connect(connect_limit(type), job::MayInterrupt::any));
  was_connected_ = true;
  const bool is_held = node_.connection->session().is_held();
  context_.progress.done("connect", is_held ? "by the connection that is held" : "ssh ready, host key pinned",
                         {{"address", node_.instance.address}});
  return {};
}

agent::JobSpec RunController::job_spec(const task::Task& task) const {
  agent::JobSpec spec;
  spec.run = run_.name;
  spec.attempt = trial_.n;
  spec.workdir = node_.connection->paths().workdir;
  const auto& wanted = task.resources.accelerators.choices;
  const int asked = trial_.offers.empty() ? (wanted.empty() ? 0 : wanted.front().count)
                                          : trial_.offers.front().type.accelerator_count;
  const auto gpus = std::to_string(asked);
  spec.setup = trim(task.setup).empty() ? "" : trial_.environment.setup(task.setup);
  spec.command =
      (node_.location.provider == "ssh" ? job::queue_line(asked) : "") + trial_.environment.training(task.run);
  spec.power_off = node_.location.provider != "ssh";
  spec.env = {{"FERRY_RUN", run_.name},
              {"FERRY_NODE_RANK", "0"},
              {"FERRY_NODE_IPS", "127.0.0.1"},
              {"FERRY_NUM_NODES", "1"},
              {"FERRY_NUM_GPUS", gpus},
              {"FERRY_OUTPUTS", spec.workdir + "/outputs"},
              {"FERRY_RESUMED", trial_.resumes ? "1" : "0"},
              {"FERRY_ATTEMPT", std::to_string(trial_.n)},
              {"SKYPILOT_NODE_RANK", "0"},
              {"SKYPILOT_NODE_IPS", "127.0.0.1"},
              {"SKYPILOT_NUM_NODES", "1"},
              {"SKYPILOT_NUM_GPUS_PER_NODE", gpus},
              {"SKYPILOT_SETUP_NODE_RANK", "0"},
              {"SKYPILOT_SETUP_NODE_IPS", "127.0.0.1"},
              {"SKYPILOT_SETUP_NUM_GPUS_PER_NODE", gpus},
              {"SKYPILOT_JOB_RANK", "0"},
              {"SKYPILOT_NUM_JOBS", "1"},
              {"SKYPILOT_CLUSTER_INFO",
               dump_json({{"cluster_name", run_.name},
                          {"cloud", node_.location.provider == "aws" ? "AWS" : node_.location.provider},
                          {"region", node_.location.region},
                          {"zone", node_.instance.zone}})},
              {"SKYPILOT_TASK_ID", run_.name}};
  if (const auto git = run_.task.find("git"); git != run_.task.end() && git->is_object()) {
    spec.env.emplace_back("FERRY_GIT_COMMIT", text_at(*git, "commit"));
    if (git->contains("branch")) spec.env.emplace_back("FERRY_GIT_BRANCH", text_at(*git, "branch"));
    if (git->contains("dirty")) spec.env.emplace_back("FERRY_GIT_DIRTY", git->value("dirty", true) ? "1" : "0");
  }
  for (const auto& [key, value] : task.envs) spec.env.emplace_back(key, value);
  for (const auto& [key, value] : task.secrets) spec.secrets.emplace_back(key, value);
  // (What it was launched from stands alone among the offers.)
  if (node_.location.provider != "ssh" && !trial_.offers.empty() && trial_.offers.front().market == plan::Market::spot)
    spec.notices = agent::NoticeSpec{task.on_interruption.signal, task.on_interruption.grace.count()};
  spec.on_limit = agent::NoticeSpec{task.on_interruption.signal, task.on_interruption.grace.count()};
  spec.limited_by = text_at(run_.task, limited_by, "max_duration");
  if (task.idle && spec.power_off) spec.idle_s = task.idle->count();
  spec.max_duration_s = node_.lifetime.max_duration.count();
  spec.retention_s = node_.lifetime.retention().count();
  spec.money = money_spec();
  return spec;
}

Status RunController::attempt() {
  const auto& request = beginning_->request;
  if (!lacking_.empty()) return tl::unexpected<Error>(lacks(run_.name, lacking_));
  // Nothing waits that could overlap: the workdir is read while the machine is rented and boots.
  begin_reading(trial_.n > 1);
  TRY_SET(log, "", job::LocalLog::open(run_dir_.log(trial_.n)));
  trial_.log.emplace(std::move(log));
  TRY("", rent());
  if (detaching_) return {};
  store_history();
  store_sent();
  begin_sending();
  TRY("", connect());
  TRY("", sync());
  TRY("", take_passed_on());
  TRY("", restore());
  TRY("", setup());
  if (is_over() || detaching_) return {};
  if (request.detach) {
    TRY("", enter(Phase::training));
    run_.train_start_ms = context_.clock.now_ms();
    detaching_ = true;
    TRY("", context_.ledger.update(run_));
    store_history();
    return {};
  }
  return train();
}

int RunController::go_on(Status done) {
  while (true) {
    while (const auto followed = follow_stand_in(done)) done = *followed;
    // Released first: a machine does not wait, and cost, while a large workdir is still being read.
    const auto code = finish(done);
    if (hashing_.valid()) hashing_.wait();
    if (code) return *code;
    done = attempt();
  }
}

int RunController::from_the_start(const RunRequest& request, job::Preflight&& ready) {
  beginning_.emplace(Beginning{request, std::move(ready)});
  return go_on(attempt());
}

}  // namespace ferry::run
