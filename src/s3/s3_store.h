#pragma once
/// \file
/// S3 as a store (store/store.h). Versions are ETags. Beyond that: several connections for a large file, and
/// what a broken transfer got is not fetched or sent again (objects.h).
///
/// Who may use it: s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload and ListMultipartUploadParts
/// on what is below the place's prefix, and s3:ListBucket on the bucket for that prefix (s3:prefix):
/// without, what is missing is `denied` instead of `not_found`, for S3 does not tell.

#include <memory>

#include "s3/session.h"
#include "store/store.h"

namespace ferry::s3 {

std::unique_ptr<store::Store> make_store(std::shared_ptr<Session> session);

}  // namespace ferry::s3
