#include "run/lease.h"

#include <algorithm>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "base/units.h"
#include "os/env.h"

namespace ferry::run {

namespace {

constexpr Millis again_soon{1'000};  // out of reach

/// Versions are those of texts: the nonce makes each another.
std::string text_of(const LeaseHolder& holder) {
  constexpr std::size_t most = 100;  // of a tag's 256 characters: EC2 User Guide, "Tag restrictions"
  const auto who = holder.who.substr(0, most);
  Json body = {{"ledger", holder.ledger}, {"who", who}, {"epoch", holder.epoch}, {"nonce", random_name(12)}};
  if (holder.claims) body["claims"] = true;
  return dump_json(body);
}

/// Nothing: nobody has it. What cannot be understood is somebody's all the same: it runs out as any other.
std::optional<LeaseHolder> holder_in(const Register::Value& value) {
  if (value.version.empty()) return std::nullopt;
  const auto json = parse_json(value.text);
  if (!json || !json->is_object()) return LeaseHolder{};
  LeaseHolder holder{text_at(*json, "ledger"), printable(text_at(*json, "who")), int_at(*json, "epoch")};
  holder.claims = json->contains("claims");
  if (holder.ledger.empty() && holder.epoch > 0) return std::nullopt;
  return holder;
}

std::int64_t epoch_in(const Register::Value& value) {
  const auto json = parse_json(value.text);
  return json && json->is_object() ? int_at(*json, "epoch") : 0;
}

tl::unexpected<Error> held(const LeaseHolder& holder, const std::string& run, const LeaseTimes& times) {
  return fail(Kind::conflict, fmt::format("the ferry of {} works on {}", holder.who, run),
              "one computer at a time does, and it has shown itself lately",
              "end it there, or wait until it has not shown itself for " + show_duration(times.patience));
}

}  // namespace

LeaseTimes usual_lease_times() {
  LeaseTimes times;
  const auto text = os::env("FERRY_LEASE_PULSE");
  const auto pulse = text ? parse_duration(*text) : Result<Seconds>(fail(Kind::not_found, ""));
  if (!pulse || pulse->count() <= 0) return times;
  times.patience = Millis(times.patience * Millis(*pulse).count() / times.pulse.count());
  times.pulse = Millis(*pulse);
  return times;
}

Lease::Lease(std::unique_ptr<Register> place, LeaseHolder me, os::Clock& clock, LeaseTimes times)
    : place_(std::move(place)), me_(std::move(me)), clock_(&clock), times_(times) {}

std::int64_t Lease::since(const Moment& then) const {
  const auto here = now();
  return std::max(here.steady_ms - then.steady_ms, here.wall_ms - then.wall_ms);
}

Status Lease::write(bool claims, const std::string& expected) {
  const auto begun = now();
  me_.claims = claims;
  const auto text = text_of(me_);
  TRY_SET(version, "", place_->write(text, expected));
  version_ = version;
  written_ = tried_ = begun;
  return {};
}

bool Lease::is_mine(const std::string& text) const {
  const auto holder = holder_in({text, "?"});
  return holder && holder->ledger == me_.ledger && holder->epoch == me_.epoch;
}

Result<bool> Lease::settle(const Moment& begun, Millis wait, const LeaseHolder& before,
                           const std::function<bool(const LeaseHolder&)>& waiting) {
  // It came too late to be waited for by others.
  if (since(begun) > times_.slow().count()) return false;
  const auto from = now();
  while (since(from) < wait.count()) {
    if (!waiting(before)) return fail(Kind::cancelled, "stopped waiting");
    clock_->sleep(std::min(wait, times_.pulse / 4));
  }
  const auto look = now();
  TRY_SET(seen, "", place_->read());
  if (seen.version != version_) return false;
  TRY("", write(false, version_));
  if (since(look) <= times_.slow().count()) return true;
  TRY_SET(again, "", place_->read());
  return again.version == version_;
}

Result<Lease> Lease::take(std::unique_ptr<Register> place, const std::string& run, LeaseHolder me, os::Clock& clock,
                          const std::function<bool(const LeaseHolder&)>& waiting, LeaseTimes times) {
  Lease lease(std::move(place), std::move(me), clock, times);
  const bool has_conditions = lease.place_->is_conditional();
  std::optional<std::string> watched;
  Moment changed;
  int shown = -1;
  while (true) {
    const auto look = lease.now();
    TRY_SET(seen, "", lease.place_->read());
    auto holder = holder_in(seen);
    const bool was_mine = holder && holder->ledger == lease.me_.ledger && !holder->claims;
    if (watched != seen.version) {
      watched = seen.version;
      changed = lease.now();
      ++shown;
    }
    if (holder) holder->shown = shown;
    // From when it was certainly seen to when it was still there: either look may have taken long.
    const bool has_run_out = look.steady_ms - changed.steady_ms >= times.patience.count();
    if (!holder || was_mine || has_run_out) {
      lease.me_.epoch = epoch_in(seen) + 1;
      const bool claims = !has_conditions && !was_mine;
      const auto taken = lease.write(claims, seen.version);
      if (!taken && taken.error().kind != Kind::conflict) return tl::unexpected<Error>(taken.error());
      if (!taken) continue;  // somebody was faster
      if (has_conditions && lease.is_fresh()) return lease;
      if (has_conditions) continue;  // it may have run out on the way
      if (was_mine && lease.since(look) <= times.slow().count()) return lease;
      if (was_mine) continue;
      const auto wait = holder ? times.pulse + 2 * times.slow() : 2 * times.slow();
      auto settled = lease.settle(look, wait, holder ? *holder : lease.me_, waiting);
      if (settled && *settled) return lease;
      if (!settled && settled.error().kind != Kind::cancelled) return tl::unexpected<Error>(settled.error());
      if (!settled) return held(holder ? *holder : lease.me_, run, times);
      continue;
    }
    if (!waiting(*holder)) return held(*holder, run, times);
    clock.sleep(has_conditions ? std::min(Millis(1'000), times.pulse) : times.pulse / 4);
  }
}

bool Lease::is_fresh() const { return since(written_) <= times_.patience.count() - times_.pulse.count(); }

bool Lease::is_sure() const { return off_ || place_->is_conditional() || is_fresh(); }

bool Lease::keep() {
  if (lost_) return false;
  const auto pause = is_fresh() ? times_.pulse : again_soon;
  if (off_ || since(tried_) < pause.count()) return true;
  return place_->is_conditional() ? pulse_on_condition() : pulse_by_time();
}

bool Lease::pulse_on_condition() {
  constexpr int most = 3;
  for (int tries = 0; tries < most; ++tries) {
    tried_ = now();
    const auto written = write(false, version_);
    if (written && is_fresh()) return true;
    if (written) continue;  // it took so long that it may have run out since
    if (written.error().kind != Kind::conflict) break;
    // Where an answer was lost our own change may have been made: it is ours by what it says, if it still is.
    const auto seen = place_->read();
    if (!seen) break;
    lost_ = !is_mine(seen->text);
    if (lost_) return false;
    version_ = seen->version;
  }
  lost_ = !is_fresh();
  return !lost_;
}

bool Lease::pulse_by_time() {
  const auto look = now(), before = written_;
  tried_ = look;
  const auto seen = place_->read();
  if (!seen) {
    off_ = seen.error().kind == Kind::denied;
    return true;
  }
  lost_ = !is_mine(seen->text);
  if (lost_) return false;
  const auto written = write(false, seen->version);
  tried_ = look;
  if (!written) {
    off_ = written.error().kind == Kind::denied;
    return true;
  }
  written_ = look;
  if (since(look) <= times_.slow().count()) return true;
  // It may have come after somebody's claim.
  written_ = before;
  const auto again = place_->read();
  if (!again) return true;
  lost_ = !is_mine(again->text);
  if (!lost_) written_ = look;
  return !lost_;
}

void Lease::give_back() {
  if (lost_) return;
  if (place_->is_conditional()) {
    auto nobody = me_;
    nobody.ledger = nobody.who = "";
    nobody.claims = false;
    (void)place_->write(text_of(nobody), version_);
  }
  lost_ = true;
}

}  // namespace ferry::run
