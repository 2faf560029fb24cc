#pragma once
/// \file
/// How the rehearsal cloud proves that it is one: what is rented there costs nothing, and nobody needs to be
/// asked. An address proves nothing: behind a loopback port there may be a tunnel to AWS.
///
/// Who asks sends a nonce of its own to `POST /_ferry/identity`; the server answers with an HMAC over the
/// nonce and the port it listens at, under the control token, which is in server.json (0600) and is not sent.
/// A proxy that passes the question on to the real one has another port, and so does not pass.

#include <string>
#include <string_view>

#include "os/file.h"

namespace ferry::rehearsal {

inline constexpr std::string_view identity_path = "/_ferry/identity";

/// The answer to `nonce` of the server that listens at `port` and holds `token`; "" for a nonce that is not
/// 64 hexadecimal digits.
std::string identity_proof(std::string_view token, int port, std::string_view nonce);

/// True if the server at `endpoint_url` is the rehearsal cloud that runs in `dir`: asked anew each time, for
/// two seconds at most. Whatever goes wrong is false.
bool is_own(const os::Path& dir, std::string_view endpoint_url);

}  // namespace ferry::rehearsal
