// AWS's Spot Advisor file: whatever the bytes, what it says or an error.

#include "account/spot_advisor.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)plan::parse_band(bytes);
  if (const auto json = parse_json(bytes)) (void)account::parse_spot_advisor(*json);
  return 0;
}
