#pragma once
/// \file
/// What the cloud tells a machine before it takes it back: two minutes before (an interruption), or that this has
/// become likely (a rebalance recommendation).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace ferry::agent {

struct Notice {
  enum class Kind { rebalance, interruption } kind = Kind::interruption;
  std::string action;        ///< of an interruption: "terminate", "stop" or "hibernate"
  std::int64_t time_ms = 0;  ///< by the machine's clock: when it goes; of a recommendation: when it was made
  bool operator==(const Notice&) const = default;
};
/// "rebalance", "interruption".
std::string_view name(Notice::Kind kind);
Json to_json(const Notice& notice);
/// Corrupt for an unknown kind and a member of the wrong type.
Result<Notice> notice_from(const Json& json);
/// What a training reads in the file that FERRY_NOTICE names:
/// {"kind": "interruption", "action": "terminate", "time": "2026-01-31T12:00:00Z", "seconds_left": 118}, or
/// {"kind": "rebalance", "time": …}.
Json notice_file(const Notice& notice, std::int64_t now_ms);

/// A limit of the run is about to end its training.
struct LimitNotice {
  std::string reason;        ///< "max_duration", "budget", "idle"
  std::int64_t time_ms = 0;  ///< by the machine's clock: when what still runs gets SIGTERM
};
/// Likewise: {"kind": "limit", "reason": "max_duration", "time": "2026-01-31T12:00:00Z", "seconds_left": 60}.
Json notice_file(const LimitNotice& notice, std::int64_t now_ms);
/// How long before the end of a time a training is asked to save: its grace, at most a tenth of that time.
Millis asked_before(std::int64_t grace_s, Millis whole);

/// How a training is told of an interruption (JobSpec::notices) and of the end of its time (JobSpec::on_limit).
struct NoticeSpec {
  /// SIGTERM: as a cancellation does, the job is to save and end. SIGINT, SIGUSR1, SIGUSR2: those of its processes
  /// that handle the signal get it; what still runs 10 s before its time is over gets SIGTERM, too. Where none handles
  /// it (in a container, whose processes are not seen from outside), SIGTERM comes at once. "none": only the file is
  /// written, and SIGTERM comes 10 s before the time is over.
  std::string signal = "SIGTERM";
  std::int64_t grace_s =
      100;  ///< from the notice: then what still runs is killed, and the rest of the time is the store's
  bool operator==(const NoticeSpec&) const = default;
};
Json to_json(const NoticeSpec& spec);
/// bad_input for another signal, or a time without reason.
Result<NoticeSpec> notice_spec_from(const Json& json);
/// Its number; 0: "none"; nothing for what is no signal that a training can be told by.
std::optional<int> signal_number(std::string_view name);

}  // namespace ferry::agent
