#include "rehearsal/s3_error.h"

#include <fmt/format.h>

#include "rehearsal/xml.h"

namespace ferry::rehearsal {

tl::unexpected<S3Error> no_such_bucket(std::string_view bucket) {
  return s3_refuse("NoSuchBucket", "The specified bucket does not exist", 404, {{"BucketName", std::string(bucket)}});
}

tl::unexpected<S3Error> no_such_key(std::string_view key) {
  return s3_refuse("NoSuchKey", "The specified key does not exist.", 404, {{"Key", std::string(key)}});
}

tl::unexpected<S3Error> no_such_upload(std::string_view upload) {
  return s3_refuse("NoSuchUpload",
                   "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
                   "aborted or completed.",
                   404, {{"UploadId", std::string(upload)}});
}

tl::unexpected<S3Error> precondition_failed(std::string_view condition) {
  return s3_refuse("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412,
                   {{"Condition", std::string(condition)}});
}

tl::unexpected<S3Error> conditional_conflict(std::string_view key) {
  return s3_refuse("ConditionalRequestConflict",
                   "The conditional request cannot succeed due to a conflicting operation against this resource.", 409,
                   {{"Key", std::string(key)}});
}

tl::unexpected<S3Error> invalid_argument(std::string message, std::string_view name, std::string_view value) {
  return s3_refuse("InvalidArgument", std::move(message), 400,
                   {{"ArgumentName", std::string(name)}, {"ArgumentValue", std::string(value)}});
}

tl::unexpected<S3Error> invalid_request(std::string message) { return s3_refuse("InvalidRequest", std::move(message)); }

tl::unexpected<S3Error> malformed_xml() {
  return s3_refuse("MalformedXML",
                   "The XML you provided was not well-formed or did not validate against our published schema");
}

tl::unexpected<S3Error> not_implemented(std::string_view what) {
  return s3_refuse("NotImplemented", fmt::format("The rehearsal cloud's S3 does not know {}.", what), 501);
}

tl::unexpected<S3Error> internal_error(std::string_view why) {
  return s3_refuse("InternalError", fmt::format("We encountered an internal error. Please try again. ({})", why), 500);
}

tl::unexpected<S3Error> access_denied(std::string_view message) {
  return s3_refuse("AccessDenied", std::string(message), 403);
}

std::string s3_error_xml(const S3Error& error, std::string_view resource, std::string_view request_id,
                         std::string_view host_id) {
  Xml xml;
  xml.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").node("Error", [&] {
    xml.text("Code", error.code).text("Message", error.message);
    for (const auto& [name, value] : error.elements) xml.text(name, value);
    xml.text("Resource", resource).text("RequestId", request_id).text("HostId", host_id);
  });
  return xml.str();
}

}  // namespace ferry::rehearsal
