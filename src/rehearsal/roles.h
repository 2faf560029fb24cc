#pragma once
/// \file
/// The roles that machines have: sessions with keys of their own, made and renewed while a machine runs, told to its
/// metadata, and gone with the role.
///
/// A session lasts six hours (the fault role-session makes it shorter) and is followed by a new one when half of that
/// is over; the earlier one is good to its end. It knows S3, Auto Scaling and STS's GetCallerIdentity, nothing else.
/// Sessions are a part of the state: another server goes on with them.

#include <functional>
#include <map>

#include "os/clock.h"
#include "rehearsal/machines.h"
#include "rehearsal/model.h"
#include "rehearsal/s3_signature.h"

namespace ferry::rehearsal {

class Guarded;

constexpr std::int64_t usual_session_ms = 6 * 3'600'000;

/// The profile that an instance has, if IAM still has it.
const IamProfile* profile_of(const State& state, const Instance& instance);
/// What its metadata says of its role now, path → text: nothing at all where it has no profile.
Json role_metadata(const State& state, const Instance& instance);
/// Makes a session for each machine that needs one, and forgets those that ended. False where there was nothing to do.
bool renew_sessions(State& state, std::int64_t now_ms, std::int64_t session_ms);

/// "arn:aws:sts::123456789012:assumed-role/ROLE/i-…", and "AROA…:i-…".
std::string session_arn(const RoleSession& session);
std::string session_user_id(const RoleSession& session);
/// The session with that access key, if its role is still there.
const RoleSession* session_of(const State& state, const std::string& key_id);
/// What a role may do, by its policies as they are now.
S3Rights rights_of(const State& state, const IamRole& role);
/// What S3 needs to know of it.
S3Key s3_key_of(const State& state, const RoleSession& session);

/// Tells running machines what changes: their roles, and where the cloud is. Use from one thread.
class RoleKeeper {
 public:
  struct Options {
    std::function<std::int64_t()> now_ms;      ///< as the cloud's clock shows it
    std::function<std::int64_t()> session_ms;  ///< how long a new session lasts
    std::function<int()> s3_port;              ///< may be empty: there is no S3
    std::function<int()> api_port;             ///< of all else; may be empty: machines do not reach it
    /// As the machines' own clocks show it: this computer's.
    std::function<std::int64_t()> machine_ms = [] { return os::system_clock().now_ms(); };
  };
  RoleKeeper(Guarded& state, Machines& machines, Options options)
      : state_(state), machines_(machines), options_(std::move(options)) {}
  void pass();

 private:
  Guarded& state_;
  Machines& machines_;
  Options options_;
  std::map<std::string, Json> told_;  // by instance: what it knows
};

}  // namespace ferry::rehearsal
