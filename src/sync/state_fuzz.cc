// The records of a block of a state's file, whose checksum anybody can compute.
#include <cstdint>
#include <cstdlib>

#include "sync/state_table.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ferry::sync::BlockRecords records({reinterpret_cast<const char*>(data), size});
  std::size_t count = 0;
  while (records.next()) {
    // Each takes three bytes at least, and no path is longer than all there is.
    if (++count > size / 3 || records.path().size() > size) std::abort();
  }
  return 0;
}
