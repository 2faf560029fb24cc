#pragma once
/// \file
/// S3's XML: what it answers, and what it is sent. Bytes from outside: bounded, and every number and key is
/// checked.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::s3 {

struct Listed {
  std::string key, etag;  ///< the ETag without its quotes
  std::uint64_t bytes = 0;
  std::int64_t modified_ms = 0;
};
struct ListPage {
  std::vector<Listed> objects;
  std::string next;  ///< the token for the next page; "" on the last
};
/// ListObjectsV2 with encoding-type=url. Fails corrupt.
Result<ListPage> parse_list(std::string_view xml);

/// InitiateMultipartUpload's UploadId. Fails corrupt when there is none that can stand in a URL.
Result<std::string> parse_upload_id(std::string_view xml);

struct PartPage {
  std::map<int, std::string> etags;  ///< by the part's number
  int next = 0;                      ///< the marker for the next page; 0 on the last
};
Result<PartPage> parse_parts(std::string_view xml);

/// CompleteMultipartUpload's answer: the ETag of the object, or the code of the error that came with status
/// 200.
struct Completed {
  std::string etag, error_code;
};
Completed parse_completed(std::string_view xml);

/// DeleteObjects' answer: the keys that are still there, with S3's codes.
std::vector<std::pair<std::string, std::string>> parse_delete_errors(std::string_view xml);

/// An upload in parts that is not finished.
struct BegunUpload {
  std::string key, id;  ///< the key with the place's prefix
  std::int64_t begun_ms = 0;
};
struct UploadsPage {
  std::vector<BegunUpload> uploads;
  std::string next_key, next_id;  ///< where the next page begins; both "": this is the last
};
/// ListMultipartUploads with encoding-type=url. Fails corrupt.
Result<UploadsPage> parse_uploads(std::string_view xml);

struct UploadedPart {
  int number = 0;
  std::string etag, sha256;  ///< hexadecimal
};
std::string complete_xml(const std::vector<UploadedPart>& parts);
std::string delete_xml(const std::vector<std::string>& keys);
/// The text with what XML would read otherwise as entities.
std::string escaped(std::string_view text);

/// The lifecycle of a bucket with `rule` (one <Rule> element) in the place of the rule with the same ID; a
/// rule that is there already in the same words gives "": nothing to do. `xml` is "" where there is no
/// lifecycle yet. Fails corrupt.
Result<std::string> merged_lifecycle(std::string_view xml, std::string_view rule);

/// "2026-01-31T12:00:00.000Z" in milliseconds since 1970; 0 if it is none.
std::int64_t parse_time(std::string_view text);
/// Without quotes around it.
std::string unquoted(std::string_view etag);

}  // namespace ferry::s3
