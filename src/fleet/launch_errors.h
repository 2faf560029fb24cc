#pragma once
/// \file
/// What EC2's refusals of a launch are about: another region, image or offer may do. Internal to this room.

#include "base/error.h"

namespace ferry::fleet {

/// True if the trouble is this account's with this region, so that another region may do.
inline bool is_about_the_region(const Error& error) {
  return error.code == "OptInRequired" || error.code == "VPCIdNotSpecified" || error.code == "DefaultVpcDoesNotExist" ||
         error.code == "InvalidSubnetID.NotFound";
}

/// True if credentials that are good elsewhere are not in this region: it is not enabled for the account.
inline bool is_not_enabled(const Error& error, bool is_elsewhere) {
  return is_elsewhere && error.kind == Kind::denied &&
         (error.code == "AuthFailure" || error.code == "InvalidClientTokenId" ||
          error.code == "UnrecognizedClientException");
}

/// True if the image is not there (any more).
inline bool is_about_the_image(const Error& error) { return error.code.starts_with("InvalidAMIID."); }

/// True if no machine can exist under the call's token. Other answers (expired credentials, a conflict) may
/// be to a repeated call whose first answer was lost, and say nothing about that one.
inline bool is_refusal(const Error& error) {
  return error.kind == Kind::no_capacity || error.kind == Kind::quota || error.kind == Kind::unsupported ||
         error.code == "UnauthorizedOperation" || (error.kind == Kind::not_found && error.code.starts_with("Invalid"));
}

}  // namespace ferry::fleet
