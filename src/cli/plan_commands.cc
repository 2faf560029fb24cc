// ferry plan, gpus: what could be rented, and for how much. Nothing here spends.

#include <unistd.h>

#include <map>
#include <set>

#include "account/image_list.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/task_options.h"
#include "fleet/images.h"
#include "fleet/planning.h"
#include "os/env.h"
#include "os/terminal.h"
#include "rehearsal/rehearsal.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

Json money(const std::optional<Usd>& usd) { return usd ? Json(static_cast<double>(usd->micros) / 1e6) : Json(); }

std::string gib(std::int64_t mib) { return fmt::format("{} GiB", (mib + 512) / 1024); }

/// With a mark where the price is old.
std::string hourly(const std::optional<Usd>& usd, bool old = false) {
  return usd ? show_hourly(*usd) + (old ? "*" : "") : "?";
}

/// What the mark means.
std::string old_price_line() { return fmt::format("* {}", plan::old_price_words); }

/// "2025-10", or "2025-10 to 2026-11-23" where they are not all of the same day; empty for none. ISO dates sort as
/// texts.
std::string span_of(std::set<std::string> dates) {
  dates.erase("");
  if (dates.empty()) return "";
  return dates.size() == 1 ? *dates.begin() : *dates.begin() + " to " + *dates.rbegin();
}

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
  }
}

/// One task's plan, or that nothing is rented for it.
struct TaskPlan {
  Described described;
  std::string host;  ///< a machine of one's own; then there is no more
  fleet::Planned planned;
};

Result<TaskPlan> plan_one(const TaskOptions& options, Described described) {
  TaskPlan out{std::move(described), {}, {}};
  auto& task = out.described.task;
  if (const auto& infra = task.all_candidates()[0].infra; infra && infra->provider == task::Provider::ssh) {
    out.host = infra->host;
    return out;
  }
  TRY("", settle_hardware(options, task));
  fleet::TimeLimits lifetime;
  if (task.max_duration) lifetime.max_duration = *task.max_duration;
  TRY_SET(planned, "",
          fleet::plan_task(task, lifetime, os::data_dir(), os::system_clock().now_ms(), rehearsal::region()));
  out.planned = std::move(planned);
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
  return out;
}

Json json_of(const TaskPlan& plan) {
  const auto& task = plan.described.task;
  if (!plan.host.empty()) return {{"task", task.name}, {"host", plan.host}, {"offers", Json::array()}};
  return plan_json(plan.described, plan.planned);
}

void print(const TaskPlan& plan) {
  const auto& name = plan.described.task.name;
  if (!plan.host.empty())
    fmt::print("{} would be trained on {}, a machine of your own; nothing is rented\n", name, plan.host);
  else
    print_plan(plan.described, plan.planned);
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

struct GpuOptions {
  std::string name, sort = "price";
  std::vector<std::string> regions;
  bool all = false;
};

Json gpus_json(const std::vector<plan::GpuRow>& rows, const std::string& today) {
  Json list = Json::array();
  for (const auto& row : rows) {
    Json prices = Json::array();
    for (const auto& cell : row.prices) {
      prices.push_back({{"region", cell.region},
                        {"on_demand_usd", money(cell.on_demand)},
                        {"on_demand_date", cell.on_demand_date},
                        {"on_demand_old", plan::is_old_price(cell.on_demand_date, today)},
                        {"spot_usd", money(cell.spot)},
                        {"spot_date", cell.spot_date},
                        {"spot_old", plan::is_old_price(cell.spot_date, today)}});
    }
    list.push_back({{"instance_type", row.type},
                    {"gpu", row.gpu},
                    {"count", row.count},
                    {"gpu_memory_mib", row.gpu_memory_mib},
                    {"vcpus", row.vcpus},
                    {"memory_mib", row.memory_mib},
                    {"arch", row.arch},
                    {"last_seen", row.last_seen},
                    {"per_gpu_hour_usd", money(row.per_gpu_hour)},
                    {"prices", prices}});
  }
  return {{"catalog_date", fleet::catalog_in_force().date()}, {"types", list}};
}

/// "prices an hour in us-east-1 of 2026-11-23, us-west-2 of 2025-10", or one date where all are of the same.
std::string price_dates(const std::vector<plan::GpuRow>& rows) {
  std::map<std::string, std::set<std::string>> by_region;
  std::set<std::string> all;
  for (const auto& row : rows) {
    for (const auto& cell : row.prices) {
      for (const auto& date : {cell.on_demand_date, cell.spot_date}) {
        if (!date.empty()) by_region[cell.region].insert(date);
        if (!date.empty()) all.insert(date);
      }
    }
  }
  if (all.empty()) return "no price is known here: ferry catalog update asks AWS";
  if (all.size() == 1) return "prices an hour as of " + *all.begin();
  std::vector<std::string> parts;
  for (auto& [region, dates] : by_region) parts.push_back(region + " of " + span_of(std::move(dates)));
  return "prices an hour in " + join(parts, ", ");
}

/// The regions of --region, which takes several, also with commas between them, and * for all.
Result<std::vector<std::string>> regions_named(const std::vector<std::string>& written) {
  const auto known = fleet::catalog_in_force().regions();
  std::vector<std::string> out;
  for (const auto& text : written) {
    for (const auto& part : split(text, ',')) {
      const std::string region(trim(part));
      if (region == "*") return known;
      if (std::ranges::find(known, region) == known.end()) {
        const auto near = nearest(region, known);
        return fail(Kind::bad_input, fmt::format("no prices are known in a region '{}'", printable(region)),
                    "prices are known in " + join(known, ", "),
                    near ? fmt::format("did you mean '{}'?", *near)
                         : "name one of these, or * for all of them; `ferry catalog update` asks for more");
      }
      if (std::ranges::find(out, region) == out.end()) out.push_back(region);
    }
  }
  return out;
}

/// The user's own region first, then where most people are.
Result<std::vector<std::string>> regions_to_show(const GpuOptions& options) {
  if (!options.regions.empty() || in_json()) return regions_named(options.regions);
  std::vector<std::string> regions;
  if (const auto own = cloud::aws_region_from_environment("")) regions.push_back(*own);
  for (const char* usual : {"us-east-1", "us-west-2"}) {
    if (std::ranges::find(regions, usual) == regions.end() && regions.size() < 2) regions.push_back(usual);
  }
  return regions;
}

int gpus_command(const GpuOptions& options) {
  const auto sort = options.sort == "gpu"      ? plan::GpuSort::gpu
                    : options.sort == "memory" ? plan::GpuSort::memory
                                               : plan::GpuSort::price;
  const auto regions = regions_to_show(options);
  if (!regions) return report(mistake(regions.error()).value());
  auto rows = plan::gpu_table(fleet::catalog_in_force(), options.name, *regions, sort);
  if (!rows) return report(rows.error());
  const auto today = os::iso_time(os::system_clock().now_ms()).substr(0, 10);
  if (in_json()) {
    reply("ferry.gpus/1", gpus_json(*rows, today));
    return 0;
  }
  std::vector<std::string> titles = {"TYPE", "GPU", ">GPU MEM", ">VCPU", ">MEM"};
  for (const auto& region : *regions) {
    titles.push_back(">" + region);
    titles.push_back(">spot");
  }
  titles.push_back(">$/GPU-h");
  // Memory and vCPUs of the machine first, then the regions from the last on; the first one's price stays.
  std::vector<std::size_t> droppable = {titles.size() - 1, 4, 3};
  for (auto column = titles.size() - 2; column > 5; --column) droppable.push_back(column);
  droppable.push_back(2);
  watch::Table table(std::move(titles), std::move(droppable));
  bool some_old = false;
  for (const auto& row : *rows) {
    std::vector<std::string> cells = {row.type, fmt::format("{} ×{}", row.gpu, row.count), gib(row.gpu_memory_mib),
                                      std::to_string(row.vcpus), gib(row.memory_mib)};
    for (const auto& cell : row.prices) {
      const bool old = plan::is_old_price(cell.on_demand_date, today),
                 spot_old = plan::is_old_price(cell.spot_date, today);
      some_old = some_old || old || spot_old;
      cells.push_back(hourly(cell.on_demand, old));
      cells.push_back(hourly(cell.spot, spot_old));
    }
    cells.push_back(hourly(row.per_gpu_hour));
    table.add(std::move(cells));
  }
  const auto width = os::is_terminal(1) ? static_cast<std::size_t>(os::terminal_width(1)) : 0;
  fmt::print("{}{}; ? is unknown\n", table.text(width), price_dates(*rows));
  if (some_old) fmt::print("{}\n", old_price_line());
  return 0;
}

}  // namespace

void add_plan_commands(CLI::App& app, Program& program) {
  auto task = std::make_shared<TaskOptions>();
  auto* plan = app.add_subcommand("plan", "Show what would be rented, and for how much; spends nothing");
  task->add_to(*plan);
  plan->callback([&program, task] { program.chosen = [&program, task] { return plan_command(program, *task); }; });

  auto gpu = std::make_shared<GpuOptions>();
  auto* gpus = app.add_subcommand("gpus", "GPUs that AWS rents out, with prices: ferry gpus A100");
  gpus->add_option("gpu,--gpus", gpu->name, "A GPU (A100, H100:8, 24GB+ …), a family (g5) or a type; default: all")
      ->type_name("GPU");
  gpus->add_option("--region", gpu->regions, "Prices in this region; several with commas, '*' for all")
      ->allow_extra_args(false);
  gpus->add_option("--sort", gpu->sort, "By price (an hour of one GPU), gpu or memory")
      ->check(CLI::IsMember({"price", "gpu", "memory"}));
  gpus->callback([&program, gpu] { program.chosen = [gpu] { return gpus_command(*gpu); }; });
}

}  // namespace ferry::cli
