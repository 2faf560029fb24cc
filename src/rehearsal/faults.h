#pragma once
/// \file
/// What the rehearsal cloud was told to do wrong. Faults are forgotten when the server ends.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/units.h"
#include "rehearsal/api_error.h"
#include "rehearsal/asked.h"

namespace ferry::rehearsal {

/// What a request to S3 is to meet.
struct S3Trouble {
  std::optional<ApiError> refusal;          ///< before anything is done
  std::optional<ApiError> late;             ///< nothing is done, and the answer is 200 with this error in it
  std::optional<std::uint64_t> cut_upload;  ///< the connection is closed after so many bytes of the body
  std::optional<std::uint64_t> cut_answer;  ///< likewise, of an object that is answered
  bool drop = false;                        ///< all is done, and nothing answered
  bool plain_http = false;                  ///< for policies, the request did not come over TLS
  Millis latency{0};                        ///< before it is answered
};

/// Spot prices that move.
struct Market {
  std::int64_t seed = 1, step_ms = 300'000;
};

/// Not safe from several threads: its owner locks.
class Faults {
 public:
  /// Takes one fault in the form rehearsal.h describes. bad_input names the kind or field that is wrong. A
  /// fault without "count" stays until cleared; "count":n spends itself after n uses.
  Status add(const Json& fault);

  /// The refusal that a request is to meet, if any (expired-token, throttle, permission, error), in its
  /// service's words. Spends one use, but not by a dry run: a permission refuses it all the same, any other
  /// fault with a "count" waits for a call that acts.
  std::optional<ApiError> refusal(const Asked& asked);
  /// True when the answer is to be lost (drop). Spends one use; those with a "count" not by a dry run.
  bool drops(const Asked& asked);
  /// What is answered in place of the truth although all was done (error-after). Spends one use as drops() does.
  std::optional<ApiError> late_refusal(const Asked& asked);
  /// All of that for a request to S3, and what only S3 has (slow-down, cut-upload, cut-answer, late-error, conflict,
  /// latency, plain-http). Spends one use of each that is met. `conditional`: it has a condition and writes.
  S3Trouble s3_trouble(const Asked& asked, bool conditional);
  /// True when a launch of `type` in `zone` finds no capacity. Spends one use if `spend`.
  bool no_capacity(const std::string& type, const std::string& zone, bool spend);
  struct Boot {
    std::int64_t extra_ms = 0;
    bool never = false;
    std::int64_t disk_mib = 0;  ///< of the home; 0: as large as this computer's disk
  };
  /// How the next boot goes wrong (slow-boot, no-boot, small-disk). Spends one use of each.
  Boot boot(const std::string& type);
  /// The vCPU limit of a bucket ("standard", "g", …; spot has "spot-standard", …), and the limit of instances
  /// ("instances").
  std::optional<std::int64_t> quota(const std::string& bucket) const;
  struct QuotaAnswer {
    std::string status;         ///< "APPROVED", "DENIED", …
    std::int64_t after_ms = 0;  ///< so long after it was asked for
  };
  /// What open requests for more get (quota-answer); nothing: they wait.
  std::optional<QuotaAnswer> quota_answer() const;
  /// How far the server's clock is ahead of the real one (clock).
  std::int64_t clock_ms() const;
  /// Where this computer's connections come from, as the cloud sees it (caller).
  std::string caller() const;
  /// How long EC2 does not know a new instance profile, or its new role (late-profile).
  std::int64_t late_profile_ms() const;
  /// How long EC2 shows no new capacity reservation (late-reservation).
  std::int64_t late_reservation_ms() const;
  /// How long sessions of machines' roles last (role-session); `otherwise` without such a fault.
  std::int64_t session_ms(std::int64_t otherwise) const;
  /// How often a spot machine is taken back in an hour that it runs (interruptions); 0: it is not.
  std::int64_t interruptions_per_hour() const;
  /// How spot prices move (market); nothing: they do not.
  std::optional<Market> market() const;
  /// The account has its VPC, but not as the default one (no-default-vpc).
  bool no_default_vpc() const;

  /// What decides a dry run, which takes no machine and boots none: all but capacity and how boots go.
  Faults for_dry_run() const;

  /// What is in force, as it was given, with what is left of "count".
  Json list() const { return faults_; }

 private:
  /// The first fault of `kind` for which `fits`; spends one use.
  template <class Fits>
  std::optional<Json> use(std::string_view kind, Fits fits, bool spend = true);
  std::vector<Json> faults_;
  std::int64_t s3_requests_ = 0;  // that slow-down counted
};

}  // namespace ferry::rehearsal
