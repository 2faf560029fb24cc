#pragma once
/// \file
/// Catalog and Task → ranked Offers. Pure: no clock, no network, no files.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "task/task.h"

namespace ferry::plan {

struct InstanceType {
  std::string name;
  std::string accelerator;  ///< "" for none; as DescribeInstanceTypes names it
  int accelerator_count = 0;
  int accelerator_memory_mib = 0;  ///< of one
  int vcpus = 0;
  std::int64_t memory_mib = 0;
  std::string arch;  ///< "x86_64" or "arm64"
};

enum class Market { on_demand, spot };

struct Offer {
  InstanceType type;
  std::string region;
  std::string zone;  ///< empty: the cloud chooses
  Market market = Market::on_demand;
  std::optional<Usd> hourly;  ///< nothing: unknown. Never zero
};

/// Instance types and prices an hour, with the date they were true.
class Catalog {
 public:
  /// The one built into the program. Parsed once, on first use.
  static const Catalog& builtin();
  /// From CSV text in the form of data/instances.csv and data/prices.csv. Fails corrupt with the line.
  static Result<Catalog> parse(std::string_view instances, std::string_view prices, std::string_view date);

  const InstanceType* find(std::string_view name) const;
  std::span<const InstanceType> types() const { return types_; }
  std::optional<Usd> on_demand(std::string_view type, std::string_view region) const;
  std::vector<std::string> regions() const;  ///< every region with a price, sorted
  const std::string& date() const { return date_; }

 private:
  struct Price {
    std::string type, region;
    std::optional<Usd> on_demand;
  };
  std::vector<InstanceType> types_;  // sorted by name
  std::vector<Price> prices_;        // sorted by type, region
  std::string date_;
};

/// Every on-demand offer that satisfies the task, cheapest first (ties: fewer vCPU, then name), in the task's
/// region and zone; `region` is used where the task names none. An offer without a price is only there when
/// the task names the instance type. Only when named (by type, or by an accelerator that nothing else has)
/// are there arm64 machines and machines with a slice of a GPU; accelerators only when one is asked for.
/// Where no memory is asked for, machines without accelerators have at least 4 GiB and 2 GiB a vCPU. Without
/// any resources asked for, the answer begins with the small general machine (t3.medium).
///
/// Accelerators are named as people write them: `a10g`, `A100-80GB`, `V100-32GB`, `nvidia-tesla-t4`; the
/// count is exact. Fails not_found with the nearest names when nothing can satisfy it, bad_input for an
/// unknown type or GPU.
Result<std::vector<Offer>> rank(const task::Task& task, const Catalog& catalog, std::string_view region);

}  // namespace ferry::plan
