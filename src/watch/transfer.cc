#include "watch/transfer.h"

#include <fmt/format.h>

namespace ferry::watch {
namespace {

constexpr std::int64_t window_ms = 5'000, look_every_ms = 100, least_ms = 500;
/// Who waits less than that needs no estimate.
constexpr double worth_telling_s = 1;

/// "1.2 of 3.4 GB": the unit once where both have the same.
std::string amount_of(std::uint64_t done, std::uint64_t total) {
  auto some = show_bytes(done);
  const auto all = show_bytes(total);
  const auto unit = all.substr(all.find(' '));
  if (some.ends_with(unit)) some.resize(some.size() - unit.size());
  return some + " of " + all;
}

}  // namespace

std::string Transfer::line(const Amounts& amounts, std::int64_t now_ms) {
  const bool began_anew = !looks_.empty() && amounts.bytes < looks_.back().bytes;
  if (began_anew) looks_.clear();
  if (looks_.empty() || now_ms - looks_.back().ms >= look_every_ms) looks_.push_back({now_ms, amounts.bytes});
  while (looks_.size() > 1 && now_ms - looks_[1].ms >= window_ms) looks_.pop_front();
  auto text = amount_of(amounts.bytes, amounts.bytes_total);
  if (amounts.files_total > 1) text += fmt::format(" · {} of {} files", amounts.files, amounts.files_total);
  const auto passed_ms = now_ms - looks_.front().ms;
  if (passed_ms < least_ms) return text;
  const auto rate = static_cast<double>(amounts.bytes - looks_.front().bytes) * 1000 / static_cast<double>(passed_ms);
  text += fmt::format(" · {}/s", show_bytes(static_cast<std::uint64_t>(rate)));
  if (rate < 1 || amounts.bytes >= amounts.bytes_total) return text;
  const auto left_s = static_cast<double>(amounts.bytes_total - amounts.bytes) / rate;
  constexpr double most_s = 99 * 3600.0;
  if (left_s < worth_telling_s || left_s > most_s) return text;
  return text + fmt::format(" · {} left", show_duration(Millis(static_cast<std::int64_t>(left_s * 1000))));
}

}  // namespace ferry::watch
