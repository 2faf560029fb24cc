#include "s3/place.h"

#include "aws/services.h"
#include "base/store_place.h"
#include "base/text.h"
#include "os/ways.h"

namespace ferry::s3 {

Result<Place> parse_place(std::string_view uri) {
  TRY_SET(parsed, "", parse_store_place(uri));
  if (parsed.bucket.empty()) {
    return fail(Kind::bad_input, "no place in S3: " + short_line(uri, 200), "it begins with s3://",
                "write s3://BUCKET or s3://BUCKET/PREFIX");
  }
  return Place{.bucket = std::move(parsed.bucket), .prefix = std::move(parsed.prefix)};
}

std::string uri_of(const Place& place) {
  std::string uri = "s3://" + place.bucket + "/" + place.prefix;
  uri.pop_back();
  return uri;
}

Result<Place> with_settings(Place place, const aws::Config& config) {
  if (place.region.empty()) {
    auto region = config.region("");
    if (!region && region.error().kind != Kind::not_found) return tl::unexpected(std::move(region).error());
    if (region) place.region = *std::move(region);
  }
  if (place.endpoint.empty()) place.endpoint = config.endpoint_url("s3");
  if (place.ca_bundle.empty()) place.ca_bundle = config.ca_bundle();
  return place;
}

bool is_virtual_host(const Place& place) {
  if (place.bucket.find('.') != std::string::npos) return false;
  if (place.endpoint.empty()) return true;
  const auto url = os::parse_url(place.endpoint);
  return url && !os::is_address(url->host) && !os::is_near(url->host);
}

std::string url_of(const Place& place, std::string_view key, std::string_view query) {
  std::string endpoint = place.endpoint.empty() ? aws::own_endpoint("s3", place.region) : place.endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const std::string path = "/" + percent_encoded(key, "/");
  std::string url;
  if (is_virtual_host(place)) {
    const auto host = endpoint.find("://") + 3;
    url = endpoint.substr(0, host) + place.bucket + "." + endpoint.substr(host) + path;
  } else {
    url = endpoint + "/" + place.bucket + (key.empty() ? "" : path);
  }
  return query.empty() ? url : url + "?" + std::string(query);
}

}  // namespace ferry::s3
