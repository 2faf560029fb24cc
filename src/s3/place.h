#pragma once
/// \file
/// Where objects are in S3, and under which URL. Pure.

#include <string>
#include <string_view>

#include "aws/credentials.h"
#include "base/error.h"

namespace ferry::s3 {

struct Place {
  std::string bucket;
  std::string prefix;     ///< "" or ends with '/': before every key
  std::string region;     ///< of the bucket, as far as known ("": not at all): a session corrects it when S3
                          ///< says otherwise
  std::string endpoint;   ///< AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL; "" for AWS's own
  std::string account;    ///< whose the bucket must be (12 digits); "": whoever's. S3 refuses when it is another's
  std::string ca_bundle;  ///< certificates to trust; "": see os/http.h
};

/// "s3://BUCKET" or "s3://BUCKET/PREFIX/…" (base/store_place.h). Fails bad_input.
Result<Place> parse_place(std::string_view uri);
std::string uri_of(const Place& place);
/// With what the user's AWS settings say of region, endpoint and certificates, where the place says nothing
/// itself. Without any region it has none: S3 tells it. Fails bad_input for a region that is none.
Result<Place> with_settings(Place place, const aws::Config& config);

/// False for names that *.s3.REGION.amazonaws.com has no certificate for (dots), and for endpoints that are
/// an address or this computer: there the bucket is the first part of the path.
bool is_virtual_host(const Place& place);

/// The URL of an object (key "" : of the bucket), with the query given. The key is encoded here, the query
/// must be.
std::string url_of(const Place& place, std::string_view key, std::string_view query = {});

}  // namespace ferry::s3
