#pragma once
/// \file
/// Uploads in parts that nobody finished: S3 keeps their parts, bills them, and shows them in no listing of objects.

#include "s3/session.h"
#include "s3/xml.h"

namespace ferry::s3 {

/// Those whose key begins with the place's prefix and `prefix`. Needs s3:ListBucketMultipartUploads.
Result<std::vector<BegunUpload>> list_uploads(const std::shared_ptr<Session>& session, const std::string& prefix);
/// Removes its parts. Does nothing when it is gone already.
Status abort_upload(const std::shared_ptr<Session>& session, const BegunUpload& upload);

}  // namespace ferry::s3
