#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "watch/screen_filter.h"

namespace {

/// What is left must be text, line ends and sequences of the few that may pass; nothing of it may need more.
bool is_harmless(std::string_view shown) {
  while (!shown.empty()) {
    std::size_t length = 1;
    if (shown.starts_with("\x1b[")) {
      const auto end = shown.find_first_not_of("0123456789;:", 2);
      if (end == std::string_view::npos || std::string_view("mABCDGKJ").find(shown[end]) == std::string_view::npos)
        return false;
      length = end + 1;
    } else if (std::string_view("\n\r\b\t").find(shown[0]) == std::string_view::npos) {
      const auto next = shown.find_first_of("\x1b\n\r\b\t");
      length = std::min(next, shown.size());
      if (length == 0 || ferry::printable(shown.substr(0, length)) != shown.substr(0, length)) return false;
    }
    shown.remove_prefix(length);
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ferry::watch::ScreenFilter whole, cut;
  std::string shown = whole.pass(bytes);
  shown += whole.finish();
  std::string pieces = cut.pass(bytes.substr(0, size / 3));
  pieces += cut.pass(bytes.substr(size / 3));
  pieces += cut.finish();
  if (pieces != shown || !is_harmless(shown)) std::abort();
  return 0;
}
