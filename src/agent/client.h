#pragma once
/// \file
/// The laptop's end of one connection to an agent.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "agent/protocol.h"
#include "base/units.h"
#include "os/fd.h"

namespace ferry::agent {

/// Speaks over two descriptors (may be the same). Use from one thread. Any broken or silent stream is
/// Kind::lost: make a new connection and attach again at the offset you have.
///
/// The machine may be hostile. Every call returns within its limit of time however much comes meanwhile, and
/// never more than most_held bytes are in memory: what nobody asked for yet is not read, what an agent has no
/// reason to send is Kind::corrupt.
class Client {
 public:
  /// Reads the hello (skipping what a login shell printed first) within `limit`; lost when it does not come
  /// (`why` has what came instead), unsupported when the agent speaks another version of the protocol.
  static Result<Client> connect(os::Fd in, os::Fd out, Millis limit);

  /// Without waiting for the hello, so that a question is on its way at once: the first answer comes after it, or fails
  /// as connect() does.
  static Client begin(os::Fd in, os::Fd out, Millis limit);
  /// True once the hello came.
  bool has_greeted() const { return has_greeted_; }

  /// What the agent said of itself, once it has.
  const std::string& agent_version() const { return agent_version_; }
  /// The newest version of the protocol that both ends know. An agent of version 1 runs a job whose spec has a
  /// store, and stores nothing.
  int protocol() const { return protocol_; }

  /// Starts the job. Asking again for a job that was started is no error and answers its status. A start that is
  /// refused, there or here (a request that is too large), is a value: done, reason not_started.
  Result<JobStatus> start(const JobSpec& spec);
  /// The same, and attach(offset) with it, without a round trip in between.
  Result<JobStatus> start_and_attach(const JobSpec& spec, std::uint64_t offset);
  /// The same in two steps, where other things are waited for in between: the questions, which go at once. Fails
  /// bad_input for what will not be started (refused_start()), lost.
  struct Begun {
    std::int64_t start = 0, attach = 0;  ///< the questions' numbers
    std::uint64_t offset = 0;
  };
  Result<Begun> begin_start(const JobSpec& spec, std::uint64_t offset);
  /// And the answers.
  Result<JobStatus> await_start(const Begun& begun);
  /// Also a sign of life: an agent that is never told to start waits for `orphan` after the last one.
  Result<JobStatus> status();
  /// SIGTERM to the job's process group, after `grace` SIGKILL. Returns at once. Does nothing when the job is done; a
  /// job that did not start yet never will.
  Status cancel(Seconds grace);
  /// The job's limit, and the machine's own end, are later from now on. Asking again is no error. Conflict where no job
  /// runs or it is being ended, unsupported where the agent, or the machine's timer, is of a ferry before this one.
  Result<JobStatus> extend(const Extension& extension);
  /// Tells the agent that outputs are safe: it will not retention; with power_off it ends the machine. Without,
  /// the machine still ends at the deadline, if the agent may end it. Conflict while the job runs.
  Status release(bool power_off);
  /// After this, next() delivers log chunks from `offset` on, and states. Attaching again starts again there.
  Status attach(std::uint64_t offset);
  /// Once attached: up to which offset next() has given the log.
  std::optional<std::uint64_t> reached() const;

  /// One thing that happened.
  struct Event {
    std::optional<LogChunk> log;
    std::optional<JobStatus> state;
  };
  /// The next event; nothing when `limit` passed. When the job is done and every log byte has been delivered,
  /// the last event is a state with JobState::done whose log_size is not beyond the offset reached (it comes
  /// again every few seconds). Of states that wait to be taken only the newest is given. Once attached, an
  /// agent that says nothing whole for `silence_limit` of waiting is lost.
  Result<std::optional<Event>> next(Millis limit);
  /// For poll(2): readable when next() may have something (ask next(0) first, frames may be buffered).
  int fd() const { return in_.get(); }

  /// How long answers, and events once attached, may take.
  Millis silence_limit{30'000};
  /// More than this is never held of what came and was not taken.
  static constexpr std::size_t most_held = std::size_t{24} << 20;
  /// Bytes that are held now.
  std::size_t held() const { return reader_.noise().size() + waiting_bytes_; }

 private:
  Client(os::Fd in, os::Fd out) : in_(std::move(in)), out_(std::move(out)) {}
  Result<Json> ask(Json request);
  Result<std::int64_t> post(Json request);
  Result<Json> answer_to(std::int64_t id);
  Status be_attached(std::int64_t request, std::uint64_t offset);
  Status send(std::string_view bytes);
  Status receive();
  Result<std::optional<Frame>> read_frame(Millis limit);
  Result<std::optional<Frame>> next_frame(Millis limit);
  Status read_hello();
  Status keep(const Frame& frame);

  os::Fd in_, out_;
  FrameReader reader_;
  std::deque<Event> waiting_;
  bool has_greeted_ = false;
  Millis hello_limit_{0};
  std::string agent_version_;
  int protocol_ = 0;
  std::int64_t next_id_ = 1;
  std::size_t waiting_bytes_ = 0;
  Millis silent_{0};  ///< time waited since the agent last said something whole
  /// Once attached: the offset of the log byte that comes next.
  std::optional<std::uint64_t> place_;
};

/// Whether an error of Client's is the agent's own answer; any other says nothing about what the agent did.
bool is_answer(const Error& error);

/// ferry-agent's main: `ferry-agent serve DIR`, `connect DIR`, `send …`, `receive …`, `--version`. See
/// agent/main.cc for each.
int agent_main(int argc, char** argv);

}  // namespace ferry::agent
