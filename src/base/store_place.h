#pragma once
/// \file
/// Where a run's store is, as people write it: "s3://BUCKET", "s3://BUCKET/PREFIX", or a folder, "/shared/runs" or
/// "~/runs". Pure.

#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry {

struct StorePlace {
  std::string bucket;  ///< of S3; "": it is a folder
  std::string prefix;  ///< "" or ends with '/': before every key
  std::string folder;  ///< absolute, or begins with "~/"
};

/// Fails bad_input, with what is understood, for anything else: other clouds' places, relative folders, names that S3
/// takes for no bucket's, prefixes that are no clean path of at most 100 bytes, or
/// that a policy would read as more than one.
Result<StorePlace> parse_store_place(std::string_view text);

/// As parse_store_place() reads it, with nothing to spare at its end.
std::string uri_of(const StorePlace& place);

/// 3 to 63 of lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit, no
/// IPv4 address.
bool is_bucket_name(std::string_view name);

}  // namespace ferry
