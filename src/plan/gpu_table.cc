#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "plan/accelerators.h"
#include "plan/nearest.h"
#include "plan/plan.h"

namespace ferry::plan {
namespace {

/// What a user may mean by a name in the table, the narrowest first.
std::vector<const InstanceType*> named(const Catalog& catalog, std::string_view name, int count) {
  const auto chosen = [&](auto&& wanted) {
    std::vector<const InstanceType*> out;
    for (const auto& type : catalog.types()) {
      if (!type.accelerator.empty() && wanted(type)) out.push_back(&type);
    }
    return out;
  };
  const auto word = lower(name);
  if (name.empty() || word == "all") return chosen([](const auto&) { return true; });
  const auto known = wanted_accelerator(name, count, catalog);
  if (known) {
    const auto longer = lower(known->name) + "-";  // A100-80GB for A100
    return chosen([&](const auto& type) {
      return is_wanted(type, *known) ||
             (!known->name.empty() && has_memory(type, *known) && lower(type.accelerator).starts_with(longer));
    });
  }
  // What only others have is not what its name begins like: A10 is not A100.
  if (known.error().kind == Kind::unsupported) return {};
  auto out = chosen([&](const auto& type) { return type.name == word || type.name.starts_with(word + "."); });
  if (out.empty()) out = chosen([&](const auto& type) { return type.name.starts_with(word); });
  if (out.empty()) out = chosen([&](const auto& type) { return lower(type.accelerator).starts_with(word); });
  return out;
}

/// "H100:8" is the name and the count.
std::pair<std::string_view, std::optional<std::int64_t>> name_and_count(std::string_view written) {
  const auto colon = written.rfind(':');
  if (colon == written.npos) return {written, {}};
  const auto count = parse_int(trim(written.substr(colon + 1)));
  return count ? std::pair(trim(written.substr(0, colon)), count) : std::pair(written, count);
}

tl::unexpected<Error> no_such(const Catalog& catalog, std::string_view name, int count) {
  const auto word = lower(name);
  for (const auto& type : catalog.types()) {
    if (word.empty() || (type.name != word && !type.name.starts_with(word + "."))) continue;
    return fail(Kind::bad_input, fmt::format("{} has no GPU", printable(name)), {},
                fmt::format("ferry plan -t {} shows its price; ferry gpus lists types with GPUs", type.name),
                std::string(no_such_hardware));
  }
  const auto wanted = wanted_accelerator(name, count, catalog);
  if (!wanted) return tl::unexpected(wanted.error());
  return fail(Kind::not_found, fmt::format("no instance type has {}", printable(name)), "none has that memory",
              "`ferry gpus` lists what there is", std::string(no_such_hardware));
}

}  // namespace

Result<std::vector<GpuRow>> gpu_table(const Catalog& catalog, std::string_view name,
                                      std::span<const std::string> regions, GpuSort sort) {
  // A slice of a GPU is cheap because it is small: it does not stand before whole ones.
  std::set<std::string, std::less<>> slices;
  const auto written = name_and_count(trim(name));
  const auto& wanted = written.first;
  const auto& count = written.second;
  const int asked = static_cast<int>(std::clamp<std::int64_t>(count.value_or(1), 1, 1000));
  auto types = named(catalog, wanted, asked);
  if (types.empty()) return no_such(catalog, wanted, asked);
  const auto* old = types.front();
  std::erase_if(types, [](const auto* type) { return !retired(type->name).empty(); });
  if (types.empty())
    return tl::unexpected(
        gone(wanted, retired(old->name), old->accelerator, count ? asked : old->accelerator_count, catalog));
  if (count) {
    std::set<int> sold;
    for (const auto* type : types) sold.insert(type->accelerator_count);
    const auto* one = types.front();
    std::erase_if(types, [&](const auto* type) { return type->accelerator_count != *count; });
    if (types.empty())
      return tl::unexpected(not_sold(fmt::format("no instance type has {} ×{}", printable(wanted), *count),
                                     one->accelerator, asked, sold, catalog));
  }
  const auto all = regions.empty() ? catalog.regions() : std::vector<std::string>(regions.begin(), regions.end());
  std::vector<GpuRow> rows;
  for (const auto* type : types) {
    GpuRow row{type->name,
               type->accelerator,
               type->accelerator_count,
               type->accelerator_memory_mib,
               type->vcpus,
               type->memory_mib,
               type->arch,
               type->last_seen,
               {},
               {}};
    if (is_slice(*type)) slices.insert(type->name);
    std::optional<Usd> lowest;
    for (const auto& region : all) {
      row.prices.push_back({region, catalog.on_demand(type->name, region), catalog.spot(type->name, region),
                            std::string(catalog.price_date(Market::on_demand, type->name, region)),
                            std::string(catalog.price_date(Market::spot, type->name, region))});
      const auto& price = row.prices.back().on_demand;
      if (price && (!lowest || *price < *lowest)) lowest = price;
    }
    if (lowest) row.per_gpu_hour = Usd{lowest->micros / type->accelerator_count};
    rows.push_back(std::move(row));
  }
  const auto key = [&](const GpuRow& row) {
    const auto price = row.per_gpu_hour ? row.per_gpu_hour->micros : 0;
    return std::tuple(sort != GpuSort::gpu && !price, sort == GpuSort::price && slices.contains(row.type),
                      sort == GpuSort::gpu ? row.gpu : std::string(), sort == GpuSort::memory ? -row.gpu_memory_mib : 0,
                      price, row.count, row.vcpus, row.type);
  };
  std::ranges::sort(rows, {}, key);
  return rows;
}

}  // namespace ferry::plan
