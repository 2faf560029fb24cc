#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sandbox/proxy_request.h"

/// What is passed on must be one request, understood by the next reader as it was here.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry::sandbox;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_upstream(text);
  const auto request = parse_proxy_request(text);
  if (!request) return 0;
  const auto sent = head_to_upstream(*request, {{"proxy", 3128}, "Basic YTpi"});
  const auto again = parse_proxy_request(std::string_view(sent).substr(0, sent.size() - 4));
  if (sent.find("\r\n\r\n") != sent.size() - 4) std::abort();
  // What was just short enough may be too long with what is added.
  if (!again && size + 200 < longest_proxy_head && request->headers.size() + 5 < most_proxy_headers) std::abort();
  if (again && (!(again->target == request->target) || again->body != request->body)) std::abort();
  if (!request->is_tunnel && head_to_origin(*request).find("\r\n\r\n") + 4 != head_to_origin(*request).size())
    std::abort();
  return 0;
}
