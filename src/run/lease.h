#pragma once
/// \file
/// Which ledger's ferry works on a run, where several computers know of it: one at a time, by the object lease_key() of
/// the run's store, which is changed by conditional puts only. Among the processes of one ledger the RunLock
/// (run_lock.h) decides, before this.
///
/// No clock is trusted but one's own for how long something takes: whoever wants a lease that another ledger holds
/// watches it, and takes it when it has not changed for `patience`; its holder changes it every `pulse`. Each owner has
/// a higher epoch than the one before. (The scheme of Chubby's and of DynamoDB's lock client: Gray and Cheriton,
/// Leases, SOSP 1989; AWS Builders' Library, Leader election in distributed systems.)

#include <memory>
#include <optional>
#include <string>

#include "os/clock.h"
#include "store/store.h"

namespace ferry::run {

struct LeaseTimes {
  Millis pulse{20'000};
  Millis patience{90'000};  ///< more than four pulses: some may fail
};

struct LeaseHolder {
  std::string ledger;  ///< id (fleet/labels.h)
  std::string who;     ///< for people: user@host
  std::int64_t epoch = 0;
};

/// Use from one thread. The clock must outlive it.
class Lease {
 public:
  /// `me`: without its epoch. Takes it at once where nobody has it, or this ledger. Otherwise watches, and calls
  /// `waiting` with its holder about once a second, until it has not changed for `patience`; false there ends that:
  /// conflict, which names the holder. Fails as the store does.
  static Result<Lease> take(std::unique_ptr<store::Store> store, const std::string& run, LeaseHolder me,
                            os::Clock& clock, const std::function<bool(const LeaseHolder&)>& waiting,
                            LeaseTimes times = {});
  /// To be called often. True as long as nobody else can have taken it: it changes the lease when a pulse is due.
  /// Where the store is out of reach it stays ours until `patience` is nearly over.
  bool keep();
  /// Nobody has it then. Trouble is nobody's: it runs out.
  void give_back();
  std::int64_t epoch() const { return me_.epoch; }

 private:
  Lease(std::unique_ptr<store::Store> store, std::string key, LeaseHolder me, os::Clock& clock, LeaseTimes times);
  Status write(const store::Condition& condition);

  std::unique_ptr<store::Store> store_;
  std::string key_;
  LeaseHolder me_;
  os::Clock* clock_;
  LeaseTimes times_;
  std::string version_;
  std::int64_t written_ms_ = 0;  ///< steady; before the put that worked was begun
  std::int64_t tried_ms_ = 0;
  bool lost_ = false;
};

}  // namespace ferry::run
