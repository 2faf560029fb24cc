#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/text.h"
#include "plan/ask.h"
#include "plan/most.h"
#include "plan/why_none.h"

namespace ferry::plan {
namespace {

constexpr std::string_view small_general_machine = "t3.medium";

/// An offer before it is written out. Sorted by `first`, then `second`.
struct Line {
  std::uint64_t first = 0, second = 0;
  const Ask* ask = nullptr;
  const InstanceType* type = nullptr;
  std::uint32_t region = 0;  // among the regions of this ranking
  std::uint32_t zone = 0;    // in the catalog; 0: the cloud chooses
  Known known;
  Usd dearest;  // zero: unknown
  bool avoided = false;

  auto key() const { return std::tie(first, second); }
};

std::string ordinal(std::size_t n) {
  const bool teen = n % 100 >= 11 && n % 100 <= 13;
  const char* end = teen ? "th" : n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
  return fmt::format("{}{}", n, end);
}

/// Walks through asks, types and places; one use.
class Ranker {
 public:
  Ranker(const task::Task& task, const Catalog& catalog, const RankOptions& options)
      : task_(task),
        catalog_(catalog),
        options_(options),
        all_regions_(catalog.regions()),
        ways_(catalog.types().size() * 2) {
    duration_ = task.duration ? task.duration : options.duration;
  }

  Result<Ranking> run() {
    TRY_SET(asks, "", asks_of(task_, catalog_, out_.notes));
    asks_ = std::move(asks);
    for (auto& ask : asks_) ask.address = task_.aws.public_address == false ? Usd{} : public_ipv4_hour;
    std::vector<Error> errors;
    std::vector<Types> types;
    for (const auto& ask : asks_) {
      auto found = fitting(ask, catalog_);
      if (!found) errors.push_back(found.error());
      types.push_back(found.value_or(Types()));
      for (const auto* type : types.back()) ++ways_[way(ask, *type)];
    }
    for (std::size_t i = 0; i < asks_.size(); ++i) {
      if (types[i].empty()) continue;
      if (auto added = add(asks_[i], types[i]); !added) errors.push_back(added.error());
    }
    if (lines_.empty()) return tl::unexpected(together(errors));
    for (const auto& error : errors) out_.notes.push_back("left out: " + error.what);
    sort();
    write_offers();
    note_budget();
    note_unknown_price();
    return std::move(out_);
  }

 private:
  using Types = std::vector<const InstanceType*>;

  std::size_t number_of(const InstanceType& type) const {
    return static_cast<std::size_t>(&type - catalog_.types().data());
  }
  /// A type and a market, as a number.
  std::size_t way(const Ask& ask, const InstanceType& type) const {
    return number_of(type) * 2 + (ask.market == Market::spot);
  }

  /// An hour of the machine at the very most; zero: unknown.
  static Usd dearest(const Ask& ask, const InstanceType& type, std::span<const Catalog::Row> rows, Usd price) {
    Usd cap = price;
    if (ask.market == Market::spot) {
      // EC2's own limit for spot is the on-demand price; max_hourly_cost is passed on as a lower one.
      cap = price_in(rows, Market::on_demand).price;
      if (const auto& own = ask.candidate->max_hourly_cost; own && (!cap.micros || *own < cap)) cap = *own;
      if (cap.micros) cap = std::max(cap, price);
    }
    return cap.micros ? cap + credits(type) : Usd{};
  }

  bool rehearsing(const Ask& ask) const {
    return options_.rehearsal || (ask.candidate->infra && ask.candidate->infra->provider == task::Provider::rehearsal);
  }

  /// A named type may be rented without a known price, unless a limit on the price could not be kept.
  bool takes_unpriced(const Ask& ask) const {
    return rehearsing(ask) || (ask.type && !ask.candidate->max_hourly_cost && !task_.budget);
  }

  /// Where to look. Fails when the task's image is not there.
  Result<std::vector<std::string>> regions_of(const Ask& ask) {
    if (rehearsing(ask)) return std::vector{options_.home_region};
    const auto infra = ask.candidate->infra.value_or(task::Infra{});
    if (infra.provider == task::Provider::ssh) {
      return ask.refuse("infra", fail(Kind::bad_input, "a machine that is there already needs no plan", {},
                                      "write infra: aws to rent one")
                                     .value());
    }
    const auto& amis = ask.candidate->image.amis;
    const bool everywhere =
        infra.region.empty() && (infra.any_region || options_.all_regions || options_.home_region.empty());
    const bool by_image = !amis.empty() && !amis.contains("");
    if (by_image && infra.region.empty()) {
      std::vector<std::string> out;
      for (const auto& [region, ami] : amis) out.push_back(region);
      return out;
    }
    if (by_image && !amis.contains(infra.region)) {
      return ask.refuse("image_id", fail(Kind::not_found, fmt::format("image_id names no AMI in {}", infra.region), {},
                                         fmt::format("add one: {}: ami-…", infra.region))
                                        .value());
    }
    if (!infra.region.empty()) return std::vector{infra.region};
    if (everywhere && amis.contains("") && !options_.home_region.empty()) {
      out_.notes.push_back(fmt::format("image_id is an AMI of one region: only {} is looked at", options_.home_region));
      return std::vector{options_.home_region};
    }
    return everywhere ? all_regions_ : std::vector{options_.home_region};
  }

  /// A zone that the region does not have, where its zones are known.
  Status check_zone(const Ask& ask) const {
    if (rehearsing(ask) || !ask.candidate->infra || ask.candidate->infra->zone.empty()) return {};
    const auto& region = ask.candidate->infra->region;
    const auto& zone = ask.candidate->infra->zone;
    const auto number = catalog_.number(region);
    std::set<std::string> zones;
    for (const auto& type : catalog_.types()) {
      for (const auto& row : catalog_.rows(type, number)) {
        if (row.zone) zones.insert(catalog_.name(row.zone));
      }
    }
    if (zones.empty() || zones.contains(zone)) return {};
    const std::vector<std::string> names(zones.begin(), zones.end());
    return ask.refuse("infra", fail(Kind::bad_input, fmt::format("{} has no zone {}", region, printable(zone)), {},
                                    "its zones are " + join(names, ", "))
                                   .value());
  }

  Status add(const Ask& ask, const Types& types) {
    TRY_SET(regions, "", regions_of(ask));
    TRY("", check_zone(ask));
    Refused refused;
    const auto before = lines_.size();
    for (const auto& region : regions) {
      const auto number = region_number(region);
      const auto in_catalog = catalog_.number(region);
      for (const auto* type : types) {
        const auto rows = in_catalog ? catalog_.rows(*type, in_catalog) : std::span<const Catalog::Row>();
        add_places(ask, *type, number, rows, regions.size() == 1, refused);
      }
    }
    if (lines_.size() == before && !duplicates_)
      return WhyNone{task_, catalog_, all_regions_, duration_}.tell(ask, types, regions, refused);
    budget_left_out_ += refused.over_budget;
    return {};
  }

  std::uint32_t region_number(const std::string& region) {
    const auto number = std::ranges::find(regions_, region) - regions_.begin();
    if (number == std::ssize(regions_)) regions_.push_back(region);
    return static_cast<std::uint32_t>(number);
  }

  /// One line for each zone that is known, or one for the region.
  void add_places(const Ask& ask, const InstanceType& type, std::uint32_t region, std::span<const Catalog::Row> rows,
                  bool only, Refused& refused) {
    const auto zone = ask.candidate->infra ? std::string_view(ask.candidate->infra->zone) : std::string_view();
    if (rows.empty() && !(only && takes_unpriced(ask))) {
      ++refused.unpriced;
      return;
    }
    bool zoned = false;
    for (const auto& row : rows) {
      if (!row.zone || rehearsing(ask)) continue;
      zoned = true;
      if (!zone.empty() && catalog_.name(row.zone) != zone) continue;
      add_line(ask, type, region, row.zone, rows, refused);
    }
    if (!zoned) add_line(ask, type, region, 0, rows, refused);
  }

  void add_line(const Ask& ask, const InstanceType& type, std::uint32_t region, std::uint32_t zone,
                std::span<const Catalog::Row> rows, Refused& refused) {
    const auto known = price_in(rows, ask.market, zone);
    const Usd price = known.price;
    if (!price.micros && !takes_unpriced(ask)) {
      ++refused.unpriced;
      return;
    }
    if (price.micros && ask.candidate->max_hourly_cost && price > *ask.candidate->max_hourly_cost) {
      ++refused.too_dear;
      return refused.note(price, type, regions_[region]);
    }
    if (price.micros && duration_ && task_.budget &&
        cost(price + ask.beside(regions_[region]), *duration_) > *task_.budget) {
      ++refused.over_budget;
      return refused.note(price, type, regions_[region]);
    }
    Line line{.ask = &ask,
              .type = &type,
              .region = region,
              .zone = zone,
              .known = known,
              .dearest = dearest(ask, type, rows, price)};
    // A second way to the same offer is no other offer.
    if (ways_[way(ask, type)] > 1) {
      const auto place = (std::uint64_t{way(ask, type)} << 44) | (std::uint64_t{region} << 24) | zone;
      if (!seen_.insert(place).second) {
        duplicates_ = true;
        return;
      }
    }
    const bool usual = ask.nothing() && type.name == small_general_machine && price.micros;
    constexpr std::uint64_t unknown_price = (std::uint64_t{1} << 42) - 1;
    const auto micros = price.micros ? static_cast<std::uint64_t>(price.micros) : unknown_price;
    line.first = (std::uint64_t{std::min(ask.group, 0xffffU)} << 43) | (std::uint64_t{!usual} << 42) |
                 std::min(micros, unknown_price);
    line.second =
        (static_cast<std::uint64_t>(std::min(type.vcpus, 0xffff)) << 48) | (std::uint64_t{number_of(type)} << 32);
    lines_.push_back(line);
  }

  /// Regions are numbered as they come; for ties they must be in the order of their names.
  void sort() {
    std::vector<std::uint64_t> place(regions_.size());
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      place[i] = static_cast<std::uint64_t>(
          std::ranges::count_if(regions_, [&](const auto& other) { return other < regions_[i]; }));
    }
    Offer scratch;
    for (auto& line : lines_) {
      line.second |= (std::min<std::uint64_t>(place[line.region], 0xff) << 24) | (line.zone & 0xffffff);
      if (!options_.avoid) continue;
      write(line, scratch);
      line.avoided = options_.avoid(scratch);
      line.first |= std::uint64_t{line.avoided} << 63;
    }
    out_.considered = lines_.size();
    const auto most = std::clamp<std::size_t>(options_.most, 1, lines_.size());
    const auto end = lines_.begin() + static_cast<std::ptrdiff_t>(most);
    const auto better = [](const Line& a, const Line& b) { return a.key() < b.key(); };
    if (end != lines_.end()) std::nth_element(lines_.begin(), end, lines_.end(), better);
    lines_.erase(end, lines_.end());
    std::sort(lines_.begin(), lines_.end(), better);
  }

  void write(const Line& line, Offer& offer) const {
    offer.type = *line.type;
    offer.region = regions_[line.region];
    offer.zone = line.zone ? catalog_.name(line.zone) : std::string();
    if (!line.zone && line.ask->candidate->infra && !rehearsing(*line.ask))
      offer.zone = line.ask->candidate->infra->zone;
    offer.market = line.ask->market;
    offer.hourly = line.known.price.micros ? std::optional(line.known.price) : std::nullopt;
    offer.price_date = offer.hourly ? catalog_.name(line.known.date) : std::string();
    offer.price_is_old = is_old_price(offer.price_date, options_.today);
    offer.dearest = line.dearest.micros ? std::optional(line.dearest) : std::nullopt;
    offer.disk = line.ask->disk(offer.region);
    offer.address = line.ask->address;
    offer.total = offer.hourly && duration_ ? std::optional(cost(*offer.rate(), *duration_)) : std::nullopt;
    offer.candidate = line.ask->number;
    offer.ask = static_cast<std::size_t>(line.ask - asks_.data());
  }

  void write_offers() {
    out_.offers.resize(lines_.size());
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      write(lines_[i], out_.offers[i]);
      out_.offers[i].reason = reason(i);
    }
  }

  std::string reason(std::size_t i) const {
    const auto& line = lines_[i];
    const auto& best = lines_.front();
    if (line.avoided) return "no capacity there lately, so behind the others";
    const bool new_group = i == 0 || line.ask->group != lines_[i - 1].ask->group;
    if (new_group && (i > 0 || asks_.size() > 1)) {
      const bool ordered = lines_.back().ask->group != best.ask->group || line.ask->group > 0;
      if (ordered) return fmt::format("{} for the task's {} choice", word(line), ordinal(choice(line.ask->group)));
    }
    if (i == 0) return word(line);
    if (!line.known.price.micros) return fmt::format("{}: price unknown", ordinal(i + 1));
    const auto more = line.known.price.micros - best.known.price.micros;
    if (more == 0) return fmt::format("{}: the same price", ordinal(i + 1));
    if (!best.known.price.micros) return fmt::format("{}: {}/h", ordinal(i + 1), show(line.known.price));
    return fmt::format("{}: {}{}/h", ordinal(i + 1), more > 0 ? "+" : "-", show(Usd{std::abs(more)}));
  }

  /// What distinguishes the first of its group.
  std::string word(const Line& line) const {
    if (line.ask->nothing() && line.type->name == small_general_machine && line.known.price.micros)
      return "the small general machine: the task asks for nothing else";
    const auto* spot = line.ask->market == Market::spot ? " spot" : "";
    if (line.ask->type) return fmt::format("the task names {}{}", line.type->name, spot);
    const auto text = line.ask->text();
    return fmt::format("cheapest{}{}{}", spot, text.empty() ? "" : " with ", text);
  }

  /// Groups that have offers are counted from 1.
  std::size_t choice(std::uint32_t group) const {
    std::set<std::uint32_t> groups;
    for (const auto& ask : asks_) groups.insert(ask.group);
    return static_cast<std::size_t>(std::distance(groups.begin(), groups.find(group))) + 1;
  }

  void note_budget() {
    if (budget_left_out_) {
      out_.notes.push_back(fmt::format("{} offer{} left out: more than the budget of {} in {}", budget_left_out_,
                                       budget_left_out_ == 1 ? "" : "s", amount(*task_.budget),
                                       show_duration(*duration_)));
    }
  }

  void note_unknown_price() {
    const auto& best = out_.offers.front();
    if (best.hourly || rehearsing(*lines_.front().ask)) return;
    out_.notes.push_back(fmt::format("the {} price of {} in {} is not known; ask AWS: ferry catalog update",
                                     name(best.market), best.type.name, best.region));
  }

  static Error together(const std::vector<Error>& errors) {
    if (errors.size() == 1) return errors.front();
    Error out = errors.front();
    std::vector<std::string> others;
    for (std::size_t i = 1; i < errors.size(); ++i) others.push_back(errors[i].what);
    out.why = join(others, "; ");
    return out;
  }

  const task::Task& task_;
  const Catalog& catalog_;
  const RankOptions& options_;
  const std::vector<std::string> all_regions_;
  std::optional<Seconds> duration_;
  std::vector<Ask> asks_;
  std::vector<std::string> regions_;
  std::vector<Line> lines_;
  std::vector<int> ways_;                   // how many asks lead to a type and market
  std::unordered_set<std::uint64_t> seen_;  // offers to which more than one leads
  bool duplicates_ = false;
  std::size_t budget_left_out_ = 0;
  Ranking out_;
};

}  // namespace

Result<Ranking> rank(const task::Task& task, const Catalog& catalog, const RankOptions& options) {
  return Ranker(task, catalog, options).run();
}

std::optional<Usd> resting_month(const task::Task& task, const Offer& offer) {
  constexpr std::int64_t hours_a_month = 730;
  return task.ends == task::Ends::stop ? std::optional(Usd{offer.disk.micros * hours_a_month}) : std::nullopt;
}

}  // namespace ferry::plan
