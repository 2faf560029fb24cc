#include <benchmark/benchmark.h>

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

}  // namespace

BENCHMARK_MAIN();
