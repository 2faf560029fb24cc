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
      while (line_.ends_with('\r')) line_.remove_suffix(1);
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

constexpr std::string_view first_type_columns =
    "instance_type,accelerator_name,accelerator_count,accelerator_memory_mib,vcpus,memory_mib,arch";

/// Zero where the field is empty.
Result<Usd> price_in_field(const Rows& row, std::size_t column) {
  const auto text = row.field(column);
  if (text.empty()) return Usd{};
  const auto usd = parse_usd(text);
  if (!usd || usd->micros <= 0) return row.wrong("the price must be above zero, or empty if unknown");
  return *usd;
}

/// A text that cannot end its cell.
std::string cell(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == ',' || c == '\n'; }, ' ');
  return text;
}

/// Exact; empty for an unknown price.
std::string decimal(Usd price) {
  if (!price.micros) return {};
  auto text = fmt::format("{}.{:06}", price.micros / 1'000'000, price.micros % 1'000'000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

Result<InstanceType> type_in(const Rows& row, std::size_t network, std::size_t nvme, std::size_t seen) {
  InstanceType type;
  type.name = row.field(0);
  type.accelerator = row.field(1);
  type.arch = row.field(6);
  const auto count = parse_int(row.field(2)), memory = parse_int(row.field(5)), vcpus = parse_int(row.field(4));
  const auto each = row.field(3).empty() ? std::optional<std::int64_t>(0) : parse_int(row.field(3));
  const auto disk = row.field(nvme).empty() ? std::optional<std::int64_t>(0) : parse_int(row.field(nvme));
  constexpr std::int64_t large = 1'000'000'000;
  for (const auto& number : {count, memory, vcpus, each, disk}) {
    if (!number || *number < 0 || *number > large) return row.wrong("a number is missing or wrong");
  }
  if (type.name.empty() || *vcpus == 0 || *memory == 0) return row.wrong("name, vCPUs and memory must be there");
  if (type.accelerator.empty() != (*count == 0)) return row.wrong("an accelerator needs a name and a count");
  if (type.arch != "x86_64" && type.arch != "arm64") return row.wrong("the architecture is x86_64 or arm64");
  type.accelerator_count = static_cast<int>(*count);
  type.accelerator_memory_mib = static_cast<int>(*each);
  type.vcpus = static_cast<int>(*vcpus);
  type.memory_mib = *memory;
  type.network = row.field(network);
  type.local_nvme_gb = static_cast<int>(*disk);
  type.last_seen = row.field(seen);
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
  std::string twice;
  Rows rows(instances, "instances");
  TRY("", rows.header(first_type_columns));
  const auto network = rows.column("network_gbps"), nvme = rows.column("local_nvme_gb"),
             seen = rows.column("last_seen");
  while (rows.next()) {
    TRY_SET(type, "", type_in(rows, network, nvme, seen));
    builder.add(std::move(type));
  }
  // A price of a type that is not listed is a mistake in the text, told with its line.
  std::set<std::string_view> names;
  for (const auto& type : builder.types_) names.insert(type.name);

  Rows lines(prices, "prices");
  TRY("", lines.header("instance_type,region,on_demand_usd_per_hour"));
  const auto spot = lines.column("spot_usd_per_hour"), zone = lines.column("zone"), when = lines.column("date");
  std::string_view last;
  while (lines.next()) {
    const auto type = lines.field(0);
    if (type != last && !names.contains(type)) return lines.wrong("a price of an instance type that is not listed");
    last = type;
    if (lines.field(1).empty()) return lines.wrong("the region is missing");
    TRY_SET(hourly, "", price_in_field(lines, 2));
    TRY_SET(spot_hourly, "", price_in_field(lines, spot));
    builder.add(type, lines.field(1), lines.field(zone), lines.field(when), hourly, spot_hourly);
  }
  auto catalog = builder.build(date, twice);
  if (!twice.empty()) return fail(Kind::corrupt, fmt::format("{} is there twice", printable(twice)));
  return catalog;
}

std::uint32_t Catalog::Builder::id(std::string_view name) {
  const auto found = ids_.find(name);
  if (found != ids_.end()) return found->second;
  return ids_.emplace(name, static_cast<std::uint32_t>(ids_.size())).first->second;
}

void Catalog::Builder::add(InstanceType type) { types_.push_back(std::move(type)); }

void Catalog::Builder::add(std::string_view type, std::string_view region, std::string_view zone, std::string_view date,
                           Usd on_demand, Usd spot) {
  records_.push_back({id(type), id(region), id(zone), id(date), on_demand, spot});
}

void Catalog::Builder::add(const Price& price) {
  add(price.type, price.region, price.zone, price.date, price.on_demand.value_or(Usd{}), price.spot.value_or(Usd{}));
}

void Catalog::Builder::add(const Catalog& catalog) {
  for (const auto& type : catalog.types_) {
    add(type);
    for (const auto& row : catalog.rows(type)) {
      const auto& region = catalog.name(row.region);
      const auto& zone = catalog.name(row.zone);
      if (row.on_demand.micros || !row.spot.micros)
        add(type.name, region, zone, catalog.name(row.on_demand_date), row.on_demand, {});
      if (row.spot.micros) add(type.name, region, zone, catalog.name(row.spot_date), {}, row.spot);
    }
  }
}

Catalog Catalog::Builder::build(std::string_view date) {
  std::string twice;
  return build(date, twice);
}

Catalog Catalog::Builder::build(std::string_view date, std::string& twice) {
  Catalog out;
  out.date_ = date;
  std::ranges::stable_sort(types_, {}, &InstanceType::name);
  for (auto& type : types_) {
    if (!out.types_.empty() && out.types_.back().name == type.name) {
      twice = type.name;
      if (type.last_seen < out.types_.back().last_seen) continue;
      out.types_.pop_back();
    }
    out.types_.push_back(std::move(type));
  }
  const auto own_date = id(date), no_date = id("");
  for (auto& record : records_) {
    if (record.date == no_date) record.date = own_date;
  }
  // The map is sorted: its order gives the numbers in the catalog.
  constexpr auto unlisted = static_cast<std::uint32_t>(-1);
  std::vector<std::uint32_t> number(ids_.size()), type_number(ids_.size(), unlisted);
  for (const auto& [name, old] : ids_) {
    number[old] = static_cast<std::uint32_t>(out.names_.size());
    out.names_.push_back(name);
    if (const auto* type = out.find(name)) type_number[old] = static_cast<std::uint32_t>(type - out.types_.data());
  }
  for (auto& record : records_) {
    record = {type_number[record.type], number[record.region], number[record.zone],
              number[record.date],      record.on_demand,      record.spot};
  }
  std::erase_if(records_, [](const Record& record) { return record.type == unlisted; });
  const auto place = [](const Record& record) { return std::tie(record.type, record.region, record.zone); };
  if (!std::ranges::is_sorted(records_, {}, place)) std::ranges::stable_sort(records_, {}, place);

  out.first_.assign(out.types_.size() + 1, 0);
  const Record* before = nullptr;
  for (const auto& record : records_) {
    const bool same = before && place(*before) == place(record);
    if (!same) {
      out.rows_.push_back({record.region, record.zone, 0, 0, {}, {}});
      ++out.first_[record.type + 1];
    }
    auto& row = out.rows_.back();
    const bool empty = !record.on_demand.micros && !record.spot.micros;
    if (same &&
        (empty || (record.on_demand.micros && row.on_demand.micros) || (record.spot.micros && row.spot.micros))) {
      twice = out.types_[record.type].name + " in " + out.names_[record.zone ? record.zone : record.region];
    }
    // Dates are numbered in their order.
    if (record.on_demand.micros && record.date >= row.on_demand_date) {
      row.on_demand = record.on_demand;
      row.on_demand_date = record.date;
    }
    if (record.spot.micros && record.date >= row.spot_date) {
      row.spot = record.spot;
      row.spot_date = record.date;
    }
    before = &record;
  }
  for (std::size_t i = 1; i < out.first_.size(); ++i) out.first_[i] += out.first_[i - 1];
  return out;
}

Catalog Catalog::merged(const Catalog& older, const Catalog& newer) {
  Builder builder;
  builder.add(older);
  builder.add(newer);
  return builder.build(newer.date());
}

Catalog::Csv Catalog::to_csv() const {
  Csv out{std::string(first_type_columns) + ",network_gbps,local_nvme_gb,last_seen\n",
          "instance_type,region,on_demand_usd_per_hour,spot_usd_per_hour,source,zone,date\n", date_};
  const auto number = [](int value) { return value ? std::to_string(value) : std::string(); };
  for (const auto& type : types_) {
    out.instances +=
        fmt::format("{},{},{},{},{},{},{},{},{},{}\n", cell(type.name), cell(type.accelerator), type.accelerator_count,
                    number(type.accelerator_memory_mib), type.vcpus, type.memory_mib, type.arch, cell(type.network),
                    type.local_nvme_gb, cell(type.last_seen));
    const auto line = [&](const Row& row, Usd on_demand, Usd spot, std::uint32_t when) {
      const auto& date = name(when);
      out.prices += fmt::format("{},{},{},{},,{},{}\n", cell(type.name), cell(name(row.region)), decimal(on_demand),
                                decimal(spot), cell(name(row.zone)), date == date_ ? std::string() : cell(date));
    };
    for (const auto& row : rows(type)) {
      const bool both = row.on_demand.micros && row.spot.micros;
      if (both && row.on_demand_date != row.spot_date) {
        line(row, row.on_demand, {}, row.on_demand_date);
        line(row, {}, row.spot, row.spot_date);
      } else {
        line(row, row.on_demand, row.spot, row.on_demand.micros ? row.on_demand_date : row.spot_date);
      }
    }
  }
  return out;
}

const InstanceType* Catalog::find(std::string_view type) const {
  const auto at =
      std::ranges::lower_bound(types_, type, {}, [](const auto& one) { return std::string_view(one.name); });
  return at != types_.end() && at->name == type ? &*at : nullptr;
}

std::span<const Catalog::Row> Catalog::rows(const InstanceType& type) const {
  const auto at = static_cast<std::size_t>(&type - types_.data());
  return std::span(rows_).subspan(first_[at], first_[at + 1] - first_[at]);
}

std::span<const Catalog::Row> Catalog::rows(const InstanceType& type, std::uint32_t region) const {
  if (!region) return {};
  const auto all = rows(type);
  const auto from = std::ranges::lower_bound(all, region, {}, &Row::region);
  const auto to = std::ranges::upper_bound(from, all.end(), region, {}, &Row::region);
  return {from, to};
}

std::span<const Catalog::Row> Catalog::rows(const InstanceType& type, std::string_view region) const {
  return rows(type, number(region));
}

std::uint32_t Catalog::number(std::string_view name) const {
  const auto at = std::ranges::lower_bound(names_, name);
  return at != names_.end() && *at == name ? static_cast<std::uint32_t>(at - names_.begin()) : 0;
}

Known price_in(std::span<const Catalog::Row> region, Market market, std::uint32_t zone) {
  Known whole, lowest;
  for (const auto& row : region) {
    const bool spot = market == Market::spot;
    const Known here{spot ? row.spot : row.on_demand, spot ? row.spot_date : row.on_demand_date};
    if (!here.price.micros) continue;
    if (spot && zone && row.zone == zone) return here;
    if (!row.zone) {
      whole = here;
    } else if (!lowest.price.micros || here.price < lowest.price) {
      lowest = here;
    }
  }
  if (!whole.price.micros) return lowest;
  // Of the same day, the zones say more about spot than a whole region's lowest.
  return market == Market::spot && lowest.price.micros && lowest.date >= whole.date ? lowest : whole;
}

namespace {

Known look(const Catalog& catalog, Market market, std::string_view type, std::string_view region,
           std::string_view zone) {
  const auto* known = catalog.find(type);
  if (!known) return {};
  const auto rows = catalog.rows(*known, region);
  std::uint32_t number = 0;
  for (const auto& row : rows) {
    if (!zone.empty() && catalog.name(row.zone) == zone) number = row.zone;
  }
  return price_in(rows, market, number);
}

std::optional<Usd> price_of(const Known& known) {
  return known.price.micros ? std::optional(known.price) : std::nullopt;
}

}  // namespace

std::optional<Usd> Catalog::on_demand(std::string_view type, std::string_view region) const {
  return price_of(look(*this, Market::on_demand, type, region, {}));
}

std::optional<Usd> Catalog::spot(std::string_view type, std::string_view region, std::string_view zone) const {
  return price_of(look(*this, Market::spot, type, region, zone));
}

std::string_view Catalog::price_date(Market market, std::string_view type, std::string_view region,
                                     std::string_view zone) const {
  const auto known = look(*this, market, type, region, zone);
  return known.price.micros ? std::string_view(name(known.date)) : std::string_view();
}

std::vector<std::string> Catalog::zones(std::string_view type, std::string_view region) const {
  std::vector<std::string> out;
  const auto* known = find(type);
  if (!known) return out;
  for (const auto& row : rows(*known, region)) {
    if (row.zone) out.push_back(name(row.zone));
  }
  return out;
}

std::vector<std::string> Catalog::regions() const {
  std::vector<bool> priced(names_.size());
  for (const auto& row : rows_) priced[row.region] = priced[row.region] || row.on_demand.micros || row.spot.micros;
  std::vector<std::string> out;
  for (std::size_t i = 0; i < priced.size(); ++i) {
    if (priced[i]) out.push_back(names_[i]);
  }
  return out;
}

std::string_view name(Market market) { return market == Market::spot ? "spot" : "on-demand"; }

}  // namespace ferry::plan
