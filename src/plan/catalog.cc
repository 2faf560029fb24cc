#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "base/text.h"
#include "plan/plan.h"

extern "C" {
extern const char ferry_embed_instances_csv[], ferry_embed_instances_csv_end[];
extern const char ferry_embed_prices_csv[], ferry_embed_prices_csv_end[];
}

namespace ferry::plan {
namespace {

/// The month in which the newest built-in prices were true.
constexpr std::string_view builtin_date = "2025-10";

/// Walks the lines of a CSV text whose fields hold no quotes and no commas.
class Rows {
 public:
  Rows(std::string_view text, std::string_view what) : rest_(text), what_(what) {}

  /// The first line must begin with `columns`.
  Status header(std::string_view columns) {
    if (next() && line_.starts_with(columns)) {
      names_.assign(fields_.begin(), fields_.end());
      return {};
    }
    return wrong(fmt::format("the columns must begin with {}", columns));
  }
  /// Moves to the next line that is not empty; false at the end.
  bool next() {
    while (!rest_.empty()) {
      const auto end = std::min(rest_.find('\n'), rest_.size());
      line_ = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      fields_.clear();
      for (auto left = line_;;) {
        const auto comma = left.find(',');
        fields_.push_back(left.substr(0, comma));
        if (comma == left.npos) break;
        left.remove_prefix(comma + 1);
      }
      if (!line_.empty()) return true;
    }
    return false;
  }
  /// Empty where the line is too short.
  std::string_view field(std::size_t i) const { return i < fields_.size() ? fields_[i] : std::string_view(); }
  /// Where the header has this name; a column that no line has if it does not.
  std::size_t column(std::string_view name) const {
    const auto at = std::ranges::find(names_, name);
    return at == names_.end() ? std::string_view::npos : static_cast<std::size_t>(at - names_.begin());
  }
  tl::unexpected<Error> wrong(std::string_view why) const {
    return fail(Kind::corrupt, fmt::format("{}, line {}: {}", what_, number_, why));
  }

 private:
  std::string_view rest_, what_, line_;
  std::vector<std::string_view> names_, fields_;
  int number_ = 0;
};

Result<InstanceType> type_in(const Rows& row) {
  InstanceType type;
  type.name = row.field(0);
  type.accelerator = row.field(1);
  type.arch = row.field(6);
  const auto count = parse_int(row.field(2)), memory = parse_int(row.field(5)),
             vcpus = parse_int(row.field(4));
  const auto each = row.field(3).empty() ? std::optional<std::int64_t>(0) : parse_int(row.field(3));
  constexpr std::int64_t large = 1'000'000'000;
  for (const auto& number : {count, memory, vcpus, each}) {
    if (!number || *number < 0 || *number > large) return row.wrong("a number is missing or wrong");
  }
  if (type.name.empty() || *vcpus == 0 || *memory == 0)
    return row.wrong("name, vCPUs and memory must be there");
  if (type.accelerator.empty() != (*count == 0)) return row.wrong("an accelerator needs a name and a count");
  if (type.arch != "x86_64" && type.arch != "arm64") return row.wrong("the architecture is x86_64 or arm64");
  type.accelerator_count = static_cast<int>(*count);
  type.accelerator_memory_mib = static_cast<int>(*each);
  type.vcpus = static_cast<int>(*vcpus);
  type.memory_mib = *memory;
  return type;
}

}  // namespace

const Catalog& Catalog::builtin() {
  static const Catalog catalog = [] {
    auto parsed = parse({ferry_embed_instances_csv, ferry_embed_instances_csv_end},
                        {ferry_embed_prices_csv, ferry_embed_prices_csv_end}, builtin_date);
    if (!parsed) throw std::logic_error(parsed.error().what);
    return *std::move(parsed);
  }();
  return catalog;
}

Result<Catalog> Catalog::parse(std::string_view instances, std::string_view prices, std::string_view date) {
  Builder builder;
  Rows rows(instances, "instances");
  TRY("",
      rows.header(
          "instance_type,accelerator_name,accelerator_count,accelerator_memory_mib,vcpus,memory_mib,arch"));
  std::set<std::string, std::less<>> names;
  while (rows.next()) {
    TRY_SET(type, "", type_in(rows));
    if (!names.insert(type.name).second) {
      return fail(Kind::corrupt, fmt::format("instances: {} is there twice", printable(type.name)));
    }
    builder.add(std::move(type));
  }
  Rows lines(prices, "prices");
  TRY("", lines.header("instance_type,region,on_demand_usd_per_hour"));
  const auto spot = lines.column("spot_usd_per_hour"), zone = lines.column("zone"),
             when = lines.column("date");
  std::set<std::tuple<std::string, std::string, std::string, std::string>> places;
  while (lines.next()) {
    Price price{
        std::string(lines.field(0)),   std::string(lines.field(1)), std::string(lines.field(zone)), {}, {},
        std::string(lines.field(when))};
    if (!names.contains(price.type)) return lines.wrong("a price of an instance type that is not listed");
    if (price.region.empty()) return lines.wrong("the region is missing");
    for (const auto& [text, to] :
         {std::pair(lines.field(2), &price.on_demand), std::pair(lines.field(spot), &price.spot)}) {
      if (text.empty()) continue;
      const auto usd = parse_usd(text);
      if (!usd || usd->micros <= 0) return lines.wrong("the price must be above zero, or empty if unknown");
      *to = *usd;
    }
    if (!places.insert({price.type, price.region, price.zone, price.date}).second) {
      return fail(Kind::corrupt,
                  fmt::format("prices: {} in {} is there twice", price.type, printable(price.region)));
    }
    builder.add(price);
  }
  return builder.build(date);
}

void Catalog::Builder::add(InstanceType type) { types_.push_back(std::move(type)); }
void Catalog::Builder::add(const Price& price) { prices_.push_back(price); }
void Catalog::Builder::add(const Catalog& catalog) {
  for (const auto& type : catalog.types_) add(type);
  for (auto price : catalog.prices_) {
    if (price.date.empty()) price.date = catalog.date_;
    add(price);
  }
}

Catalog Catalog::Builder::build(std::string_view date) {
  Catalog out;
  out.date_ = date;
  out.types_ = std::move(types_);
  out.prices_ = std::move(prices_);
  std::ranges::stable_sort(out.types_, {}, &InstanceType::name);
  const auto key = [](const Price& price) { return std::tie(price.type, price.region, price.zone); };
  std::ranges::stable_sort(out.prices_, {}, key);
  return out;
}

Catalog Catalog::merged(const Catalog& older, const Catalog& newer) {
  Builder builder;
  builder.add(older);
  builder.add(newer);
  return builder.build(newer.date());
}

Catalog::Csv Catalog::to_csv() const { return {}; }

const InstanceType* Catalog::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(types_, name, {},
                                           [](const auto& type) { return std::string_view(type.name); });
  return at != types_.end() && at->name == name ? &*at : nullptr;
}

std::optional<Usd> Catalog::on_demand(std::string_view type, std::string_view region) const {
  for (const auto& price : prices_) {
    if (price.type == type && price.region == region && price.on_demand) return price.on_demand;
  }
  return std::nullopt;
}

std::optional<Usd> Catalog::spot(std::string_view type, std::string_view region, std::string_view) const {
  for (const auto& price : prices_) {
    if (price.type == type && price.region == region && price.spot) return price.spot;
  }
  return std::nullopt;
}

std::string_view Catalog::price_date(Market, std::string_view, std::string_view, std::string_view) const {
  return date_;
}

std::vector<std::string> Catalog::zones(std::string_view, std::string_view) const { return {}; }

std::vector<std::string> Catalog::regions() const {
  std::set<std::string_view> regions;
  for (const auto& price : prices_) {
    if (price.on_demand) regions.insert(price.region);
  }
  return {regions.begin(), regions.end()};
}

std::string_view name(Market market) { return market == Market::spot ? "spot" : "on-demand"; }

}  // namespace ferry::plan
