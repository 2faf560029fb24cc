#include <algorithm>
#include <array>

#include "ledger/ledger.h"

namespace ferry::ledger {
namespace {

constexpr std::array<std::string_view, 10> phases = {"checking", "planning", "launching", "connecting", "syncing",
                                                     "setup",    "training", "fetching",  "releasing",  "released"};
constexpr std::array<std::string_view, 6> outcomes = {"none",      "succeeded", "failed",
                                                      "cancelled", "lost",      "not_started"};
/// What ledgers up to schema 4 say for the last one.
constexpr std::string_view old_not_started = "did not start";
constexpr std::array<std::string_view, 3> rents = {"intent", "live", "released"};
constexpr std::array<std::string_view, 3> boughts = {"intent", "yes", "no"};
static_assert(phases[static_cast<std::size_t>(Phase::released)] == "released");
static_assert(outcomes[static_cast<std::size_t>(Outcome::not_started)] == "not_started");
static_assert(rents[static_cast<std::size_t>(Rent::released)] == "released");

template <class Enum, std::size_t N>
std::optional<Enum> from(const std::array<std::string_view, N>& names, std::string_view text) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(Phase phase) { return phases.at(static_cast<std::size_t>(phase)); }
std::string_view name(Outcome outcome) { return outcomes.at(static_cast<std::size_t>(outcome)); }
std::string_view name(Rent rent) { return rents.at(static_cast<std::size_t>(rent)); }
std::optional<Phase> phase_from(std::string_view name) { return from<Phase>(phases, name); }
std::optional<Outcome> outcome_from(std::string_view name) {
  if (name == old_not_started) return Outcome::not_started;
  return from<Outcome>(outcomes, name);
}
std::string_view words(Outcome outcome) { return outcome == Outcome::not_started ? old_not_started : name(outcome); }
std::optional<Rent> rent_from(std::string_view name) { return from<Rent>(rents, name); }

std::string_view name(Bought bought) { return boughts.at(static_cast<std::size_t>(bought)); }
std::optional<Bought> bought_from(std::string_view name) { return from<Bought>(boughts, name); }

Rates rates_of(const Instance& instance) {
  return {instance.hourly, disk_hour(instance.disk, instance.region),
          instance.public_address ? public_ipv4_hour : Usd{}};
}

std::optional<Bill> bill(const Instance& instance, std::int64_t now_ms) {
  if (instance.state == Rent::intent) return Bill{};
  // Released without ever having run: the intent came to nothing.
  if (instance.state == Rent::released && instance.launched_ms == 0) return Bill{};
  const bool over = instance.state == Rent::released && instance.released_ms > 0;
  const std::int64_t end = over ? instance.released_ms : now_ms;
  const Millis there(end - instance.launched_ms);
  if (instance.provider == "ssh") return charge({}, there);
  if (instance.hourly.micros <= 0) return std::nullopt;
  if (over && instance.running_ms == instance.released_ms) return charge(rates_of(instance), there, Millis(0));
  const auto from = std::max(instance.running_ms, instance.launched_ms);
  const auto until = instance.stopped_ms > 0 ? std::min(instance.stopped_ms, end) : end;
  const auto ran = std::max<std::int64_t>(1, until - from - instance.paused_ms);
  return charge(rates_of(instance), there, Millis(ran));
}

std::optional<Usd> at_most(Ledger& ledger, const Run& run) {
  const auto reserved = ledger.reservation(run.name);
  if (reserved && *reserved && (*reserved)->at_most.micros > 0) return (*reserved)->at_most;
  const auto noted = int_at(run.task, "at_most_micros");
  return noted > 0 ? std::optional(Usd{noted}) : std::nullopt;
}

std::optional<Usd> spent(const Instance& instance, std::int64_t now_ms) {
  const auto sum = bill(instance, now_ms);
  return sum ? std::optional(sum->total()) : std::nullopt;
}

}  // namespace ferry::ledger
