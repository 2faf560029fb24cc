#pragma once
/// \file
/// Catalog and Task → ranked Offers. Pure: no clock, no network, no files.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bill.h"
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
  std::string arch;       ///< "x86_64" or "arm64"
  std::string network;    ///< "Up to 10 Gigabit"; for people
  int local_nvme_gb = 0;  ///< disks inside the machine, altogether
  std::string last_seen;  ///< the day or month when AWS was last seen to have it; empty: unknown
};

enum class Market { on_demand, spot };
std::string_view name(Market market);  ///< "on-demand", "spot"

/// A price of one type in one place, as Catalog::Builder takes it.
struct Price {
  std::string type, region;
  std::string zone;  ///< empty: the whole region
  std::optional<Usd> on_demand, spot;
  std::string date;  ///< when it was true; empty: the catalog's own date
};

/// A price that was true on `date` (a day, "2026-01-31", or a month, which counts from its end) is more than 90
/// days old on the day `today`. What is no date, or comes after `today`, is not old.
bool is_old_price(std::string_view date, std::string_view today);
/// What is said of old prices: "older than 90 days; today's: ferry catalog update".
inline constexpr std::string_view old_price_words = "older than 90 days; today's: ferry catalog update";

/// Instance types, where they are offered, and prices an hour with the date they were true. A price that is
/// not known is nothing, never zero. Copies are deep; const access from many threads is fine.
class Catalog {
 public:
  /// The one built into the program. Parsed once, on first use.
  static const Catalog& builtin();

  /// As text in the form of data/instances.csv and data/prices.csv, for a cache on disk.
  struct Csv {
    std::string instances, prices, date;
  };
  /// The columns of `prices` after the fourth may be missing; those named zone and date are read: a row with
  /// a zone is about that zone, and one without any price says that the type is offered there. Fails corrupt
  /// with the line.
  static Result<Catalog> parse(std::string_view instances, std::string_view prices, std::string_view date);
  Csv to_csv() const;

  /// Collects what an account was asked. Of a price added twice the newer one wins, of a type the one that was
  /// seen later; where both are of the same time, what is added later.
  class Builder {
   public:
    void add(InstanceType type);
    void add(const Catalog& catalog);  ///< everything in it, prices with their dates
    /// A type that nobody adds loses its prices. No price at all: the type is offered there.
    void add(const Price& price);
    /// Ends the builder.
    Catalog build(std::string_view date);

   private:
    friend class Catalog;
    struct Record {
      std::uint32_t type, region, zone, date;  // in names_
      Usd on_demand, spot;                     // zero: unknown
    };
    std::uint32_t id(std::string_view name);
    void add(std::string_view type, std::string_view region, std::string_view zone, std::string_view date,
             Usd on_demand, Usd spot);
    /// `twice` gets the name of what was added twice.
    Catalog build(std::string_view date, std::string& twice);

    std::vector<InstanceType> types_;
    std::map<std::string, std::uint32_t, std::less<>> ids_;
    std::vector<Record> records_;
  };
  /// Everything that both know, by the builder's rule; the date is that of `newer`. A price that only `older`
  /// knows keeps its date.
  static Catalog merged(const Catalog& older, const Catalog& newer);

  const InstanceType* find(std::string_view name) const;
  std::span<const InstanceType> types() const { return types_; }  ///< sorted by name
  std::optional<Usd> on_demand(std::string_view type, std::string_view region) const;
  /// Of the zone if that is known, else the region's lowest.
  std::optional<Usd> spot(std::string_view type, std::string_view region, std::string_view zone = {}) const;
  /// When the price that on_demand or spot gives was true; empty where they give none.
  std::string_view price_date(Market market, std::string_view type, std::string_view region,
                              std::string_view zone = {}) const;
  /// Where the type is known to be offered, sorted; empty: unknown.
  std::vector<std::string> zones(std::string_view type, std::string_view region) const;
  std::vector<std::string> regions() const;  ///< every region with a price, sorted
  const std::string& date() const { return date_; }

  /// What is known of a type in one place, for those who walk through everything. The numbers stand for
  /// names (see name()) and are in the names' order; zero is the empty name.
  struct Row {
    std::uint32_t region = 0, zone = 0;  ///< no zone: the whole region
    std::uint32_t on_demand_date = 0, spot_date = 0;
    Usd on_demand, spot;  ///< zero: unknown
  };
  /// All rows of one of types(), sorted by region and zone, the whole region first.
  std::span<const Row> rows(const InstanceType& type) const;
  /// Those in one region; none for 0.
  std::span<const Row> rows(const InstanceType& type, std::uint32_t region) const;
  std::span<const Row> rows(const InstanceType& type, std::string_view region) const;
  std::uint32_t number(std::string_view name) const;  ///< 0: no such name
  const std::string& name(std::uint32_t number) const { return names_[number]; }

 private:
  std::vector<InstanceType> types_;  // sorted by name
  std::vector<std::string> names_;   // of regions, zones and dates; sorted
  std::vector<Row> rows_;            // of the first type, of the second, …
  std::vector<std::size_t> first_;   // where each type's rows begin, and one more for the end
  std::string date_;
};

/// The price in force among one region's rows: on-demand, the region's, else the lowest of its zones; spot,
/// the zone's if that is known, else the lowest. Zero: unknown.
struct Known {
  Usd price;
  std::uint32_t date = 0;
};
Known price_in(std::span<const Catalog::Row> region, Market market, std::uint32_t zone = 0);

/// One way to satisfy a task.
struct Offer {
  InstanceType type;
  std::string region;
  std::string zone;  ///< empty: the cloud chooses
  Market market = Market::on_demand;
  std::optional<Usd> hourly;  ///< nothing: unknown. Never zero
  std::string price_date;     ///< when `hourly` was true
  bool price_is_old = false;  ///< on RankOptions::today
  /// An hour of the machine at the very most: a spot machine's price may rise to the task's max_hourly_cost
  /// or the on-demand price, and a burstable one that is busy all the time pays for every CPU credit.
  /// Nothing: unknown.
  std::optional<Usd> dearest;
  Usd disk, address;          ///< an hour of what is billed beside the machine
  std::optional<Usd> total;   ///< of the whole task, where its duration is known
  std::size_t candidate = 0;  ///< which of task.all_candidates() it satisfies: image, disk and labels are that one's
  std::size_t ask = 0;        ///< the same for every offer of one candidate with one of its accelerators
  std::string reason;         ///< why it stands where it stands, for people
  std::string not_taken;      ///< why it is not taken even when better ones cannot be had; empty: it is. For
                              ///< people; rank() leaves it empty, whoever knows the terms of a run says it

  Usd beside() const { return disk + address; }
  /// An hour of everything; nothing when the machine's price is unknown.
  std::optional<Usd> rate() const { return hourly ? std::optional(*hourly + beside()) : std::nullopt; }
};

/// The volume of one of the disk tiers that tasks name; "" is the usual one. io2 gets as many IOPS as its
/// size allows; an unknown size (0) may turn out to allow them all.
Disk disk_of(std::string_view tier, int gib);

/// An hour of each part of this offer at the very most; nothing when a price is unknown.
std::optional<Rates> dearest_rates(const Offer& offer);
/// ferry::most() for this offer, with spot prices that rise and CPU credits: the most that a run can cost with it.
/// Nothing when a price is unknown.
std::optional<Usd> most(const Offer& offer, Seconds until_power_off);
/// What its disk costs a month when the machine rests after the run (`ends: stop`); nothing: the task does not ask for
/// it.
std::optional<Usd> resting_month(const task::Task& task, const Offer& offer);
/// Whether a type is bare metal.
bool is_metal(std::string_view type);

struct RankOptions {
  std::string home_region;          ///< used where the task names no region; empty: every region
  bool all_regions = false;         ///< every region with a price, where the task names none
  std::optional<Seconds> duration;  ///< expected; the task's own goes before
  bool rehearsal = false;           ///< in home_region alone, zones left to the cloud, unknown prices allowed. So it
                                    ///< is for a task with infra: rehearsal
  std::string today;                ///< "2026-01-31", for how old prices are; empty: none is called old
  std::function<bool(const Offer&)> avoid;  ///< true: behind all others (it had no capacity lately)
  std::size_t most = 1000;                  ///< no more offers than this
};

struct Ranking {
  std::vector<Offer> offers;       ///< best first; never empty
  std::vector<std::string> notes;  ///< for people: what was left out
  std::size_t considered = 0;      ///< offers that satisfy the task, also those beyond `most`
};

/// Every offer that satisfies one of the task's candidates, cheapest first (ties: fewer vCPU, then name, region,
/// zone); where candidates or accelerators are ordered, by that order first. A candidate with use_spot has spot
/// offers only, one without only on-demand ones. There is one offer a zone where the zones are known.
///
/// An offer without a price is only there when the task names the instance type, and sets neither a budget
/// nor max_hourly_cost. Only when named (by type, by arch, or by an accelerator that nothing else has) are
/// there arm64 machines and machines with a slice of a GPU; accelerators only when one is asked for. Where no
/// memory is asked for, machines without accelerators have at least 4 GiB and 2 GiB a vCPU. Without any candidate
/// for the machine, the answer begins with the small general one (t3.medium).
///
/// Accelerators are named as people write them: `a10g`, `A100-80GB`, `V100-32GB`, `nvidia-tesla-t4`; or by
/// their memory: `24GB+`, `NVIDIA:80GB`. The count is exact. With a known duration, what costs more than the
/// task's budget, disk and address included, is left out. A disk counts as far as the task says its size: the
/// size of an image's own is not known here. No address is counted where the task wants none.
///
/// Fails not_found, saying which candidate excludes what and naming the nearest alternatives, when nothing can
/// satisfy it; bad_input for an unknown type, GPU or region. The text begins with the place in the task file.
Result<Ranking> rank(const task::Task& task, const Catalog& catalog, const RankOptions& options);

/// One instance type with accelerators, for a table.
struct GpuRow {
  struct Cell {
    std::string region;
    std::optional<Usd> on_demand, spot;
    std::string on_demand_date, spot_date;  ///< when they were true; empty where unknown
  };
  std::string type, gpu;
  int count = 0;
  int gpu_memory_mib = 0;  ///< of one
  int vcpus = 0;
  std::int64_t memory_mib = 0;
  std::string arch, last_seen;
  std::vector<Cell> prices;         ///< one for each region asked for, in that order
  std::optional<Usd> per_gpu_hour;  ///< the lowest on-demand price among them, for one GPU
};

enum class GpuSort { price, gpu, memory };  ///< an hour of one GPU; its name; its memory, most first

/// Types with accelerators. `name` is a GPU as people write it (A100 also gives A100-80GB), its memory (80GB,
/// 24GB+), a family (g5) or a type, each also with a count (H100:8); empty: all. `regions` empty: every
/// region. A row without any price comes last, and by price a slice of a GPU behind whole ones. Fails
/// bad_input for a name that is nothing of these, with the nearest.
Result<std::vector<GpuRow>> gpu_table(const Catalog& catalog, std::string_view name,
                                      std::span<const std::string> regions, GpuSort sort = GpuSort::price);

}  // namespace ferry::plan
