#pragma once
/// \file
/// For fuzz targets: bytes as a client of the HTTP server sends them.

#include <sys/socket.h>

#include <array>
#include <string_view>

#include "os/http_server.h"

namespace ferry::os {

/// Lets `handler` answer whoever sends `bytes` and no more; they arrive in pieces of changing size.
inline void converse_about(std::string_view bytes, const HttpServer::Handler& handler) {
  int ends[2];
  // What is sent at once on such a socket is received at once.
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return;
  const Fd client(ends[0]);
  Fd server(ends[1]);
  const std::size_t step = bytes.size() / 100 + 1;  // few enough for the socket's buffer
  for (std::size_t i = 0; !bytes.empty(); ++i) {
    const auto part = bytes.substr(0, step * (i % 3 + 1));
    (void)::send(client.get(), part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    bytes.remove_prefix(part.size());
  }
  ::shutdown(client.get(), SHUT_WR);
  const auto answer = [&](const ServedRequest& request, BodyReader& body) {
    std::array<char, 4096> earlier;  // answers, which must not fill the buffer
    while (::recv(client.get(), earlier.data(), earlier.size(), MSG_DONTWAIT) > 0) {
    }
    return handler(request, body);
  };
  HttpServer::converse(std::move(server), answer, {.silence = Millis(100)});
}

}  // namespace ferry::os
