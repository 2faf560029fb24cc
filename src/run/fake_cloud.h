#pragma once
/// \file
/// For tests only: a cloud in memory. It rents, ends and forgets machines on the test's clock, fails as it is
/// told to, and remembers what was asked of it and what each machine cost.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cloud/cloud.h"

namespace ferry::run {

class FakeCloud {
 public:
  /// What a call meets. Of several that fit, the first is used up first.
  struct Fault {
    std::string call;  ///< a method of cloud::Cloud; empty: any
    Error error;
    int times = 1;             ///< how many calls meet it; below 0: all
    int after = 0;             ///< how many go well before
    bool took_effect = false;  ///< the call did what it should; only the answer is lost
  };

  struct Machine {
    cloud::Instance now;  ///< as describe() tells it
    Usd hourly;
    std::string key, group;
    std::int64_t timer_ms = 0;  ///< when the timer of its user-data ends it; 0: never
    std::int64_t ended_ms = 0;  ///< since when it costs nothing; 0: it does
    std::int64_t rented_ms = 0;
    std::int64_t running_ms = 0;  ///< since when; 0: it does not
    std::int64_t ran_ms = 0;      ///< how long before that
    bool stops = false;           ///< when its timer, or something on it, powers it off
    std::int64_t timer_s = 0;     ///< from each boot on
    bool by_ferry = false;        ///< by terminate(), or by something on it
  };

  explicit FakeCloud(os::Clock& clock) : clock_(clock) {}

  /// One region of it, as a run sees it. The FakeCloud must outlive it.
  std::unique_ptr<cloud::Cloud> open(const std::string& region);

  // How it treats its callers.
  void add(Fault fault) { faults_.push_back(std::move(fault)); }
  void heal() { faults_.clear(); }
  std::function<std::optional<Error>(const cloud::LaunchRequest&)> refuse;  ///< asked at each new launch
  Millis boot{2'000};                                                       ///< from launch to running
  Millis ending{1'000};                                                     ///< from shutting-down to terminated
  Millis invisible{0};      ///< so long after its launch nobody finds a machine; who rented it waits for it
  int ignored_ends = 0;     ///< so many orders to end a machine are taken and change nothing
  bool tells_ends = true;   ///< when a machine ended, beside that it did
  Millis memory{3600'000};  ///< how long a terminated machine is still told of
  std::string account = "123456789012";
  std::vector<std::string> zones = {"a", "b", "c"};
  std::vector<cloud::Volume> volumes;  ///< that stand there; a machine that is terminated lets go of its own
  /// At each call, before it does anything (`done` false) and after (true). May throw.
  std::function<void(const std::string& call, bool done)> on_call;

  // What happens to a machine without ferry.
  void end(const std::string& id, const std::string& reason = "Server.SpotInstanceTermination");
  void stop(const std::string& id);  ///< its address is another one after start()
  void start(const std::string& id);
  void move(const std::string& id);  ///< it has another address from now on
  /// Asked about each live machine at each call: true when it switched itself off.
  std::function<bool(const std::string& id)> is_off;
  std::function<void(const std::string& id)> on_end;  ///< also when it is stopped

  // What it remembers.
  const std::vector<std::string>& calls() const { return calls_; }  ///< "launch us-east-1 TOKEN"
  int count(const std::string& call) const;
  std::vector<Machine> machines();  ///< in order of launch
  /// Everything that somebody pays for or must clean up: ids, names of key pairs and groups. Stopped machines
  /// are among them.
  std::vector<std::string> left();
  /// What machines cost until now while they ran, as AWS bills them: by the second, a minute at least.
  Usd cost();

 private:
  friend class FakeRegion;
  void tick();
  void end_at(Machine& machine, std::int64_t when, const std::string& reason);
  void power_off(Machine& machine, std::int64_t when);
  static void halt(Machine& machine, std::int64_t when);
  std::optional<Fault> meet(const std::string& call);
  Machine* find(const std::string& region, const std::string& id);

  os::Clock& clock_;
  std::vector<Fault> faults_;
  std::vector<std::string> calls_;
  std::vector<std::unique_ptr<Machine>> machines_;
  struct Key {
    std::string half;  // public
    cloud::Tags tags;
  };
  std::map<std::pair<std::string, std::string>, Key> keys_;            // region, name
  std::map<std::pair<std::string, std::string>, cloud::Tags> groups_;  // the same
  int addresses_ = 0;
};

}  // namespace ferry::run
