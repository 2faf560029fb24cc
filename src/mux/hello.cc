#include "mux/hello.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "base/version.h"
#include "mux/frame.h"

namespace ferry::mux {

namespace {

constexpr int oldest_version = 1;

}  // namespace

std::string our_hello() {
  return dump_json({{"mux", protocol_version}, {"oldest", oldest_version}, {"ferry", ferry_version()}});
}

Result<int> check_hello(std::string_view body) {
  TRY_SET(hello, "the connection's first word", parse_json(body));
  if (!hello.is_object() || !hello.contains("mux")) return fail(Kind::corrupt, "the connection begins with no hello");
  const auto newest = int_at(hello, "mux"), oldest = int_at(hello, "oldest", newest);
  if (newest >= oldest_version && oldest <= protocol_version)
    return static_cast<int>(std::min<std::int64_t>(newest, protocol_version));
  const auto theirs = short_line(text_at(hello, "ferry", "unknown"), 40);
  const bool is_newer = oldest > protocol_version;
  return fail(
      Kind::unsupported,
      fmt::format("ferry {} at the other end of the connection speaks version {} of its streams, and this one {}",
                  theirs, is_newer ? oldest : newest, protocol_version),
      "this ferry has version " + ferry_version(),
      is_newer ? "update the older of the two: it is this one" : "update the older of the two: it is the other one");
}

}  // namespace ferry::mux
