#pragma once
/// \file
/// What outlives the process that began a run, so that another one can begin its next attempt: what was asked for, in
/// the ledger, and what was sent, in the run's folder. Internal to this room.

#include "fleet/run_dir.h"
#include "job/preflight.h"
#include "run/run.h"

namespace ferry::run {

/// What an attempt begins with.
struct Beginning {
  RunRequest request;
  job::Preflight ready;
};

/// In Run::task: what kept_beginning() reads.
inline constexpr const char* kept_request = "request";
/// Neither a secret's value, nor that of a variable which has a secret's name.
Json request_to_keep(const RunRequest& request, const job::Preflight& ready);
/// Of a run whose request was kept; Preflight::tree is empty. Secrets have their values from this process's
/// environment, `lacking` names those that it lacks. Fails not_found where nothing was kept, corrupt.
Result<Beginning> kept_beginning(const ledger::Run& run, std::vector<std::string>& lacking);
/// What a process must have in its environment besides its own, to begin the next attempt.
std::map<std::string, std::string> unkept_values(const task::Task& task);

/// Why a process without them cannot begin an attempt.
Error lacks(const std::string& run, const std::vector<std::string>& lacking);
inline constexpr const char* lacks_code = "lacks-values";

/// In Run::task: "max_duration" or "budget", whichever bounds the time of the training.
inline constexpr const char* limited_by = "limited_by";
/// In Run::task: its training was ended because it did nothing, and is not begun again for that.
inline constexpr const char* was_idle = "was_idle";
/// In Run::task: which of the task's candidates the newest machine was rented for.
inline constexpr const char* rented_candidate = "candidate";
/// In Run::task: its newest attempt is over, nothing that its machine has is needed, and another is to begin.
inline constexpr const char* begins_again = "begins_again";
/// In Run::task: whoever pays agreed to the price, or nobody had to be asked.
inline constexpr const char* is_agreed_to = "agreed";
/// In Run::task: until when a machine is waited for, as the user asked for.
inline constexpr const char* waits_until_ms = "waits_until_ms";
/// Whether a run of the task may have more than one attempt.
bool may_recover(const task::Task& task);
/// Of a run that is not over: whether nothing is rented for it, or nothing that it needs, because its next attempt is
/// about to be made. Never before somebody agreed to the price.
bool goes_on_later(fleet::Context& context, const ledger::Run& run);

/// Keeps a copy of what is sent, as far as its files are small (most_kept_file) and room is plenty; of the others, what
/// they were. `tree` is hashed. What an attempt before kept stays.
Status keep_sent(const fleet::RunDir& run_dir, const os::Path& root, const sync::Tree& tree);
inline constexpr std::uint64_t most_kept_file = std::uint64_t{32} << 20, most_kept = std::uint64_t{1} << 30;
/// The same again, hashed: from the copies, and what has none from where it was. Fails not_found where nothing was
/// kept, conflict where what has no copy is not what it was, corrupt.
Result<sync::Tree> sent_again(const fleet::RunDir& run_dir, const os::Path& root);
/// All that keep_sent() kept, in one file, for other computers: "ferry sent 1 BYTES", a newline, the list in so many
/// bytes, then each content once, in the order of the list. Fails conflict where a file has changed its length
/// meanwhile.
Status pack_sent(const fleet::RunDir& run_dir, const os::Path& root, const sync::Tree& tree, const os::Path& pack);
/// Kept here, then, of a pack from outside, as by keep_sent(): nothing but what is in the pack, and each file with the
/// SHA-256 that the list says. Fails corrupt, and then sent_again() finds nothing.
Status unpack_sent(const fleet::RunDir& run_dir, const os::Path& pack);
/// Of a run that is over.
void forget_sent(const fleet::RunDir& run_dir);

}  // namespace ferry::run
