// The signature header, the presigned query and the canonical request.
#include <cstddef>

#include "rehearsal/sigv4.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry::rehearsal;
  const std::string text(reinterpret_cast<const char*>(data), size);
  HttpRequest request;
  request.method = "GET";
  request.path = "/" + text.substr(0, size / 2);
  request.query = text;
  request.headers = {{"host", text}, {"authorization", text}, {"x-amz-date", text.substr(0, 16)}};
  if (const auto claim = parse_authorization(text)) (void)canonical_request(request, *claim);
  if (const auto claim = parse_presigned(text)) (void)canonical_request(request, *claim, PathRule::as_is);
  (void)check_signature(request, {"AKIA", "secret"}, "us-east-1", 0, ferry::Millis(1000));
  return 0;
}
