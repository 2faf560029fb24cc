#pragma once
/// \file
/// AWS Signature Version 4: signs HTTP requests by header or as a presigned URL. Pure: no clock, no network.
///
/// What is signed is what is sent. The path and query of a request's URL must be percent-encoded already
/// (with base/text.h's percent_encoded), headers must not change afterwards. Host is signed from the URL
/// unless given.

#include <cstdint>
#include <string>

#include "aws/credentials.h"
#include "os/http.h"

namespace ferry::aws {

/// Which service in which region the signature is good for.
struct SigningScope {
  std::string region;
  std::string service;  ///< the signing name, for example "ec2"
};

/// How a service wants its path in the canonical request.
enum class PathRule {
  normalized,  ///< every service but S3: "." and ".." resolved, doubled slashes merged, encoded a second time
  as_sent,     ///< encoded a second time, not normalized
  s3,          ///< exactly the bytes of the URL
};

struct SigningOptions {
  PathRule path = PathRule::normalized;
  /// Adds x-amz-content-sha256 (S3 requires it). A request that carries the header already keeps its value,
  /// which then stands for the body: for example UNSIGNED-PAYLOAD.
  bool content_sha256 = false;
};

/// The signing options of a service: S3 has its own.
SigningOptions signing_options(const std::string& service);

/// Adds X-Amz-Date, X-Amz-Security-Token (if there is one) and Authorization to the request's headers,
/// replacing those of an earlier signature.
void sign(os::HttpRequest& request, const Credentials& credentials, const SigningScope& scope, std::int64_t now_ms,
          const SigningOptions& options = {});

/// The URL of `request` with the signature in its query, good for `expires` (at most seven days) from
/// `now_ms`. The request's headers are signed and must be sent with it. For S3 the body is not signed.
std::string presign(const os::HttpRequest& request, const Credentials& credentials, const SigningScope& scope,
                    std::int64_t now_ms, Seconds expires, const SigningOptions& options = {});

}  // namespace ferry::aws
