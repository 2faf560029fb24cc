#include "os/transport.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

#include "base/text.h"
#include "os/file.h"
#include "os/ways.h"

namespace ferry::os {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using Tls = asio::ssl::stream<beast::tcp_stream>;

constexpr std::size_t piece = std::size_t{64} << 10;
constexpr std::size_t body_limit = std::size_t{64} << 20;
constexpr auto heartbeat = std::chrono::milliseconds(200);
constexpr std::size_t most_addresses = 4;  // of one name: each may cost the whole time to connect

/// The certificates to trust, once for all connections that trust the same: they are some megabytes.
Result<std::shared_ptr<asio::ssl::context>> context_for(const std::string& trusted) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<asio::ssl::context>> made;
  const std::lock_guard lock(mutex);
  if (const auto at = made.find(trusted); at != made.end()) return at->second;
  if (trusted.empty()) {
    return fail(Kind::bad_input, "this computer has no certificates to trust", {},
                "install them (sudo apt-get install ca-certificates), or let AWS_CA_BUNDLE name a file of them");
  }
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  error_code failed;
  if (is_directory(trusted)) {
    context->add_verify_path(trusted, failed);
  } else {
    context->load_verify_file(trusted, failed);
  }
  if (failed) {
    return fail(Kind::bad_input, "the certificates to trust cannot be read: " + trusted, failed.message(),
                "correct AWS_CA_BUNDLE (or ca_bundle in the AWS config file)");
  }
  context->set_verify_mode(asio::ssl::verify_peer);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  made[trusted] = context;
  return context;
}

class BeastTransport final : public Transport {
 public:
  /// Beast asks the kernel for as much as its buffer has room for, which is 512 bytes at first.
  BeastTransport() { buffer_.reserve(2 * piece); }

  Result<HttpResponse> exchange(const HttpRequest& request, const Streams& streams) override {
    TRY_SET(url, "", parse_url(request.url));
    streams_ = &streams;
    silence_ = request.timeout;
    where_ = url.scheme + "://" + url.authority();
    if (auto ready = connect(url, request); !ready) {
      drop();
      return tl::unexpected(std::move(ready).error());
    }
    auto answer = tls_ ? converse(*tls_, url, request) : converse(*plain_, url, request);
    if (!answer || !keep_) drop();
    return answer;
  }

 private:
  // ---- waiting

  beast::tcp_stream& socket() { return tls_ ? tls_->next_layer() : *plain_; }

  /// Starts something asynchronous (`start` gets its handler) and waits for its end, at most `limit`.
  template <class Start>
  error_code wait(Millis limit, const Start& start) {
    std::optional<error_code> result;
    io_.restart();
    socket().expires_after(limit);
    start([&result](error_code code, auto&&...) { result = code; });
    while (!result) {
      const bool idle = io_.run_one_for(heartbeat) == 0;
      if (idle && !stopped_ && streams_->moved && !streams_->moved(0)) {
        stopped_ = true;
        socket().cancel();
      }
    }
    return *result;
  }

  tl::unexpected<Error> failed(error_code code, const char* doing) const {
    if (stopped_) return fail(Kind::cancelled, std::string(doing) + ": was stopped");
    if (code == beast::error::timeout) {
      return fail(Kind::timeout, "no answer in time from " + where_, doing,
                  "check the network, HTTPS_PROXY and the endpoint's address");
    }
    return fail(Kind::lost, "cannot reach " + where_, std::string(doing) + ": " + code.message(),
                "check the network, HTTPS_PROXY and the endpoint's address");
  }

  Status moved(std::uint64_t bytes) {
    if (streams_->moved && !streams_->moved(bytes)) return fail(Kind::cancelled, "the transfer was stopped");
    return {};
  }

  // ---- the connection

  void drop() {
    tls_.reset();
    plain_.reset();
    buffer_.clear();
    key_.clear();
  }

  /// True while the peer has neither closed the connection nor said anything that nobody asked for.
  bool is_quiet() {
    char byte;
    const auto got = ::recv(socket().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  Status connect(const Url& url, const HttpRequest& request) {
    stopped_ = false;
    TRY_SET(proxy, "", proxy_for(url));
    const std::string trusted = !request.ca_bundle.empty()      ? request.ca_bundle
                                : !named_certificates().empty() ? named_certificates()
                                                                : system_certificates();
    const std::string key =
        where_ + " " + (proxy ? proxy->host + ":" + std::to_string(proxy->port) : "") + " " + trusted;
    if (key == key_ && (tls_ || plain_) && is_quiet()) return {};
    drop();
    fresh_proxy_ = proxy;
    plain_.emplace(io_);
    TRY("", reach(proxy ? proxy->host : url.host, proxy ? proxy->port : url.port, request.connect_timeout));
    if (url.scheme == "https") {
      if (proxy) TRY("", open_tunnel(url, *proxy, request.connect_timeout));
      TRY("", shake_hands(url, trusted, request.connect_timeout));
    }
    key_ = key;
    return {};
  }

  Status reach(const std::string& host, std::uint16_t port, Millis limit) {
    error_code code;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::numeric_service, code);
    if (code) return failed(code, "look up the name");
    std::size_t tried = 0;
    for (const auto& one : found) {
      if (tried++ == most_addresses) break;
      plain_.emplace(io_);
      code = wait(limit, [&](auto done) { plain_->async_connect(one.endpoint(), std::move(done)); });
      if (!code || stopped_) break;
    }
    if (code) return failed(code, "connect");
    error_code ignored;
    plain_->socket().set_option(tcp::no_delay(true), ignored);
    return {};
  }

  Status open_tunnel(const Url& url, const Proxy& proxy, Millis limit) {
    const std::string to =
        (url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]") + ":" + std::to_string(url.port);
    http::request<http::empty_body> ask(http::verb::connect, to, 11);
    ask.set(http::field::host, to);
    if (!proxy.authorization.empty()) ask.set(http::field::proxy_authorization, proxy.authorization);
    error_code code = wait(limit, [&](auto done) { http::async_write(*plain_, ask, std::move(done)); });
    if (code) return failed(code, "ask the proxy");
    http::response_parser<http::empty_body> parser;
    parser.skip(true);
    code = wait(limit, [&](auto done) { http::async_read_header(*plain_, buffer_, parser, std::move(done)); });
    if (code) return failed(code, "ask the proxy");
    const unsigned status = parser.get().result_int();
    if (status == 200) return {};
    const Kind kind = status == 407 || status == 403 ? Kind::denied : Kind::lost;
    return fail(kind, "the proxy does not let through to " + where_,
                "it answered with status " + std::to_string(status), "check HTTPS_PROXY, or name the host in NO_PROXY");
  }

  Status shake_hands(const Url& url, const std::string& trusted, Millis limit) {
    TRY_SET(context, "", context_for(trusted));
    context_ = context;
    tls_.emplace(std::move(*plain_), *context_);
    plain_.reset();
    SSL* const ssl = tls_->native_handle();
    if (is_address(url.host)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), url.host.c_str());
    } else {
      SSL_set_tlsext_host_name(ssl, url.host.c_str());
      SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      SSL_set1_host(ssl, url.host.c_str());
    }
    const error_code code =
        wait(limit, [&](auto done) { tls_->async_handshake(asio::ssl::stream_base::client, std::move(done)); });
    if (!code) return {};
    const long verified = SSL_get_verify_result(tls_->native_handle());
    if (!stopped_ && code.category() == asio::error::get_ssl_category() && verified != X509_V_OK) {
      return fail(Kind::denied, "the certificate of " + where_ + " is not trusted",
                  X509_verify_cert_error_string(verified),
                  "behind a proxy that opens TLS, let AWS_CA_BUNDLE name the file of its certificate");
    }
    return failed(code, "begin TLS");
  }

  // ---- one request and its answer

  template <class Stream>
  Result<HttpResponse> converse(Stream& stream, const Url& url, const HttpRequest& request) {
    keep_ = false;
    const auto sent = send(stream, url, request);
    // Who refuses a request may say so and close before it has all of it.
    if (!sent && sent.error().kind != Kind::lost) return tl::unexpected(sent.error());
    auto answer = receive(stream, request);
    if (!sent) keep_ = false;
    return answer || sent ? std::move(answer) : Result<HttpResponse>(tl::unexpected(sent.error()));
  }

  template <class Stream>
  Status send(Stream& stream, const Url& url, const HttpRequest& request) {
    http::request<http::empty_body> head;
    head.version(11);
    head.method_string(request.method);
    const bool through_proxy = fresh_proxy_ && url.scheme == "http";
    head.target(through_proxy ? where_ + url.target : url.target);
    head.set(http::field::host, url.authority());
    if (through_proxy && !fresh_proxy_->authorization.empty())
      head.set(http::field::proxy_authorization, fresh_proxy_->authorization);
    for (const auto& [name, value] : request.headers) {
      if (lower(name) != "host") head.insert(name, value);
      if ((name + value).find_first_of("\r\n") != std::string::npos)
        return fail(Kind::bug, "a header with a line break: " + printable(name));
    }
    const std::uint64_t size = streams_->file >= 0 ? streams_->size : request.body.size();
    if (size > 0 || request.method == "PUT" || request.method == "POST")
      head.set(http::field::content_length, std::to_string(size));
    http::request_serializer<http::empty_body> serializer(head);
    // Head and a small body go as one packet.
    std::string text;
    error_code code;
    while (!serializer.is_header_done()) {
      serializer.next(code, [&](error_code&, const auto& buffers) {
        text += beast::buffers_to_string(buffers);
        serializer.consume(beast::buffer_bytes(buffers));
      });
    }
    if (streams_->file < 0 && size <= piece) text += request.body;
    code = wait(silence_, [&](auto done) { asio::async_write(stream, asio::buffer(text), std::move(done)); });
    if (code) return failed(code, "send the request");
    if (streams_->file < 0 && size <= piece) return moved(size);
    return send_body(stream, request, size);
  }

  template <class Stream>
  Status send_body(Stream& stream, const HttpRequest& request, std::uint64_t size) {
    std::string bytes(streams_->file >= 0 ? piece : 0, '\0');
    for (std::uint64_t done = 0; done < size;) {
      auto count = static_cast<std::size_t>(std::min<std::uint64_t>(piece, size - done));
      const char* from = request.body.data() + done;
      if (streams_->file >= 0) {
        const auto got = ::pread(streams_->file, bytes.data(), count, static_cast<off_t>(streams_->offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno("read the file that is sent");
        if (got == 0)
          return fail(Kind::corrupt, "the file that is sent became shorter", {}, "send it again when it is whole");
        count = static_cast<std::size_t>(got);
        from = bytes.data();
      }
      const error_code code = wait(
          silence_, [&](auto handler) { asio::async_write(stream, asio::buffer(from, count), std::move(handler)); });
      if (code) return failed(code, "send the body");
      done += count;
      TRY("", moved(count));
    }
    return {};
  }

  template <class Stream>
  Result<HttpResponse> receive(Stream& stream, const HttpRequest& request) {
    std::optional<http::response_parser<http::buffer_body>> parser;
    do {  // an interim answer such as 100 may come before
      parser.emplace();
      parser->header_limit(64 << 10);
      parser->body_limit(std::numeric_limits<std::uint64_t>::max());
      parser->skip(request.method == "HEAD");
      const error_code code =
          wait(silence_, [&](auto done) { http::async_read_header(stream, buffer_, *parser, std::move(done)); });
      if (code) return failed(code, "read the answer");
    } while (parser->get().result_int() / 100 == 1);
    HttpResponse answer;
    answer.status = static_cast<int>(parser->get().result_int());
    for (const auto& field : parser->get().base()) {
      answer.headers.emplace_back(lower({field.name_string().data(), field.name_string().size()}),
                                  std::string(trim({field.value().data(), field.value().size()})));
    }
    const bool taken = streams_->take && (answer.status == 200 || answer.status == 206);
    std::string bytes(piece, '\0');
    while (!parser->is_done()) {
      parser->get().body().data = bytes.data();
      parser->get().body().size = bytes.size();
      const error_code code =
          wait(silence_, [&](auto done) { http::async_read_some(stream, buffer_, *parser, std::move(done)); });
      if (code && code != http::error::need_buffer) return failed(code, "read the answer");
      const std::string_view got(bytes.data(), bytes.size() - parser->get().body().size);
      if (got.empty()) continue;
      if (taken) {
        TRY("", streams_->take(got));
      } else if (answer.body.size() + got.size() > body_limit) {
        return fail(Kind::corrupt, "the answer of " + where_ + " is over 64 MiB",
                    "no service that ferry asks says so much");
      } else {
        answer.body += got;
      }
      TRY("", moved(got.size()));
    }
    keep_ = parser->keep_alive();
    return answer;
  }

  asio::io_context io_{1};
  std::shared_ptr<asio::ssl::context> context_;
  std::optional<beast::tcp_stream> plain_;
  std::optional<Tls> tls_;
  beast::flat_buffer buffer_{std::size_t{256} << 10};
  std::string key_, where_;
  std::optional<Proxy> fresh_proxy_;
  const Streams* streams_ = nullptr;
  Millis silence_{30'000};
  bool keep_ = false, stopped_ = false;
};

}  // namespace

std::unique_ptr<Transport> make_transport() { return std::make_unique<BeastTransport>(); }

}  // namespace ferry::os
