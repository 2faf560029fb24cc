// Whatever an S3 endpoint answers is read or refused.
#include "s3/errors.h"
#include "s3/place.h"
#include "s3/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)ferry::s3::parse_list(text);
  (void)ferry::s3::parse_upload_id(text);
  (void)ferry::s3::parse_parts(text);
  (void)ferry::s3::parse_uploads(text);
  (void)ferry::s3::parse_completed(text);
  (void)ferry::s3::parse_delete_errors(text);
  (void)ferry::s3::merged_lifecycle(text, "<Rule><ID>x</ID></Rule>");
  (void)ferry::s3::parse_place(text);
  (void)ferry::s3::region_said({.status = 400, .headers = {}, .body = text});
  return 0;
}
