#pragma once
/// \file
/// The body of an S3 request as the bytes that were meant: framing (aws-chunked) taken apart, and every
/// signature and hash in it checked on the way.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "os/http_server.h"
#include "rehearsal/s3_error.h"
#include "rehearsal/s3_request.h"
#include "rehearsal/s3_signature.h"

namespace ferry::rehearsal {

class S3Payload {
 public:
  virtual ~S3Payload() = default;
  /// Some bytes, or 0 at the end; only then is all of it known to be as it was signed: until then nobody may
  /// see what was made of it. Fails XAmzContentSHA256Mismatch, SignatureDoesNotMatch, IncompleteBody,
  /// InvalidChunkSizeError, MalformedTrailerError, RequestTimeout.
  virtual S3Result<std::size_t> read(std::span<char> into) = 0;
  /// How many bytes it is going to have; nothing where a chunked body does not say.
  virtual std::optional<std::uint64_t> size() const = 0;
  /// What came behind the body; complete after the end. Names in lower case.
  virtual const std::map<std::string, std::string>& trailers() const = 0;
  /// The SHA-256 that it was signed with, raw, where there is one of the whole: at the end it is known to be right.
  virtual std::string signed_sha256() const { return {}; }
  /// All of it; `too_long` beyond `most` bytes.
  S3Result<std::string> read_all(std::size_t most, const S3Error& too_long);
};

/// `body` must outlive it. MissingContentLength where the length is needed and not told.
S3Result<std::unique_ptr<S3Payload>> open_payload(const S3Request& request, const S3Signature& signature,
                                                  os::BodyReader& body);

}  // namespace ferry::rehearsal
