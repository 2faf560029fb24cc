#pragma once
/// \file
/// What becomes of an attempt's machine and of the run when there is nothing left to wait for: decided in one place and
/// from values alone. docs/decisions.md is the same as a table, made by next_step_test.cc. Internal to this room.

namespace ferry::run {

struct AttemptEnd {
  enum class How {
    over,         ///< the job ended well, or was stopped; or there is none, and nothing failed
    failed,       ///< the job ended by itself with an exit code other than 0
    interrupted,  ///< the cloud said that it wants the machine back, and the job was stopped for that, or left
    trouble,      ///< something failed, and the job is not known to have ended, or what it made cannot be had
    passing,      ///< the same, by what passes by itself: a network, no room, a limit
    cancelled,    ///< the user waits no more, and the job is not known to have ended
  } how = How::over;
  enum class Machine {
    none,     ///< none was rented
    there,    ///< or not known to be gone
    stopped,  ///< it exists, and nothing runs on it
    ended,    ///< by itself, or by somebody who called for its end
    taken,    ///< by the cloud: a spot machine that was wanted back, hardware that failed
  } machine = Machine::there;
  /// It may have what nothing else has: something of the task ran on it, and its outputs are neither home nor stored.
  bool holds_outputs = false;
};

struct Policy {
  bool may_begin_again = false;   ///< attempts, time and money are left, and this process can begin another
  bool recovers = false;          ///< a training that its machine was taken from begins again from what it had saved
  bool retries_failures = false;  ///< so does one that failed with this exit code
  bool keeps_machine = false;     ///< the user wants to have it longer
  bool stops_machine = false;     ///< its disk is to stay when the run is over (`ends: stop`)
};

enum class Step {
  bring_home,     ///< what the machine holds; then this is asked again
  leave,          ///< the machine goes on, and a follower, or the next command, comes back to it
  leave_stopped,  ///< it is the user's to start or to give up
  keep,           ///< it stays the user's, as was asked for
  stop,           ///< the run is over, and its machine rests, as was asked for
  begin_again,    ///< it is given back, and the next attempt begins on another
  give_back,      ///< the run is over
};

/// Whatever the policy: a machine that may be there and holds outputs is never given back by anything but bring_home.
constexpr Step next_step(const AttemptEnd& end, const Policy& policy) {
  using How = AttemptEnd::How;
  using Machine = AttemptEnd::Machine;
  const bool is_taken = end.machine == Machine::taken && end.how != How::cancelled;
  if (end.holds_outputs) {
    if (end.machine == Machine::stopped) return Step::leave_stopped;
    const bool is_unknown = end.how == How::trouble || end.how == How::passing || end.how == How::cancelled;
    if (end.machine == Machine::there) return is_unknown ? Step::leave : Step::bring_home;
    const bool goes_on = is_taken || end.how == How::interrupted;
    return goes_on && policy.may_begin_again && policy.recovers ? Step::begin_again : Step::give_back;
  }
  const bool is_left = end.machine == Machine::there || end.machine == Machine::stopped;
  const Step last = is_left && policy.stops_machine ? Step::stop : Step::give_back;
  switch (end.how) {
    case How::over:
      return policy.keeps_machine ? Step::keep : last;
    case How::failed:
      if (policy.may_begin_again && policy.retries_failures) return Step::begin_again;
      return policy.keeps_machine ? Step::keep : last;
    case How::interrupted:
      return policy.may_begin_again && policy.recovers ? Step::begin_again : last;
    case How::trouble:
      return is_taken && policy.may_begin_again ? Step::begin_again : last;
    case How::passing:
      return policy.may_begin_again && (is_taken || policy.recovers) ? Step::begin_again : last;
    case How::cancelled:
      return last;
  }
  return last;
}

}  // namespace ferry::run
