#include "watch/cost.h"

#include <fmt/format.h>

#include "base/text.h"
#include "os/clock.h"
#include "watch/table.h"

namespace ferry::watch {
namespace {

constexpr std::int64_t free_bytes_a_month = 100'000'000'000;

std::string_view title(CostBy by) { return by == CostBy::run ? "RUN" : by == CostBy::type ? "TYPE" : "DAY"; }

std::string key_of(const ledger::Instance& it, CostBy by) {
  if (by == CostBy::run) return it.run;
  if (by == CostBy::day) return os::iso_time(it.launched_ms).substr(0, 10);
  return it.type + (it.market == "spot" ? " (spot)" : "");
}

void add(CostLine& line, const ledger::Instance& it, std::int64_t now_ms) {
  ++line.launches;
  line.bytes_out += it.bytes_out;
  const auto bill = ledger::bill(it, now_ms);
  if (!bill) {
    ++line.unpriced;
    return;
  }
  line.sum.time += bill->time;
  line.sum.machine = line.sum.machine + bill->machine;
  line.sum.disk = line.sum.disk + bill->disk;
  line.sum.address = line.sum.address + bill->address;
}

Usd data_out(const std::map<std::string, std::int64_t>& bytes_by_month) {
  Usd sum;
  for (const auto& [month, bytes] : bytes_by_month) {
    const auto billed = std::max<std::int64_t>(0, bytes - free_bytes_a_month);
    sum.micros += billed / 1000 * ledger::data_out_gb.micros / 1'000'000;
  }
  return sum;
}

Json line_json(const CostLine& line, CostBy by) {
  const auto dollars = [](Usd money) { return static_cast<double>(money.micros) / 1e6; };
  return {{lower(title(by)), line.key},
          {"launches", line.launches},
          {"seconds", line.sum.time.count() / 1000},
          {"machine_usd", dollars(line.sum.machine)},
          {"disk_usd", dollars(line.sum.disk)},
          {"address_usd", dollars(line.sum.address)},
          {"data_out_usd", dollars(line.sum.data_out)},
          {"bytes_out", line.bytes_out},
          {"unpriced", line.unpriced},
          {"total_usd", dollars(line.sum.total())}};
}

}  // namespace

CostReport cost_report(std::span<const RunView> runs, CostBy by, std::int64_t since_ms, std::int64_t now_ms) {
  CostReport report;
  std::map<std::string, std::size_t> place;
  std::map<std::string, std::int64_t> bytes_by_month;
  for (const auto& view : runs) {
    for (const auto& it : view.instances) {
      if (it.launched_ms == 0 || it.launched_ms < since_ms) continue;
      const auto key = key_of(it, by);
      const auto [at, fresh] = place.try_emplace(key, report.lines.size());
      if (fresh) {
        report.lines.emplace_back();
        report.lines.back().key = key;
      }
      add(report.lines[at->second], it, now_ms);
      add(report.total, it, now_ms);
      if (it.provider == "aws") bytes_by_month[os::iso_time(it.launched_ms).substr(0, 7)] += it.bytes_out;
    }
  }
  report.total.sum.data_out = data_out(bytes_by_month);
  if (by == CostBy::day) std::ranges::sort(report.lines, std::greater{}, &CostLine::key);
  if (by == CostBy::type)
    std::ranges::stable_sort(report.lines, std::greater{}, [](const auto& line) { return line.sum.total(); });
  return report;
}

std::string cost_table(const CostReport& report, CostBy by, std::size_t width) {
  enum Column : std::size_t { key, launches, time, machine, disk, address, sum };
  Table table({std::string(title(by)), ">LAUNCHES", ">TIME", ">MACHINE", ">DISK", ">ADDRESS", ">TOTAL"},
              {address, disk, machine, launches, time});
  const auto add_row = [&](const CostLine& line) {
    table.add({printable(line.key), std::to_string(line.launches), show_duration(line.sum.time), show(line.sum.machine),
               show(line.sum.disk), show(line.sum.address), show(line.sum.total()) + (line.unpriced ? " + ?" : "")});
  };
  for (const auto& line : report.lines) add_row(line);
  auto total = report.total;
  total.key = "total";
  add_row(total);
  std::string text = table.text(width);
  if (total.unpriced)
    text += fmt::format("the price of {} {} is unknown and not in the sum\n", total.unpriced,
                        total.unpriced == 1 ? "launch" : "launches");
  text += fmt::format("data out: {}{}\n", show_bytes(static_cast<std::uint64_t>(total.bytes_out)),
                      total.sum.data_out.micros > 0 ? ", " + show(total.sum.data_out) + " of the total"
                                                    : " (the first 100 GB of a month are free)");
  return text;
}

Json cost_json(const CostReport& report, CostBy by) {
  Json lines = Json::array();
  for (const auto& line : report.lines) lines.push_back(line_json(line, by));
  auto total = line_json(report.total, by);
  total.erase(lower(title(by)));
  return {{"by", lower(title(by))}, {"lines", lines}, {"total", total}};
}

}  // namespace ferry::watch
