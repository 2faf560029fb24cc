// Buckets: made in a region, listed, removed when empty.
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/catalog.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view first_region = "us-east-1";
constexpr std::string_view all_blocked =
    "<PublicAccessBlockConfiguration "
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><BlockPublicAcls>true</BlockPublicAcls>"
    "<IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</"
    "BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>"
    "</PublicAccessBlockConfiguration>";

bool looks_like_region(std::string_view text) {
  const auto parts = split(text, '-');
  return parts.size() >= 3 && parts.front().size() == 2 && parse_int(parts.back()).has_value();
}

/// Where the bucket is to be: the scope of the signature stands for the endpoint that was asked.
S3Result<std::string> wished_region(S3Call& call) {
  const auto& endpoint = call.signature.region;
  S3_SET(text, read_s3_text(call));
  std::string wished;
  if (!trim(text).empty()) {
    pugi::xml_document document;
    if (!document.load_buffer(text.data(), text.size()) ||
        std::string_view(document.document_element().name()) != "CreateBucketConfiguration")
      return malformed_xml();
    wished = document.document_element().child_value("LocationConstraint");
  }
  if (endpoint == first_region) {
    if (wished == first_region || (!wished.empty() && wished != "EU" && !looks_like_region(wished)))
      return s3_refuse("InvalidLocationConstraint", "The specified location-constraint is not valid", 400,
                       {{"LocationConstraint", wished}});
    return wished.empty() ? std::string(first_region) : wished == "EU" ? std::string("eu-west-1") : wished;
  }
  if (wished != endpoint)
    return s3_refuse("IllegalLocationConstraintException",
                     fmt::format("The {} location constraint is incompatible for the region specific "
                                 "endpoint this request was sent to.",
                                 wished.empty() ? "unspecified" : wished));
  return wished;
}

}  // namespace

S3Result<os::ServedReply> list_buckets(S3Call& call) {
  const auto prefix = call.request.param("prefix"), after = call.request.param("continuation-token");
  const auto region = call.request.param("bucket-region");
  S3_SET(most, page_size(call, "max-buckets", 10'000));
  Xml xml;
  add_owner(xml);
  std::int64_t shown = 0;
  std::string last, next;
  xml.node("Buckets", [&] {
    for (const auto& bucket : call.store.buckets()) {
      if (!bucket.name.starts_with(prefix) || bucket.name <= after || (!region.empty() && bucket.region != region))
        continue;
      if (shown == most) {
        next = last;
        break;
      }
      ++shown;
      last = bucket.name;
      xml.node("Bucket", [&] {
        xml.text("Name", bucket.name)
            .text("CreationDate", os::iso_time(bucket.created_ms, true))
            .text("BucketRegion", bucket.region);
      });
    }
  });
  xml.some("ContinuationToken", next);
  if (!prefix.empty()) xml.text("Prefix", prefix);
  return s3_xml_reply("ListAllMyBucketsResult", xml);
}

S3Result<os::ServedReply> create_bucket(S3Call& call) {
  const auto& name = call.request.bucket;
  if (!is_bucket_name(name))
    return s3_refuse("InvalidBucketName", "The specified bucket is not valid.", 400, {{"BucketName", name}});
  if (const auto acl = call.request.header("x-amz-acl"); !acl.empty() && acl != "private")
    return s3_refuse("InvalidBucketAclWithObjectOwnership",
                     "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting");
  if (lower(call.request.header("x-amz-bucket-object-lock-enabled")) == "true") return not_implemented("Object Lock");
  S3_SET(region, wished_region(call));
  S3Bucket bucket{name, region, call.now_ms, Json{{"publicAccessBlock", all_blocked}}};
  if (!call.store.add_bucket(bucket)) {
    const auto there = call.store.bucket(name);
    // As ever in us-east-1: who owns it may make it again.
    if (!there || there->region != first_region || region != first_region)
      return s3_refuse("BucketAlreadyOwnedByYou",
                       "Your previous request to create the named bucket succeeded and you already own it.", 409,
                       {{"BucketName", name}});
  }
  auto reply = s3_empty_reply();
  reply.headers.emplace_back("Location", "/" + name);
  return reply;
}

S3Result<os::ServedReply> head_bucket(S3Call& call) {
  auto reply = s3_empty_reply();
  reply.headers.emplace_back("x-amz-bucket-region", call.bucket.region);
  reply.headers.emplace_back("x-amz-access-point-alias", "false");
  reply.headers.emplace_back("Content-Type", "application/xml");
  return reply;
}

S3Result<os::ServedReply> delete_bucket(S3Call& call) {
  if (!call.store.remove_bucket(call.bucket.name))
    return s3_refuse("BucketNotEmpty", "The bucket you tried to delete is not empty", 409,
                     {{"BucketName", call.bucket.name}});
  return s3_empty_reply(204);
}

S3Result<os::ServedReply> get_bucket_location(S3Call& call) {
  Xml xml;
  if (call.bucket.region != first_region) xml.raw(xml_escaped(call.bucket.region));
  return s3_xml_reply("LocationConstraint", xml);
}

}  // namespace ferry::rehearsal
