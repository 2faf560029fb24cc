#pragma once
/// \file
/// What a request asks for, in the names of AWS's permissions.

#include <string>
#include <vector>

#include "rehearsal/http_message.h"
#include "rehearsal/query.h"

namespace ferry::rehearsal {

struct Asked {
  std::string service;  ///< what its permissions begin with: "ec2", "sts", "ssm", …; "" for an unknown target
  std::string action;   ///< "RunInstances"
  bool dry_run = false;
  /// The permissions: its own first, then what parts of the request need ("ec2:CreateTags" for tags on
  /// something new, "iam:PassRole" for an instance profile).
  std::vector<std::string> needs;
  /// "ec2:RunInstances"
  std::string name() const { return service.empty() ? action : service + ":" + action; }
};

/// Never fails: what is not understood has the action "?".
Asked read_asked(const HttpRequest& request);

/// The form in the body, and what the query adds, without the signature's own parameters.
Params request_params(const HttpRequest& request);

/// STS, IAM, Auto Scaling and Elastic Load Balancing: EC2's protocol with lists of <member>, and errors in the same
/// words.
inline bool speaks_query(std::string_view service) {
  return service == "sts" || service == "iam" || service == "autoscaling" || service == "elasticloadbalancing";
}

/// What the service with these permissions calls itself in X-Amz-Target ("AmazonSSM"); "" if it speaks no
/// JSON.
std::string_view target_prefix(std::string_view service);

}  // namespace ferry::rehearsal
