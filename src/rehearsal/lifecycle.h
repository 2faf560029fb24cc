#pragma once
/// \file
/// Makes the processes follow the state, and the state the processes: boots, stops, terminations, power-offs
/// from inside, sudden deaths, and the forgetting of what ended long ago. Everything it does can be cut off
/// at any point and taken up by the next server.

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "os/clock.h"
#include "rehearsal/machines.h"
#include "rehearsal/service.h"

namespace ferry::rehearsal {

/// What an instance needs next.
enum class Step { nothing, boot, up, moved, reboot, stop, powered_off, died, taken, destroy, forget };
std::string_view name(Step step);

/// What is known when a step is chosen.
struct Sight {
  sandbox::Status machine;
  bool boot_tried = false;  ///< by this server, for the current start
  std::int64_t now_ms = 0;
  std::int64_t keep_ms = 0;  ///< how long terminated instances stay listed
};
/// Pure.
Step next_step(const Instance& instance, const Sight& sight);

class Lifecycle {
 public:
  /// Runs one piece of work; the usual one gives it a thread of its own.
  using Executor = std::function<void(std::function<void()>)>;
  struct Options {
    std::int64_t keep_ms = 3'600'000;
    Executor executor;                            ///< empty: threads
    std::function<void(const std::string&)> log;  ///< one line; may be empty
    /// Told before machines are looked at; how long until it is to be told again, whatever changes; negative: for ever.
    /// May be empty.
    std::function<Millis()> before_pass;
    std::function<void(const std::string&)> set_door;  ///< of the machine, before it boots; may be empty
    /// Adds what the computer has for the machine to its spec; `way_out`: the instance's tag. May be empty.
    std::function<void(sandbox::Spec&, const std::string& way_out)> equip;
  };
  Lifecycle(Guarded& state, Machines& machines, os::Clock& clock, Options options);
  /// Waits for work still running.
  ~Lifecycle();

  /// Works until end() is called from another thread.
  void run();
  void end();
  /// Looks at every instance once and begins what is due. Returns how long nothing can become due without a
  /// change of state; negative: for ever.
  Millis pass();
  /// Crashes an instance once the clock says `at_ms`.
  void crash_at(const std::string& id, std::int64_t at_ms);

 private:
  using Change = std::function<void(State&, Instance&)>;
  void begin(const std::string& id, std::function<void()> work);
  void act(const Instance& instance, Step step, const sandbox::Status& machine);
  void work_boot(const Instance& instance);
  void work_reboot(const Instance& instance);
  void work_stop(const Instance& instance);
  Status take_volumes(const Instance& instance);
  void work_destroy(const Instance& instance);
  void mark_up(const Instance& instance, const sandbox::Status& machine);
  void mark_moved(const Instance& instance, const sandbox::Status& machine);
  void mark_powered_off(const Instance& instance);
  void mark_taken(const Instance& instance);
  void mark_dead(const Instance& instance, const std::string& why);
  void forget(const std::string& id);
  /// Applies `change` if the instance still is in the phase it was seen in.
  bool change(const Instance& seen, const Change& change);
  void crash_due(std::int64_t now_ms);
  void log(const std::string& line) const;

  Guarded& state_;
  Machines& machines_;
  os::Clock& clock_;
  Options options_;
  std::mutex mutex_;  // of what follows
  std::condition_variable idle_;
  std::set<std::string> busy_, boot_tried_;
  std::map<std::string, std::int64_t> not_before_;  ///< after a failure: when to try again
  std::map<std::string, std::int64_t> crashes_;
  bool ending_ = false;
};

}  // namespace ferry::rehearsal
