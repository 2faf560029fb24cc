#pragma once
/// \file
/// The operations of S3, one function each, and the table by which a request finds its own (s3_actions.cc).

#include <functional>
#include <pugixml.hpp>

#include "rehearsal/s3_integrity.h"
#include "rehearsal/s3_object.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// A request that is signed, allowed, and about a bucket that there is.
struct S3Call {
  const S3Request& request;
  const S3Signature& signature;
  os::BodyReader& body;
  S3Store& store;
  std::int64_t now_ms;
  S3Bucket bucket;
  /// Whether the caller may do something beside what the request itself needs; AccessDenied, NoSuchBucket.
  std::function<S3Status(const char* permission, const std::string& bucket, const std::string& key)> allow;
};

enum class S3Level { account, bucket, object };

struct S3Action {
  const char* name;  ///< as AWS's API has it
  const char* method;
  S3Level level;
  const char* param;       ///< the query parameter that makes it this one; "" for the plain request
  const char* permission;  ///< "s3:GetObject"
  S3Result<os::ServedReply> (*run)(S3Call& call);
  const char* header = "";  ///< a header that must be there, too
};

/// NotImplemented for what S3 has and this has not, MethodNotAllowed for the rest.
S3Result<const S3Action*> find_s3_action(const S3Request& request);

constexpr std::int64_t most_page = 1000;
constexpr std::uint64_t most_put_bytes = 5ull << 30;  ///< by one request, a copy included

/// Sent with the S3 namespace: <ROOT xmlns=…>BODY</ROOT>.
os::ServedReply s3_xml_reply(std::string_view root, const Xml& body);
os::ServedReply s3_empty_reply(int status = 200);
/// A whole body of XML, held against its checksums (`needs_sum`: one must be there), whose root is `root`.
/// MalformedXML.
S3Result<std::unique_ptr<pugi::xml_document>> read_s3_xml(S3Call& call, std::string_view root, bool needs_sum = false);
/// The same body as text.
S3Result<std::string> read_s3_text(S3Call& call, bool needs_sum = false);
/// Text as the client wants keys: url-encoded, or as it is.
std::string shown_key(const S3Call& call, std::string_view key);
/// max-keys and its like: 0 to `most`, which is also what stands for more; InvalidArgument.
S3Result<std::int64_t> page_size(const S3Call& call, const std::string& param, std::int64_t most = most_page);
void add_owner(Xml& xml, std::string_view element = "Owner");

// s3_buckets.cc
S3Result<os::ServedReply> list_buckets(S3Call& call);
S3Result<os::ServedReply> create_bucket(S3Call& call);
S3Result<os::ServedReply> head_bucket(S3Call& call);
S3Result<os::ServedReply> delete_bucket(S3Call& call);
S3Result<os::ServedReply> get_bucket_location(S3Call& call);
// s3_settings.cc: what a bucket is set to; the query parameter names it
S3Result<os::ServedReply> get_bucket_setting(S3Call& call);
S3Result<os::ServedReply> put_bucket_setting(S3Call& call);
S3Result<os::ServedReply> delete_bucket_setting(S3Call& call);
S3Result<os::ServedReply> get_fixed_setting(S3Call& call);
S3Result<os::ServedReply> put_acl(S3Call& call);
// s3_objects.cc
S3Result<os::ServedReply> put_object(S3Call& call);
S3Result<os::ServedReply> get_object(S3Call& call);
S3Result<os::ServedReply> delete_object(S3Call& call);
S3Result<os::ServedReply> delete_objects(S3Call& call);
// s3_copy.cc
S3Result<os::ServedReply> copy_object(S3Call& call);
S3Result<os::ServedReply> upload_part_copy(S3Call& call);
// s3_tagging.cc
S3Result<os::ServedReply> get_object_tagging(S3Call& call);
S3Result<os::ServedReply> put_object_tagging(S3Call& call);
S3Result<os::ServedReply> delete_object_tagging(S3Call& call);
// s3_attributes.cc
S3Result<os::ServedReply> get_object_attributes(S3Call& call);
// s3_listing.cc
S3Result<os::ServedReply> list_objects(S3Call& call);
S3Result<os::ServedReply> list_parts(S3Call& call);
S3Result<os::ServedReply> list_uploads(S3Call& call);
// s3_multipart.cc
S3Result<os::ServedReply> create_upload(S3Call& call);
S3Result<os::ServedReply> upload_part(S3Call& call);
S3Result<os::ServedReply> complete_upload(S3Call& call);
S3Result<os::ServedReply> abort_upload(S3Call& call);

/// The upload that a request names, if it is one of its bucket and key: NoSuchUpload.
S3Result<S3Upload> named_upload(S3Call& call);
/// partNumber, 1 to 10000: InvalidArgument.
S3Result<int> named_part(S3Call& call);
/// The checksum that an upload's object will have.
Checksum kind_of_upload(const S3Upload& upload);
/// An upload says how long it is, and that is at most 5 GiB: MissingContentLength, EntityTooLarge.
S3Status check_announced_size(S3Call& call, const S3Payload& payload);
/// Notes a part that is written and verified, with the checksums `kinds` that it was summed up by.
S3Status keep_part(S3Call& call, const S3Upload& upload, int number, S3Blob blob, const std::set<Checksum>& kinds);
/// Whom a tag set's XML names: <TagSet><Tag><Key/><Value/></Tag></TagSet>.
S3Result<Json> tags_of_xml(const pugi::xml_node& tagging);

}  // namespace ferry::rehearsal
