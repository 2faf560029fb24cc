#pragma once
/// \file
/// One client's connection at the agent's end. Never waits: what the client does not take stays in the spool,
/// and at most a few hundred KiB are held for it in memory.

#include <cstdint>
#include <string>

#include "agent/protocol.h"
#include "agent/supervisor.h"
#include "os/fd.h"

namespace ferry::agent {

class Session {
 public:
  /// Greets. `supervisor` must live longer.
  Session(os::Fd socket, Supervisor& supervisor);

  int fd() const { return socket_.get(); }
  /// False while the client does not take the answers to what it asked.
  bool wants_input() const;
  /// Something waits to be sent.
  bool wants_output() const;
  /// When the client last sent or took something (Clock::steady_ms).
  std::int64_t last_active() const { return last_active_; }

  /// Takes what came and acts on whole requests. False when the client is gone or speaks another protocol.
  bool receive();
  /// Sends what the socket takes now: answers, log, state. False when the client is gone.
  bool send();

 private:
  Json answer(const Json& request);
  Json act(const Json& request);
  bool state_due() const;
  bool fill();

  os::Fd socket_;
  Supervisor& supervisor_;
  FrameReader reader_;
  std::string out_;
  std::size_t sent_ = 0;            ///< of out_
  std::optional<Place> place_;      ///< in the log, once attached
  std::uint64_t version_seen_ = 0;  ///< of the status
  std::int64_t last_active_ = 0;
};

}  // namespace ferry::agent
