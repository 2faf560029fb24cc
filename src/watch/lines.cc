#include "watch/lines.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "watch/columns.h"

namespace ferry::watch {
namespace {

constexpr std::size_t phase_width = 9;
/// Of text that may come from outside; nothing of ferry's own is so long.
constexpr std::size_t widest_foreign = 1000, most_foreign_lines = 40;

std::string one_line(std::string_view text) {
  // Four bytes a column at most, so that what is cut off is not looked at.
  return clipped(printable(text.substr(0, 4 * widest_foreign + 4)), widest_foreign);
}

/// Part of the live line; the parts with the lowest rank go first when there is no room.
struct Part {
  int rank;
  std::string plain, painted;
  std::string_view gap = "  ";
};

const Metric* first_of(const Metrics& metrics, Role role, std::string_view preferred = {}) {
  const Metric* first = nullptr;
  for (const auto& metric : metrics.latest()) {
    if (metric.role != role) continue;
    if (metric.name == preferred) return &metric;
    if (!first) first = &metric;
  }
  return first;
}

void add_progress(std::vector<Part>& parts, const Metric* metric) {
  if (!metric) return;
  std::string now = fmt::format("{:.10g}", metric->value);
  if (metric->total) {
    const std::string total = fmt::format("{:.10g}", *metric->total);
    now = padded_left(now, total.size()) + "/" + total;
  }
  const std::string text = metric->name + " " + now;
  parts.push_back({90, text, text});
}

void add_figure(std::vector<Part>& parts, const Paint& paint, const Metric* metric, int rank) {
  if (!metric) return;
  const std::string name = clipped(metric->name, 24) + " ", value = show_figure(metric->value);
  parts.push_back({rank, name + value, name + paint(std::isfinite(metric->value) ? Colour::bold : Colour::red, value)});
}

void add_metrics(std::vector<Part>& parts, const Paint& paint, const Metrics& metrics) {
  const Metric* epoch = first_of(metrics, Role::progress, "epoch");
  const Metric* loss = first_of(metrics, Role::loss, "loss");
  const Metric* score = first_of(metrics, Role::score, "accuracy");
  add_progress(parts, epoch);
  add_figure(parts, paint, loss, 80);
  add_figure(parts, paint, score, 70);
  const Metric* drawn = score ? score : loss;
  if (!drawn || metrics.history(drawn->name).size() < 2) return;
  const std::string curve = sparkline(metrics.history(drawn->name), 8);
  parts.push_back({40, curve, paint(Colour::cyan, curve), "   "});
}

void add_live(std::vector<Part>& parts, const Paint& paint, const Live& live) {
  const std::size_t first = parts.size();
  const auto add = [&](int rank, std::string text) { parts.push_back({rank, text, paint(Colour::dim, text)}); };
  if (live.cpu_percent) add(50, fmt::format("cpu {:.0f}%", *live.cpu_percent));
  const auto s = live.elapsed.count() / 1000;
  add(60, s < 3600 ? fmt::format("{:02}:{:02}", s / 60, s % 60) : show_duration(live.elapsed));
  if (live.spent) add(65, show(*live.spent));
  if (first > 0) parts[first].gap = "   ";
}

std::size_t width_of(const std::vector<Part>& parts) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    total += columns(parts[i].plain) + (i ? columns(parts[i].gap) : 0);
  }
  return total;
}

}  // namespace

std::string Paint::operator()(Colour colour, std::string_view text) const {
  if (!on || colour == Colour::none || text.empty()) return std::string(text);
  const auto code = [&]() -> std::string_view {
    switch (colour) {
      case Colour::green:
        return "32";
      case Colour::red:
        return "31";
      case Colour::yellow:
        return "33";
      case Colour::cyan:
        return "36";
      case Colour::dim:
        return "2";
      default:
        return "1";
    }
  }();
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string harmless(std::string_view text) {
  std::string out;
  std::size_t lines = 0;
  for (const auto& line : split(text, '\n')) {
    if (++lines > most_foreign_lines) return out + "\n  …";
    out += (lines > 1 ? "\n  " : "") + one_line(line);
  }
  return out;
}

std::string title_line(const Paint& paint, std::string_view name, std::string_view where) {
  std::string line = "ferry  " + paint(Colour::bold, printable(name));
  if (!where.empty()) line += paint(Colour::dim, " · " + printable(where));
  return line;
}

std::string phase_line(const Paint& paint, Mark mark, std::string_view phase, std::string_view text,
                       std::optional<Millis> took, std::size_t edge) {
  const auto [sign, colour] = mark == Mark::done       ? std::pair("✓", Colour::green)
                              : mark == Mark::failed   ? std::pair("✗", Colour::red)
                              : mark == Mark::nothing  ? std::pair("·", Colour::dim)
                              : mark == Mark::going_on ? std::pair("▸", Colour::cyan)
                                                       : std::pair("!", Colour::yellow);
  const std::string body = padded(printable(phase), phase_width) + " " + one_line(text);
  std::string line = paint(colour, sign) + " " + body;
  if (!took || *took < Millis(10)) return line;
  const std::string time = show_duration(*took);
  const std::size_t used = 2 + columns(body);
  if (used + 1 + time.size() > edge) return line;
  return line + std::string(edge - used - time.size(), ' ') + paint(Colour::dim, time);
}

std::string error_lines(const Paint& paint, const Error& error) {
  std::string text = harmless(error.what);
  // Further lines of a cause or an advice stand under its first one.
  const auto add = [&](std::string_view label, std::string_view more) {
    if (more.empty()) return;
    std::string_view head = label;
    std::size_t lines = 0;
    for (const auto& line : split(more, '\n')) {
      if (++lines > most_foreign_lines) break;
      text += "\n" + (head.empty() ? std::string(8, ' ') : paint(Colour::dim, head)) + one_line(line);
      head = {};
    }
  };
  add("  why:  ", error.why);
  add("  try:  ", error.advice);
  text = paint(Colour::red, "ferry: error:") + " " + text;
  for (const auto& other : error.more) text += "\n" + error_lines(paint, other);
  return text;
}

std::string show_figure(double value) {
  const double size = std::abs(value);
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (size == 0) return "0";
  if (size < 0.001) return fmt::format("{:.1e}", value);
  if (size < 1) return fmt::format("{:.3f}", value);
  if (size < 10) return fmt::format("{:.2f}", value);
  if (size < 100) return fmt::format("{:.1f}", value);
  return size < 1e7 ? fmt::format("{:.0f}", value) : fmt::format("{:.1e}", value);
}

std::string status_line(const Paint& paint, const Status& status, std::size_t width) {
  const std::string head = padded(printable(status.phase), phase_width) + " ";
  std::vector<Part> parts;
  if (status.metrics && !status.metrics->latest().empty()) add_metrics(parts, paint, *status.metrics);
  if (parts.empty() && !status.text.empty()) {
    const std::string text = printable(status.text);
    parts.push_back({100, text, text});
  }
  if (status.live) {
    add_live(parts, paint, *status.live);
  } else if (status.since_begin >= Millis(1000)) {
    const std::string time = show_duration(Millis(status.since_begin.count() / 1000 * 1000));
    parts.push_back({60, time, paint(Colour::dim, time), "   "});
  }
  const std::size_t room = width - std::min(width, 2 + columns(head));
  while (parts.size() > 1 && width_of(parts) > room) {
    parts.erase(
        std::min_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; }));
  }
  std::string line = paint(Colour::cyan, "▸") + " " + head;
  if (parts.size() == 1 && width_of(parts) > room) return line + clipped(parts[0].plain, room);
  for (std::size_t i = 0; i < parts.size(); ++i) line += (i ? std::string(parts[i].gap) : "") + parts[i].painted;
  return line;
}

}  // namespace ferry::watch
