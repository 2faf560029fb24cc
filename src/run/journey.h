#pragma once
/// \file
/// One run on its way through the phases, with what it holds at the moment. Internal to this room.

#include <thread>

#include "run/environment.h"
#include "run/link.h"
#include "run/local_log.h"
#include "run/outputs.h"
#include "run/planning.h"
#include "run/preflight.h"
#include "run/run.h"
#include "run/training.h"

namespace ferry::run {

class Journey {
 public:
  Journey(Doors& doors, ledger::Run run, Owner owner);
  ~Journey();

  /// check is done; goes on with plan, launch, connect, sync, setup, train, fetch, release. The exit code.
  int from_the_start(const Order& order, Preflight&& ready);
  /// The job may have been started: train, fetch, release. The exit code.
  int from_training();

 private:
  Status plan(const Order& order, const std::string& framework);
  Status plan_own_machine(const std::string& host);
  /// What the account's limits and permissions leave of what was planned, and its reservations.
  Status look_at_account(const Order& order, Planned& planned);
  Status ask(const Order& order, const std::string& framework);
  Status launch(const Order& order, const std::string& framework);
  Status connect();
  Status sync(sync::Tree& tree);
  Status setup(const Order& order);
  Status train();
  /// Brings home what there is.
  Status fetch();
  Status release();

  Status enter(ledger::Phase phase);
  Status reopen_link();
  /// After a lost connection: tells why and opens another, slower each time that the agent said nothing over
  /// the last one. Gives up when it never does.
  Status connect_again(const char* phase, Training& training, Error lost);
  Status follow_job();
  Status note_end(const agent::JobStatus& status);
  agent::JobSpec job_spec(const task::Task& task) const;
  /// Hands the run to a background process and tells how to come back to it.
  int detach();
  /// After `problem` (or none): fetch if something ran, release, tell, and the exit code.
  int finish(const Status& problem);
  /// Ends without releasing, telling why and how to come back.
  int leave(const std::string& why);
  Status fetch_stubbornly();
  /// True only if the ledger holds nothing for rented, or the cloud itself says that the machine is gone. An
  /// error's kind is no proof: a program missing on the laptop is not_found, too.
  bool machine_is_gone();
  int exit_code(const Status& problem) const;

  Doors& doors_;
  ledger::Run run_;
  std::optional<Owner> owner_;
  Folder folder_;
  Lifetime lifetime_;
  std::unique_ptr<cloud::Cloud> cloud_;
  Place place_;
  std::vector<plan::Offer> offers_;      // best first; once launched, the one that was had
  std::vector<task::Resources> wishes_;  // that the offers are for
  std::optional<cloud::Reservation> reservation_;
  std::optional<Usd> ceiling_;  // no dearer machine is rented, an hour
  ledger::Instance instance_;
  std::optional<Link> link_;
  Environment environment_;
  std::optional<LocalLog> log_;
  std::thread hashing_;
  Status hashed_;
  std::vector<std::string> fetched_files_;  // relative to run_.home
  int fruitless_ = 0;                       // connections in a row over which the agent said nothing
  bool detaching_ = false;
};

}  // namespace ferry::run
