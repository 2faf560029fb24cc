#include "rehearsal/identity.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "rehearsal/endpoint.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t nonce_bytes = 32;
constexpr Millis patience{2000};

/// What the server at `port` of this computer answers to the nonce.
Result<std::string> ask(int port, const std::string& nonce) {
  TRY_SET(connection, "", os::connect_tcp("127.0.0.1", port, patience));
  TRY("", os::write_all(connection.get(), fmt::format("POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n"
                                                      "Connection: close\r\n\r\n{}",
                                                      identity_path, nonce.size(), nonce)));
  constexpr std::size_t longest_answer = 1 << 16;
  const auto deadline = os::system_clock().steady_ms() + patience.count();
  std::string answer;
  while (true) {  // whoever listens there may trickle
    const auto left = deadline - os::system_clock().steady_ms();
    if (left <= 0 || !os::wait_readable(connection.get(), Millis(left)))
      return fail(Kind::timeout, "no answer in time");
    TRY_SET(part, "", os::read_some(connection.get()));
    if (part.empty()) break;
    answer += part;
    if (answer.size() > longest_answer) return fail(Kind::corrupt, "no proof is that long");
  }
  const auto end = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.1 200 ") || end == answer.npos) return fail(Kind::lost, "no proof");
  return answer.substr(end + 4);
}

}  // namespace

std::string identity_proof(std::string_view token, int port, std::string_view nonce) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (token.empty() || nonce.size() != 2 * nonce_bytes || !std::all_of(nonce.begin(), nonce.end(), is_digit)) return {};
  return hex(hmac_sha256(token, fmt::format("ferry rehearsal cloud at port {}\n{}", port, nonce)));
}

bool is_own(const os::Path& dir, std::string_view endpoint_url) {
  const auto known = read_endpoint(dir);
  if (!known || known->token.empty() || !os::is_locked(lock_file(dir))) return false;
  while (endpoint_url.ends_with('/')) endpoint_url.remove_suffix(1);
  if (endpoint_url != fmt::format("http://127.0.0.1:{}", known->port)) return false;
  const int port = static_cast<int>(known->port);
  const auto nonce = hex(random_bytes(nonce_bytes));
  const auto answer = ask(port, nonce);
  return answer && *answer == identity_proof(known->token, port, nonce);
}

}  // namespace ferry::rehearsal
