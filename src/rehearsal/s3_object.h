#pragma once
/// \file
/// What requests say about an object (headers, conditions, ranges) and what answers tell of one. An
/// S3Object's head is
///   {"headers": {"content-type": …}, "meta": {NAME: TEXT}, "class": "STANDARD_IA", "tags": {KEY: VALUE},
///    "checksum": {"kind": "CRC32", "value": BASE64, "type": "COMPOSITE"}, "parts": [{"size": N, "checksums":
///    {…}}]}
/// without what there is none of.

#include <functional>
#include <optional>

#include "os/http_server.h"
#include "rehearsal/s3_request.h"
#include "rehearsal/s3_store.h"

namespace ferry::rehearsal {

/// Content-Type and its like, metadata, storage class and tags of a request that makes an object. Refuses
/// what this cloud does not do: keys of one's own (KMS, customer's), ACLs other than the owner's, locks.
S3Result<Json> head_of_request(const S3Request& request);
/// "a=1&b=2" as tags; InvalidTag.
S3Result<Json> parse_tags(std::string_view text);
S3Status check_tags(const Json& tags);

/// ETag, Last-Modified, metadata and the rest; checksums only where `with_checksums`.
void add_object_headers(os::HeaderLines& headers, const S3Object& object, bool with_checksums);
/// "AES256", which all objects are encrypted by.
void add_encryption_header(os::HeaderLines& headers);

/// If-Match and If-None-Match of a request that writes or deletes.
struct WriteConditions {
  std::optional<std::string> match;  ///< without quotes; "*": any
  bool none_match = false;           ///< If-None-Match: *
  explicit operator bool() const { return match || none_match; }
};
S3Result<WriteConditions> write_conditions(const S3Request& request);
/// PreconditionFailed, or NoSuchKey for If-Match where there is nothing.
S3Status check_write(const WriteConditions& conditions, const std::string& key, const S3Object* there);
/// For the store: `seen` is what was there when the request began and its conditions held. If something else
/// is there now, another write came between: ConditionalRequestConflict.
S3Store::Decide unless_raced(const WriteConditions& conditions, const std::string& key,
                             const std::optional<S3Object>& seen);

/// The conditions of a read, of whose headers the names begin with `prefix` ("" or "x-amz-copy-source-").
/// True: it is to be answered; false: 304 Not Modified. PreconditionFailed.
S3Result<bool> read_conditions(const S3Request& request, const S3Object& object, const std::string& prefix = {});

struct ByteRange {
  std::uint64_t first = 0, count = 0;
};
/// Of a Range header: nothing where there is none, or one that S3 passes over (several ranges). InvalidRange
/// where it has no byte of the object.
S3Result<std::optional<ByteRange>> parse_byte_range(std::string_view header, std::uint64_t size);

/// "bucket/key" of x-amz-copy-source.
struct CopySource {
  std::string bucket, key;
};
S3Result<CopySource> copy_source(const S3Request& request);

std::string quoted_etag(std::string_view etag);
std::string unquoted_etag(std::string_view text);

}  // namespace ferry::rehearsal
