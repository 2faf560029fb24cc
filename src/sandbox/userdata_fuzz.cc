#include <cstddef>
#include <cstdint>

#include "sandbox/userdata.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)ferry::sandbox::parse_user_data({reinterpret_cast<const char*>(data), size});
  return 0;
}
