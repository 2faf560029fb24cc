#include "plan/nearest.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "plan/ask.h"

namespace ferry::plan {
namespace {

/// What makers publish of one GPU: memory, dense 16-bit arithmetic with 32-bit sums, memory bandwidth. The
/// beginning of a name is enough; the longest that fits counts. Lower case, letters and digits only.
struct Facts {
  std::string_view name;
  double gb, tflops, gb_per_s;
};
constexpr Facts facts[] = {
    {"k520", 4, 2, 160},         {"k80", 12, 4, 240},         {"m60", 8, 5, 160},
    {"p100", 16, 21, 732},       {"p40", 24, 12, 346},        {"p4", 8, 6, 192},
    {"v100", 16, 125, 900},      {"v10032gb", 32, 125, 900},  {"t4", 16, 65, 320},
    {"a10", 24, 125, 600},       {"a10g", 24, 70, 600},       {"l4", 24, 121, 300},
    {"l40", 48, 181, 864},       {"l40s", 48, 362, 864},      {"a30", 24, 165, 933},
    {"a40", 48, 150, 696},       {"a16", 16, 18, 200},        {"a2", 16, 18, 200},
    {"a6000", 48, 155, 768},     {"rtxa6000", 48, 155, 768},  {"rtxa5000", 24, 111, 768},
    {"rtxa4500", 20, 95, 640},   {"rtxa4000", 16, 77, 448},   {"a5000", 24, 111, 768},
    {"a4500", 20, 95, 640},      {"a4000", 16, 77, 448},      {"rtx6000", 48, 364, 960},
    {"quadrortx", 24, 131, 672}, {"gtx", 11, 11, 484},        {"titan", 12, 15, 548},
    {"rtx20", 11, 54, 616},      {"rtx30", 24, 71, 936},      {"rtx40", 24, 165, 1008},
    {"rtx50", 32, 210, 1792},    {"a100", 40, 312, 1555},     {"a10080gb", 80, 312, 2039},
    {"a800", 80, 312, 2039},     {"h100", 80, 989, 3350},     {"h100nvl", 94, 835, 3900},
    {"h800", 80, 989, 3350},     {"h20", 96, 148, 4000},      {"h200", 141, 989, 4800},
    {"gh200", 96, 989, 4000},    {"gb200", 186, 2250, 8000},  {"b200", 180, 2250, 8000},
    {"gb300", 268, 2250, 8000},  {"b300", 268, 2250, 8000},   {"mi250", 128, 362, 3200},
    {"mi300x", 192, 1307, 5300}, {"mi325x", 256, 1307, 6000}, {"rtxproserver6000", 96, 500, 1597},
};

std::string letters_of(std::string_view name) {
  std::string out;
  for (const char c : lower(name)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  for (const std::string_view word : {"nvidia", "amd", "tesla", "geforce", "instinct", "radeon"}) {
    if (out.starts_with(word)) out.erase(0, word.size());
  }
  return out;
}

const Facts* facts_of(std::string_view name) {
  const auto word = letters_of(name);
  const Facts* best = nullptr;
  for (const auto& one : facts) {
    if (word.starts_with(one.name) && (!best || one.name.size() > best->name.size())) best = &one;
  }
  return best;
}

/// On demand, in the cheapest region; zero: unknown.
Usd lowest(const InstanceType& type, const Catalog& catalog) {
  Usd best;
  for (const auto& row : catalog.rows(type)) {
    if (row.on_demand.micros && (!best.micros || row.on_demand < best)) best = row.on_demand;
  }
  return best;
}

bool same(const Near& a, const Near& b) { return a.accelerator == b.accelerator && a.count == b.count; }

std::vector<task::Resources*> candidates_of(task::Task& task) {
  std::vector<task::Resources*> out;
  if (task.candidates.empty()) out.push_back(&task.resources);
  for (auto& one : task.candidates) out.push_back(&one);
  return out;
}

/// "by eight only", "by 1, 4 and 8 only"
std::string by(const std::set<int>& counts) {
  if (counts == std::set{8}) return "by eight only";
  std::string out = "by ";
  std::size_t left = counts.size();
  for (const int count : counts) {
    out += std::to_string(count);
    if (--left) out += left == 1 ? " and " : ", ";
  }
  return out + " only";
}

}  // namespace

std::string_view retired(std::string_view type) {
  struct Family {
    std::string_view name, when;
  };
  constexpr Family families[] = {{"p2", "2024"},        {"p3", "May 2026"},     {"p3dn", "May 2026"},
                                 {"g2", "before 2024"}, {"g3", "October 2025"}, {"g3s", "October 2025"}};
  const auto family = type.substr(0, type.find('.'));
  for (const auto& one : families) {
    if (one.name == family) return one.when;
  }
  return {};
}

std::string_view doubt(std::string_view type) {
  if (type.starts_with("p6e-"))
    return "AWS rents P6e in capacity blocks of UltraServers only: name yours with --capacity-reservation";
  if (!type.starts_with("g4ad.")) return {};
  return "AWS's list of types by region was seen without g4ad since September 2026: a launch may find none";
}

std::vector<Near> nearest_to(std::string_view accelerator, int count, const Catalog& catalog) {
  const auto* asked = facts_of(accelerator);
  if (!asked || count < 1) return {};
  constexpr double about = 0.55, nearly_all = 0.85, many_more = 4;
  std::optional<Near> enough, roomy, fast, largest, larger_number;
  const auto cheaper = [](std::optional<Near>& best, const Near& one) {
    if (!best || one.hourly < best->hourly) best = one;
  };
  for (const auto& type : catalog.types()) {
    const auto* its = type.accelerator.empty() ? nullptr : facts_of(type.accelerator);
    const auto hourly = lowest(type, catalog);
    if (!its || !hourly.micros || !retired(type.name).empty() || is_slice(type) || type.arch != "x86_64") continue;
    const Near one{type.accelerator, type.accelerator_count, static_cast<int>(its->gb), hourly};
    const auto rank = [](const Near& near) { return std::pair(-near.gb, near.hourly); };
    if (one.count == count && (!largest || rank(one) < rank(*largest))) largest = one;
    if (its->gb < asked->gb * nearly_all || its->gb * one.count < asked->gb * count * nearly_all) continue;
    const double more = double(one.count) / count;
    const double arithmetic = its->tflops / asked->tflops * more;
    const double bandwidth = its->gb_per_s / asked->gb_per_s * more;
    cheaper(roomy, one);
    if (std::min(arithmetic, bandwidth) >= about) cheaper(enough, one);
    if (arithmetic * bandwidth >= 1) cheaper(fast, one);
    if (letters_of(type.accelerator) == letters_of(accelerator) && one.count > count) cheaper(larger_number, one);
  }
  if (enough && enough->count < count * many_more) largest.reset();
  std::vector<Near> out;
  for (const auto& one : {largest, enough, roomy, fast, larger_number}) {
    const auto is_it = [&](const Near& other) { return same(other, *one); };
    if (one && std::ranges::none_of(out, is_it)) out.push_back(*one);
  }
  return out;
}

std::string show(std::span<const Near> list) {
  std::vector<std::string> out;
  for (const auto& one : list) {
    out.push_back(fmt::format("{}:{} ({}{} GB, {}/h)", one.accelerator, one.count,
                              one.count > 1 ? fmt::format("{} × ", one.count) : std::string(), one.gb,
                              show_hourly(one.hourly)));
  }
  return join(out, ", ");
}

std::string nearest_advice(std::string_view accelerator, int count, const Catalog& catalog) {
  const auto near = nearest_to(accelerator, count, catalog);
  return near.empty() ? std::string() : fmt::format("nearest: {}; --nearest takes the first", show(near));
}

Error gone(std::string_view what, std::string_view when, std::string_view accelerator, int count,
           const Catalog& catalog) {
  auto advice = nearest_advice(accelerator, count, catalog);
  return {Kind::unsupported, fmt::format("AWS has no {} any more", printable(what)), fmt::format("retired: {}", when),
          advice.empty() ? "ferry gpus lists what there is" : std::move(advice), std::string(no_such_hardware)};
}

Error not_sold(std::string what, std::string_view accelerator, int count, const std::set<int>& sold,
               const Catalog& catalog) {
  std::vector<std::string> forms;
  for (const int one : sold) forms.push_back(fmt::format("{}:{}", printable(accelerator), one));
  auto advice = nearest_advice(accelerator, count, catalog);
  return {Kind::not_found, std::move(what), fmt::format("AWS sells {} {}", printable(accelerator), by(sold)),
          advice.empty() ? "ask for " + join(forms, ", ") : std::move(advice), std::string(no_such_hardware)};
}

Status hardware_exists(const task::Task& task, const Catalog& catalog) {
  std::vector<std::string> notes;
  TRY_SET(asks, "", asks_of(task, catalog, notes));
  std::optional<Error> first;
  for (const auto& ask : asks) {
    const auto found = fitting(ask, catalog);
    if (found) return {};
    if (!first) first = found.error();
  }
  if (first && first->code == no_such_hardware) return tl::unexpected(*first);
  return {};
}

std::vector<std::string> take_nearest(task::Task& task, const Catalog& catalog) {
  std::vector<std::string> told;
  const auto missing = [&] {
    // A rehearsal has what AWS rents out no more, but who takes the nearest rehearses what would be rented.
    auto rented = task;
    for (auto* candidate : candidates_of(rented))
      if (candidate->infra && candidate->infra->provider == task::Provider::rehearsal) candidate->infra.reset();
    const auto exists = hardware_exists(rented, catalog);
    return !exists && exists.error().code == no_such_hardware;
  };
  if (!missing()) return told;
  for (auto* candidate : candidates_of(task)) {
    const auto* type = catalog.find(lower(candidate->instance_type));
    if (type && !retired(type->name).empty()) {
      if (candidate->accelerators.choices.empty())
        candidate->accelerators.choices.push_back({.name = type->accelerator, .count = type->accelerator_count});
      candidate->instance_type.clear();
    }
    for (auto& one : candidate->accelerators.choices) {
      const auto near = nearest_to(one.name, one.count, catalog);
      if (near.empty()) continue;
      told.push_back(fmt::format("{}:{} → {}", printable(one.name), one.count, show(std::span(near).first(1))));
      one.name = near[0].accelerator;
      one.count = near[0].count;
    }
  }
  if (!missing()) return told;
  for (auto* candidate : candidates_of(task)) {
    for (auto* amount : {&candidate->cpus, &candidate->memory}) {
      if (!*amount || (*amount)->at_least) continue;
      (*amount)->at_least = true;
      told.push_back(fmt::format("{} → {}+ ({})", (*amount)->value, (*amount)->value,
                                 amount == &candidate->cpus ? "vCPU" : "GiB of memory"));
    }
  }
  return told;
}

}  // namespace ferry::plan
