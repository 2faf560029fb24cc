// What a caller says to whoever holds a connection, and what that answers.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "ssh/held.h"

using namespace ferry;
using namespace ferry::ssh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto asked = read_asked(bytes); asked && *asked && ask_line(**asked) != bytes) std::abort();
  if (const auto welcome = read_welcome(bytes); welcome && *welcome)
    if (welcome_lines((*welcome)->machine) + (*welcome)->first != bytes) std::abort();
  return 0;
}
