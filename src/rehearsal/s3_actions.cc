#include "rehearsal/s3_actions.h"

#include <algorithm>

#include "base/text.h"
#include "rehearsal/catalog.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_xml_bytes = 2 << 20;  // 1,000 keys of 1,024 bytes fit
constexpr std::string_view s3_namespace = "http://s3.amazonaws.com/doc/2006-03-01/";

constexpr auto account = S3Level::account;
constexpr auto on_bucket = S3Level::bucket;
constexpr auto on_object = S3Level::object;

/// The first that fits is it: those with a parameter or a header stand before the plain ones.
constexpr S3Action all_actions[] = {
    {"ListBuckets", "GET", account, "", "s3:ListAllMyBuckets", list_buckets},

    {"GetBucketLocation", "GET", on_bucket, "location", "s3:GetBucketLocation", get_bucket_location},
    {"GetBucketEncryption", "GET", on_bucket, "encryption", "s3:GetEncryptionConfiguration", get_bucket_setting},
    {"PutBucketEncryption", "PUT", on_bucket, "encryption", "s3:PutEncryptionConfiguration", put_bucket_setting},
    {"DeleteBucketEncryption", "DELETE", on_bucket, "encryption", "s3:PutEncryptionConfiguration",
     delete_bucket_setting},
    {"GetPublicAccessBlock", "GET", on_bucket, "publicAccessBlock", "s3:GetBucketPublicAccessBlock",
     get_bucket_setting},
    {"PutPublicAccessBlock", "PUT", on_bucket, "publicAccessBlock", "s3:PutBucketPublicAccessBlock",
     put_bucket_setting},
    {"DeletePublicAccessBlock", "DELETE", on_bucket, "publicAccessBlock", "s3:PutBucketPublicAccessBlock",
     delete_bucket_setting},
    {"GetBucketLifecycleConfiguration", "GET", on_bucket, "lifecycle", "s3:GetLifecycleConfiguration",
     get_bucket_setting},
    {"PutBucketLifecycleConfiguration", "PUT", on_bucket, "lifecycle", "s3:PutLifecycleConfiguration",
     put_bucket_setting},
    {"DeleteBucketLifecycle", "DELETE", on_bucket, "lifecycle", "s3:PutLifecycleConfiguration", delete_bucket_setting},
    {"GetBucketPolicy", "GET", on_bucket, "policy", "s3:GetBucketPolicy", get_bucket_setting},
    {"PutBucketPolicy", "PUT", on_bucket, "policy", "s3:PutBucketPolicy", put_bucket_setting},
    {"DeleteBucketPolicy", "DELETE", on_bucket, "policy", "s3:DeleteBucketPolicy", delete_bucket_setting},
    {"GetBucketTagging", "GET", on_bucket, "tagging", "s3:GetBucketTagging", get_bucket_setting},
    {"PutBucketTagging", "PUT", on_bucket, "tagging", "s3:PutBucketTagging", put_bucket_setting},
    {"DeleteBucketTagging", "DELETE", on_bucket, "tagging", "s3:PutBucketTagging", delete_bucket_setting},
    {"GetBucketOwnershipControls", "GET", on_bucket, "ownershipControls", "s3:GetBucketOwnershipControls",
     get_bucket_setting},
    {"PutBucketOwnershipControls", "PUT", on_bucket, "ownershipControls", "s3:PutBucketOwnershipControls",
     put_bucket_setting},
    {"GetBucketVersioning", "GET", on_bucket, "versioning", "s3:GetBucketVersioning", get_fixed_setting},
    {"GetBucketAcl", "GET", on_bucket, "acl", "s3:GetBucketAcl", get_fixed_setting},
    {"PutBucketAcl", "PUT", on_bucket, "acl", "s3:PutBucketAcl", put_acl},
    {"GetBucketLogging", "GET", on_bucket, "logging", "s3:GetBucketLogging", get_fixed_setting},
    {"GetBucketRequestPayment", "GET", on_bucket, "requestPayment", "s3:GetBucketRequestPayment", get_fixed_setting},
    {"GetBucketAccelerateConfiguration", "GET", on_bucket, "accelerate", "s3:GetAccelerateConfiguration",
     get_fixed_setting},
    {"GetBucketNotificationConfiguration", "GET", on_bucket, "notification", "s3:GetBucketNotification",
     get_fixed_setting},
    {"GetBucketCors", "GET", on_bucket, "cors", "s3:GetBucketCORS", get_fixed_setting},
    {"GetBucketWebsite", "GET", on_bucket, "website", "s3:GetBucketWebsite", get_fixed_setting},
    {"GetBucketReplication", "GET", on_bucket, "replication", "s3:GetReplicationConfiguration", get_fixed_setting},
    {"GetObjectLockConfiguration", "GET", on_bucket, "object-lock", "s3:GetBucketObjectLockConfiguration",
     get_fixed_setting},
    {"ListMultipartUploads", "GET", on_bucket, "uploads", "s3:ListBucketMultipartUploads", list_uploads},
    {"DeleteObjects", "POST", on_bucket, "delete", "", delete_objects},
    {"ListObjectsV2", "GET", on_bucket, "list-type", "s3:ListBucket", list_objects},
    {"ListObjects", "GET", on_bucket, "", "s3:ListBucket", list_objects},
    {"CreateBucket", "PUT", on_bucket, "", "s3:CreateBucket", create_bucket},
    {"HeadBucket", "HEAD", on_bucket, "", "s3:ListBucket", head_bucket},
    {"DeleteBucket", "DELETE", on_bucket, "", "s3:DeleteBucket", delete_bucket},

    {"GetObjectTagging", "GET", on_object, "tagging", "s3:GetObjectTagging", get_object_tagging},
    {"PutObjectTagging", "PUT", on_object, "tagging", "s3:PutObjectTagging", put_object_tagging},
    {"DeleteObjectTagging", "DELETE", on_object, "tagging", "s3:DeleteObjectTagging", delete_object_tagging},
    {"GetObjectAttributes", "GET", on_object, "attributes", "s3:GetObjectAttributes", get_object_attributes},
    {"GetObjectAcl", "GET", on_object, "acl", "s3:GetObjectAcl", get_fixed_setting},
    {"PutObjectAcl", "PUT", on_object, "acl", "s3:PutObjectAcl", put_acl},
    {"CreateMultipartUpload", "POST", on_object, "uploads", "s3:PutObject", create_upload},
    {"UploadPartCopy", "PUT", on_object, "uploadId", "s3:PutObject", upload_part_copy, "x-amz-copy-source"},
    {"UploadPart", "PUT", on_object, "uploadId", "s3:PutObject", upload_part},
    {"CompleteMultipartUpload", "POST", on_object, "uploadId", "s3:PutObject", complete_upload},
    {"AbortMultipartUpload", "DELETE", on_object, "uploadId", "s3:AbortMultipartUpload", abort_upload},
    {"ListParts", "GET", on_object, "uploadId", "s3:ListMultipartUploadParts", list_parts},
    {"CopyObject", "PUT", on_object, "", "s3:PutObject", copy_object, "x-amz-copy-source"},
    {"PutObject", "PUT", on_object, "", "s3:PutObject", put_object},
    {"GetObject", "GET", on_object, "", "s3:GetObject", get_object},
    {"HeadObject", "HEAD", on_object, "", "s3:GetObject", get_object},
    {"DeleteObject", "DELETE", on_object, "", "s3:DeleteObject", delete_object},
};

/// Parameters that make another operation of a request.
constexpr std::string_view subresources[] = {"accelerate",
                                             "acl",
                                             "analytics",
                                             "attributes",
                                             "cors",
                                             "delete",
                                             "encryption",
                                             "intelligent-tiering",
                                             "inventory",
                                             "legal-hold",
                                             "lifecycle",
                                             "location",
                                             "logging",
                                             "metadataTable",
                                             "metrics",
                                             "notification",
                                             "object-lock",
                                             "ownershipControls",
                                             "policy",
                                             "policyStatus",
                                             "publicAccessBlock",
                                             "renameObject",
                                             "replication",
                                             "requestPayment",
                                             "restore",
                                             "retention",
                                             "select",
                                             "session",
                                             "tagging",
                                             "torrent",
                                             "uploads",
                                             "versioning",
                                             "versions",
                                             "website"};

}  // namespace

S3Result<const S3Action*> find_s3_action(const S3Request& request) {
  const auto level = request.bucket.empty() ? S3Level::account
                     : request.key.empty()  ? S3Level::bucket
                                            : S3Level::object;
  std::string_view subresource;
  for (const auto one : subresources)
    if (request.has(std::string(one))) subresource = one;
  bool level_has_method = false;
  for (const auto& action : all_actions) {
    if (action.level != level || request.method != action.method) continue;
    level_has_method = true;
    const std::string_view param = action.param, header = action.header;
    if ((!subresource.empty() && param != subresource) || (!param.empty() && !request.has(std::string(param))))
      continue;
    if (!header.empty() && !request.has_header(header)) continue;
    return &action;
  }
  if (!subresource.empty()) return not_implemented(fmt::format("{} ?{}", request.method, subresource));
  if (level_has_method || (level == S3Level::bucket && request.method == "POST"))
    return not_implemented(request.method + " of this");
  return s3_refuse("MethodNotAllowed", "The specified method is not allowed against this resource.", 405,
                   {{"Method", request.method},
                    {"ResourceType", level == S3Level::object   ? "OBJECT"
                                     : level == S3Level::bucket ? "BUCKET"
                                                                : "SERVICE"}});
}

os::ServedReply s3_xml_reply(std::string_view root, const Xml& body) {
  os::ServedReply reply;
  reply.headers.emplace_back("Content-Type", "application/xml");
  reply.body = fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{} xmlns=\"{}\">{}</{}>", root, s3_namespace,
                           body.str(), root);
  return reply;
}

os::ServedReply s3_empty_reply(int status) {
  os::ServedReply reply;
  reply.status = status;
  return reply;
}

S3Result<std::string> read_s3_text(S3Call& call, bool needs_sum) {
  S3_SET(asked, asked_sums(call.request));
  S3_SET(payload, open_payload(call.request, call.signature, call.body));
  const S3Error too_long{400, "MaxMessageLengthExceeded", "Your request was too big.", {}, {}};
  S3_SET(text, payload->read_all(most_xml_bytes, too_long));
  S3_TRY(check_sums(asked, text, *payload, needs_sum));
  return text;
}

S3Result<std::unique_ptr<pugi::xml_document>> read_s3_xml(S3Call& call, std::string_view root, bool needs_sum) {
  S3_SET(text, read_s3_text(call, needs_sum));
  auto document = std::make_unique<pugi::xml_document>();
  const auto parsed = document->load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed || document->document_element().name() != root) return malformed_xml();
  return document;
}

std::string shown_key(const S3Call& call, std::string_view key) {
  return call.request.param("encoding-type") == "url" ? percent_encoded(key, "/") : std::string(key);
}

S3Result<std::int64_t> page_size(const S3Call& call, const std::string& param, std::int64_t most) {
  if (!call.request.has(param)) return most;
  const auto text = call.request.param(param);
  const auto value = parse_int(text);
  if (!value || *value < 0 || *value > 2'147'483'647)
    return invalid_argument(fmt::format("Provided {} not an integer or within integer range", param), param, text);
  return std::min(*value, most);
}

void add_owner(Xml& xml, std::string_view element) {
  // The canonical user id of the one account that there is.
  xml.node(element, [&] { xml.text("ID", fmt::format("{:0>64}", account_id)).text("DisplayName", "rehearsal"); });
}

}  // namespace ferry::rehearsal
