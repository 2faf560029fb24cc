#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "plan/accelerators.h"
#include "plan/plan.h"

namespace ferry::plan {
namespace {

constexpr std::string_view small_general_machine = "t3.medium";
constexpr std::int64_t gib = 1024;

bool meets(double have, const std::optional<task::Amount>& asked) {
  if (!asked) return true;
  return asked->at_least ? have >= asked->value : std::abs(have - asked->value) < 1e-9;
}

std::string shown(const task::Amount& amount) {
  return fmt::format("{}{}", amount.value, amount.at_least ? "+" : "");
}

/// "A10G ×1, 4 vCPU, 16 GiB"
std::string shown(const InstanceType& type) {
  const auto gpu = type.accelerator.empty()
                       ? std::string()
                       : fmt::format("{} ×{}, ", type.accelerator, type.accelerator_count);
  return fmt::format("{}{} vCPU, {} GiB", gpu, type.vcpus, static_cast<double>(type.memory_mib) / gib);
}

/// What a task asks of one machine.
struct Ask {
  const task::Resources& resources;
  std::optional<Wanted> accelerator;

  bool nothing() const {
    return resources.instance_type.empty() && !accelerator && !resources.cpus && !resources.memory;
  }
  bool accelerator_fits(const InstanceType& type) const {
    return !accelerator || (type.accelerator == accelerator->name && has_memory(type, *accelerator) &&
                            type.accelerator_count == resources.accelerators.choices[0].count);
  }
  bool size_fits(const InstanceType& type) const {
    return meets(type.vcpus, resources.cpus) &&
           meets(static_cast<double>(type.memory_mib) / gib, resources.memory);
  }
  /// Whether a machine that the task did not name may be chosen for it.
  bool sensible(const InstanceType& type, const Catalog& catalog) const {
    if (!accelerator) {
      const bool roomy = type.memory_mib >= std::max(4 * gib, type.vcpus * 2 * gib);
      return type.accelerator.empty() && type.arch == "x86_64" && (roomy || resources.memory);
    }
    const auto same = [&](const InstanceType& other) {
      return other.accelerator == type.accelerator && other.arch == "x86_64" && !is_slice(other);
    };
    if (type.arch == "x86_64" && !is_slice(type)) return true;
    return std::ranges::none_of(catalog.types(), same);
  }
  std::string text() const {
    std::vector<std::string> parts;
    if (accelerator)
      parts.push_back(fmt::format("{} ×{}", resources.accelerators.choices[0].name,
                                  resources.accelerators.choices[0].count));
    if (resources.cpus) parts.push_back(shown(*resources.cpus) + " vCPU");
    if (resources.memory) parts.push_back(shown(*resources.memory) + " GiB");
    return join(parts, ", ");
  }
};

tl::unexpected<Error> unknown_type(const std::string& name, const Catalog& catalog) {
  std::vector<std::string> names;
  for (const auto& type : catalog.types()) names.push_back(type.name);
  const auto near = nearest(lower(name), names);
  return fail(Kind::bad_input, fmt::format("unknown instance type '{}'", printable(name)),
              near ? "" : "the built-in catalog does not list it",
              near ? fmt::format("did you mean '{}'?", *near) : "types look like t3.medium or g5.xlarge");
}

/// Why no type has what is asked, with the sizes that there are.
tl::unexpected<Error> nothing_fits(const Ask& ask, const Catalog& catalog) {
  const auto what = fmt::format("no instance type has {}", ask.text());
  std::set<int> counts;
  const InstanceType* next = nullptr;  // the smallest that has at least what is asked
  for (const auto& type : catalog.types()) {
    if (!ask.sensible(type, catalog)) continue;
    if (ask.accelerator && type.accelerator == ask.accelerator->name && has_memory(type, *ask.accelerator)) {
      counts.insert(type.accelerator_count);
    }
    const auto enough = [](double have, const auto& asked) { return !asked || have >= asked->value; };
    if (ask.accelerator_fits(type) && enough(type.vcpus, ask.resources.cpus) &&
        enough(static_cast<double>(type.memory_mib) / gib, ask.resources.memory) &&
        (!next || std::pair(type.vcpus, type.memory_mib) < std::pair(next->vcpus, next->memory_mib))) {
      next = &type;
    }
  }
  if (ask.accelerator && !counts.contains(ask.resources.accelerators.choices[0].count)) {
    std::vector<std::string> forms;
    for (const int count : counts) forms.push_back(fmt::format("{}:{}", ask.accelerator->name, count));
    return fail(Kind::not_found, what, forms.empty() ? "none has that much memory" : "the count is exact",
                forms.empty() ? fmt::format("ask for {}", ask.accelerator->name)
                              : fmt::format("ask for {}", join(forms, ", ")));
  }
  if (next) {
    return fail(Kind::not_found, what, fmt::format("the next larger is {}: {}", next->name, shown(*next)),
                "a number without + is exact; write it with + to take larger ones too");
  }
  return fail(Kind::not_found, what, "no type is that large", "ask for less");
}

tl::unexpected<Error> no_price(const Ask& ask, std::span<const InstanceType* const> fitting,
                               const Catalog& catalog, const std::string& region) {
  std::vector<std::string> elsewhere;
  for (const auto& other : catalog.regions()) {
    const auto priced = [&](const InstanceType* type) {
      return catalog.on_demand(type->name, other).has_value();
    };
    if (std::ranges::any_of(fitting, priced)) elsewhere.push_back(other);
  }
  const auto what = ask.nothing()
                        ? fmt::format("no price is known in {}", printable(region))
                        : fmt::format("no price is known for {} in {}", ask.text(), printable(region));
  const auto& smallest = **std::ranges::min_element(
      fitting, {}, [](const InstanceType* type) { return std::pair(type->memory_mib, type->vcpus); });
  const auto name_it =
      fmt::format("name the type to rent it at an unknown price: instance_type: {}", smallest.name);
  if (elsewhere.empty()) return fail(Kind::not_found, what, {}, name_it);
  const auto known = catalog.regions();
  const bool odd = std::ranges::find(known, region) == known.end();
  const auto near = odd ? nearest(region, elsewhere) : std::nullopt;
  return fail(Kind::not_found, what, fmt::format("prices are known in {}", join(elsewhere, ", ")),
              near ? fmt::format("did you mean '{}'? or {}", *near, name_it) : name_it);
}

}  // namespace

static Result<std::vector<Offer>> rank_in(const task::Task& task, const Catalog& catalog,
                                          std::string_view region) {
  const auto& resources = task.resources;
  Ask ask{resources, std::nullopt};
  if (!resources.accelerators.choices.empty()) {
    TRY_SET(wanted, "", wanted_accelerator(resources.accelerators.choices[0].name, catalog));
    ask.accelerator = std::move(wanted);
  }
  const bool own_region = resources.infra && !resources.infra->region.empty();
  Offer form;
  form.region = own_region ? resources.infra->region : std::string(region);
  form.zone = resources.infra ? resources.infra->zone : std::string();

  if (!resources.instance_type.empty()) {
    const InstanceType* type = catalog.find(lower(resources.instance_type));
    if (!type) return unknown_type(resources.instance_type, catalog);
    if (!ask.accelerator_fits(*type) || !ask.size_fits(*type)) {
      return fail(Kind::not_found, fmt::format("{} does not have {}", type->name, ask.text()),
                  fmt::format("it has {}", shown(*type)),
                  "leave out instance_type, or what it does not have");
    }
    form.type = *type;
    form.hourly = catalog.on_demand(type->name, form.region);
    return std::vector{std::move(form)};
  }

  std::vector<const InstanceType*> fitting;
  for (const auto& type : catalog.types()) {
    if (ask.accelerator_fits(type) && ask.size_fits(type) && ask.sensible(type, catalog))
      fitting.push_back(&type);
  }
  if (fitting.empty()) return nothing_fits(ask, catalog);
  std::vector<Offer> offers;
  for (const InstanceType* type : fitting) {
    form.hourly = catalog.on_demand(type->name, form.region);
    if (!form.hourly) continue;
    form.type = *type;
    offers.push_back(form);
  }
  if (offers.empty()) return no_price(ask, fitting, catalog, form.region);
  const bool nothing_asked = ask.nothing();
  const auto order = [&](const Offer& offer) {
    const bool first = nothing_asked && offer.type.name == small_general_machine;
    return std::tuple(!first, *offer.hourly, offer.type.vcpus, std::string_view(offer.type.name));
  };
  std::ranges::sort(offers, [&](const Offer& a, const Offer& b) { return order(a) < order(b); });
  return offers;
}

Result<Ranking> rank(const task::Task& task, const Catalog& catalog, const RankOptions& options) {
  TRY_SET(offers, "",
          rank_in(task, catalog, options.home_region.empty() ? "us-east-1" : options.home_region));
  Ranking out;
  out.considered = offers.size();
  out.offers = std::move(offers);
  for (auto& offer : out.offers) {
    offer.price_date = catalog.price_date(offer.market, offer.type.name, offer.region, offer.zone);
  }
  return out;
}

Result<std::vector<GpuRow>> gpu_table(const Catalog& catalog, std::string_view name,
                                      std::span<const std::string> regions, GpuSort) {
  std::vector<GpuRow> rows;
  for (const auto& type : catalog.types()) {
    if (type.accelerator.empty() || (!name.empty() && lower(type.accelerator) != lower(name))) continue;
    GpuRow row{type.name,
               type.accelerator,
               type.accelerator_count,
               type.accelerator_memory_mib,
               type.vcpus,
               type.memory_mib,
               type.arch,
               {},
               {}};
    for (const auto& region : regions) {
      row.prices.push_back({region, catalog.on_demand(type.name, region), catalog.spot(type.name, region)});
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace ferry::plan
