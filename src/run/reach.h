#pragma once
/// \file
/// What every action on a run that exists needs: its machine, and its ownership. Internal to this room.

#include <memory>

#include "fleet/context.h"
#include "fleet/run_dir.h"
#include "job/connection.h"
#include "run/lease_register.h"
#include "run/run_lock.h"

namespace ferry::run {

/// In Run::task: when the user wanted the job cancelled. Whoever follows it next asks for it (again).
inline constexpr const char* cancel_asked = "cancel_asked_ms";

/// In Run::task: the cloud said that it takes the newest attempt's machine, and its job ended for that.
inline constexpr const char* was_interrupted = "interrupted";

/// In Run::task: its machine was stopped on purpose, and is left alone (resting.h).
inline constexpr const char* rests = "rests";

/// A run that was left on its machine on purpose, be it that it runs (--keep) or rests (`ends: stop`).
bool is_kept(const ledger::Run& run);

/// Whether somebody is logged in by ferry's visit() (actions.h), whichever process that is.
bool has_visitor(const fleet::RunDir& run_dir);
/// How many such logins there were so far: another number later tells that somebody was there in between.
std::uint64_t visits_so_far(const fleet::RunDir& run_dir);

/// `error` of a machine that is stopped, with what can be done where it rests.
Error told_to_rest(const ledger::Run& run, Error error);

/// True if a machine was ever rented for one of them, as far as the ledger knows.
bool ever_rented(const std::vector<ledger::Instance>& instances);

/// The number of the run's newest attempt, by the ledger and by what its machine was found with; 1 where neither is
/// known.
int newest_attempt(fleet::Context& context, const std::string& run);

/// The run's machine; not_found when the ledger holds none for live.
Result<ledger::Instance> live_instance(fleet::Context& context, const ledger::Run& run);

struct Reached {
  std::unique_ptr<cloud::Cloud> cloud;
  job::Connection connection;
};
/// Connects to the run's machine within reach_limit. A machine that is stopped is started with `may_start`,
/// otherwise it is conflict with stopped_code.
inline constexpr Seconds reach_limit{20};
Result<Reached> reach(fleet::Context& context, const ledger::Run& run, bool may_start = false);

/// How a machine is by the cloud's own word.
enum class Standing {
  there,
  stopped,
  gone,  ///< terminated, or on its way there, or not known for minutes
};
struct Seen {
  Standing standing = Standing::there;
  std::string words;                   ///< "i-0abc is stopped (User initiated …)"
  std::optional<cloud::Instance> now;  ///< nothing of one that the cloud does not know
};
/// A young machine that the cloud does not know (yet) is there. Fails as the call does, and denied in an account
/// that cannot know.
Result<Seen> see(fleet::Context& context, cloud::Cloud& cloud, const ledger::Instance& instance);

/// Where it stands who works on the run (lease.h): in its store, if that is seen from here, or on its machine. Nothing:
/// it has neither, or only a machine of the user's own, which no other ledger finds.
Result<std::unique_ptr<Register>> register_of(fleet::Context& context, const ledger::Run& run);

/// Notes that nothing is rented for the run any more. An outcome that it has already stays; one whose training
/// ended well and whose outputs are home succeeded, whoever released it. `error` says why it is `outcome`.
Status mark_released(fleet::Context& context, ledger::Run run, ledger::Outcome outcome, const std::string& error);

/// Makes this process the run's owner. `with_outputs`: a follower is asked to cancel, and killed when it has not
/// ended within 90 s (longer while it brings outputs home). Without: it is asked to let go, and killed when it has
/// not within 5 s. Who only looks, releases or hands over is waited for. Fails cancelled when the user gives up
/// waiting, timeout after a quarter of an hour.
Result<RunLock> take_over(fleet::Context& context, const std::string& run, bool with_outputs);

/// Settles a run whose owner died, if nobody owns it: where a machine may hold what only it has, a background
/// process follows it from now on; otherwise what was made is released. Errors are those of the release.
Status recover_orphan(fleet::Context& context, const std::string& run);

}  // namespace ferry::run
