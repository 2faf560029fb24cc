#pragma once
/// \file
/// Where data sets are, as people write it. Pure.

#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::task {

/// True for what names a place beyond this computer ("…://…").
bool is_url(std::string_view written);

/// "s3://BUCKET", "s3://BUCKET/KEY" or "s3://BUCKET/PREFIX/", also for the https:// addresses that S3 gives them (but
/// not for those with a query, as a presigned one has: they are files on the web); "http(s)://…" of one file. Fails
/// unsupported, with what to do instead, for other clouds' places; bad_input for what is none.
Result<std::string> data_url(std::string_view written);

/// Of an s3:// address that data_url() gave.
struct BucketPath {
  std::string bucket;
  std::string key;  ///< "": the whole bucket; with a '/' at its end what is below it
};
BucketPath bucket_path(std::string_view url);

}  // namespace ferry::task
