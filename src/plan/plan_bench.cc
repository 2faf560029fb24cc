#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <set>

#include "plan/plan.h"

extern "C" {
extern const char ferry_embed_instances_csv[], ferry_embed_instances_csv_end[];
extern const char ferry_embed_prices_csv[], ferry_embed_prices_csv_end[];
}

namespace {

using namespace ferry;

void parse_catalog(benchmark::State& state) {
  for (auto _ : state) {
    auto catalog = plan::Catalog::parse({ferry_embed_instances_csv, ferry_embed_instances_csv_end},
                                        {ferry_embed_prices_csv, ferry_embed_prices_csv_end}, "2025-10");
    benchmark::DoNotOptimize(catalog);
  }
}
BENCHMARK(parse_catalog)->Unit(benchmark::kMicrosecond);

void rank_any_machine(benchmark::State& state) {
  const auto& catalog = plan::Catalog::builtin();
  for (auto _ : state) benchmark::DoNotOptimize(plan::rank({}, catalog, {.home_region = "us-east-1"}));
}
BENCHMARK(rank_any_machine)->Unit(benchmark::kMicrosecond);

void rank_gpu_machines(benchmark::State& state) {
  task::Task task;
  task.resources.accelerators = *task::parse_accelerators("a10g");
  for (auto _ : state)
    benchmark::DoNotOptimize(plan::rank(task, plan::Catalog::builtin(), {.home_region = "us-east-1"}));
}
BENCHMARK(rank_gpu_machines)->Unit(benchmark::kMicrosecond);

/// The built-in types in each of its regions, with six zones and both prices everywhere.
const plan::Catalog& full_catalog() {
  static const plan::Catalog full = [] {
    const auto& builtin = plan::Catalog::builtin();
    plan::Catalog::Builder builder;
    builder.add(builtin);
    std::int64_t price = 100'000;
    for (const auto& type : builtin.types()) {
      for (const auto& region : builtin.regions()) {
        price = price * 7 % 9'999'991 + 1;
        builder.add(plan::Price{.type = type.name, .region = region, .on_demand = Usd{price}});
        for (const char zone : std::string_view("abcdef"))
          builder.add(plan::Price{.type = type.name, .region = region, .zone = region + zone, .spot = Usd{price / 3}});
      }
    }
    return builder.build("2030-01");
  }();
  return full;
}

/// Asks for any machine there is, spot and on-demand.
task::Task anything() {
  std::string text = "resources:\n  any_of:\n";
  std::set<std::string> asked;
  for (const auto& type : plan::Catalog::builtin().types()) {
    auto fields = type.accelerator.empty()
                      ? std::string("{cpus: 1+, memory: 0.5+")
                      : fmt::format("{{accelerators: '{}:{}'", type.accelerator, type.accelerator_count);
    if (!asked.insert(fields).second) continue;
    text += fmt::format("  - {}, use_spot: true}}\n  - {}, use_spot: false}}\n", fields, fields);
  }
  return *task::parse_task(text, "any.yaml");
}

void rank_everything(benchmark::State& state) {
  const auto task = anything();
  const auto& catalog = full_catalog();
  std::size_t considered = 0;
  for (auto _ : state) {
    const auto ranking = plan::rank(task, catalog, {.all_regions = true});
    considered = ranking->considered;
    benchmark::DoNotOptimize(ranking);
  }
  state.counters["offers"] = static_cast<double>(considered);
}
BENCHMARK(rank_everything)->Unit(benchmark::kMicrosecond);

void parse_full_catalog(benchmark::State& state) {
  const auto csv = full_catalog().to_csv();
  for (auto _ : state) {
    auto catalog = plan::Catalog::parse(csv.instances, csv.prices, csv.date);
    benchmark::DoNotOptimize(catalog);
  }
}
BENCHMARK(parse_full_catalog)->Unit(benchmark::kMicrosecond);

void table_of_one_gpu(benchmark::State& state) {
  const auto& catalog = plan::Catalog::builtin();
  for (auto _ : state) benchmark::DoNotOptimize(plan::gpu_table(catalog, "A100", {}));
}
BENCHMARK(table_of_one_gpu)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
