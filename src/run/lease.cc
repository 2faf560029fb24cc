#include "run/lease.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "store/keys.h"

namespace ferry::run {

namespace {

constexpr std::size_t most_bytes = 4096;
constexpr Millis between_looks{1'000};

struct Written {
  std::optional<LeaseHolder> holder;  ///< nothing: nobody's
  std::string version;                ///< "": there is no such object
  std::int64_t epoch = 0;             ///< of the last one
};

/// What cannot be understood is somebody's all the same: it runs out as any other.
Result<Written> look(store::Store& store, const std::string& key) {
  const auto object = store.get(key, most_bytes);
  if (!object && object.error().kind == Kind::not_found) return Written();
  if (!object) return tl::unexpected<Error>(object.error());
  Written seen{LeaseHolder{}, object->object.version, 0};
  const auto json = parse_json(object->bytes);
  if (!json || !json->is_object()) return seen;
  seen.epoch = int_at(*json, "epoch");
  seen.holder = LeaseHolder{text_at(*json, "ledger"), printable(text_at(*json, "who")), seen.epoch};
  if (seen.holder->ledger.empty() && seen.epoch > 0) seen.holder.reset();
  return seen;
}

}  // namespace

Lease::Lease(std::unique_ptr<store::Store> store, std::string key, LeaseHolder me, os::Clock& clock, LeaseTimes times)
    : store_(std::move(store)), key_(std::move(key)), me_(std::move(me)), clock_(&clock), times_(times) {}

Status Lease::write(const store::Condition& condition) {
  tried_ms_ = clock_->steady_ms();
  // Versions are those of contents: the nonce makes each another.
  const Json body = {{"ledger", me_.ledger}, {"who", me_.who}, {"epoch", me_.epoch}, {"nonce", random_name(16)}};
  TRY_SET(version, "", store_->put(key_, dump_json(body), condition));
  version_ = version;
  written_ms_ = tried_ms_;
  return {};
}

Result<Lease> Lease::take(std::unique_ptr<store::Store> store, const std::string& run, LeaseHolder me, os::Clock& clock,
                          const std::function<bool(const LeaseHolder&)>& waiting, LeaseTimes times) {
  Lease lease(std::move(store), store::lease_key(run), std::move(me), clock, times);
  std::string watched;
  std::int64_t since = 0;
  while (true) {
    TRY_SET(seen, "", look(*lease.store_, lease.key_));
    const bool is_mine = seen.holder && seen.holder->ledger == lease.me_.ledger;
    if (watched != seen.version) {
      watched = seen.version;
      since = clock.steady_ms();
    }
    const bool has_run_out = clock.steady_ms() - since >= times.patience.count();
    if (!seen.holder || is_mine || has_run_out) {
      lease.me_.epoch = seen.epoch + 1;
      const auto taken = lease.write(seen.version.empty() ? store::if_absent() : store::if_still(seen.version));
      if (taken) return lease;
      if (taken.error().kind != Kind::conflict) return tl::unexpected<Error>(taken.error());
      continue;  // somebody was faster
    }
    if (!waiting(*seen.holder))
      return fail(Kind::conflict, fmt::format("the ferry of {} works on {}", seen.holder->who, run),
                  "one computer at a time does, and it has shown itself lately",
                  "end it there, or wait until it has not shown itself for " + show_duration(times.patience));
    clock.sleep(between_looks);
  }
}

bool Lease::keep() {
  if (lost_) return false;
  const auto now = clock_->steady_ms();
  if (now - tried_ms_ < times_.pulse.count()) return true;
  const auto written = write(store::if_still(version_));
  if (written) return true;
  // Where an answer was lost our own change may have been made: it is ours by what it says.
  if (written.error().kind == Kind::conflict) {
    const auto seen = look(*store_, key_);
    const bool is_mine = seen && seen->holder && seen->holder->ledger == me_.ledger && seen->holder->epoch == me_.epoch;
    if (is_mine) {
      version_ = seen->version;
      return true;
    }
    lost_ = seen.has_value();
  }
  if (clock_->steady_ms() - written_ms_ > times_.patience.count() - times_.pulse.count()) lost_ = true;
  return !lost_;
}

void Lease::give_back() {
  if (lost_) return;
  const Json body = {{"ledger", ""}, {"who", ""}, {"epoch", me_.epoch}, {"nonce", random_name(16)}};
  (void)store_->put(key_, dump_json(body), store::if_still(version_));
  lost_ = true;
}

}  // namespace ferry::run
