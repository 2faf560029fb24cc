#pragma once
/// \file
/// IAM policies as far as S3 is concerned: those of buckets, and those that a session's credentials are
/// confined to.
///
/// Effect, Principal, Action, NotAction, Resource, NotResource and Condition are evaluated, with the
/// operators String…, Arn…, Bool, Null, Numeric…, IpAddress and NotIpAddress (and …IfExists). Policy
/// variables (${…}) are not replaced: such a pattern matches nothing. This cloud answers on the loopback
/// interface, which nobody listens in on: aws:SecureTransport is true there, so a policy that denies plain
/// HTTP lets its clients in, as it would over TLS; the fault plain-http makes it false.

#include <map>
#include <string>

#include "base/json.h"
#include "rehearsal/s3_error.h"

namespace ferry::rehearsal {

/// What is to be judged.
struct PolicyQuestion {
  std::string action;                       ///< "s3:GetObject"
  std::string resource;                     ///< "arn:aws:s3:::bucket/key"
  std::string principal;                    ///< the caller's ARN
  std::map<std::string, std::string> keys;  ///< condition keys in lower case; absent ones are not there
};

enum class Ruling { silent, allowed, denied };

/// What a policy says. `of_bucket`: its statements name principals, and only those for the caller count.
Ruling judge(const Json& policy, const PolicyQuestion& question, bool of_bucket);

/// A policy that this can evaluate, for `bucket` (""; then without principals). MalformedPolicy says what is
/// wrong.
S3Result<Json> parse_policy(std::string_view text, std::string_view bucket);

}  // namespace ferry::rehearsal
