// ferry gpus: which GPUs AWS rents out, and for how much. Spends nothing.

#include <map>
#include <set>

#include "base/text.h"
#include "cli/command.h"
#include "cli/price_words.h"
#include "cloud/cloud.h"
#include "fleet/planning.h"
#include "os/env.h"
#include "os/terminal.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

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

void add_gpus_command(CLI::App& app, Program& program) {
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
