#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plan/plan.h"

/// Task files against the built-in catalog; and catalogs, as two texts with a zero byte between them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto task = task::parse_task(text, "fuzz.yaml"))
    (void)plan::rank(*task, plan::Catalog::builtin(), {.home_region = "us-east-1"});
  const auto gap = text.find('\0');
  if (gap == text.npos) return 0;
  const auto catalog = plan::Catalog::parse(text.substr(0, gap), text.substr(gap + 1), "2030-01");
  if (!catalog) return 0;
  const auto csv = catalog->to_csv();
  if (!plan::Catalog::parse(csv.instances, csv.prices, csv.date)) __builtin_trap();
  (void)plan::rank({}, *catalog, {});
  (void)plan::gpu_table(*catalog, {}, {});
  return 0;
}
