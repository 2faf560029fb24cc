#include "ledger/reservations.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "base/text.h"
#include "ledger/rows.h"

namespace ferry::ledger {
namespace {

using std::chrono::floor;
using Days = std::chrono::days;

constexpr std::int64_t day_ms = 86'400'000;
constexpr Millis whole_month{31 * day_ms};

/// From `from` on, until `end`.
struct Window {
  std::int64_t from = 0, end = 0;
  Millis rest(std::int64_t now) const { return Millis(end - now); }
};

Window day_of(std::int64_t now) {
  const auto begin = now / day_ms * day_ms;
  return {begin, begin + day_ms};
}

Window month_of(std::int64_t now) {
  using namespace std::chrono;
  const year_month_day today(sys_days(floor<Days>(milliseconds(now))));
  const auto begin = [](year_month month) {
    return duration_cast<milliseconds>(sys_days(month / 1).time_since_epoch()).count();
  };
  const year_month month(today.year(), today.month());
  return {begin(month), begin(month + months(1))};
}

/// One run and its machines.
struct Account {
  std::optional<Reservation> reservation;
  std::vector<Instance> machines;
};

/// What it has cost within the window.
Usd cost_in(const Instance& one, const Window& window, std::int64_t now) {
  const auto whole = spent(one, now).value_or(Usd{});
  if (one.launched_ms == 0) return whole;
  const auto end = one.state == Rent::released && one.released_ms > 0 ? one.released_ms : now;
  const auto from = std::max(one.launched_ms, window.from), until = std::min(end, window.end);
  if (end < window.from || one.launched_ms >= window.end) return {};
  if (from == one.launched_ms && until == end) return whole;
  return std::min(whole, charge(rates_of(one), Millis(until - from)).total());
}

void add(const Account& account, std::int64_t now, Use& use) {
  const auto day = day_of(now), month = month_of(now);
  Usd spent_until_now, rate;
  int live = 0, running = 0;
  for (const auto& one : account.machines) {
    use.day = use.day + cost_in(one, day, now);
    use.month = use.month + cost_in(one, month, now);
    spent_until_now = spent_until_now + spent(one, now).value_or(Usd{});
    if (one.state == Rent::released) continue;
    ++live;
    const bool is_stopped = one.stopped_ms > 0;  // of which only the disk is billed
    running += is_stopped ? 0 : 1;
    const auto rates = rates_of(one);
    rate = rate + dearest_hour(is_stopped ? Rates{{}, rates.disk, {}} : rates);
  }
  const bool is_held = account.reservation && account.reservation->held;
  if (!is_held && live == 0) return;
  Usd left{std::numeric_limits<std::int64_t>::max() / 4};
  if (is_held) {
    rate = std::max(rate, account.reservation->hourly);
    if (const auto most = account.reservation->at_most; most.micros > 0)
      left = {std::max<std::int64_t>(0, most.micros - spent_until_now.micros)};
  }
  // EC2 bills a minute at least, whenever that begins.
  const auto within = [&](Millis time) { return std::min(left, cost(rate, time + Seconds(60))); };
  use.day = use.day + within(day.rest(now));
  use.month = use.month + within(month.rest(now));
  use.next_day = use.next_day + within(Millis(day_ms));
  use.next_month = use.next_month + within(whole_month);
  use.hour = use.hour + rate;
  use.machines += std::max(is_held ? 1 : 0, running);
}

struct Check {
  const char *name, *words;
  Usd cap, others, with;
  Usd wanted() const { return {with.micros - others.micros}; }
  /// Whatever else runs, and however long one waits.
  bool never_fits() const { return wanted() > cap; }
};

std::vector<Check> checks_of(const Caps& caps, const Use& others, const Use& all) {
  std::vector<Check> checks;
  if (caps.a_day) {
    checks.push_back({"usd_per_day", "today", *caps.a_day, others.day, all.day});
    checks.push_back({"usd_per_day", "on a whole day", *caps.a_day, others.next_day, all.next_day});
  }
  if (caps.a_month) {
    checks.push_back({"usd_per_month", "this month", *caps.a_month, others.month, all.month});
    checks.push_back({"usd_per_month", "in a whole month", *caps.a_month, others.next_month, all.next_month});
  }
  if (caps.an_hour) checks.push_back({"usd_per_hour", "an hour, at once", *caps.an_hour, others.hour, all.hour});
  return checks;
}

tl::unexpected<Error> refuse(const Check& check) {
  const bool alone = check.never_fits();
  const Usd left{std::max<std::int64_t>(0, check.cap.micros - check.others.micros)};
  const auto what = fmt::format("your limit of {} ({}) would not be kept", show(check.cap), check.name);
  const auto why = fmt::format("this run may cost {} {}; {}", show_at_most(check.wanted()), check.words,
                               alone ? std::string("that is more than the limit by itself")
                                     : fmt::format("other runs have cost {} and may still, so that {} is left",
                                                   show_at_most(check.others), show(left)));
  const bool is_rate = check.name == std::string_view("usd_per_hour");
  const auto smaller = is_rate ? "choose a cheaper machine" : "a smaller --budget or --max-duration makes it fit";
  const auto later = is_rate ? "wait until another run is over (--wait)" : "wait (--wait), or end another run";
  return fail(alone ? Kind::bad_input : Kind::limit, what, why,
              fmt::format("{}{}; or raise limits: {} in your settings", alone ? "" : later + std::string("; "), smaller,
                          check.name),
              std::string(check.name));
}

Status check_caps(const Caps& caps, const Use& others, const Use& all) {
  if (caps.machines && all.machines > *caps.machines)
    return fail(*caps.machines < 1 ? Kind::bad_input : Kind::limit,
                fmt::format("your limit of {} (machines) would not be kept",
                            *caps.machines == 1 ? "one machine" : fmt::format("{} machines", *caps.machines)),
                fmt::format("{} rented now, or about to be",
                            others.machines == 1 ? "one is" : fmt::format("{} are", others.machines)),
                "wait until another run is over (--wait), or raise limits: machines in your settings", "machines");
  // What never fits is said first: shortly before midnight a run that is too dear for a whole day would otherwise be
  // told to wait for the next one.
  const auto checks = checks_of(caps, others, all);
  const auto never = std::find_if(checks.begin(), checks.end(), [](const Check& one) { return one.never_fits(); });
  if (never != checks.end()) return refuse(*never);
  for (const auto& check : checks) {
    if (check.with > check.cap) return refuse(check);
  }
  return {};
}

}  // namespace

Result<Use> use_of(Database& database, std::string_view provider, std::string_view but_run, std::int64_t now_ms) {
  const auto month = month_of(now_ms);
  std::map<std::string, Account> accounts;
  TRY_SET(held, "",
          select_rows(database, reservation_columns,
                      "FROM reservations WHERE world = ?1 AND held <> 0 AND run <> ?2 AND "
                      "run IN (SELECT name FROM runs WHERE phase <> 'released')",
                      read_reservation, provider, but_run));
  for (auto& one : held) accounts[one.run].reservation = one;
  // Of a run of which one machine counts, all do: what it has left is what they have not cost.
  TRY_SET(machines, "",
          select_rows(database, instance_columns,
                      "FROM instances WHERE world = ?1 AND run <> ?2 AND (state <> 'released' OR released_ms >= ?3 OR "
                      "run IN (SELECT name FROM runs WHERE phase <> 'released'))",
                      read_instance, provider, but_run, month.from));
  for (auto& one : machines) accounts[one.run].machines.push_back(std::move(one));
  Use use;
  for (const auto& [run, account] : accounts) add(account, now_ms, use);
  TRY_SET(
      purchases, "",
      select_rows(database, purchase_columns, "FROM purchases WHERE world = ?1 AND state <> 'no' AND asked_ms >= ?2",
                  read_purchase, provider, month.from));
  for (const auto& one : purchases) {
    use.month = use.month + one.fee;
    if (one.asked_ms >= day_of(now_ms).from) use.day = use.day + one.fee;
  }
  return use;
}

Status reserve_in(Database& database, const Purchase& wanted, const Caps& caps, std::int64_t now_ms) {
  if (wanted.fee.micros <= 0) return fail(Kind::bad_input, "a purchase without a price cannot be noted");
  TRY_SET(others, "", use_of(database, wanted.provider, "", now_ms));
  const auto check = [&](const std::optional<Usd>& cap, std::string_view name, std::string_view words,
                         Usd used) -> Status {
    if (!cap || used + wanted.fee <= *cap) return {};
    return fail(Kind::limit, fmt::format("your limit of {} ({}) would not be kept", show(*cap), name),
                fmt::format("this costs {}, at once; {} all else has cost {} or may still", show(wanted.fee), words,
                            show_at_most(used)),
                fmt::format("raise limits: {} in your settings for as long as you buy", name), std::string(name));
  };
  TRY("", check(caps.a_day, "usd_per_day", "today", others.day));
  TRY("", check(caps.a_month, "usd_per_month", "this month", others.month));
  auto noted = wanted;
  noted.state = Bought::intent;
  noted.asked_ms = now_ms;
  return add_row(database, noted);
}

Status reserve_in(Database& database, const Reservation& wanted, const Caps& caps, std::int64_t now_ms) {
  if (caps.any()) {
    if (wanted.at_most.micros <= 0 && (caps.a_day || caps.a_month || caps.an_hour))
      return fail(Kind::bad_input, "what this run may cost is not known, and so not whether it keeps your limits",
                  "a price of its machine is unknown", "ask AWS for prices: ferry catalog update");
    TRY_SET(others, "", use_of(database, wanted.provider, wanted.run, now_ms));
    TRY_SET(own, "",
            select_rows(database, instance_columns, "FROM instances WHERE run = ?1", read_instance, wanted.run));
    Use all = others;
    auto now = wanted;
    now.held = true;
    add({now, std::move(own)}, now_ms, all);
    TRY("", check_caps(caps, others, all));
  }
  return database.run(
      fmt::format("INSERT OR REPLACE INTO reservations({}) VALUES(?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9)",
                  reservation_columns),
      wanted.run, wanted.provider, wanted.at_most.micros, wanted.hourly.micros, wanted.machine_hourly.micros,
      wanted.budget.micros, wanted.extended_s, wanted.attempt, wanted.max_duration_s);
}

}  // namespace ferry::ledger
