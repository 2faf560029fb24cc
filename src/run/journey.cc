#include "run/journey.h"

#include <unistd.h>

#include <csignal>

#include "base/text.h"
#include "os/env.h"
#include "run/account.h"
#include "run/images.h"
#include "run/launch.h"
#include "run/planning.h"
#include "run/record.h"
#include "run/reservation.h"

namespace ferry::run {

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

}  // namespace

Journey::Journey(Doors& doors, ledger::Run run, Owner owner)
    : doors_(doors), run_(std::move(run)), owner_(std::move(owner)), folder_(doors.data, run_.name) {
  if (const auto seconds = int_at(run_.task, "max_duration_s"); seconds > 0)
    lifetime_.max_duration = Seconds(seconds);
  doors_.while_waiting = [this] {
    if (!owner_ || owner_->still_mine()) return;
    // Its folder was removed, and somebody else owns it by now. As if we had been killed: two would ruin it.
    doors_.progress.error({Kind::conflict, "another ferry looks after " + run_.name + " by now",
                           "its folder was removed meanwhile", "ferry logs -f " + run_.name, {}});
    doors_.progress.result(result_of(doors_, run_.name, ferry_failed, std::nullopt));
    link_.reset();  // its socket's folder is nobody's afterwards
    ::_exit(ferry_failed);
  };
}

Journey::~Journey() { doors_.while_waiting = nullptr; }

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
  if (planned.place.world == "aws") TRY("", look_at_account(task, framework, planned));
  for (const auto& note : planned.ranking.notes) doors_.progress.warn("plan", note);
  wishes_.assign(task.wishes().begin(), task.wishes().end());
  offers_ = std::move(planned.ranking.offers);
  place_ = std::move(planned.place);
  lifetime_ = planned.lifetime;
  ceiling_ = planned.ceiling;
  most_ = planned.most;
  const auto& best = offers_.front();
  run_.task["max_duration_s"] = lifetime_.max_duration.count();
  if (best.total) run_.task["estimate_micros"] = best.total->micros;
  if (most_) run_.task["at_most_micros"] = most_->micros;
  TRY("", doors_.ledger.update(run_));
  const auto dollars = [](const std::optional<Usd>& money) {
    return money ? Json(static_cast<double>(money->micros) / 1e6) : Json();
  };
  doors_.progress.done("plan", describe_plan(best, lifetime_, most_),
                       {{"instance_type", best.type.name},
                        {"region", best.region},
                        {"zone", best.zone},
                        {"market", plan::name(best.market)},
                        {"hourly_usd", dollars(best.hourly)},
                        {"estimate_usd", dollars(best.total)},
                        {"at_most_usd", dollars(most_)},
                        {"considered", planned.ranking.considered}});
  if (order.way_out) doors_.progress.note(order.way_out());
  return place_.world == "aws" ? ask(order) : Status();
}

Status Journey::look_at_account(const task::Task& task, const std::string& framework, Planned& planned) {
  // The account is looked at before anyone is asked: a question that leads nowhere is a bad one.
  TRY_SET(cloud, "", open_cloud(doors_, planned.place));
  TRY_SET(caller, "", cloud->whoami());
  planned.place.account = caller.account;
  const auto look_at_image = [&]() -> Status {
    const auto& best = planned.ranking.offers.front();
    planned.place.region = best.region;  // the limits may have led to another one
    TRY_SET(there, "", open_cloud(doors_, planned.place));
    TRY_SET(image, "find an image",
            find_image(doors_, *there, planned.place, best, task.wishes()[best.wish].image, framework));
    image_ = std::move(image);
    warn_of_support(doors_, image_, "plan");
    enlarge_disks(task, image_.root_size_gib, planned.ranking);
    return set_terms(task, lifetime_, planned);
  };
  // Reserved capacity counts against the limits when it is reserved.
  if (reservation_) {
    if (reservation_->is_block)
      planned.ranking.notes.push_back(fmt::format(
          "{} is a capacity block: it is paid already, whatever the price below says", reservation_->id));
    return look_at_image();
  }
  TRY_SET(allowed, "", within_quotas(doors_, planned.place, std::move(planned.ranking.offers)));
  planned.ranking.offers = std::move(allowed);
  return look_at_image();
}

Status Journey::ask(const Order& order) {
  TRY("", may_launch(doors_, offers_.front(), image_, order.task.aws));
  if (!order.confirm || (order.is_free && order.is_free(place_.endpoint))) return {};
  doors_.progress.pause();
  return order.confirm({offers_, lifetime_.until_power_off(), most_, ceiling_});
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
                               .budget = order.task.budget,
                               .aws = order.task.aws,
                               .capacity_block = reservation_ && reservation_->is_block}));
  if (launched.image.id != image_.id) warn_of_support(doors_, launched.image, "launch");
  instance_ = std::move(launched.instance);
  cloud_ = std::move(launched.cloud);
  place_ = std::move(launched.place);
  offers_ = {std::move(launched.offer)};
  run_.task["host_key"] = launched.host_key;
  run_.task["image"] = {
      {"id", launched.image.id},
      {"name", launched.image.name},
      {"created", launched.image.created},
      {"supported_until", launched.image.supported_until}};
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
                     connect_limit(offers_.empty() ? plan::InstanceType{} : offers_.front().type),
                     Interruption::any));
  link_.emplace(std::move(link));
  instance_ = link_->instance();
  doors_.progress.done("connect", "ssh ready, host key pinned", {{"address", instance_.address}});
  return {};
}

Status Journey::sync(const sync::Tree& tree) {
  TRY("", enter(Phase::syncing));
  doors_.progress.begin("sync", fmt::format("{} files, {}", tree.files, show_bytes(tree.bytes)));
  while (hashing_.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (doors_.check_signals(false) == Wish::cancel) return fail(Kind::cancelled, "cancelled");
  }
  TRY("read the workdir", hashing_.get());
  run_.task["code"] = code_of(tree);
  TRY_SET(receiver, "",
          link_->start_agent_program({"receive", link_->paths().workdir, "--mirror", "--state",
                                      link_->paths().run_dir + "-sync.state"}));
  sync::Options options;
  options.cancelled = [&] { return doors_.check_signals(false) != Wish::go_on; };
  options.progress = [&](const sync::Progress& now) {
    doors_.progress.update(
        fmt::format("{} of {} sent", show_bytes(now.bytes_done), show_bytes(now.bytes_total)));
  };
  auto report = sync::send_tree(receiver.out.get(), receiver.in.get(), run_.workdir, tree, options);
  if (!report) {
    auto error = std::move(report).error();
    if (error.kind != Kind::cancelled) error = explain(receiver, std::move(error));
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
              {"SKYPILOT_SETUP_NODE_RANK", "0"},
              {"SKYPILOT_SETUP_NODE_IPS", "127.0.0.1"},
              {"SKYPILOT_SETUP_NUM_GPUS_PER_NODE", gpus},
              {"SKYPILOT_JOB_RANK", "0"},
              {"SKYPILOT_NUM_JOBS", "1"},
              {"SKYPILOT_CLUSTER_INFO", dump_json({{"cluster_name", run_.name},
                                                   {"cloud", place_.world == "aws" ? "AWS" : place_.world},
                                                   {"region", place_.region},
                                                   {"zone", instance_.zone}})},
              {"SKYPILOT_TASK_ID", run_.name}};
  if (const auto git = run_.task.find("git"); git != run_.task.end() && git->is_object()) {
    spec.env.emplace_back("FERRY_GIT_COMMIT", text_at(*git, "commit"));
    if (git->contains("branch")) spec.env.emplace_back("FERRY_GIT_BRANCH", text_at(*git, "branch"));
    if (git->contains("dirty")) spec.env.emplace_back("FERRY_GIT_DIRTY", git->value("dirty", true) ? "1" : "0");
  }
  for (const auto& [key, value] : task.envs) spec.env.emplace_back(key, value);
  for (const auto& [key, value] : task.secrets) spec.secrets.emplace_back(key, value);
  spec.max_duration_s = lifetime_.max_duration.count();
  spec.linger_s = lifetime_.linger().count();
  return spec;
}

int Journey::from_the_start(const Order& order, Preflight&& ready) {
  auto& tree = ready.tree;
  // Nothing waits that could overlap: the workdir is read while the machine is rented and boots.
  hashing_ = std::async(std::launch::async, [&tree, root = order.workdir, cache = doors_.data / "hashes"] {
    return sync::hash_tree(root, tree, cache);
  });
  const auto done = [&]() -> Status {
    TRY_SET(log, "", LocalLog::open(folder_.log()));
    log_.emplace(std::move(log));
    TRY("", plan(order, ready.framework));
    TRY("", launch(order, ready.framework));
    TRY("", connect());
    TRY("", sync(tree));
    TRY("", setup(order, ready));
    if (is_over() || detaching_) return {};
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
  if (hashing_.valid()) hashing_.wait();
  return code;
}

}  // namespace ferry::run
