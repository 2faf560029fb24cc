// ferry plan: what could be rented, and for how much. Nothing here spends.

#include <unistd.h>

#include <map>
#include <set>

#include "account/image_list.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/outlook.h"
#include "cli/planned_volumes.h"
#include "cli/price_words.h"
#include "cli/task_options.h"
#include "fleet/images.h"
#include "fleet/planning.h"
#include "fleet/volumes.h"
#include "os/env.h"
#include "os/terminal.h"
#include "rehearsal/rehearsal.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

std::string dates_of(const std::vector<plan::Offer>& offers) {
  std::set<std::string> dates;
  for (const auto& offer : offers) dates.insert(offer.price_date);
  return span_of(std::move(dates));
}

std::optional<Usd> times(std::optional<Usd> usd, int nodes) {
  if (usd) usd->micros *= nodes;
  return usd;
}

/// "2 × g5.xlarge": of several machines each is what the row says, and the task's price is that of all.
std::vector<std::string> offer_cells(const plan::Offer& offer, bool first, int nodes) {
  return {
      first ? "▸" : " ",
      nodes > 1 ? fmt::format("{} × {}", nodes, offer.type.name) : offer.type.name,
      std::to_string(offer.type.vcpus),
      gib(offer.type.memory_mib),
      offer.type.accelerator_count ? fmt::format("{} ×{}", offer.type.accelerator, offer.type.accelerator_count) : "-",
      (offer.zone.empty() ? offer.region : offer.zone) + (offer.market == plan::Market::spot ? " spot" : ""),
      offer.hourly ? show_hourly(*offer.hourly) + "/h" + (offer.price_is_old ? "*" : "") : "unknown",
      offer.total ? show(*times(offer.total, nodes)) : "",
      offer.not_taken.empty() ? offer.reason : offer.reason + "; not taken by itself: " + offer.not_taken};
}

Json offer_json(const plan::Offer& offer, Seconds until_power_off, int nodes) {
  return {{"instance_type", offer.type.name},
          {"vcpus", offer.type.vcpus},
          {"memory_mib", offer.type.memory_mib},
          {"accelerator", offer.type.accelerator},
          {"accelerator_count", offer.type.accelerator_count},
          {"region", offer.region},
          {"zone", offer.zone},
          {"market", plan::name(offer.market)},
          {"hourly_usd", money(offer.hourly)},
          {"beside_usd", money(offer.beside())},
          {"total_usd", money(times(offer.total, nodes))},
          {"at_most_usd", money(times(plan::most(offer, until_power_off), nodes))},
          {"not_taken", offer.not_taken},
          {"price_date", offer.price_date},
          {"price_old", offer.price_is_old},
          {"last_seen", offer.type.last_seen},
          {"reason", offer.reason}};
}

/// What the machine boots, or trains in.
std::string image_words(const task::Task& task) {
  if (task.environment.kind == "docker") {
    return task.environment.name.empty()
               ? "a container made from " + (task.environment.file.empty() ? "Dockerfile" : task.environment.file)
               : "the container " + task.environment.name;
  }
  const auto& image = task.all_candidates()[0].image;
  if (!image.amis.empty()) return image.amis.begin()->second;
  std::string name = image.flavour;
  for (const auto& part : {image.version, image.system})
    if (!part.empty()) name += (name.empty() ? "" : " ") + part;
  return name.empty() ? "AWS's for what the training imports" : "AWS's " + name;
}

/// What the best offer's machine boots, where that was asked for.
std::optional<account::KnownImage> image_of(const task::Task& task, const fleet::Planned& planned) {
  const auto& best = planned.ranking.offers.front();
  return planned.location.provider == "aws" ? account::known_image(best, task.all_candidates()[best.candidate].image)
                                            : std::nullopt;
}

Json image_json(const std::optional<account::KnownImage>& known) {
  if (!known) return {};
  return {{"id", known->image.id},
          {"name", known->image.name},
          {"supported_until", known->image.supported_until},
          {"seen", known->seen}};
}

/// A folder, or the repository that will be one.
std::string workdir_words(const Described& described) {
  return described.task.git.url.empty() ? described.workdir.string() : task::show(described.task.git);
}

Json plan_json(const Described& described, const fleet::Planned& planned) {
  const auto& task = described.task;
  Json offers = Json::array();
  const auto until_power_off = planned.lifetime.until_power_off();
  for (const auto& offer : planned.ranking.offers) offers.push_back(offer_json(offer, until_power_off, task.num_nodes));
  return {{"task", task.name},
          {"num_nodes", task.num_nodes},
          {"catalog_date", fleet::catalog_in_force().date()},
          {"prices_of", dates_of(planned.ranking.offers)},
          {"considered", planned.ranking.considered},
          {"max_duration_s", planned.lifetime.max_duration.count()},
          {"until_power_off_s", until_power_off.count()},
          {"ceiling_usd", money(planned.ceiling)},
          {"at_most_usd", money(planned.most)},
          {"ends", task.ends == task::Ends::stop ? "stop" : "terminate"},
          {"resting_usd_month", money(plan::resting_month(task, planned.ranking.offers.front()))},
          {"image_wish", image_words(task)},
          {"workdir", workdir_words(described)},
          {"git", task.git.url.empty() ? Json() : Json{{"url", task.git.url}, {"ref", task.git.ref}}},
          {"missing_envs", task.missing_envs},
          {"missing_secrets", task.missing_secrets},
          {"notes", planned.ranking.notes},
          {"image", image_json(image_of(task, planned))},
          {"offers", offers}};
}

/// Where the task says nothing and SkyPilot, which it may have been written for, would give more; else empty.
std::string smaller_than_skypilots(const Described& described, const plan::Offer& best) {
  constexpr int cpus = 8, memory_gib = 32, disk_gib = 256;
  const auto& task = described.task;
  if (!task.may_be_skypilots) return {};
  std::vector<std::string> theirs, ours;
  if (described.unsized && best.type.vcpus < cpus) {
    theirs.push_back(fmt::format("{} vCPU, {} GiB", cpus, memory_gib));
    ours.push_back(fmt::format("{} vCPU, {}", best.type.vcpus, gib(best.type.memory_mib)));
  }
  if (const int here = task.all_candidates()[best.candidate].disk_gib; described.undisked && here < disk_gib) {
    theirs.push_back(fmt::format("a disk of {} GB", disk_gib));
    ours.push_back(fmt::format("{} GB", here));
  }
  if (theirs.empty()) return {};
  return fmt::format(
      "SkyPilot gives a task that says nothing of it {}; here it is {}. To have theirs:  defaults: skypilot  "
      "in {}",
      join(theirs, ", "), join(ours, ", "), printable((os::config_dir() / "config.yaml").string()));
}

/// What several machines need together.
std::string nodes_words(const task::Task& task, const plan::Offer& best) {
  const auto hourly = times(best.rate(), task.num_nodes);
  return fmt::format(
      "num_nodes: {} machines of {} in one zone of {}: {}/h together with disks and addresses, and {} vCPUs of the "
      "account's limit; all prices of the task are of all of them. ferry plans them; running several comes later",
      task.num_nodes, best.type.name, best.region, hourly ? show_hourly(*hourly) : "an unknown price",
      task.num_nodes * best.type.vcpus);
}

void print_plan(const Described& described, const fleet::Planned& planned) {
  const auto& task = described.task;
  constexpr std::size_t shown = 8;
  const auto& offers = planned.ranking.offers;
  for (const auto& line : task.not_yet) fmt::print(stderr, "! {}\n", line);
  for (const auto& line : planned.ranking.notes) fmt::print(stderr, "! {}\n", line);
  const auto dates = dates_of(offers);
  fmt::print("{} would be trained on the first of these that can be had ({}; nothing was rented):\n", task.name,
             dates.empty() ? "no price is known" : "prices of " + dates);
  watch::Table table({" ", "TYPE", ">VCPU", ">MEMORY", "GPU", "WHERE", ">PRICE", ">TASK", "WHY"}, {8, 3, 2, 7, 4});
  for (std::size_t i = 0; i < std::min(offers.size(), shown); ++i)
    table.add(offer_cells(offers[i], i == 0, task.num_nodes));
  const auto width = os::is_terminal(1) ? static_cast<std::size_t>(os::terminal_width(1)) : 0;
  fmt::print("{}", table.text(width));
  if (planned.ranking.considered > shown) fmt::print("  … and {} more\n", planned.ranking.considered - shown);
  fmt::print("image: {} · workdir: {}{}\n", printable(image_words(task)), printable(workdir_words(described)),
             task.git.url.empty() ? "" : " (a run clones it; this plan has not looked into it)");
  if (std::ranges::any_of(std::span(offers).first(std::min(offers.size(), shown)), &plan::Offer::price_is_old))
    fmt::print("{}\n", old_price_line());
  if (const auto known = image_of(task, planned)) {
    const auto support = fleet::support_words(known->image.supported_until, os::system_clock().now_ms());
    fmt::print("boots {} ({}; the newest on {}){}\n", printable(known->image.name), printable(known->image.id),
               printable(known->seen), support.empty() ? "" : ": " + support);
  }
  if (planned.most) {
    const auto& lifetime = planned.lifetime;
    fmt::print(
        "at most {}: {} of training, a quarter of an hour to start, {} to bring the outputs home; disk, "
        "address "
        "and the dearest machine that is taken by itself are counted in\n",
        show_at_most(*planned.most), show_duration(lifetime.max_duration), show_duration(lifetime.retention()));
    if (const auto month = plan::resting_month(task, offers.front()))
      fmt::print("ends: stop: when the run is over its disk stays, and costs {} a month until  ferry down RUN\n",
                 show(*month));
    else if (task.store.value_or("").empty())
      fmt::print(
          "outputs that nobody has brought home {} after the training's limit go with the machine: a store: "
          "keeps them, ends: stop keeps the disk\n",
          show_duration(lifetime.retention()));
  }
}

/// One task's plan, or that nothing is rented for it.
struct TaskPlan {
  Described described;
  std::string host;  ///< a machine of one's own; then there is no more
  fleet::Planned planned;
  std::optional<account::SpotOutlook> outlook = {};  ///< with --spot
  PlannedVolumes volumes = {};
};

Result<TaskPlan> plan_one(const TaskOptions& options, Described described) {
  TaskPlan out{.described = std::move(described), .host = {}, .planned = {}};
  auto& task = out.described.task;
  if (const auto& infra = task.all_candidates()[0].infra; infra && infra->provider == task::Provider::ssh) {
    out.host = infra->host;
    return out;
  }
  TRY("", settle_hardware(options, task));
  TRY("", task::check_ends(task));
  TRY("", task::check_volumes(task));
  fleet::TimeLimits lifetime;
  if (task.max_duration) lifetime.max_duration = *task.max_duration;
  TRY_SET(planned, "",
          fleet::plan_task(task, lifetime, os::data_dir(), os::system_clock().now_ms(), rehearsal::region()));
  out.planned = std::move(planned);
  TRY_SET(volumes, "", look_at_volumes(task, out.planned));
  out.volumes = std::move(volumes);
  if (!out.volumes.found.empty()) {
    TRY_SET(beside, "",
            fleet::plan_beside(task, out.volumes.found, lifetime, os::data_dir(), os::system_clock().now_ms(),
                               rehearsal::region()));
    out.planned = std::move(beside);
  }
  if (!out.volumes.why_not.empty())
    out.planned.ranking.notes.push_back("volumes: where they are is not known, which decides the zone: " +
                                        out.volumes.why_not);
  if (const auto known = image_of(task, out.planned); known && known->image.root_size_gib > 0)
    TRY("", fleet::count_image(task, lifetime, known->image.root_size_gib, out.planned));
  auto& notes = out.planned.ranking.notes;
  for (const auto& name : task.missing_envs)
    notes.push_back(fmt::format("no value for the variable {}: a run needs one (--env {}=…)", name, name));
  for (const auto& name : task.missing_secrets)
    notes.push_back(fmt::format("no value for the secret {}: a run needs one (export {}=…)", name, name));
  const auto& best = out.planned.ranking.offers.front();
  if (const auto line = smaller_than_skypilots(out.described, best); !line.empty()) notes.push_back(line);
  if (const auto& id = task.aws.capacity_reservation; !id.empty())
    notes.push_back(id + " decides type and zone; a run looks at it before it rents, this plan does not");
  if (task.num_nodes > 1) notes.push_back(nodes_words(task, best));
  if (options.spot) {
    const auto http = os::make_http_client();
    out.outlook = account::spot_outlook(task, out.planned, *http, os::system_clock(), rehearsal_context);
  }
  return out;
}

Json json_of(const TaskPlan& plan) {
  const auto& task = plan.described.task;
  if (!plan.host.empty()) return {{"task", task.name}, {"host", plan.host}, {"offers", Json::array()}};
  auto json = plan_json(plan.described, plan.planned);
  json["volumes"] = volumes_json(task, plan.volumes);
  json["spot_outlook"] = plan.outlook ? outlook_json(*plan.outlook) : Json();
  return json;
}

void print(const TaskPlan& plan) {
  const auto& name = plan.described.task.name;
  if (!plan.host.empty())
    return fmt::print("{} would be trained on {}, a machine of your own; nothing is rented\n", name, plan.host);
  print_plan(plan.described, plan.planned);
  fmt::print("{}", volumes_text(plan.described.task, plan.volumes));
  if (plan.outlook) print_outlook(*plan.outlook);
}

/// Of several documents: all of them, and what they can cost together.
void show_pipeline(const std::vector<TaskPlan>& plans) {
  std::optional<Usd> most = Usd{};
  for (const auto& plan : plans) {
    const auto one = plan.host.empty() ? plan.planned.most : Usd{};
    most = most && one ? std::optional(*most + *one) : std::nullopt;
  }
  const auto& name = plans.front().described.pipeline;
  if (in_json()) {
    Json documents = Json::array();
    for (const auto& plan : plans) documents.push_back(json_of(plan));
    return reply("ferry.plan/1",
                 {{"task", name}, {"offers", Json::array()}, {"documents", documents}, {"at_most_usd", money(most)}});
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    fmt::print("document {} of {}\n", i + 1, plans.size());
    print(plans[i]);
    fmt::print("\n");
  }
  fmt::print("{}: one after the other, each on a machine of its own and with what the one before made; {} together\n",
             printable(name), most ? "at most " + show(*most) : "what they can cost is not known");
}

int plan_command(const Program& program, const TaskOptions& options) {
  // Without a task, the resources alone are planned for.
  const bool bare = options.path.empty() && !program.has_dashes;
  const auto command = bare ? std::vector<std::string>{"true"} : program.after_dashes;
  auto described = describe_tasks(options, command, bare || program.has_dashes);
  if (!described) return report(described.error());
  std::vector<TaskPlan> plans;
  for (auto& one : *described) {
    auto plan = plan_one(options, std::move(one));
    if (!plan) return report(plan.error());
    plans.push_back(*std::move(plan));
  }
  if (plans.size() > 1)
    show_pipeline(plans);
  else if (in_json())
    reply("ferry.plan/1", json_of(plans.front()));
  else
    print(plans.front());
  return 0;
}

}  // namespace

void add_plan_commands(CLI::App& app, Program& program) {
  auto task = std::make_shared<TaskOptions>();
  auto* plan = app.add_subcommand(
      "plan", "Show what would be rented, and for how much; with --spot, what may be expected of it. Spends nothing");
  task->add_to(*plan);
  plan->callback([&program, task] { program.chosen = [&program, task] { return plan_command(program, *task); }; });
}

}  // namespace ferry::cli
