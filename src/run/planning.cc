#include "run/planning.h"

#include "base/text.h"
#include "os/env.h"
#include "run/capacity.h"

namespace ferry::run {

namespace {

/// A machine that costs more than this many times the best one is not taken without being asked about anew.
constexpr std::int64_t dearest_times = 2;

std::string describe_type(const plan::InstanceType& type) {
  std::string text =
      fmt::format("{}  {} vCPU  {} GiB", type.name, type.vcpus, (type.memory_mib + 512) / 1024);
  if (type.accelerator_count > 0) text += fmt::format("  {} ×{}", type.accelerator, type.accelerator_count);
  return text;
}

std::optional<Usd> ceiling_of(const plan::Ranking& ranking) {
  const auto& best = ranking.offers.front();
  if (!best.hourly) return std::nullopt;
  const Usd limit{best.hourly->micros * dearest_times};
  Usd dearest = *best.hourly;
  for (const auto& offer : ranking.offers) {
    if (offer.hourly && *offer.hourly <= limit) dearest = std::max(dearest, *offer.hourly);
  }
  return dearest;
}

/// What is left of the time when no more than the budget may be spent.
Result<Lifetime> within_budget(const task::Task& task, Lifetime lifetime, std::optional<Usd> hourly) {
  if (!task.budget || !hourly || hourly->micros <= 0) return lifetime;
  const Seconds lasts(task.budget->micros * 3600 / hourly->micros);
  // Outputs are brought home, and the machine may linger for that, after the training's time is over.
  Lifetime shorter = lifetime;
  shorter.max_duration = std::min(lifetime.max_duration, lasts);
  while (shorter.max_duration.count() > 0 &&
         cost(*hourly, shorter.max_duration + shorter.linger()) > *task.budget) {
    shorter.max_duration -= std::max(Seconds(1), shorter.max_duration / 50);
  }
  if (shorter.max_duration < Seconds(60)) {
    return fail(Kind::bad_input,
                fmt::format("the budget of {} does not pay for a minute of training at {}/h",
                            show(*task.budget), show_hourly(*hourly)),
                "time to bring the outputs home is counted in",
                "raise the budget, or choose a cheaper machine");
  }
  return shorter;
}

}  // namespace

const plan::Catalog& catalog_in_force() {
  static const plan::Catalog catalog = [] {
    const auto folder = os::cache_dir() / "catalog";
    const auto instances = os::read_file(folder / "instances.csv", 64 << 20);
    const auto prices = os::read_file(folder / "prices.csv", 256 << 20);
    const auto date = os::read_file(folder / "date", 64);
    if (!instances || !prices || !date) return plan::Catalog::builtin();
    auto fresh = plan::Catalog::parse(*instances, *prices, trim(*date));
    return fresh ? plan::Catalog::merged(plan::Catalog::builtin(), *fresh) : plan::Catalog::builtin();
  }();
  return catalog;
}

Result<Planned> plan_task(const task::Task& task, Lifetime lifetime, const os::Path& data,
                          std::int64_t now_ms, const std::string& rehearsal_region) {
  const auto infra = task.wishes()[0].infra.value_or(task::Infra{});
  Planned planned;
  planned.place = {infra.world == task::World::rehearsal ? "rehearsal" : "aws", "", ""};
  plan::RankOptions options;
  if (infra.world == task::World::rehearsal) {
    options.rehearsal = true;
    options.home_region = rehearsal_region;
  } else if (const auto region = cloud::aws_region_from_environment(""); region) {
    options.home_region = *region;
  }
  const CapacityMemory memory(data / "capacity.json", now_ms);
  if (!options.rehearsal) options.avoid = [&](const plan::Offer& offer) { return memory.is_short(offer); };
  TRY_SET(ranking, "", plan::rank(task, catalog_in_force(), options));
  planned.ranking = std::move(ranking);
  auto& offers = planned.ranking.offers;
  if (!options.rehearsal)
    std::erase_if(offers, [&](const auto& offer) { return task.aws.excludes(offer.region); });
  if (offers.empty())
    return fail(Kind::not_found, "no subnet is named for a region that has such machines", {},
                "add one to aws: subnet_id:, or choose its region with --region");
  TRY("", set_terms(task, lifetime, planned));
  return planned;
}

Status set_terms(const task::Task& task, Lifetime lifetime, Planned& planned) {
  planned.place.region = planned.ranking.offers.front().region;
  planned.ceiling = ceiling_of(planned.ranking);
  TRY_SET(limited, "", within_budget(task, lifetime, planned.ceiling));
  planned.lifetime = limited;
  return {};
}

std::string describe_offer(const plan::Offer& offer, const Lifetime& lifetime) {
  std::string line =
      fmt::format("{}  {}{}  {}", describe_type(offer.type), offer.zone.empty() ? offer.region : offer.zone,
                  offer.market == plan::Market::spot ? " spot" : "",
                  offer.hourly ? show_hourly(*offer.hourly) + "/h" : "price unknown");
  if (offer.total) line += "  est. " + show(*offer.total);
  if (offer.hourly)
    line += fmt::format("  at most {} in {}", show(cost(*offer.hourly, lifetime.max_duration)),
                        show_duration(lifetime.max_duration));
  return line;
}

}  // namespace ferry::run
