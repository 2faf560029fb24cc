#pragma once
/// \file
/// Which ledger's ferry works on a run, where several computers know of it: one at a time, by a register (an object of
/// the run's store, or without a store a tag of its machine). Among the processes of one ledger the RunLock
/// (run_lock.h) decides, before this.
///
/// No clock is trusted but one's own for how long something takes: whoever wants a lease that another ledger holds
/// watches it, and takes it when it has not changed for `patience`; its holder changes it every `pulse`. Each owner has
/// a higher epoch than the one before. (The scheme of Chubby's and of DynamoDB's lock client: Gray and Cheriton,
/// Leases, SOSP 1989; AWS Builders' Library, Leader election in distributed systems.)
///
/// Where a write has no condition, time is in its place (Fischer's algorithm; Lamport, A Fast Mutual Exclusion
/// Algorithm, ACM TOCS 1987): who wants the lease writes a claim, waits longer than others can take that were about to
/// write, and than its holder, should it live, takes to look again; it is theirs if their claim still stands there
/// then. A holder looks before each pulse, and stops when it finds anything else. What takes longer than `slow()`
/// counts for nothing.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "os/clock.h"
#include "run/lease_register.h"

namespace ferry::run {

struct LeaseTimes {
  Millis pulse{20'000};
  Millis patience{90'000};  ///< more than four pulses: some may fail
  /// Of a register without conditions: how long reading it and writing it may take, one after the other, until
  /// everybody sees it.
  Millis slow() const { return pulse / 2; }
};
/// Those above; FERRY_LEASE_PULSE, for tests, makes all of them shorter.
LeaseTimes usual_lease_times();

struct LeaseHolder {
  std::string ledger;  ///< id (fleet/labels.h)
  std::string who;     ///< for people: user@host
  std::int64_t epoch = 0;
  bool claims = false;  ///< it is not had yet
  int shown = 0;        ///< how often it has shown itself while it was watched
};

/// Use from one thread. The clock must outlive it.
class Lease {
 public:
  /// `me`: without its epoch. Takes it at once where nobody has it (with conditions), or this ledger. Otherwise
  /// watches, and calls `waiting` with its holder (`me`: nobody has it, and others are waited for) every now and then,
  /// until it has not changed for `patience`; false there ends that: conflict, which names the holder. `run`: for
  /// people. Fails as the register does.
  static Result<Lease> take(std::unique_ptr<Register> place, const std::string& run, LeaseHolder me, os::Clock& clock,
                            const std::function<bool(const LeaseHolder&)>& waiting,
                            LeaseTimes times = usual_lease_times());
  /// To be called often. True as long as nobody else can have taken it: it changes the lease when a pulse is due.
  /// Where a store is out of reach it stays ours until `patience` is nearly over. A tag that is out of reach may be
  /// another's by then, and is looked at as soon as it can be: see is_sure(). One that may not be changed any more is
  /// left as it is: true.
  bool keep();
  /// False: it has not been heard of for so long that somebody may have it.
  bool is_sure() const;
  /// Before what cannot be undone: false if it is somebody else's.
  bool confirm() { return is_sure() || keep(); }
  /// Nobody has it then. Trouble is nobody's: it runs out. A tag goes with its machine.
  void give_back();
  std::int64_t epoch() const { return me_.epoch; }

 private:
  Lease(std::unique_ptr<Register> place, LeaseHolder me, os::Clock& clock, LeaseTimes times);
  /// A moment, by the clock that goes on while a computer sleeps, too, where that is ahead.
  struct Moment {
    std::int64_t steady_ms = 0, wall_ms = 0;
  };
  Moment now() const { return {clock_->steady_ms(), clock_->now_ms()}; }
  std::int64_t since(const Moment& then) const;
  bool is_fresh() const;  ///< nobody can have seen it run out
  Status write(bool claims, const std::string& expected);
  /// Of a register without conditions: after a claim of `begun`, whether it is had.
  Result<bool> settle(const Moment& begun, Millis wait, const LeaseHolder& before,
                      const std::function<bool(const LeaseHolder&)>& waiting);
  bool is_mine(const std::string& text) const;
  bool pulse_on_condition();
  bool pulse_by_time();

  std::unique_ptr<Register> place_;
  LeaseHolder me_;
  os::Clock* clock_;
  LeaseTimes times_;
  std::string version_;
  Moment written_;  ///< before the write that worked was begun
  Moment tried_;
  bool lost_ = false;
  bool off_ = false;  ///< may not be written any more
};

}  // namespace ferry::run
