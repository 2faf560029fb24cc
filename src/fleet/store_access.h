#pragma once
/// \file
/// A run's store, as this computer reaches it.

#include <memory>
#include <string>

#include "fleet/context.h"
#include "s3/session.h"
#include "store/store.h"

namespace ferry::fleet {

/// yes: each call is tried once, and is given up after some seconds of silence; for what is asked again soon.
enum class Hurry { no, yes };

/// The store at `uri` (base/store_place.h). In S3 it is reached with the person's own AWS credentials, or, with
/// provider "rehearsal", in the rehearsal cloud's S3, which is started if need be. Region "": the person's own, and S3
/// says where the bucket is. Profile "": as the environment says. Makes no call to S3; a folder is made where it is
/// missing. A large upload that broke off is gone on with by whatever ferry comes next.
///
/// What a bucket that is not there answers (not_found, on the first use) says how to make it. Fails bad_input for no
/// place of a store, denied without credentials, and as folders do.
Result<std::unique_ptr<store::Store>> open_store(Context& context, const std::string& uri, const std::string& region,
                                                 const std::string& profile, const std::string& provider = "aws",
                                                 Hurry hurry = Hurry::no);

/// The same in S3 as a session, for what stores do not do (s3/bucket.h). Fails bad_input for a folder.
Result<std::shared_ptr<s3::Session>> open_s3(Context& context, const std::string& uri, const std::string& region,
                                             const std::string& profile, const std::string& provider = "aws");

/// In the rehearsal cloud's S3, unless it is there: it costs nothing, and is nobody's whom one would have to ask.
Status make_rehearsal_bucket(Context& context, const std::string& uri);

/// A folder as people write it, with their home folder in the place of "~".
os::Path folder_of(const std::string& folder);

/// The bucket that `ferry store setup` makes: "ferry-ACCOUNT-REGION".
std::string own_bucket(const std::string& account, const std::string& region);

}  // namespace ferry::fleet
