#pragma once
/// \file
/// The laptop's durable record of runs, instances and money: one SQLite file (WAL), safe with many ferry
/// processes at once. Whatever creates something in a cloud is noted here first (intent), then called, then
/// noted again (result).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bill.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "os/clock.h"
#include "os/file.h"

namespace ferry::ledger {

/// In order. `released` is final for whatever outcome; nothing is rented after it.
enum class Phase { checking, planning, launching, connecting, syncing, setup, training, fetching, releasing, released };
std::string_view name(Phase phase);
std::optional<Phase> phase_from(std::string_view name);

/// Forward by one or more steps; or to releasing, from anywhere unfinished. Nothing leaves released.
constexpr bool may_move(Phase from, Phase to) {
  if (from == Phase::released) return false;
  return static_cast<int>(to) > static_cast<int>(from);
}

/// succeeded: the training did, and its outputs are home or in the run's store; failed: setup or training failed, or
/// was cut at its limit; lost: ferry or the machine failed, or the outputs are; not_started: nothing of it ever ran.
enum class Outcome { none, succeeded, failed, cancelled, lost, not_started };
/// One word, for machines: in the ledger and in JSON.
std::string_view name(Outcome outcome);
/// The same for people: "did not start".
std::string_view words(Outcome outcome);
std::optional<Outcome> outcome_from(std::string_view name);

struct Run {
  std::string name;  ///< unique, e.g. digits-7k2
  std::string task_name;
  std::string infra;       ///< as task::show() writes it
  Json task;               ///< what is needed to go on with it; never a secret's value
  std::string workdir;     ///< absolute, on the laptop
  std::string output_dir;  ///< absolute folder where its outputs and log come home
  Phase phase = Phase::checking;
  Outcome outcome = Outcome::none;
  std::optional<int> exit_code;  ///< the training's own; of one that was stopped never 0 (run/ending.h)
  std::string error;             ///< why it failed, one line
  bool keep = false;             ///< leave the instance when done
  bool outputs_home = false;     ///< all outputs are here and their hashes checked
  std::string store;             ///< where its machine stores what it saves (store::Store::uri()); empty: nowhere
  bool outputs_stored = false;   ///< all outputs are in the store, which says so by a complete manifest
  std::int64_t created_ms = 0;   ///< add_run() fills it in when 0
  std::int64_t phase_ms = 0;     ///< when the phase began; move() sets it
  std::int64_t train_start_ms = 0, train_end_ms = 0, ended_ms = 0;
};

/// No run is tried so often: what says so from outside is not believed.
inline constexpr int most_attempts = 100;

/// One group of machines on which a run was tried. A run has its first from the moment it is added; the run's own phase
/// and outcome are the newest one's.
struct Attempt {
  std::string run;
  int n = 1;  ///< from 1
  Phase phase = Phase::checking;
  Outcome outcome = Outcome::none;
  std::string reason;        ///< why it ended so, one line; empty: by itself
  std::string place;         ///< "aws/us-east-1a"; empty: nothing was rented
  std::string resumed_from;  ///< the checkpoint it began with; empty: none
  std::int64_t started_ms = 0, ended_ms = 0;
};

/// One machine of an attempt.
struct Node {
  std::string run;
  int attempt = 1, rank = 0;
  std::string token;  ///< of the Instance that it is, or was last
  std::optional<int> exit_code;
  std::int64_t log_bytes = 0, train_start_ms = 0, train_end_ms = 0;
};

/// Something of a run that outlives its machine.
struct Object {
  std::string path;  ///< relative to where it belongs (run.output_dir); any bytes
  /// "output", "checkpoint", "log" or "record"; "sent": it is among the outputs, still as it went over.
  std::string kind = "output";
  std::int64_t bytes = 0;
  std::string sha256;                       ///< 64 hex digits; empty: a folder or link
  std::string uri = {};                     ///< where it is stored; empty: nowhere but at home
  std::int64_t stored_ms = 0, home_ms = 0;  ///< since when; 0: it is not
};

enum class Rent { intent, live, released };
std::string_view name(Rent rent);
std::optional<Rent> rent_from(std::string_view name);

struct Instance {
  std::string token;  ///< ClientToken; unique; noted before the call
  std::string run;
  std::string provider;  ///< "aws" or "rehearsal"
  std::string region, endpoint;
  std::string id;  ///< empty until known
  std::string type, zone, address;
  int ssh_port = 22;
  std::string login_user;
  Usd hourly;                        ///< of the machine alone; 0 when unknown
  std::string market = "on-demand";  ///< or "spot"
  Disk disk;                         ///< its root disk, which is billed too; gib 0: not known
  bool public_address = false;       ///< a public IPv4 address is billed too
  std::int64_t bytes_out = 0;        ///< outputs and logs that left the cloud
  std::string account, profile;      ///< AWS account that pays, and the profile it was rented with; see Resource
  std::string identity;              ///< file of the user's own private key; empty: the run's own key
  std::string ssh_proxy;             ///< how ssh gets there (ssh::Target::proxy); empty: directly
  Rent state = Rent::intent;
  /// A moment given as 0 is filled in with now when `state` first needs it, and is kept by later notes that
  /// say 0.
  std::int64_t intent_ms = 0, launched_ms = 0, released_ms = 0;
  /// Since when it runs, and is billed as a machine; 0: since its launch, as far as is known; released_ms: it ended
  /// before it ran.
  std::int64_t running_ms = 0;
  std::int64_t stopped_ms = 0;  ///< since when it is stopped, and billed as a disk only; 0: it is not
  std::int64_t paused_ms = 0;   ///< how long it was stopped before that
};

using ferry::Bill;
inline constexpr Usd data_out_gb{90'000};  ///< beyond the first 100 GB of an account's month
/// An hour of each part of the instance; machine is 0 when its price is unknown.
Rates rates_of(const Instance& instance);
/// What an instance has cost: charge() for its time from launch to release, or to now, and for what of it it ran.
/// Nothing when the machine's price is unknown. A machine of the user's own (provider "ssh") costs nothing.
std::optional<Bill> bill(const Instance& instance, std::int64_t now_ms);
/// bill().total().
std::optional<Usd> spent(const Instance& instance, std::int64_t now_ms);

/// What a run may cost as long as it is not over. Whoever is about to rent has reserved it.
struct Reservation {
  std::string run, provider;
  Usd at_most;         ///< the whole run, what it has cost already counted in; 0: not known
  Usd hourly;          ///< an hour of its machine and all beside it, at its dearest (dearest_hour())
  Usd machine_hourly;  ///< of the machine alone, at its dearest
  bool held = true;    ///< false: nothing is rented, and before anything is, it is reserved anew
  // What `ferry extend` added; 0: nothing.
  Usd budget;                       ///< in place of the task's
  std::int64_t extended_s = 0;      ///< to the time of all attempts
  int attempt = 0;                  ///< which was extended last
  std::int64_t max_duration_s = 0;  ///< of that attempt
};

/// A capacity block that is paid for at once: noted before it is bought, for EC2 has no token for that which would keep
/// two calls from buying twice.
enum class Bought { intent, yes, no };
std::string_view name(Bought bought);
std::optional<Bought> bought_from(std::string_view name);

struct Purchase {
  std::string tag;  ///< the value of its tag ferry:purchase, by which it is found; unique
  std::string provider, region, endpoint, account, profile;  ///< as an Instance has them
  std::string offering, instance_type, zone;
  int machines = 0, hours = 0;
  std::int64_t start_ms = 0, end_ms = 0;
  Usd fee;
  Bought state = Bought::intent;  ///< intent: it may have been bought, which nobody knows yet
  std::string reservation;        ///< "cr-…", once it is known
  std::int64_t asked_ms = 0;      ///< when EC2 was told to; its fee counts on that day
};

/// What all runs together have cost, and may still cost as long as they are not over.
struct Use {
  Usd day, month;            ///< of UTC: until now, and what may be added until it ends
  Usd next_day, next_month;  ///< that what is reserved now may cost in a whole one
  Usd hour;                  ///< of all machines at once
  int machines = 0;
};

/// A key pair, security group or anything else made in a cloud for a run.
struct Resource {
  std::string run, provider, region, endpoint, kind, name;
  bool released = false;
  std::string account;  ///< AWS account number; empty: not known
  std::string profile;  ///< of the AWS settings files; empty: credentials were not from a profile
};

/// What a run was tried on, and what was made for that.
struct History {
  std::vector<Attempt> attempts;  ///< from the first on, without a gap
  std::vector<Node> nodes;
  std::vector<Instance> instances;
  std::vector<Resource> resources;
};

struct Event {
  std::int64_t id = 0;  ///< ascending
  std::string run;
  std::int64_t time_ms = 0;
  std::string kind;  ///< "phase", "note", "warning", "error", …
  Json data;
};

/// What was done about a damaged ledger, until a command has told it and done the rest.
struct Mending {
  std::string line;        ///< one line for people
  bool lost_some = false;  ///< what is rented may be in no ledger: it is to be looked for by its tags
};
std::optional<Mending> last_mending(const os::Path& file);
void forget_mending(const os::Path& file);

/// Every write is one transaction and on the disk (fsync) when it returns. Any call may fail disk_full,
/// denied (read-only), corrupt, io, or timeout when other processes kept the file busy for 10 s. Use one
/// object from one thread, and never across a fork.
///
/// A damaged file is set aside as soon as that is noticed, and another is made of what can be read of it: see
/// last_mending(). A file that was removed or replaced while it is open has what only this process still holds again.
class Ledger {
 public:
  /// Opens or makes it (missing folders 0700, file 0600). An older schema is brought up to date; a newer one
  /// is Kind::unsupported; another program's database Kind::corrupt. Read-only home: denied, with the folder named.
  static Result<std::unique_ptr<Ledger>> open(const os::Path& file, os::Clock& clock);
  virtual ~Ledger() = default;

  /// Fails exists if the name is taken.
  virtual Status add_run(const Run& run) = 0;
  /// By its name, or by the beginning of it when only one run begins so. not_found advises the nearest name;
  /// a beginning shared by several runs is bad_input and lists them.
  virtual Result<Run> run(std::string_view name) = 0;
  virtual Result<std::vector<Run>> runs(bool only_unfinished) = 0;  ///< newest first
  /// Checks may_move (Kind::conflict otherwise), sets phase and phase_ms, adds a "phase" event {"from","to"}.
  virtual Status move(std::string_view run, Phase to) = 0;
  /// Everything of a Run but name, phase, phase_ms and created_ms.
  virtual Status update(const Run& run) = 0;

  /// Before the call that rents. Fails exists if the token was noted before.
  virtual Status record_intent(const Instance& instance) = 0;
  /// By token, all but intent_ms. Fails not_found without an intent.
  virtual Status record_instance(const Instance& instance) = 0;
  virtual Result<std::vector<Instance>> instances(std::string_view run) = 0;  ///< in order of intent
  virtual Result<std::vector<Instance>> unreleased() = 0;                     ///< intent or live, of every run
  /// Inserts, or updates `released`.
  virtual Status record_resource(const Resource& resource) = 0;
  virtual Result<std::vector<Resource>> resources(std::string_view run) = 0;  ///< in order of making
  virtual Result<std::vector<Resource>> unreleased_resources() = 0;           ///< of every run
  /// Notes a machine that the ledger does not know, with a run for it and what was made for it: all or
  /// nothing. Fails exists if the run's name or the instance's token is taken.
  virtual Status adopt(const Run& run, const Instance& instance, const std::vector<Resource>& resources) = 0;
  /// What another ledger knows of the run, which is added if it is none here: its attempts and nodes in place of those
  /// here, and the instances and resources that are not here; what is here of one stays. All or nothing. Fails conflict
  /// for a run that is released here, bad_input for attempts with a gap, exists for another run's instance.
  virtual Status take_history(const Run& run, const History& history) = 0;
  /// In one step: looks at what all runs of the provider have cost and may still cost, and notes what this one may, in
  /// place of what it had reserved, if that keeps `caps`. Otherwise it changes nothing, and fails `limit` where it
  /// would be kept without the others, bad_input where the run alone is too much.
  virtual Status reserve(const Reservation& reservation, const Caps& caps) = 0;
  /// The run waits, with nothing rented: what it reserved is free for others.
  virtual Status let_go(std::string_view run) = 0;
  /// What the run has reserved, or had; nothing: a run of a ferry before this one, or a machine of the user's own.
  virtual Result<std::optional<Reservation>> reservation(std::string_view run) = 0;
  virtual Result<Use> use(std::string_view provider) = 0;
  /// Before the call that buys, in one step as reserve(): notes it as an intent of now if its fee keeps what `caps` say
  /// of a day and a month. Fails limit where it would not, exists for a tag that was noted before.
  virtual Status reserve_purchase(const Purchase& purchase, const Caps& caps) = 0;
  /// By tag, what came of it: state and reservation. Fails not_found without an intent.
  virtual Status record_purchase(const Purchase& purchase) = 0;
  virtual Result<std::vector<Purchase>> purchases() = 0;                    ///< of all states, oldest first
  virtual Result<std::vector<Attempt>> attempts(std::string_view run) = 0;  ///< in order
  /// The run's newest attempt is over, and nothing is rented for it any more: another one begins, in phase planning,
  /// and the run is open again, with neither an outcome nor outputs of its own. Returns its number. Fails conflict for
  /// a run that is released.
  virtual Result<int> begin_attempt(std::string_view run, const std::string& resumed_from) = 0;
  virtual Result<std::vector<Node>> nodes(std::string_view run) = 0;  ///< by attempt and rank
  /// These are the objects of rank 0 of the newest attempt from now on, instead of those that there were. All or
  /// nothing.
  virtual Status record_objects(std::string_view run, const std::vector<Object>& objects) = 0;
  virtual Result<std::vector<Object>> objects(
      std::string_view run) = 0;  ///< of the newest attempt that has some, by path

  virtual Status add_event(std::string_view run, std::string_view kind, const Json& data) = 0;
  virtual Result<std::vector<Event>> events(std::string_view run) = 0;  ///< in order
};

/// What the whole run may cost by what was agreed to; nothing: it is not known.
std::optional<Usd> at_most(Ledger& ledger, const Run& run);

}  // namespace ferry::ledger
