#pragma once
/// \file
/// What an S3 request is about: bucket, key and query, from either style of address.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "os/http_server.h"
#include "rehearsal/s3_error.h"

namespace ferry::rehearsal {

struct S3Request {
  std::string method;
  std::string path, query;                    ///< raw, as they came: signatures cover them
  std::string bucket, key;                    ///< decoded; empty where the request is about neither
  std::map<std::string, std::string> params;  ///< decoded; the first of several equal names; '+' stands for itself
  os::HeaderLines headers;                    ///< names in lower case
  std::string peer;

  /// The first header of that (lower-case) name, or "".
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
  bool has(const std::string& param) const { return params.contains(param); }
  std::string param(const std::string& name, std::string_view otherwise = {}) const;
  /// "/BUCKET/KEY", as errors and answers name it.
  std::string resource() const;
};

/// Both styles: `/BUCKET/KEY`, and `/KEY` with the host BUCKET.localhost, BUCKET.127.0.0.1 or
/// BUCKET.s3.REGION.amazonaws.com (any port). InvalidURI for a target that is none, KeyTooLongError beyond
/// 1,024 bytes.
S3Result<S3Request> read_s3_request(const os::ServedRequest& request);

/// The bucket that a Host header names ("" for path style).
std::string bucket_of_host(std::string_view host);

/// 3 to 63 characters: lower-case letters, digits, '-' and '.', as S3 has it.
bool is_bucket_name(std::string_view name);

/// The time of an HTTP date ("Tue, 14 Nov 2023 22:13:20 GMT"), in milliseconds; nothing if it is none.
std::optional<std::int64_t> parse_http_date(std::string_view text);
std::string show_http_date(std::int64_t ms);

/// True for text that is UTF-8 throughout.
bool is_utf8(std::string_view text);

}  // namespace ferry::rehearsal
