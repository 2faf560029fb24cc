// Settings files, programs' and endpoints' credentials, times and command lines: whatever the bytes, a value
// or an error.

#include "aws/sources.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)aws::parse_sections(bytes, "config");
  (void)aws::split_words(bytes);
  (void)aws::parse_process_credentials(bytes);
  (void)aws::parse_endpoint_credentials(bytes);
  (void)aws::parse_expiry(bytes);
  return 0;
}
