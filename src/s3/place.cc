#include "s3/place.h"

#include <algorithm>

#include "aws/services.h"
#include "base/text.h"
#include "os/ways.h"

namespace ferry::s3 {

bool is_bucket_name(std::string_view name) {
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.size() < 3 || name.size() > 63 || !is_plain(name.front()) || !is_plain(name.back())) return false;
  if (name.find("..") != std::string_view::npos || name.find_first_not_of("0123456789.") == std::string_view::npos)
    return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return is_plain(c) || c == '-' || c == '.'; });
}

Result<Place> parse_place(std::string_view uri) {
  const auto bad = [&](const char* why) {
    return fail(Kind::bad_input, "no place in S3: " + short_line(uri, 200), why,
                "write s3://BUCKET or s3://BUCKET/PREFIX");
  };
  if (!uri.starts_with("s3://")) return bad("it begins with s3://");
  uri.remove_prefix(5);
  const auto slash = std::min(uri.find('/'), uri.size());
  Place place;
  place.bucket = uri.substr(0, slash);
  if (!is_bucket_name(place.bucket))
    return bad("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens");
  std::string_view prefix = uri.substr(std::min(slash + 1, uri.size()));
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (prefix.empty()) return place;
  for (const auto& part : split(prefix, '/')) {
    if (part.empty() || part == "." || part == ".." || printable(part) != part)
      return bad("the prefix is a clean path");
  }
  if (prefix.size() > 100) return bad("the prefix has at most 100 bytes");
  place.prefix = std::string(prefix) + "/";
  return place;
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
