#pragma once
/// \file
/// For tests only: everything that a run meets, on one clock that is turned by hand: the laptop with its
/// ledger, a FakeCloud, ScriptedMachines, the user who watches. Nothing sleeps. A "process" is a call with
/// a fresh context(); it can be killed between any two steps, and what it left behind is there for the next one.

#include <csignal>
#include <deque>

#include "fleet/run_dir.h"
#include "run/fake_cloud.h"
#include "run/run.h"
#include "run/scripted_machine.h"
#include "store/store.h"

namespace ferry::run {

/// A sanitizer watches this program: a run takes many times as long.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool is_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif
#else
inline constexpr bool is_sanitized = false;
#endif

/// Sleeping turns it, and what was to happen meanwhile happens.
class HandClock final : public os::Clock {
 public:
  std::int64_t now_ms() override { return now_; }
  std::int64_t steady_ms() override { return now_; }
  void sleep(Millis time) override;
  /// `act` is called once when so much time has passed from now on.
  void in(Millis time, std::function<void()> act) { plans_.emplace(now_ + time.count(), std::move(act)); }

 private:
  std::int64_t now_ = 1'800'000'000'000;
  std::multimap<std::int64_t, std::function<void()>> plans_;
};

/// Keeps what is shown, one line a call: "begin train: training", "warn connect: …", "error: …".
class HeardProgress final : public watch::Progress {
 public:
  std::function<void(const std::string& line)> on_line;
  std::vector<std::string> lines;

  void title(std::string_view name, std::string_view where) override { put("title", name, where); }
  void begin(std::string_view phase, std::string_view text) override { put("begin", phase, text); }
  void update(std::string_view) override {}
  void done(std::string_view phase, std::string_view text, const Json&) override { put("done", phase, text); }
  void failed(std::string_view phase, std::string_view text, const Json&) override { put("failed", phase, text); }
  void warn(std::string_view phase, std::string_view text) override { put("warn", phase, text); }
  void note(std::string_view text, const Json&) override { put("note", "", text); }
  void error(const Error& error) override {
    put("error", name(error.kind), error.what + " / " + error.why + " / " + error.advice);
  }
  void output(std::string_view bytes, bool) override { put("output", "", bytes); }
  void live(const watch::Live&) override {}
  void pause() override {}

 private:
  void put(std::string_view what, std::string_view about, std::string_view text);
};

/// The value; a stage that cannot be set up ends the test.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// The process is killed here: thrown, so that only what outlives a process is left.
struct Killed {};

class Stage {
 public:
  Stage();
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  /// Those of a process that starts now.
  fleet::Context context();
  /// A small task on the rehearsal's machines: `run` is bash.
  RunRequest request(const std::string& run = "mkdir -p outputs; echo model >outputs/model") const;
  /// The same on the one machine that is the user's own.
  RunRequest request_on_own_machine(const std::string& run) const;
  static constexpr const char* own_host = "box";
  ScriptedMachine& own_machine() { return machine_of(own_host); }
  /// run::start() in a process of its own; nothing if it was killed.
  std::optional<int> start(const RunRequest& request);
  /// Every follower that was started goes on to its end, and those that it starts. The last one's exit code.
  std::optional<int> let_followers_end();
  /// The next command, which recovers orphans, and the followers that it starts.
  void recover_all();
  std::size_t followers() const { return followers_.size(); }
  /// What an earlier process left, made by hand: a run at `phase` (launching or later) with a machine that
  /// the ledger holds for live; from setup on the agent there was asked to run `command` (empty: it was not).
  void leave_at(ledger::Phase phase, const std::string& command = "mkdir -p outputs; echo model >outputs/model");
  /// The ledger's file is gone; which ledger it was is still known, and so is the rehearsal cloud.
  void lose_ledger();
  /// `act` happens while no process has the ledger open; what the last one had not taken over from the file beside it
  /// (-wal) still stands there, as after kill -9.
  void between_processes(const std::function<void()>& act);
  /// Everything on the laptop is gone: its ledger and which it was, keys, logs, what had come home. This one is new;
  /// what it brings home is below its current folder.
  void lose_laptop();
  /// run::follow() of the newest run in a process of its own; nothing if it was killed.
  std::optional<int> follow();
  /// Any other command in a process of its own; false if it was killed.
  bool process(const std::function<void(fleet::Context&)>& act);

  /// `act` is called once, when a line that has `text` is shown.
  void when(const std::string& text, std::function<void()> act) { plans_.push_back({text, std::move(act)}); }
  bool was_shown(const std::string& text) const;
  std::string everything_shown() const;

  /// The next connections fail so, each after a second. Nobody answers at all while `is_deaf`.
  std::deque<Error> refused;
  bool is_deaf = false;
  int connects = 0;
  /// A ledger's write that is about to be made, by its number: what it fails with instead.
  std::function<std::optional<Error>(const std::string& write)> refuse_write;

  /// From now on runs have a store, a folder that outlives machines; each call to it is two steps.
  void give_store() { has_store_ = true; }
  std::unique_ptr<store::Store> store() const;  ///< as it is, without steps
  /// The store's complete manifest names the model, and it is there.
  bool is_stored(const std::string& run);
  /// What a machine that was lost had stored: the model, and if it is complete that the training ended well, or with
  /// the agent's `reason`.
  void put_stored(const std::string& run, const std::string& model, bool complete, const std::string& reason = {},
                  int attempt = 1);

  /// The running machine; it must be the only one.
  ScriptedMachine& machine();
  std::string machine_id();

  /// Kills the process at its n-th step from now: before or after each call to the cloud and each write to
  /// the ledger is one. 0: not at all.
  void kill_at(int step) { steps_ = 0, kill_at_ = step; }
  int steps() const { return steps_; }
  bool reservations_are_steps = false;  ///< a reservation in the ledger is two steps, too
  /// What was passed, each once, as "PHASE: before ec2 RunInstances": each step, and where a connection is opened or a
  /// line is shown. Names are the same in every walk; what comes again in a phase has the name of the first.
  const std::vector<std::string>& points() const { return points_; }
  /// Called when a point is passed first. May throw Killed.
  std::function<void(const std::string& point)> on_point;

  ledger::Run run();  ///< the newest
  os::Path home();    ///< where its outputs come home
  /// Empty if the model is at home, or why it is not.
  std::string model();
  /// What must hold whenever a process has ended, with whatever `code`, and however the world treated it.
  /// Empty if so.
  std::string broken_promise(std::optional<int> code);
  /// What must hold whenever no ferry and no follower is left: nothing is rented, the ledger says released,
  /// and agrees with the cloud about every machine. Empty if so.
  std::string trouble();

  HandClock clock;
  FakeCloud cloud{clock};
  HeardProgress progress;
  os::SignalQueue signals{SIGINT, SIGTERM, SIGHUP};
  std::function<fleet::Interrupt(bool)> ask;
  std::optional<Caps> caps;  ///< none: nobody set any

  ledger::Ledger& ledger() { return *ledger_; }
  os::Path data() const { return dir_.path() / "data"; }

 private:
  friend class SteppedLedger;
  friend class SteppedStore;
  struct Follower {
    std::string run;
    os::Fd lock;
  };
  struct Plan {
    std::string text;
    std::function<void()> act;
  };
  void step(const std::string& point);
  void pass(const std::string& point);
  std::unique_ptr<ledger::Ledger> in_steps(std::unique_ptr<ledger::Ledger> real);
  std::unique_ptr<store::Store> in_steps(std::unique_ptr<store::Store> real);
  Result<ssh::Session> connect(const ssh::Target& target);
  ScriptedMachine& machine_of(const std::string& id);
  Result<int> start_follower(const os::SpawnOptions& options);

  os::TempDir dir_;
  std::unique_ptr<os::HttpClient> http_;
  std::unique_ptr<ledger::Ledger> ledger_;
  void open_ledger();
  std::map<std::string, std::unique_ptr<ScriptedMachine>> machines_;
  struct LetIn {
    std::string key;   // as its private half stands in a file
    int renewals = 0;  // by then, of any machine
  };
  std::map<std::string, LetIn>
      let_in_;  // by id: each machine takes one key, or another one that the cloud was asked for
  bool lets_in(const std::string& id, const os::Path& key);
  std::vector<Follower> followers_;
  std::vector<Plan> plans_;
  int steps_ = 0, kill_at_ = 0;
  std::string phase_ = "checking";  // of the newest run, as it was noted last
  std::vector<std::string> points_;
  std::set<std::string> passed_;
  bool has_store_ = false;
};

/// Names of points, for Stage.
std::string point_of_call(const std::string& phase, const std::string& call, bool done);
/// Empty for a line that is no point.
std::string point_of_line(const std::string& phase, const std::string& line);

/// One way in which something fails, for tables.
Error failure(Kind kind, const std::string& code = "");

}  // namespace ferry::run
