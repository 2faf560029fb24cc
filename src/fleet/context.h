#pragma once
/// \file
/// What a run needs from its surroundings: clock, HTTP, ledger, progress, signals, clouds. Everything is passed in, so
/// that tests can bring their own.

#include <functional>
#include <string>
#include <string_view>

#include "cloud/cloud.h"
#include "ledger/ledger.h"
#include "os/clock.h"
#include "os/http.h"
#include "os/process.h"
#include "os/signals.h"
#include "ssh/session.h"
#include "store/store.h"
#include "watch/progress.h"

namespace ferry::fleet {

struct CloudLocation;  // fleet/machine.h

/// The word that comes with a SIGTERM (sigqueue(3)) by which another ferry asks for the run: see Context::given_up.
inline constexpr int give_up_word = 0x66657272;

/// What the user wants after an interruption.
enum class Interrupt { go_on, cancel, detach };

struct Context {
  os::Clock& clock;
  os::HttpClient& http;
  ledger::Ledger& ledger;
  watch::Progress& progress;
  os::SignalQueue& signals;  ///< SIGINT, SIGTERM, SIGHUP
  os::Path data;             ///< os::data_dir()
  /// Starts the rehearsal cloud if need be and says how to reach it.
  std::function<Result<cloud::AwsContext>()> rehearsal;
  /// The agent for "x86_64" or "aarch64", as it is or packed (sync/packed.h); empty where this ferry carries none.
  std::function<std::string_view(std::string_view arch)> agent;
  /// Asks the user at the terminal what Ctrl-C meant; `can_detach` says whether detaching is possible now.
  /// Empty when there is no terminal: then Ctrl-C cancels.
  std::function<Interrupt(bool can_detach)> ask;
  /// What all runs together are to keep, by the user's settings, whenever something is about to be rented. Empty: they
  /// keep nothing.
  std::function<Result<Caps>()> caps = {};
  /// How long a connection to a machine that stays is held for the next command while nobody uses it
  /// (held_connection.h); 0: none is held, nor is one used that is.
  Seconds hold{0};
  Interrupt interrupt = Interrupt::go_on;  ///< once it is not go_on, it stays
  /// A further Ctrl-C or SIGTERM after that one: whatever is waited for, stop waiting now. What is rented
  /// stays noted in the ledger, and someone else (a follower, the machine's timer, the next command) is
  /// responsible.
  bool letting_go = false;
  /// Another ferry of this user releases the run without its outputs as soon as this one lets go of it, which it
  /// does at once: letting_go is set, too.
  bool given_up = false;
  /// Nothing is left to decide, only to bring home and to release: an interruption asks nothing, and says
  /// that a further one lets go.
  bool is_ending = false;
  std::int64_t interrupted_ms = 0;  ///< steady; when `interrupt` was made
  /// Called by check_signals(), at most once a second: for what must be looked after however long is waited.
  std::function<void()> while_waiting;
  std::int64_t looked_after_ms = 0;  ///< steady; when it was called last

  // These exist for tests, which have no cloud, no sshd and no second process; every program leaves them
  // empty.
  /// In place of EC2, the rehearsal cloud and machines of one's own: as open_cloud() in fleet/machine.h.
  std::function<Result<std::unique_ptr<cloud::Cloud>>(CloudLocation& location)> cloud;
  /// In place of ssh::Session::open().
  std::function<Result<ssh::Session>(const ssh::Target& target, Millis limit)> connect;
  /// In place of opening a run's store: as open_store() in fleet/store_access.h.
  std::function<Result<std::unique_ptr<store::Store>>(const std::string& uri)> store;
  /// In place of starting `ferry follow-run`: gives its process id. The owner's lock is the one in keep_fds.
  std::function<Result<int>(const os::SpawnOptions& options)> start_follower;

  /// Reads waiting signals: SIGTERM cancels, SIGINT asks or cancels, SIGHUP detaches if possible; a later
  /// SIGINT or SIGTERM lets go. Cheap: call it in every waiting loop.
  Interrupt check_signals(bool can_detach);
  /// Sleeps, listening to signals. False as soon as one asked for something.
  bool sleep(Millis time, bool can_detach);
};

}  // namespace ferry::fleet
