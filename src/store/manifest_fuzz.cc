// Whatever bytes stand where a manifest should: it is refused, or it reads back the same and names nothing
// outside.
#include <cstdlib>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "store/manifest.h"

namespace {

/// The fuzzer cannot guess a SHA-256: what is JSON gets the right one.
std::string with_hash(std::string_view text) {
  auto json = ferry::parse_json(text);
  if (!json || !json->is_object()) return std::string(text);
  json->erase("sha256");
  (*json)["sha256"] = ferry::hex(ferry::sha256(ferry::dump_json(*json)));
  return ferry::dump_json(*json);
}

void check(std::string_view text) {
  const auto manifest = ferry::store::parse_manifest(text);
  if (!manifest) return;
  for (const auto& entry : manifest->entries) {
    if (entry.path.starts_with('/') || ("/" + entry.path + "/").find("/../") != std::string::npos) std::abort();
  }
  const auto written = ferry::store::manifest_text(*manifest);
  if (!written || ferry::store::parse_manifest(*written) != *manifest) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  check(with_hash(text));
  return 0;
}
