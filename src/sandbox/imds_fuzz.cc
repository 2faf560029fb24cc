#include <cstddef>
#include <cstdint>

#include "sandbox/imds.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry::sandbox;
  static const Imds service(
      {{"latest/meta-data/instance-id", "i-1"}, {"latest/meta-data/placement/region", "us-east-1"}}, "#!",
      false);
  const auto request = parse_imds_request({reinterpret_cast<const char*>(data), size});
  if (request) (void)imds_reply_text(service.answer(*request, 0), true, true);
  return 0;
}
