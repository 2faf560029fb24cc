#pragma once
/// \file
/// IAM policies as far as S3 is concerned: those of buckets, and those that a session's credentials are
/// confined to.
///
/// Effect, Principal, Action, NotAction, Resource, NotResource and Condition are evaluated, with the
/// operators String…, Arn…, Bool, Null, Numeric…, IpAddress and NotIpAddress (and …IfExists). Policy
/// variables (${aws:userid}, ${s3:prefix}) stand for what the request has of that name; with one that it has not, a
/// pattern matches nothing. This cloud answers on the loopback
/// interface, which nobody listens in on: aws:SecureTransport is true there, so a policy that denies plain
/// HTTP lets its clients in, as it would over TLS; the fault plain-http makes it false.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "rehearsal/s3_error.h"

namespace ferry::rehearsal {

/// What is to be judged.
struct PolicyQuestion {
  std::string action;                       ///< "s3:GetObject"
  std::string resource;                     ///< "arn:aws:s3:::bucket/key"
  std::string principal;                    ///< the caller's ARN
  std::map<std::string, std::string> keys;  ///< condition keys in lower case; absent ones are not there
  std::string role = {};                    ///< of the session of a role: the role's ARN
};

enum class Ruling { silent, allowed, denied };

/// What a policy says. `of_bucket`: its statements name principals, and only those for the caller count.
Ruling judge(const Json& policy, const PolicyQuestion& question, bool of_bucket);

/// What the sessions of a role may do: what one of its policies allows, none denies, and its boundary allows, too.
struct S3Rights {
  std::vector<Json> policies;
  std::optional<Json> boundary;
  std::string role_arn;
  std::map<std::string, std::string> keys;  ///< condition keys about who asks
};
/// Why they do not allow it, as AWS says it behind "is not authorized to perform"; "" if they do.
std::string_view why_not_allowed(const S3Rights& rights, const PolicyQuestion& question);

/// A policy that this can evaluate, for `bucket` (""; then without principals). MalformedPolicy says what is
/// wrong.
S3Result<Json> parse_policy(std::string_view text, std::string_view bucket);

}  // namespace ferry::rehearsal
