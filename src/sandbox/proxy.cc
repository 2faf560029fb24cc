#include "sandbox/proxy.h"

#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/socket.h"
#include "sandbox/proxy_address.h"
#include "sandbox/proxy_request.h"
#include "sandbox/tunnel.h"

namespace ferry::sandbox {

namespace {

/// On nearly every system.
constexpr unsigned nobodys_id = 65534;

struct Place {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::optional<Address> plain() const { return address_of(reinterpret_cast<const sockaddr&>(address)); }
};

/// What `target` is looked up as; at most a few.
Result<std::vector<Place>> look_up(const Target& target) {
  constexpr std::size_t most = 16;
  addrinfo wish{}, *found = nullptr;
  wish.ai_socktype = SOCK_STREAM;
  wish.ai_flags = AI_NUMERICSERV;
  const int code = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &wish, &found);
  if (code != 0)
    return fail(Kind::not_found,
                fmt::format("{} cannot be found from this computer ({})", target.host, ::gai_strerror(code)));
  std::vector<Place> out;
  for (const auto* one = found; one && out.size() < most; one = one->ai_next) {
    if (one->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Place place;
    std::memcpy(&place.address, one->ai_addr, one->ai_addrlen);
    place.size = one->ai_addrlen;
    out.push_back(place);
  }
  ::freeaddrinfo(found);
  return out;
}

Result<os::Fd> connect_to(const Place& place, Millis limit) {
  os::Fd fd(::socket(place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&place.address), place.size) == 0) return fd;
  if (errno != EINPROGRESS) return fail_errno("connect");
  pollfd wanted{fd.get(), POLLOUT, 0};
  if (::poll(&wanted, 1, static_cast<int>(limit.count())) <= 0) return fail(Kind::timeout, "no answer");
  int code = 0;
  socklen_t size = sizeof code;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &code, &size);
  if (code) return fail_errno("connect", code);
  return fd;
}

Result<os::Fd> connect_to_any(const Target& target, const std::vector<Place>& places, Millis limit) {
  std::string why = "it has no address";
  for (const auto& place : places) {
    auto connection = connect_to(place, limit);
    if (connection) return connection;
    why = connection.error().kind == Kind::timeout ? "no answer" : describe(connection.error());
  }
  return fail(Kind::lost, fmt::format("{} cannot be reached from this computer ({})", target.text(), why));
}

tl::unexpected<Error> refuse(const Target& target, std::string_view what) {
  return fail(Kind::denied, fmt::format("{} is {}, which rehearsal machines do not reach; allow it with --reach {}",
                                        target.text(), what, target.text()));
}

/// A connection to where the request wants to go, with its head sent on.
Result<os::Fd> reach_directly(const WayOut& way, const ProxyRequest& request, const ProxyLimits& limits) {
  const auto& target = request.target;
  TRY_SET(places, "", look_up(target));
  if (!way.names(target)) {
    std::string_view refused;
    const auto own = own_addresses();
    std::erase_if(places, [&](const Place& place) {
      const auto address = place.plain();
      const auto why = address ? why_not_public(*address, own) : "no address of a host";
      if (refused.empty()) refused = why;
      return !why.empty();
    });
    if (places.empty() && !refused.empty()) return refuse(target, refused);
  }
  TRY_SET(connection, "", connect_to_any(target, places, limits.connect));
  if (!request.is_tunnel) TRY("", os::write_all(connection.get(), head_to_origin(request)));
  return connection;
}

/// The proxy looks the name up itself, perhaps where this computer cannot. What the name is here is judged here: all of
/// it, because which address the proxy takes is not known.
Result<os::Fd> reach_through(const std::string& url, const WayOut& way, const ProxyRequest& request,
                             const ProxyLimits& limits) {
  TRY_SET(upstream, "", parse_upstream(url));
  if (!way.names(request.target)) {
    const auto own = own_addresses();
    const auto places = look_up(request.target);
    for (const auto& place : places.value_or(std::vector<Place>())) {
      const auto address = place.plain();
      const auto why = address ? why_not_public(*address, own) : "no address of a host";
      if (!why.empty()) return refuse(request.target, why);
    }
  }
  auto proxy = look_up(upstream.target);
  if (!proxy) return fail("the proxy of this computer", std::move(proxy).error());
  TRY_SET(connection, "the proxy of this computer", connect_to_any(upstream.target, *proxy, limits.connect));
  TRY("", os::write_all(connection.get(), head_to_upstream(request, upstream)));
  return connection;
}

/// The sentence is the reason, too: of a tunnel's answer, pip and others show nothing else.
void answer(const os::Fd& client, int status, std::string_view reason, const std::string& sentence) {
  const auto body = "ferry: " + short_line(sentence) + "\n";
  (void)os::write_all(client.get(), fmt::format("HTTP/1.1 {} {} ({})\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                                "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
                                                status, reason, trim(body), body.size(), body));
  // Closing with bytes unread would reset the connection, and the client might never see the answer.
  ::shutdown(client.get(), SHUT_WR);
  const auto end = os::system_clock().steady_ms() + 2'000;
  std::size_t left = std::size_t{1} << 20;
  while (left > 0 &&
         os::wait_readable(client.get(), Millis(std::max<std::int64_t>(end - os::system_clock().steady_ms(), 0)))) {
    const auto part = os::read_some(client.get());
    if (!part || part->empty()) return;
    left -= std::min(left, part->size());
  }
}

/// The head of the client's request without its end, and the bytes behind it. Nothing if none comes.
struct Asked {
  std::string head, rest;
};
std::optional<Asked> read_head(const os::Fd& client, Millis limit) {
  const auto end = os::system_clock().steady_ms() + limit.count();
  std::string bytes;
  while (bytes.size() <= longest_proxy_head) {
    const auto left = end - os::system_clock().steady_ms();
    if (left <= 0 || !os::wait_readable(client.get(), Millis(left))) return std::nullopt;
    const auto part = os::read_some(client.get(), 4096);
    if (!part || part->empty()) return std::nullopt;
    const auto from = bytes.size() < 3 ? 0 : bytes.size() - 3;
    bytes += *part;
    if (const auto at = bytes.find("\r\n\r\n", from); at != std::string::npos)
      return Asked{bytes.substr(0, at), bytes.substr(at + 4)};
  }
  return Asked{bytes, {}};
}

/// The child's half of start_way_out(): few rights, few descriptors, an end with its parent.
bool become_small(pid_t parent, int listener) {
  if (listener > 3) ::close_range(3, static_cast<unsigned>(listener - 1), 0);
  ::close_range(static_cast<unsigned>(std::max(listener + 1, 3)), ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const rlimit files{64, 64};
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (os::is_root() && (::setgroups(0, nullptr) < 0 || ::setresgid(nobodys_id, nobodys_id, nobodys_id) < 0 ||
                        ::setresuid(nobodys_id, nobodys_id, nobodys_id) < 0))
    return false;
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the ids, whose change clears it
  return ::getppid() == parent;
}

[[noreturn]] void serve_until_killed(const os::Fd& listener, const WayOut& way, const std::optional<Target>& door) {
  const ProxyLimits limits;
  const pid_t self = ::getpid();
  std::size_t clients = 0;
  while (true) {
    while (clients > 0 && ::waitpid(-1, nullptr, clients < limits.clients ? WNOHANG : 0) > 0) --clients;
    // With a limit, so that children that ended do not wait long to be forgotten.
    const auto client = os::accept_one(listener.get(), Millis(clients > 0 ? 1'000 : -1));
    if (!client && client.error().kind == Kind::timeout) continue;
    if (!client) os::system_clock().sleep(Millis(100));
    if (!client) continue;
    const pid_t pid = ::fork();
    if (pid > 0) ++clients;
    if (pid != 0) continue;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != self) ::_exit(1);
    if (door) {
      serve_door_client(*door, *client, limits);
    } else {
      serve_proxy_client(way, *client, limits);
    }
    ::_exit(0);
  }
}

}  // namespace

void serve_proxy_client(const WayOut& way, const os::Fd& client, const ProxyLimits& limits) {
  const auto asked = read_head(client, limits.head);
  if (!asked) return;
  const auto request = parse_proxy_request(asked->head);
  if (!request) return answer(client, 400, "Bad Request", describe(request.error()));
  const auto proxy = way.proxy_for(request->target, request->is_tunnel);
  auto there = proxy.empty() ? reach_directly(way, *request, limits) : reach_through(proxy, way, *request, limits);
  if (!there) {
    const bool is_refused = there.error().kind == Kind::denied;
    return answer(client, is_refused ? 403 : 502, is_refused ? "Forbidden" : "Bad Gateway", describe(there.error()));
  }
  // The proxy of this computer answers CONNECT itself.
  if (request->is_tunnel && proxy.empty() &&
      !os::write_all(client.get(), "HTTP/1.1 200 Connection established\r\n\r\n"))
    return;
  carry(client, *there, {asked->rest, request->body, limits.idle});
}

void serve_door_client(const Target& target, const os::Fd& client, const ProxyLimits& limits) {
  const auto places = look_up(target);
  if (!places) return;
  const auto there = connect_to_any(target, *places, limits.connect);
  if (there) carry(client, *there, {{}, std::nullopt, limits.idle});
}

Result<pid_t> start_way_out(const os::Fd& listener, const WayOut& way, const std::optional<Target>& door) {
  if (!way.is_open || (door && !way.names(*door))) return fail(Kind::denied, "this instance has no such way out");
  const pid_t self = ::getpid(), pid = ::fork();
  if (pid < 0) return fail_errno("start the way out");
  if (pid > 0) return pid;
  if (!become_small(self, listener.get())) {
    fmt::print(stderr, "no way to the internet: its process cannot give up its rights\n");
    ::_exit(1);
  }
  serve_until_killed(listener, way, door);
}

}  // namespace ferry::sandbox
