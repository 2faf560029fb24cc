#include "run/journey.h"

#include <csignal>

#include "aws/client.h"
#include "base/text.h"
#include "os/env.h"
#include "run/account.h"
#include "run/images.h"
#include "run/launch.h"
#include "run/planning.h"
#include "run/reservation.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

/// How long a machine that runs may take to let ssh in. Large and bare-metal ones boot for many minutes.
Seconds connect_limit(const plan::InstanceType& type) {
  constexpr int large = 90;  // vCPUs: p3dn, p4d, p5, trn1.32xlarge and the like
  if (const auto text = os::env("FERRY_CONNECT_LIMIT")) {
    if (const auto limit = parse_duration(*text)) return *limit;
  }
  return type.vcpus >= large || type.name.ends_with(".metal") ? Seconds(900) : Seconds(300);
}

/// How long a broken connection is tried again before the person gets the prompt back (the job goes on
/// without us).
Seconds lost_limit() {
  if (const auto text = os::env("FERRY_LOST_LIMIT")) {
    if (const auto limit = parse_duration(*text)) return *limit;
  }
  return Seconds(180);
}

Outcome outcome_of(const agent::JobStatus& status) {
  if (status.reason == "cancelled") return Outcome::cancelled;
  if (status.reason == "lost") return Outcome::lost;
  const bool good = status.setup_exit.value_or(0) == 0 && status.run_exit == 0 && status.reason.empty();
  return good ? Outcome::succeeded : Outcome::failed;
}

}  // namespace

Journey::Journey(Doors& doors, ledger::Run run, Owner owner)
    : doors_(doors), run_(std::move(run)), owner_(std::move(owner)), folder_(doors.data, run_.name) {
  if (const auto seconds = int_at(run_.task, "max_duration_s"); seconds > 0)
    lifetime_.max_duration = Seconds(seconds);
}

Journey::~Journey() {
  if (hashing_.joinable()) hashing_.join();
}

Status Journey::enter(Phase phase) {
  if (run_.phase == phase) return {};
  TRY("", doors_.ledger.move(run_.name, phase));
  run_.phase = phase;
  run_.phase_ms = doors_.clock.now_ms();
  return {};
}

Status Journey::plan(const Order& order, const std::string& framework) {
  TRY("", enter(Phase::planning));
  const auto infra = order.task.wishes()[0].infra.value_or(task::Infra{});
  doors_.progress.begin("plan", "choosing a machine");
  if (infra.world == task::World::ssh) return plan_own_machine(infra.host);
  std::string rehearsal_region;
  if (infra.world == task::World::rehearsal) {
    TRY_SET(world, "", doors_.rehearsal());
    rehearsal_region = world.region;
  }
  auto task = order.task;
  if (infra.world == task::World::aws) {
    TRY_SET(reserved, "", confine_to_reservation(doors_, task));
    reservation_ = std::move(reserved);
  }
  if (reservation_) {
    TRY_SET(limited, "", within_block(*reservation_, lifetime_, doors_.clock.now_ms()));
    lifetime_ = limited;
  }
  TRY_SET(planned, "", plan_task(task, lifetime_, doors_.data, doors_.clock.now_ms(), rehearsal_region));
  if (planned.place.world == "aws") TRY("", look_at_account(order, planned));
  for (const auto& note : planned.ranking.notes) doors_.progress.warn("plan", note);
  wishes_.assign(task.wishes().begin(), task.wishes().end());
  offers_ = std::move(planned.ranking.offers);
  place_ = std::move(planned.place);
  lifetime_ = planned.lifetime;
  ceiling_ = planned.ceiling;
  const auto& best = offers_.front();
  run_.task["max_duration_s"] = lifetime_.max_duration.count();
  if (best.total) run_.task["estimate_micros"] = best.total->micros;
  TRY("", doors_.ledger.update(run_));
  const auto most = at_most(best, lifetime_).value_or(Usd{});
  doors_.progress.done(
      "plan", describe_offer(best, lifetime_),
      {{"instance_type", best.type.name},
       {"region", best.region},
       {"zone", best.zone},
       {"market", plan::name(best.market)},
       {"hourly_usd", best.hourly ? Json(static_cast<double>(best.hourly->micros) / 1e6) : Json()},
       {"estimate_usd", best.total ? Json(static_cast<double>(best.total->micros) / 1e6) : Json()},
       {"at_most_usd", static_cast<double>(most.micros) / 1e6},
       {"considered", planned.ranking.considered}});
  return place_.world == "aws" ? ask(order, framework) : Status();
}

Status Journey::look_at_account(const Order& order, Planned& planned) {
  // The account is looked at before anyone is asked: a question that leads nowhere is a bad one.
  TRY_SET(cloud, "", open_cloud(doors_, planned.place));
  TRY_SET(caller, "", cloud->whoami());
  planned.place.account = caller.account;
  // Reserved capacity counts against the limits when it is reserved.
  if (reservation_) {
    if (reservation_->is_block)
      planned.ranking.notes.push_back(fmt::format(
          "{} is a capacity block: it is paid already, whatever the price below says", reservation_->id));
    return {};
  }
  TRY_SET(allowed, "", within_quotas(doors_, planned.place, std::move(planned.ranking.offers)));
  planned.ranking.offers = std::move(allowed);
  return set_terms(order.task, lifetime_, planned);
}

Status Journey::ask(const Order& order, const std::string& framework) {
  const auto& best = offers_.front();
  TRY_SET(cloud, "", open_cloud(doors_, place_));  // the limits may have led to another region
  TRY_SET(image, "find an image",
          find_image(doors_, *cloud, place_, best, wishes_[best.wish].image, framework));
  TRY("", may_launch(doors_, best, image, order.task.aws));
  if (!order.confirm || aws::is_loopback(place_.endpoint)) return {};
  const auto most = at_most(best, lifetime_).value_or(Usd{});
  doors_.progress.pause();
  return order.confirm({offers_, lifetime_.max_duration, most, ceiling_, doors_.clock.now_ms()});
}

Status Journey::plan_own_machine(const std::string& host) {
  place_ = {"ssh", "", host};
  TRY_SET(cloud, "", open_cloud(doors_, place_));
  cloud_ = std::move(cloud);
  doors_.progress.done("plan", host + ", as your ssh config has it; nothing is rented",
                       {{"instance_type", host}, {"hourly_usd", 0}});
  return {};
}

Status Journey::launch(const Order& order, const std::string& framework) {
  TRY("", enter(Phase::launching));
  if (place_.world == "ssh") {
    doors_.progress.begin("launch", place_.endpoint);
    TRY_SET(borrowed, "", borrow(doors_, run_, place_));
    instance_ = std::move(borrowed);
    doors_.progress.done("launch", fmt::format("nothing to rent; the run is {}", run_.name),
                         {{"instance_id", instance_.id}, {"run", run_.name}});
    return {};
  }
  doors_.progress.begin("launch", offers_.front().type.name);
  TRY_SET(launched, "",
          run::launch(doors_, {.run = run_,
                               .place = place_,
                               .offers = offers_,
                               .wishes = wishes_,
                               .framework = framework,
                               .lifetime = lifetime_,
                               .ceiling = ceiling_,
                               .aws = order.task.aws,
                               .capacity_block = reservation_ && reservation_->is_block}));
  instance_ = std::move(launched.instance);
  cloud_ = std::move(launched.cloud);
  place_ = std::move(launched.place);
  offers_ = {std::move(launched.offer)};
  run_.task["image"] = {
      {"id", launched.image.id}, {"name", launched.image.name}, {"created", launched.image.created}};
  TRY("", doors_.ledger.update(run_));
  doors_.progress.done("launch", fmt::format("{} running as {}", instance_.id, run_.name),
                       {{"instance_id", instance_.id}, {"run", run_.name}, {"zone", instance_.zone}});
  return {};
}

Status Journey::connect() {
  TRY("", enter(Phase::connecting));
  doors_.progress.begin("connect", instance_.address);
  TRY_SET(link, "",
          Link::open(doors_, *cloud_, folder_, instance_,
                     connect_limit(offers_.empty() ? plan::InstanceType{} : offers_.front().type), false));
  link_.emplace(std::move(link));
  instance_ = link_->instance();
  doors_.progress.done("connect", "ssh ready, host key pinned", {{"address", instance_.address}});
  return {};
}

Status Journey::sync(sync::Tree& tree) {
  TRY("", enter(Phase::syncing));
  doors_.progress.begin("sync", fmt::format("{} files, {}", tree.files, show_bytes(tree.bytes)));
  hashing_.join();
  TRY("read the workdir", std::move(hashed_));
  TRY_SET(receiver, "",
          link_->start_agent_program({"receive", link_->paths().workdir, "--mirror", "--state",
                                      link_->paths().run_dir + "-sync.state"}));
  std::atomic<bool> cancelled = false;
  sync::Options options;
  options.cancelled = &cancelled;
  options.progress = [&](const sync::Progress& now) {
    cancelled = cancelled || doors_.check_signals(false) == Wish::cancel;
    doors_.progress.update(
        fmt::format("{} of {} sent", show_bytes(now.bytes_done), show_bytes(now.bytes_total)));
  };
  auto report =
      sync::send_tree(receiver.out.get(), receiver.in.get(), run_.workdir, std::move(tree), options);
  if (!report) {
    auto error = explain(receiver, std::move(report).error());
    receiver.signal(SIGKILL);
    return fail("send the workdir", std::move(error));
  }
  receiver.in.reset();
  receiver.wait(Millis(2000));
  for (const auto& note : first_few(report->notes)) doors_.progress.warn("sync", note);
  doors_.progress.done(
      "sync",
      fmt::format("{} {}, {} sent", report->files_moved, report->files_moved == 1 ? "file" : "files",
                  show_bytes(report->bytes_moved)),
      {{"files", report->files},
       {"files_moved", report->files_moved},
       {"bytes_moved", report->bytes_moved},
       {"wire_bytes", report->wire_bytes}});
  return {};
}

agent::JobSpec Journey::job_spec(const task::Task& task) const {
  agent::JobSpec spec;
  spec.run = run_.name;
  spec.workdir = link_->paths().workdir;
  const auto& wanted = task.resources.accelerators.choices;
  const int asked =
      offers_.empty() ? (wanted.empty() ? 0 : wanted.front().count) : offers_.front().type.accelerator_count;
  const auto gpus = std::to_string(asked);
  spec.setup = trim(task.setup).empty() ? "" : environment_.setup(task.setup);
  spec.command = (place_.world == "ssh" ? queue_line(asked) : "") + environment_.training(task.run);
  spec.power_off = place_.world != "ssh";
  spec.env = {{"FERRY_RUN", run_.name},
              {"FERRY_NODE_RANK", "0"},
              {"FERRY_NODE_IPS", "127.0.0.1"},
              {"FERRY_NUM_NODES", "1"},
              {"FERRY_NUM_GPUS", gpus},
              {"FERRY_OUTPUTS", spec.workdir + "/outputs"},
              {"FERRY_RESUMED", "0"},
              {"SKYPILOT_NODE_RANK", "0"},
              {"SKYPILOT_NODE_IPS", "127.0.0.1"},
              {"SKYPILOT_NUM_NODES", "1"},
              {"SKYPILOT_NUM_GPUS_PER_NODE", gpus},
              {"SKYPILOT_TASK_ID", run_.name}};
  for (const auto& [key, value] : task.envs) spec.env.emplace_back(key, value);
  for (const auto& [key, value] : task.secrets) spec.secrets.emplace_back(key, value);
  spec.max_duration_s = lifetime_.max_duration.count();
  spec.linger_s = lifetime_.linger().count();
  return spec;
}

Status Journey::setup(const Order& order) {
  // Before the phase begins: until then nothing of the training is on the machine, and it can just be given
  // back.
  TRY_SET(environment, "", prepare_environment(doors_, *link_, order.task));
  environment_ = std::move(environment);
  run_.task["environment"] = environment_.facts;
  TRY("", doors_.ledger.update(run_));
  TRY("", enter(Phase::setup));
  const bool nothing = trim(order.task.setup).empty();
  doors_.progress.begin("setup", nothing ? "starting" : "running setup");
  Training training(doors_, run_, folder_, *log_);
  const auto spec = job_spec(order.task);
  auto begun = training.setup(*link_, spec);
  while (!begun && begun.error().kind == Kind::lost) {
    TRY("", connect_again("setup", training, std::move(begun).error()));
    begun = training.setup(*link_, spec);  // a job that was started is not started again
  }
  TRY_SET(ready, "", std::move(begun));
  if (ready.status.setup_exit.value_or(0) != 0) {
    doors_.progress.failed("setup", fmt::format("exit {}", *ready.status.setup_exit),
                           {{"exit_code", *ready.status.setup_exit}});
    return note_end(ready.status);
  }
  if (ready.status.state == agent::JobState::done && !ready.status.run_started_ms)
    return note_end(ready.status);
  std::string told = nothing ? "nothing to do" : "done";
  if (!environment_.summary.empty()) told = environment_.summary + (nothing ? "" : " · done");
  doors_.progress.done("setup", told, {{"environment", environment_.facts}});
  return {};
}

Status Journey::note_end(const agent::JobStatus& status) {
  run_.exit_code = status.run_exit ? status.run_exit : status.setup_exit;
  run_.outcome = outcome_of(status);
  run_.train_end_ms = doors_.clock.now_ms();
  if (status.reason == "max_duration")
    run_.error = fmt::format("stopped at max_duration ({})", show_duration(lifetime_.max_duration));
  if (status.reason == "lost") run_.error = "the agent on the machine was killed, and the training with it";
  return doors_.ledger.update(run_);
}

Status Journey::reopen_link() {
  link_.reset();
  TRY_SET(link, "", Link::open(doors_, *cloud_, folder_, instance_, lost_limit(), true));
  link_.emplace(std::move(link));
  instance_ = link_->instance();
  return {};
}

Status Journey::connect_again(const char* phase, Training& training, Error lost) {
  constexpr int most_fruitless = 10;
  fruitless_ = training.heard() ? 0 : fruitless_ + 1;
  if (fruitless_ >= most_fruitless) return fail("the agent on the machine does not answer", std::move(lost));
  const auto why = lost.why.empty() ? lost.what : lost.why;
  doors_.progress.warn(phase, "connection lost (" + why + "); connecting again");
  if (fruitless_ > 0) doors_.clock.sleep(Millis(500) * fruitless_);
  return reopen_link();
}

Status Journey::follow_job() {
  Training training(doors_, run_, folder_, *log_);
  while (true) {
    auto followed = training.follow(*link_);
    if (followed) {
      if (followed->wish == Wish::detach) {
        detaching_ = true;
        return {};
      }
      if (followed->status.state == agent::JobState::idle) {
        run_.outcome = Outcome::lost;
        run_.error = "ferry died before the training was started";
        return doors_.ledger.update(run_);
      }
      return note_end(followed->status);
    }
    const auto kind = followed.error().kind;
    if (kind != Kind::lost && kind != Kind::timeout)
      return tl::unexpected<Error>(std::move(followed).error());
    if (auto again = connect_again("train", training, std::move(followed).error()); !again) {
      if (doors_.wish == Wish::detach) {
        detaching_ = true;
        return {};
      }
      return again;
    }
    doors_.progress.note("connected again; no output is lost");
  }
}

Status Journey::train() {
  TRY("", enter(Phase::training));
  if (run_.train_start_ms == 0) {
    run_.train_start_ms = doors_.clock.now_ms();
    TRY("", doors_.ledger.update(run_));
  }
  doors_.progress.begin("train", "training");
  TRY("", follow_job());
  if (detaching_ || !run_.exit_code) return {};
  const auto took = show_duration(Millis(run_.train_end_ms - run_.train_start_ms));
  auto text = fmt::format("exit {} after {}", *run_.exit_code, took);
  if (!run_.error.empty()) text += " · " + run_.error;
  if (run_.outcome == Outcome::cancelled) text += " · cancelled";
  const Json data = {{"exit_code", *run_.exit_code}, {"ms", run_.train_end_ms - run_.train_start_ms}};
  run_.outcome == Outcome::succeeded ? doors_.progress.done("train", text, data)
                                     : doors_.progress.failed("train", text, data);
  return {};
}

int Journey::from_the_start(const Order& order, Preflight ready) {
  auto& tree = ready.tree;
  // Nothing waits that could overlap: the workdir is read while the machine is rented and boots.
  hashing_ = std::thread(
      [this, &tree, root = order.workdir] { hashed_ = sync::hash_tree(root, tree, doors_.data / "hashes"); });
  const auto done = [&]() -> Status {
    TRY_SET(log, "", LocalLog::open(folder_.log()));
    log_.emplace(std::move(log));
    TRY("", plan(order, ready.framework));
    TRY("", launch(order, ready.framework));
    TRY("", connect());
    TRY("", sync(tree));
    TRY("", setup(order));
    if (run_.outcome != Outcome::none) return {};
    if (order.detach) {
      TRY("", enter(Phase::training));
      run_.train_start_ms = doors_.clock.now_ms();
      detaching_ = true;
      return doors_.ledger.update(run_);
    }
    return train();
  }();
  // Released first: a machine does not wait, and cost, while a large workdir is still being read.
  const int code = finish(done);
  if (hashing_.joinable()) hashing_.join();
  return code;
}

int Journey::from_training() {
  const auto done = [&]() -> Status {
    TRY_SET(log, "", LocalLog::open(folder_.log()));
    log_.emplace(std::move(log));
    TRY_SET(instances, "", doors_.ledger.instances(run_.name));
    for (const auto& one : instances) {
      if (one.state == ledger::Rent::live) instance_ = one;
    }
    if (instance_.id.empty()) return fail(Kind::not_found, "the ledger knows no instance of " + run_.name);
    place_ = place_of(instance_);
    TRY_SET(cloud, "", open_cloud(doors_, place_));
    cloud_ = std::move(cloud);
    if (run_.outputs_home) return {};
    TRY("", reopen_link());
    if (run_.phase > Phase::training) return {};
    return train();
  }();
  return finish(done);
}

}  // namespace ferry::run
