// Rules and globs of any bytes are read, and answer for any path, without a crash and in bounded time.
#include <string_view>

#include "sync/globs.h"
#include "sync/ignore.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry::sync;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = all.find('\0');
  const std::string_view path = all.substr(0, cut);
  const std::string_view rules = cut == std::string_view::npos ? std::string_view() : all.substr(cut + 1);
  if (path.empty() || path.size() > 1000 || rules.size() > 1000) return 0;
  (void)IgnoreFile("", rules).verdict(path, size % 2 == 0);
  auto globs = Globs::parse({std::string(rules)});
  if (globs) (void)globs->reach(path, size % 2 == 0);
  return 0;
}
