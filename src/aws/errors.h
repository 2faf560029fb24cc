#pragma once
/// \file
/// What AWS's error answers mean: from its codes to ferry's kinds, with a next step for each.

#include <string>
#include <string_view>

#include "base/error.h"
#include "os/http.h"

namespace ferry::aws {

/// An error answer as AWS gave it. Both are empty when the body says nothing that can be read.
struct Fault {
  std::string code;     ///< "InsufficientInstanceCapacity"
  std::string message;  ///< AWS's own sentence, bounded and safe to show
};

/// Reads the fault out of an answer of the query protocols (EC2's, STS's and IAM's XML) or of JSON 1.1. Never
/// fails: what cannot be read is empty.
Fault fault_of(const os::HttpResponse& response);

/// The kind of an error code. `status` decides where the code says nothing: 5xx is io, the rest bad_input.
Kind kind_of(std::string_view code, int status);

/// This computer's clock beside the Date of AWS's answer: wrong by more than five minutes, which AWS does not
/// accept, or not.
enum class Clock { right, wrong };

/// The whole error: `action` like "RunInstances", `service` like "ec2". EC2 says RequestExpired both to a
/// session that has ended and to a request that a wrong clock has dated.
Error error_of(const Fault& fault, int status, std::string_view service, std::string_view action,
               Clock clock = Clock::right);

/// True if AWS no longer takes the credentials because their time is over, or seems to be.
bool is_expired(const Error& error);

}  // namespace ferry::aws
