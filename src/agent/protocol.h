#pragma once
/// \file
/// What laptop and agent say to each other: frames on one byte stream (an ssh session's standard input and
/// output, bridged to the agent's unix socket).
///
///   greeting = 05 16 "ferry" 1e                               agent → laptop, before the first frame, so
///                                                             that it is found behind a login shell's noise
///   frame    = length (4 bytes, little-endian, of what follows) type (1 byte) body; how long a body may be
///   is
///              its type's (most_body): 4 MiB a request, 1 MiB + 64 a log frame, 64 KiB the others
///   hello    = 'H'  JSON {"protocol":1,"speaks":2,"version":"…","run":"…"}    agent → laptop, first
///   request  = 'Q'  JSON {"id":N,"op":"…",…}                              laptop → agent
///   answer   = 'A'  JSON {"id":N, …}  or {"id":N,"error":{"kind","what","why","advice"}}
///   log      = 'L'  offset (8) stream (1: 1 stdout, 2 stderr) phase (1: 1 setup, 2 run) time_ms (8)  bytes
///   state    = 'S'  JSON, the same as the answer to "status", pushed to attached clients when it changes and
///              every few seconds besides, so that silence means a broken connection
///
/// Versions: an agent goes on with its run when ferry is upgraded, and a ferry of before may look at the run of
/// a later one. So "protocol" is the oldest version that an agent can still be spoken to in (ferries of version
/// 1 know nothing else) and "speaks" the newest; what a later version adds are members, which both ends
/// skip where they do not know them.
///   1  all below but the store
///   2  a start may have a store ("attempt", "rank", "store"), and a status then says what is stored; it may have
///      "notices", and a status then says what the cloud told the machine ("notice"); it may have "money", which the
///      training is told of; a job that runs may be extended; it may have "on_limit": the training is then asked to
///      save before its time is over; it may have "idle_s", and "group"
///
/// Requests: start {"spec"}, status, cancel {"grace_s"}, attach {"offset"}, release {"power_off"}, extend {"to"}.
///
/// A start that is refused, whatever the reason, is answered by the job's status, not by an error: state
/// "done", reason "not_started", no "run_exit" (no "setup_exit" either, unless setup ran and the run could
/// not begin), and "note" says why. Nothing of the training ran, and a job that was refused is never started
/// later. Before a client attached, the agent sends answers only. A state "done" comes after the last byte of
/// the log.
///
/// An offset counts bytes of training output (setup and run, both streams together) since the start: a log
/// frame at offset o with n bytes covers [o, o+n). Attaching at offset k gives exactly the bytes from k on,
/// each once, in the order they were written.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/notice.h"
#include "base/error.h"
#include "base/json.h"

namespace ferry::agent {

inline constexpr int protocol_version = 2, oldest_protocol = 1;
/// What a login shell may print before the greeting; more is not a login shell.
inline constexpr std::size_t max_noise = std::size_t{1} << 20;
inline constexpr std::string_view greeting =
    "\x05\x16"
    "ferry\x1e";

enum class FrameType : char { hello = 'H', request = 'Q', answer = 'A', log = 'L', state = 'S' };

/// How many bytes the body of a frame may have.
std::size_t most_body(FrameType type);

struct Frame {
  FrameType type{};
  std::string body;
};

/// Cuts frames out of a byte stream.
class FrameReader {
 public:
  void add(std::string_view bytes);
  /// The next whole frame; nothing yet if more bytes are needed; corrupt for an impossible length or type.
  Result<std::optional<Frame>> next();
  /// Drops everything up to and including the greeting; false (and what came before is still there, see
  /// noise()) while it has not come. Call it before the first next().
  bool skip_to_hello();
  /// The bytes not yet cut into frames.
  std::string_view noise() const { return std::string_view(buffer_).substr(at_); }

 private:
  std::string buffer_;
  std::size_t at_ = 0;        ///< begin of what is not consumed
  std::size_t searched_ = 0;  ///< no greeting begins before this
};

/// A whole frame. `body` must not be larger than most_body().
std::string encode(FrameType type, std::string_view body);

enum class LogStream : std::uint8_t { out = 1, err = 2 };
enum class LogPhase : std::uint8_t { setup = 1, run = 2 };

struct LogChunk {
  std::uint64_t offset = 0;
  LogStream stream = LogStream::out;
  LogPhase phase = LogPhase::run;
  std::int64_t time_ms = 0;
  std::string bytes;
};
/// The same, of bytes that somebody else holds.
struct LogView {
  std::uint64_t offset = 0;
  LogStream stream = LogStream::out;
  LogPhase phase = LogPhase::run;
  std::int64_t time_ms = 0;
  std::string_view bytes;
};
std::string encode_log(const LogChunk& chunk);           ///< a whole frame
void append_log(std::string& out, const LogView& view);  ///< a whole frame, behind what is there
Result<LogChunk> decode_log(std::string_view body);

/// Where the job is. `idle`: started nothing yet; `done`: both setup and run ended (or setup failed, or it
/// was cancelled).
enum class JobState { idle, setup, running, done };
std::string_view name(JobState state);

/// What of the run is in its store.
struct StoreStatus {
  /// none: it has no store. storing: what is there is in the store, and more will come. stored: the complete
  /// manifest is there and nothing more will come. failed: it will not be, `problem` says why; the machine then
  /// waits for its retention as without a store.
  enum class State { none, storing, stored, failed } state = State::none;
  std::uint64_t files = 0, bytes = 0;  ///< outputs and checkpoints that the last manifest names
  std::int64_t stored_ms = 0;          ///< when that manifest was put, by the machine's clock; 0: not yet
  std::string problem;                 ///< one line: what keeps it from storing now, or did for good
  bool operator==(const StoreStatus&) const = default;
};
/// "none", "storing", "stored", "failed".
std::string_view name(StoreStatus::State state);
/// For messages of the store process (store_process.h), too. The texts are cut to one short line.
Json to_json(const StoreStatus& status);
/// Corrupt for an unknown state or a member of the wrong type.
Result<StoreStatus> store_status_from(const Json& json);

struct JobStatus {
  JobState state = JobState::idle;
  std::optional<int> setup_exit, run_exit;  ///< 128 + signal when a signal ended it
  /// Why it ended, if not by itself: "" or "cancelled", "max_duration", "idle" (JobSpec::idle_s), "lost" (the agent
  /// was killed and the job with it), "stopped" (the agent was asked to end, as when the machine shuts down),
  /// "not_started" (the start was refused: nothing of the training ran), "interrupted" (the cloud takes the machine
  /// back: however it ended once it was told so, well or not).
  std::string reason;
  /// What is worth showing, one line: why it is lost or was not started, what had to be killed.
  std::string note;
  std::uint64_t log_size = 0;  ///< offset one past the last byte logged
  std::uint64_t dropped = 0;   ///< bytes of output that nobody will see: the disk is full, and memory was
  std::int64_t started_ms = 0, run_started_ms = 0, ended_ms = 0, deadline_ms = 0;  ///< 0: not (yet)
  double cpu_percent = 0;  ///< of the whole machine, over the last seconds
  StoreStatus store;
  std::optional<Notice> notice;  ///< what the cloud told the machine
  bool killed = false;           ///< it had to be: it was asked to end, and some of it did not in time
};
inline constexpr std::string_view interrupted = "interrupted";
inline constexpr std::string_view idled = "idle";
inline constexpr std::string_view not_started = "not_started";
/// What a start that failed with `error` is answered with.
JobStatus refused_start(const Error& error);
Json to_json(const JobStatus& status);
/// Corrupt if a field has the wrong type; absent ones keep their defaults. Text is cut to one short line.
Result<JobStatus> status_from(const Json& json);

/// Where the machine stores by itself what the run makes, and what of it.
struct StoreSpec {
  std::string uri;               ///< "s3://BUCKET/PREFIX", or an absolute folder on the machine; "": no store
  std::string region, endpoint;  ///< of S3; "": asked of S3; "": AWS's own
  std::vector<std::string> outputs, checkpoints;  ///< patterns as in the task; outputs empty: "outputs/"
  std::int64_t every_s = 30;                      ///< between two looks at what is new
  bool operator==(const StoreSpec&) const = default;
};
Json to_json(const StoreSpec& spec);
/// bad_input for what can be no store, and for times and lists without reason.
Result<StoreSpec> store_spec_from(const Json& json);

/// What the training is told of money (FERRY_BUDGET_LEFT), in millionths of a dollar.
struct MoneySpec {
  std::int64_t at_most = 0;  ///< that the whole run may cost
  std::int64_t left = 0;     ///< of that, when it is said
  std::int64_t hourly = 0;   ///< what an hour costs, as far as is known
  bool operator==(const MoneySpec&) const = default;
};

/// The Auto Scaling group of at most one machine that starts another one when this one dies (`recover: aws`). Before
/// the agent ends the machine, it tells that none is wanted any more, unless the job was interrupted or lost.
struct GroupSpec {
  std::string name, region;
  std::string endpoint;  ///< of AWS; "": its own
  bool operator==(const GroupSpec&) const = default;
};
Json to_json(const GroupSpec& group);
/// bad_input for what can be no group.
Result<GroupSpec> group_spec_from(const Json& json);

/// A later end of a job that runs (op "extend"). Never an earlier one.
struct Extension {
  std::int64_t deadline_ms = 0;     ///< by the machine's clock
  std::int64_t retention_s = 0;     ///< as JobSpec::retention_s
  std::int64_t power_off_in_s = 0;  ///< from now on, for the timer that the machine was booted with
  std::optional<MoneySpec> money;
};
Json to_json(const Extension& extension);
/// bad_input for times and amounts without reason.
Result<Extension> extension_from(const Json& json);

/// What the agent is asked to run (op "start"). Secrets travel only here, over ssh, and are never written to
/// disk.
struct JobSpec {
  std::string run;                                           ///< run's name
  int attempt = 1, rank = 0;                                 ///< for the keys in the store
  std::string workdir;                                       ///< absolute on the instance; made if absent
  std::string setup, command;                                ///< bash -c texts; setup may be empty
  std::vector<std::pair<std::string, std::string>> env;      ///< both kinds of FERRY_* and the task's envs
  std::vector<std::pair<std::string, std::string>> secrets;  ///< added to the environment
  std::int64_t max_duration_s = 0;                           ///< from "start"; 0: the agent's default, 24 h
  std::int64_t retention_s =
      600;                ///< how long the machine waits for its outputs to be fetched after the limit, then powers off
  bool power_off = true;  ///< whether the agent may end the machine
  StoreSpec store;
  std::optional<MoneySpec> money;     ///< nothing: it is not known, or nothing is paid
  std::optional<GroupSpec> group;     ///< nothing: no other machine comes by itself
  std::optional<NoticeSpec> notices;  ///< the machine may be taken back: its metadata service is asked
  /// How the training is asked to save before its time is over (asked_before()); nothing: it is not.
  std::optional<NoticeSpec> on_limit;
  std::int64_t idle_s = 0;  ///< a job that did nothing for so long (idle.h) is ended; 0: however long it does nothing
  std::string limited_by = "max_duration";  ///< or "budget": what max_duration_s comes from, as the training is told
};
inline constexpr std::int64_t default_max_duration_s = 24 * 3600;
/// How a command begins whose shell handles SIGTERM only so as to outlive what it runs: it has nothing to save.
inline constexpr std::string_view outlives_its_end = "trap : TERM\n";
Json to_json(const JobSpec& spec);
/// bad_input for what cannot be run: no command, a relative workdir, NUL bytes, impossible names or times, a
/// store that is none.
Result<JobSpec> spec_from(const Json& json);

/// The wire form of an error, in the member "error" of an answer: one short line each.
Json to_json(const Error& error);
/// The machine is not believed more than it must be: a kind that only this computer or the cloud can know
/// becomes `io`, a code is dropped, and advice is told as the machine's words, in `why`.
Error error_from(const Json& json);

}  // namespace ferry::agent
