#pragma once
/// \file
/// `ferry-agent stand-in DIR`: on a machine that AWS started in the place of one that is gone (`recover: aws`), and on
/// which nobody of ours is, goes on with the run: what was sent, its environment, its data, what it had stored, and
/// then its job, as the laptop would. What is to be done stands in the run's store (StandInOrder), put there by
/// the ferry that began the attempt before; this machine's role may read it, and may write below runs/RUN/a* only.
///
/// Which attempt it is, it claims by a conditional put of claim_key(): of two machines one goes on. Where the run is
/// over, its time is, or it cannot begin, it tells the group that no machine is wanted any more, and ends itself.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/protocol.h"
#include "base/units.h"
#include "os/file.h"

namespace ferry::agent {

/// Something that was done on the machine before the job: as the login user, in its home.
struct StandInStep {
  std::string what;     ///< "make the environment"
  std::string command;  ///< for a shell
  std::string input;    ///< its standard input
  bool operator==(const StandInStep&) const = default;
};

struct StandInOrder {
  int attempt = 1;               ///< that it was written in
  std::int64_t made_ms = 0;      ///< when
  std::int64_t deadline_ms = 0;  ///< since 1970: no machine of the run is on after that
  std::string scratch;           ///< where the first machine had room for work: there must be such a folder; "": none
  std::vector<StandInStep> steps;
  JobSpec spec;  ///< without secrets; attempt, what is left of its time and the like are made new
};
Json to_json(const StandInOrder& order);
/// Corrupt for what is none.
Result<StandInOrder> stand_in_order_from(const Json& json);

/// What a machine says of itself when it takes up an attempt, and what became of that.
struct StandInClaim {
  std::string instance, type, zone, region;
  std::int64_t launched_ms = 0;  ///< when it booted, by its own clock
  std::string host_key;          ///< "ssh-ed25519 AAAA…"
  std::string problem;           ///< why it could not begin; one line
};
Json to_json(const StandInClaim& claim);
/// The machine's own words: corrupt for members of other types, texts cut to one short line.
Result<StandInClaim> stand_in_claim_from(const Json& json);

struct StandInOptions {
  os::Path dir;  ///< the run's folder on the machine
  std::string run;
  StoreSpec store;
  StandInClaim self;
  GroupSpec group;
};

/// True: the job runs, its agent looks after it. False: there was nothing to go on with; the group
/// was told, and the machine may be ended.
Result<bool> stand_in(const StandInOptions& options);

/// The program. `in`: {"run", "store", "group", "self"} as StandInOptions, from the machine's user-data; bad_input for
/// what is none.
Status run_stand_in(const os::Path& dir, int in);

/// Tells the group (of at most one machine) that none is wanted any more, with this machine's role. May take a minute.
Status want_none(const GroupSpec& group);

}  // namespace ferry::agent
