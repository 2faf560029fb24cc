#include "os/http_conversation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/version.hpp>
#include <limits>

#include "base/text.h"
#include "os/http_wire.h"

namespace ferry::os {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Trouble = beast::error_code;

constexpr std::size_t piece = 64 << 10;        // read or sent at once
constexpr std::size_t most_skipped = 1 << 20;  // of a body that nobody read

std::string text_of(beast::string_view view) { return std::string(view.data(), view.size()); }

/// Beast's parser, and what it must not let through.
class Parser final : public http::basic_parser<true> {
 public:
  explicit Parser(const ServerLimits& limits) {
    header_limit(static_cast<std::uint32_t>(limits.head_bytes));
    body_limit(std::numeric_limits<std::uint64_t>::max());
  }
  /// Where bytes of the body go from now on.
  void aim(std::span<char> into) { into_ = into, taken_ = 0; }
  std::size_t taken() const { return taken_; }

  ServedRequest request;
  bool is_old = false;  ///< HTTP/1.0
  bool expects_continue = false;
  int refusal = 400;  ///< the status to answer trouble with

 private:
  void on_request_impl(http::verb, beast::string_view method, beast::string_view target, int version,
                       Trouble&) override {
    request.method = text_of(method);
    request.target = text_of(target);
    is_old = version == 10;
  }
  void on_response_impl(int, beast::string_view, int, Trouble&) override {}
  void on_field_impl(http::field name, beast::string_view key, beast::string_view value, Trouble& trouble) override {
    if (has_head_) return;  // a trailer
    request.headers.emplace_back(lower(text_of(key)), text_of(value));
    const std::string word = lower(request.headers.back().second);
    if (name == http::field::expect) expects_continue = word == "100-continue" && !is_old;
    // Beast takes the body of any other encoding for none: its bytes would be read as the next request.
    if (name == http::field::transfer_encoding && (word != "chunked" || is_old)) {
      refusal = word == "chunked" ? 400 : 501;
      trouble = http::error::bad_transfer_encoding;
    }
  }
#if BOOST_BEAST_VERSION >= 359  // Boost 1.90: trailers come here
  void on_trailer_field_impl(http::field, beast::string_view, beast::string_view, Trouble&) override {}
#endif
  void on_header_impl(Trouble&) override { has_head_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Trouble&) override {}
  std::size_t on_body_impl(beast::string_view bytes, Trouble&) override { return take(bytes); }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, Trouble&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view bytes, Trouble&) override { return take(bytes); }
  void on_finish_impl(Trouble&) override {}

  std::size_t take(beast::string_view bytes) {
    const auto size = std::min(bytes.size(), into_.size() - taken_);
    std::memcpy(into_.data() + taken_, bytes.data(), size);
    taken_ += size;
    return size;
  }

  std::span<char> into_;
  std::size_t taken_ = 0;
  bool has_head_ = false;
};

/// What comes over one connection, request after request; the body of the present one.
class Intake final : public BodyReader {
 public:
  Intake(HttpWire& wire, const ServerLimits& limits)
      : wire_(wire), limits_(limits), buffer_(limits.head_bytes + piece) {}

  enum class Head { whole, refused, none };
  /// The next request's head; `refused`: refusal() says with what; `none`: the client left or fell silent.
  Head next();
  const ServedRequest& request() const { return parser_->request; }
  int refusal() const { return parser_->refusal; }
  bool keep_alive() const { return parser_->keep_alive(); }
  /// HTTP/1.0 knows no chunks, and keeps a connection only by agreement.
  bool is_old() const { return parser_->is_old; }
  /// Whether what a handler left of the body may be skipped; and skips it. False when the next request cannot
  /// be told from it.
  bool may_skip() const;
  bool skip_rest();

  std::optional<std::uint64_t> length() const override {
    if (parser_->chunked()) return std::nullopt;
    return parser_->content_length().value_or(0);
  }
  Result<std::size_t> read(std::span<char> into) override;

 private:
  Trouble parse() {
    Trouble trouble;
    const auto used = parser_->put(buffer_.cdata(), trouble);
    buffer_.consume(used);
    head_bytes_ += used;
    return trouble;
  }
  Result<std::size_t> fill() {
    const auto room = std::min(piece, buffer_.max_size() - buffer_.size());
    if (room == 0) return fail(Kind::corrupt, "no chunk begins like that");
    TRY_SET(got, "", wire_.receive(buffer_.prepare(room).data(), room));
    buffer_.commit(got);
    return got;
  }
  Result<std::size_t> read_on(std::span<char> into);
  std::string_view unread() const { return {static_cast<const char*>(buffer_.cdata().data()), buffer_.size()}; }

  HttpWire& wire_;
  const ServerLimits& limits_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::size_t head_bytes_ = 0;
  std::optional<Error> broken_;
};

/// Whether a request line is one of HTTP but for its version's number.
bool names_http(std::string_view bytes) {
  const auto words = split(bytes.substr(0, bytes.find("\r\n")), ' ');
  return words.size() == 3 && words[2].starts_with("HTTP/");
}

Intake::Head Intake::next() {
  parser_.emplace(limits_);
  head_bytes_ = 0;
  wire_.be_patient();
  while (true) {
    const bool begins = !parser_->got_some();
    // RFC 9112: blank lines before a request are ignored.
    while (begins && unread().starts_with("\r\n")) buffer_.consume(2);
    const bool is_idle = begins && (unread().empty() || unread() == "\r");
    if (!is_idle && !unread().empty()) {
      const auto trouble = parse();
      const bool is_whole = !trouble;
      const bool is_long = head_bytes_ + (is_whole ? 0 : buffer_.size()) > limits_.head_bytes;
      if (is_long || trouble == http::error::header_limit) parser_->refusal = 431;
      if (trouble == http::error::bad_version && names_http(unread())) parser_->refusal = 505;
      if (is_long || (trouble && trouble != http::error::need_more)) return Head::refused;
      if (is_whole) {
        wire_.be_patient();
        return Head::whole;
      }
    }
    if (fill().value_or(0) == 0) return Head::none;
    if (is_idle) wire_.be_patient();
  }
}

Result<std::size_t> Intake::read(std::span<char> into) {
  if (into.empty() || parser_->is_done()) return std::size_t{0};
  if (broken_) return fail("", *broken_);
  auto got = read_on(into);
  if (!got) broken_ = got.error();
  return got;
}

Result<std::size_t> Intake::read_on(std::span<char> into) {
  if (std::exchange(parser_->expects_continue, false) && unread().empty())
    TRY("", wire_.send("HTTP/1.1 100 Continue\r\n\r\n"));
  parser_->aim(into);
  while (true) {
    while (!unread().empty()) {
      const auto trouble = parse();
      if (trouble == http::error::need_more) break;
      if (trouble) return fail(Kind::corrupt, "the body's chunks are none", trouble.message());
      if (parser_->taken() > 0 || parser_->is_done()) return parser_->taken();
    }
    TRY_SET(got, "", fill());
    if (got == 0) return fail(Kind::lost, "the connection ended within a request");
  }
}

bool Intake::may_skip() const {
  if (broken_ || parser_->is_done()) return !broken_;
  // Whoever still waits for "100 Continue" may send the body or not.
  return !parser_->expects_continue && parser_->content_length_remaining().value_or(0) <= most_skipped;
}

bool Intake::skip_rest() {
  std::vector<char> ignored(parser_->is_done() ? 0 : piece);
  for (std::size_t skipped = 0; skipped <= most_skipped;) {
    const auto got = read(ignored);
    if (!got) return false;
    if (*got == 0) return true;
    skipped += *got;
  }
  return false;
}

bool is_header(const std::pair<std::string, std::string>& line) {
  const auto ends_a_line = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  return !line.first.empty() && line.first.find_first_of(" \t:") == std::string::npos &&
         std::none_of(line.first.begin(), line.first.end(), ends_a_line) &&
         std::none_of(line.second.begin(), line.second.end(), ends_a_line);
}

ServedReply plain(int status, std::string text) {
  ServedReply reply;
  reply.status = status;
  reply.headers = {{"Content-Type", "text/plain"}};
  reply.body = std::move(text);
  return reply;
}

template <class Buffers>
void append(std::string& text, const Buffers& buffers) {
  for (const auto buffer : beast::buffers_range_ref(buffers))
    text.append(static_cast<const char*>(buffer.data()), buffer.size());
}

std::string head_text(const http::response<http::empty_body>& head) {
  std::string text;
  http::response_serializer<http::empty_body> serializer(head);
  serializer.split(true);
  Trouble trouble;
  while (!trouble && !serializer.is_header_done()) {
    serializer.next(trouble, [&](Trouble&, const auto& buffers) {
      append(text, buffers);
      serializer.consume(beast::buffer_bytes(buffers));
    });
  }
  return text;
}

/// "" where the other end has no address of the internet's.
std::string peer_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::getpeername(fd, generic, &size) < 0) return {};
  if (address.ss_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(generic)->sin_addr, text.data(), text.size());
  if (address.ss_family == AF_INET6)
    ::inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(generic)->sin6_addr, text.data(), text.size());
  return text.data();
}

/// One client, from its first request to its last.
class Conversation {
 public:
  Conversation(const Fd& connection, int end, const HttpServer::Handler& handler, const ServerLimits& limits)
      : wire_(connection.get(), end, limits.silence),
        intake_(wire_, limits),
        handler_(handler),
        peer_(peer_of(connection.get())) {}

  void run() {
    while (true) {
      const auto head = intake_.next();
      if (head == Intake::Head::none) return;
      if (head == Intake::Head::refused) {
        (void)answer(plain(intake_.refusal(), ""), false, false);
        return wire_.leave();
      }
      auto request = intake_.request();
      request.peer = peer_;
      auto reply = handled(request);
      if (reply.drop) return;
      const bool keep = intake_.may_skip() && intake_.keep_alive() && !reply.close && !wire_.server_ends() &&
                        (!reply.stream || !intake_.is_old());
      wire_.be_patient();
      if (!answer(reply, keep, request.method == "HEAD")) return;
      if (!keep || !intake_.skip_rest()) return wire_.leave();
    }
  }

 private:
  ServedReply handled(const ServedRequest& request) {
    ServedReply reply;
    try {
      reply = handler_(request, intake_);
    } catch (const std::exception& bug) {
      return plain(500, bug.what());
    }
    if (!std::all_of(reply.headers.begin(), reply.headers.end(), is_header) || reply.status < 200 || reply.status > 999)
      return plain(500, "the answer's head is none");
    for (const auto& [name, value] : reply.headers)
      if (lower(name) == "connection") reply.close = reply.close || lower(value) == "close";
    return reply;
  }

  Status answer(const ServedReply& reply, bool keep, bool is_head);
  Status send_file(const ServedReply& reply);
  Status send_stream(const ServedReply& reply, bool chunked);

  HttpWire wire_;
  Intake intake_;
  const HttpServer::Handler& handler_;
  std::string peer_;
};

Status Conversation::answer(const ServedReply& reply, bool keep, bool is_head) {
  const bool is_empty = reply.status == 204 || reply.status == 304;
  const bool chunked = reply.stream && !is_empty && !intake_.is_old();
  std::optional<std::string> size;
  if (!reply.stream && !is_empty) size = std::to_string(reply.file ? reply.file_bytes : reply.body.size());
  http::response<http::empty_body> head;
  head.version(11);
  head.result(static_cast<unsigned>(reply.status));
  for (const auto& [name, value] : reply.headers) {
    const auto key = lower(name);
    if (key == "content-length" && is_head) size = value;
    if (key != "content-length" && key != "connection" && key != "transfer-encoding") head.insert(name, value);
  }
  if (chunked && !size) head.set(http::field::transfer_encoding, "chunked");
  if (size) head.set(http::field::content_length, *size);
  if (!keep || intake_.is_old()) head.set(http::field::connection, keep ? "keep-alive" : "close");
  const bool has_body = !is_head && !is_empty && (reply.stream || size != "0");
  TRY("", wire_.send(head_text(head), has_body));
  if (!has_body) return {};
  if (reply.stream) return send_stream(reply, chunked);
  return reply.file ? send_file(reply) : wire_.send(reply.body);
}

Status Conversation::send_file(const ServedReply& reply) {
  std::vector<char> part(4 * piece);
  auto at = reply.file_offset, left = reply.file_bytes;
  while (left > 0 && !wire_.server_ends()) {
    const auto got =
        ::pread(reply.file.get(), part.data(), std::min<std::uint64_t>(left, part.size()), static_cast<off_t>(at));
    if (got < 0) return fail_errno("read the file of an answer");
    if (got == 0) return fail(Kind::io, "the file of an answer became shorter");
    TRY("", wire_.send({part.data(), static_cast<std::size_t>(got)}));
    at += static_cast<std::uint64_t>(got), left -= static_cast<std::uint64_t>(got);
  }
  return left == 0 ? Status() : fail(Kind::lost, "the server ends");
}

Status Conversation::send_stream(const ServedReply& reply, bool chunked) {
  std::vector<char> part(piece);
  while (!wire_.server_ends()) {
    const auto got = std::min(reply.stream(part), part.size());
    const beast::net::const_buffer bytes(part.data(), got);
    wire_.be_patient();  // the time that the handler took is not the peer's
    std::string text;
    if (chunked && got > 0) append(text, http::make_chunk(bytes));
    if (chunked && got == 0) append(text, http::make_chunk_last());
    TRY("", chunked ? wire_.send(text) : wire_.send({part.data(), got}));
    if (got == 0) return {};
  }
  return fail(Kind::lost, "the server ends");
}

}  // namespace

void converse(Fd connection, int end, const HttpServer::Handler& handler, const ServerLimits& limits) {
  try {
    Conversation(connection, end, handler, limits).run();
  } catch (const std::exception&) {
    // Memory ran out, or the handler's stream failed: the connection is closed, the part is known for one.
  }
}

}  // namespace ferry::os
