#include <gtest/gtest.h>

#include "os/socket.h"
#include "rehearsal/http_server.h"

namespace ferry::rehearsal {
namespace {

using Parsing = RequestParser::Step;

TEST(RequestParser, TakesARequestByteByByteAndKeepsTheTargetAsSent) {
  RequestParser parser;
  const std::string text =
      "POST /a%2Fb//c?x=%41&y HTTP/1.1\r\nHost: h\r\nX-Two:  a \r\nx-two: b\r\nContent-Length: "
      "5\r\n\r\nhello";
  for (std::size_t i = 0; i + 1 < text.size(); ++i) ASSERT_EQ(parser.feed(text.substr(i, 1)), Parsing::more);
  ASSERT_EQ(parser.feed("o"), Parsing::complete);
  const auto request = parser.take();
  EXPECT_EQ(request.path, "/a%2Fb//c");
  EXPECT_EQ(request.query, "x=%41&y");
  EXPECT_EQ(request.body, "hello");
  EXPECT_EQ(request.headers[1], (std::pair<std::string, std::string>("x-two", "a")));
  EXPECT_EQ(request.headers[2].second, "b");
  EXPECT_TRUE(request.keep_alive);
}

TEST(RequestParser, TakesChunksAndSeveralRequestsInOneRead) {
  RequestParser parser;
  ASSERT_EQ(parser.feed("POST / HTTP/1.1\r\nTransfer-Encoding: "
                        "chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n"),
            Parsing::complete);
  EXPECT_EQ(parser.take().body, "abc0123456789");
  ASSERT_EQ(parser.feed(""), Parsing::complete);
  const auto second = parser.take();
  EXPECT_EQ(second.path, "/2");
  EXPECT_FALSE(second.keep_alive);
}

TEST(RequestParser, RefusesGarbageWithAStatus) {
  const std::vector<std::pair<std::string, int>> cases = {
      {"\x16\x03\x01 hello\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413},
      {"GET /" + std::string(70'000, 'a'), 431},
  };
  for (const auto& [text, status] : cases) {
    RequestParser parser;
    EXPECT_EQ(parser.feed(text), Parsing::bad) << text.substr(0, 60);
    EXPECT_EQ(parser.error_status(), status) << text.substr(0, 60);
  }
}

std::unique_ptr<HttpServer> echo_server() {
  auto server = HttpServer::start(0, [](const HttpRequest& request) {
    HttpReply reply;
    if (request.path == "/throw") throw std::runtime_error("a bug");
    reply.drop = request.path == "/drop";
    reply.body = request.path + " " + request.body;
    return reply;
  });
  return server ? *std::move(server) : nullptr;
}

os::Fd connected(const HttpServer& server) {
  return *os::connect_tcp("127.0.0.1", server.port(), Millis(2000));
}

std::string read_until(int fd, std::string_view end) {
  std::string text;
  while (!text.ends_with(end) && os::wait_readable(fd, Millis(5000))) {
    const auto more = os::read_some(fd);
    if (!more || more->empty()) break;
    text += *more;
  }
  return text;
}

TEST(HttpServer, KeepsAConnectionAndSaysContinueWhenAsked) {
  const auto server = echo_server();
  const auto fd = connected(*server);
  ASSERT_TRUE(
      os::write_all(fd.get(), "POST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(read_until(fd.get(), "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(os::write_all(fd.get(), "ok"));
  EXPECT_TRUE(read_until(fd.get(), "/1 ok").starts_with("HTTP/1.1 200 OK"));
  ASSERT_TRUE(os::write_all(fd.get(), "GET /2 HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(read_until(fd.get(), "/2 ").ends_with("/2 "));
}

TEST(HttpServer, DropsAConnectionUnansweredWhenToldTo) {
  const auto server = echo_server();
  const auto fd = connected(*server);
  ASSERT_TRUE(os::write_all(fd.get(), "GET /drop HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(os::read_to_end(fd.get()).value_or("?"), "");
}

TEST(HttpServer, AnswersBugsAndGarbageAndLivesOn) {
  const auto server = echo_server();
  for (const auto& [text, status] :
       std::vector<std::pair<std::string, std::string>>{{"GET /throw HTTP/1.0\r\n\r\n", "500"},
                                                        {"\x01garbage\r\n\r\n", "400"},
                                                        {"GET /fine HTTP/1.0\r\n\r\n", "200"}}) {
    const auto fd = connected(*server);
    ASSERT_TRUE(os::write_all(fd.get(), text));
    EXPECT_TRUE(os::read_to_end(fd.get()).value_or("").starts_with("HTTP/1.1 " + status));
  }
}

TEST(HttpServer, ServesManyConnectionsAtOnce) {
  const auto server = echo_server();
  std::vector<os::Fd> open;
  for (int i = 0; i < 60; ++i) open.push_back(connected(*server));
  for (const auto& fd : open) ASSERT_TRUE(os::write_all(fd.get(), "GET /n HTTP/1.1\r\n\r\n"));
  for (const auto& fd : open) EXPECT_TRUE(read_until(fd.get(), "/n ").ends_with("/n "));
}

}  // namespace
}  // namespace ferry::rehearsal
