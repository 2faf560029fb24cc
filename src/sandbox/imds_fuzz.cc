#include <cstddef>

#include "os/http_server_fuzzing.h"
#include "sandbox/imds.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  static const sandbox::Imds service(
      {{"latest/meta-data/instance-id", "i-1"}, {"latest/meta-data/placement/region", "us-east-1"}}, "#!", false);
  os::converse_about({reinterpret_cast<const char*>(data), size},
                     [](const os::ServedRequest& request, os::BodyReader&) { return service.answer(request, 0); });
  return 0;
}
