#include "fleet/planning.h"

#include <deque>
#include <map>

#include "base/text.h"
#include "fleet/capacity.h"
#include "os/clock.h"
#include "os/env.h"

namespace ferry::fleet {

namespace {

/// The root disks of a rehearsal's images, and of those for GPUs.
constexpr int rehearsal_disk_gib = 8, rehearsal_gpu_disk_gib = 35;

/// A machine that costs more than this many times the best one for the same candidate is not taken by itself.
constexpr std::int64_t dearest_times = 2;

std::string describe_type(const plan::InstanceType& type) {
  std::string text = fmt::format("{}  {} vCPU  {} GiB", type.name, type.vcpus, (type.memory_mib + 512) / 1024);
  if (type.accelerator_count > 0) text += fmt::format("  {} ×{}", type.accelerator, type.accelerator_count);
  return text;
}

/// An hour of everything at its dearest, where that is known.
Usd most_hourly(const plan::Offer& offer) { return offer.dearest.value_or(Usd{}) + offer.beside(); }

/// `nodes`: machines that the budget is for.
bool keeps_budget(const std::optional<Usd>& budget, const plan::Offer& offer, const TimeLimits& lifetime,
                  int nodes = 1) {
  if (!budget || !offer.hourly) return true;
  const auto most = plan::most(offer, lifetime.until_power_off());
  return most && most->micros * nodes <= budget->micros;
}

/// As much of the time as the budget pays for.
Result<TimeLimits> within_budget(const task::Task& task, TimeLimits lifetime, const plan::Offer& offer) {
  if (keeps_budget(task.budget, offer, lifetime, task.num_nodes)) return lifetime;
  if (!offer.dearest) {
    return fail(Kind::not_found,
                fmt::format("the budget of {} cannot be kept: how dear {} {} may become is not known",
                            show(*task.budget), plan::name(offer.market), offer.type.name),
                {}, "write max_hourly_cost, leave out budget, or ask AWS for prices: ferry catalog update");
  }
  Seconds pays{0}, too_long = lifetime.max_duration;
  while (pays + Seconds(1) < too_long) {
    const auto middle = (pays + too_long) / 2;
    (keeps_budget(task.budget, offer, {middle}, task.num_nodes) ? pays : too_long) = middle;
  }
  constexpr Seconds least{60};
  if (pays < least) {
    const auto needed = plan::most(offer, TimeLimits{least}.until_power_off()).value_or(Usd{});
    return fail(Kind::bad_input,
                fmt::format("the budget of {} does not pay for a minute of training at {}/h", show(*task.budget),
                            show_hourly(Usd{most_hourly(offer).micros * task.num_nodes})),
                fmt::format("with a quarter of an hour to start, time to bring the outputs home, disk and address "
                            "a minute can cost {}",
                            show_at_most(Usd{needed.micros * task.num_nodes})),
                "raise the budget, or choose a cheaper machine");
  }
  return TimeLimits{pays};
}

/// Why an offer is not taken when those before it cannot be had; `best`: the first of the same candidate.
std::string why_not_taken(const task::Task& task, const plan::Offer& best, const plan::Offer& offer,
                          const TimeLimits& lifetime) {
  if (!keeps_budget(task.budget, offer, lifetime, task.num_nodes))
    return fmt::format("{} of it would break the budget", show_duration(lifetime.max_duration));
  if (!offer.hourly && best.hourly) return "its price is unknown";
  const bool named = !task.all_candidates()[offer.candidate].instance_type.empty();
  if (named || !offer.hourly) return {};
  return offer.hourly->micros > best.hourly->micros * dearest_times ? "more than twice the best's price" : "";
}

/// TimeLimits and ceiling, and which offers are not to be taken.
Status find_terms(const task::Task& task, TimeLimits lifetime, Planned& planned) {
  auto& [offers, notes, considered] = planned.ranking;
  planned.location.region = offers.front().region;
  TRY_SET(limited, "", within_budget(task, lifetime, offers.front()));
  planned.lifetime = limited;
  std::erase(notes, planned.budget_note);
  if (limited.max_duration < lifetime.max_duration) {
    planned.budget_note = fmt::format(
        "the budget of {} lasts {} at {}/h at most, with a quarter of an hour to start and time to "
        "bring the outputs home",
        show(*task.budget), show_duration(limited.max_duration),
        show_hourly(Usd{most_hourly(offers.front()).micros * task.num_nodes}));
    notes.push_back(planned.budget_note);
  }
  std::map<std::size_t, const plan::Offer*> best;  // of each candidate with each accelerator
  planned.ceiling.reset();
  planned.most = Usd{};
  for (auto& offer : offers) {
    offer.not_taken = why_not_taken(task, *best.try_emplace(offer.ask, &offer).first->second, offer, limited);
    if (!offer.not_taken.empty()) continue;
    if (offer.hourly) planned.ceiling = std::max(planned.ceiling.value_or(Usd{}), *offer.hourly);
    const auto most = plan::most(offer, limited.until_power_off());
    planned.most = most && planned.most ? std::optional(std::max(*planned.most, *most)) : std::nullopt;
  }
  if (planned.most) planned.most->micros *= task.num_nodes;
  return {};
}

}  // namespace

namespace {

/// A catalog in the cache folder: NAME-instances.csv and so on.
std::optional<plan::Catalog> cached(const std::string& prefix) {
  const auto folder = os::cache_dir() / "catalog";
  const auto instances = os::read_file(folder / (prefix + "instances.csv"), 64 << 20);
  const auto prices = os::read_file(folder / (prefix + "prices.csv"), 256 << 20);
  const auto date = os::read_file(folder / (prefix + "date"), 64);
  if (!instances || !prices || !date) return std::nullopt;
  auto catalog = plan::Catalog::parse(*instances, *prices, trim(*date));
  return catalog ? std::optional(*std::move(catalog)) : std::nullopt;
}

/// Types that tasks named and EC2 was asked about, beside what `ferry catalog update` wrote.
constexpr const char* asked_prefix = "asked-";

/// `over` laid over `under`, with the date of `under`.
plan::Catalog laid_over(const plan::Catalog& under, const plan::Catalog& over) {
  plan::Catalog::Builder builder;
  builder.add(under);
  builder.add(over);
  return builder.build(under.date());
}

/// All that were in force, the last one now: what refers to an earlier one goes on doing so.
std::deque<plan::Catalog>& catalogs() {
  static std::deque<plan::Catalog> all = [] {
    auto catalog = plan::Catalog::builtin();
    if (const auto asked = cached(asked_prefix)) catalog = laid_over(catalog, *asked);
    if (const auto fresh = cached("")) catalog = plan::Catalog::merged(catalog, *fresh);
    return std::deque{std::move(catalog)};
  }();
  return all;
}

/// Where no zone of an offer is known, it may be in any.
Status keep_to(const Zone& zone, plan::Ranking& ranking) {
  for (auto& offer : ranking.offers) {
    if (offer.zone.empty() && offer.region == zone.region) offer.zone = zone.name;
  }
  std::erase_if(ranking.offers, [&](const auto& offer) { return offer.zone != zone.name; });
  if (!ranking.offers.empty()) return {};
  return fail(Kind::not_found, "there are no such machines in " + zone.name, {},
              "ask for other machines, or for those of that region and zone: --region " + zone.region);
}

}  // namespace

const plan::Catalog& catalog_in_force() { return catalogs().back(); }

void learn(const plan::Catalog& asked, bool keep) {
  catalogs().push_back(laid_over(catalog_in_force(), asked));
  if (!keep) return;
  const auto before = cached(asked_prefix);
  const auto csv = (before ? laid_over(*before, asked) : asked).to_csv();
  const auto folder = os::cache_dir() / "catalog";
  const auto write = [&](const char* file, const std::string& text) {
    return os::write_file(folder / (std::string(asked_prefix) + file), text);
  };
  // Only a cache: EC2 can be asked again.
  (void)(os::make_dirs(folder) && write("instances.csv", csv.instances) && write("prices.csv", csv.prices) &&
         write("date", csv.date + "\n"));
}

Result<Planned> plan_task(const task::Task& task, TimeLimits lifetime, const os::Path& data, std::int64_t now_ms,
                          const std::string& rehearsal_region, const std::optional<Zone>& zone) {
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  Planned planned;
  planned.location = {infra.provider == task::Provider::rehearsal ? "rehearsal" : "aws", "", ""};
  plan::RankOptions options;
  if (infra.provider == task::Provider::rehearsal) {
    options.rehearsal = true;
    options.home_region = rehearsal_region;
  } else if (const auto region = cloud::aws_region_from_environment(""); region) {
    options.home_region = *region;
  }
  // What a rehearsal costs is nothing, however old.
  if (!options.rehearsal) options.today = os::iso_time(now_ms).substr(0, 10);
  const CapacityMemory memory(data / "capacity.json", now_ms);
  if (!options.rehearsal) options.avoid = [&](const plan::Offer& offer) { return memory.is_short(offer); };
  TRY_SET(ranking, "", plan::rank(task, catalog_in_force(), options));
  planned.ranking = std::move(ranking);
  if (options.rehearsal) {
    const bool gpus =
        std::ranges::any_of(planned.ranking.offers, [](const auto& it) { return it.type.accelerator_count > 0; });
    enlarge_disks(task, gpus ? rehearsal_gpu_disk_gib : rehearsal_disk_gib, planned.ranking);
  }
  auto& offers = planned.ranking.offers;
  if (!options.rehearsal) std::erase_if(offers, [&](const auto& offer) { return task.aws.excludes(offer.region); });
  if (offers.empty())
    return fail(Kind::not_found, "no subnet is named for a region that has such machines", {},
                "add one to aws: subnet_id:, or choose its region with --region");
  if (zone) TRY("", keep_to(*zone, planned.ranking));
  TRY("", find_terms(task, lifetime, planned));
  return planned;
}

Status set_terms(const task::Task& task, TimeLimits lifetime, Planned& planned) {
  TRY("", find_terms(task, lifetime, planned));
  std::erase_if(planned.ranking.offers, [](const auto& offer) { return !offer.not_taken.empty(); });
  return {};
}

void enlarge_disks(const task::Task& task, int gib, plan::Ranking& ranking) {
  for (auto& offer : ranking.offers) {
    const auto& candidate = task.all_candidates()[offer.candidate];
    offer.disk = disk_hour(plan::disk_of(candidate.disk_tier, std::max(candidate.disk_gib, gib)), offer.region);
  }
}

Status count_image(const task::Task& task, TimeLimits lifetime, int gib, Planned& planned) {
  enlarge_disks(task, gib, planned.ranking);
  return find_terms(task, lifetime, planned);
}

bool keeps_budget(const std::optional<Usd>& budget, plan::Offer offer, const std::string& disk_tier, int gib,
                  const TimeLimits& lifetime, Usd wasted) {
  offer.disk = disk_hour(plan::disk_of(disk_tier, gib), offer.region);
  const auto rates = plan::dearest_rates(offer);
  if (!budget || !rates) return keeps_budget(budget, offer, lifetime);
  const Usd beyond{std::max<std::int64_t>(0, wasted.micros - launch_allowance(*rates).micros)};
  return keeps_budget(Usd{budget->micros - beyond.micros}, offer, lifetime);
}

std::string describe_plan(const plan::Offer& offer, const TimeLimits& lifetime, const std::optional<Usd>& most) {
  std::string line =
      fmt::format("{}  {}{}  {}", describe_type(offer.type), offer.zone.empty() ? offer.region : offer.zone,
                  offer.market == plan::Market::spot ? " spot" : "",
                  offer.hourly ? show_hourly(*offer.hourly) + "/h" : "price unknown");
  if (offer.price_is_old) line += " (of " + offer.price_date + ")";
  if (offer.total) line += "  est. " + show(*offer.total);
  if (most)
    line += fmt::format("  at most {} for {} of training", show_at_most(*most), show_duration(lifetime.max_duration));
  return line;
}

}  // namespace ferry::fleet
