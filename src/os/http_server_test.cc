#include "os/http_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include "os/file.h"
#include "os/socket.h"

namespace ferry::os {
namespace {

using namespace std::string_literals;

std::unique_ptr<HttpServer> serving(HttpServer::Handler handler, ServerLimits limits = {}) {
  auto server = HttpServer::start(0, std::move(handler), limits);
  EXPECT_TRUE(server) << describe(server.error());
  return server ? *std::move(server) : nullptr;
}

Fd client_of(const HttpServer& server) { return *connect_tcp("127.0.0.1", server.port(), Millis(20'000)); }

std::string read_until(int fd, std::string_view end) {
  std::string text;
  while (!text.ends_with(end) && wait_readable(fd, Millis(20'000))) {
    const auto more = read_some(fd);
    if (!more || more->empty()) break;
    text += *more;
  }
  return text;
}

/// What comes until the server closes; "?" if it does not.
std::string read_all_of(int fd) {
  std::string text;
  while (wait_readable(fd, Millis(20'000))) {
    const auto more = read_some(fd);
    if (!more || more->empty()) return text;
    text += *more;
  }
  return text + "?";
}

/// All that one client who sends `bytes` is told.
std::string told(const HttpServer& server, std::string_view bytes) {
  const auto fd = client_of(server);
  (void)write_all(fd.get(), bytes);  // may be refused before it is all sent
  ::shutdown(fd.get(), SHUT_WR);
  return read_all_of(fd.get());
}

ServedReply saying(std::string body, int status = 200) {
  ServedReply reply;
  reply.status = status;
  reply.body = std::move(body);
  return reply;
}

/// Answers with method, target and body.
ServedReply echo(const ServedRequest& request, BodyReader& body) {
  if (request.target == "/throw") throw std::runtime_error("a bug");
  auto text = body.read_all(1 << 20);
  auto reply = saying(request.method + " " + request.target + " " + text.value_or("none"));
  if (!text) reply.headers = {{"X-Kind", std::string(name(text.error().kind))}};
  reply.drop = request.target == "/drop";
  return reply;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(HttpServer, GivesTheRequestAsItCameByteByByte) {
  std::mutex mutex;
  ServedRequest seen;
  const auto server = serving([&](const ServedRequest& request, BodyReader& body) {
    const std::lock_guard lock(mutex);
    seen = request;
    EXPECT_EQ(body.length(), 5U);
    return saying(body.read_all(10).value_or("?"));
  });
  const auto fd = client_of(*server);
  for (const char c : std::string_view("\r\n\r\nPOST /a%2Fb//c?x=%41&y HTTP/1.1\r\nHost: h\r\nX-Two:  a \r\nB:\r\n"
                                       "x-two: b\r\nContent-Length: 5\r\n\r\nhello"))
    ASSERT_TRUE(write_all(fd.get(), std::string_view(&c, 1)));
  EXPECT_TRUE(read_until(fd.get(), "hello").ends_with("\r\n\r\nhello"));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/a%2Fb//c?x=%41&y");
  EXPECT_EQ(seen.peer, "127.0.0.1");
  EXPECT_EQ(seen.headers,
            (HeaderLines{{"host", "h"}, {"x-two", "a"}, {"b", ""}, {"x-two", "b"}, {"content-length", "5"}}));
  EXPECT_EQ(seen.header("x-two"), "a");
  EXPECT_EQ(seen.header("none"), "");
}

TEST(HttpServer, TakesChunksApartAndSeveralRequestsInOnePiece) {
  const auto server = serving(echo);
  const auto text =
      told(*server,
           "POST /1 HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n"
           "Content-Length: 7\r\nX: trailer\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET http://h/3 HTTP/1.0\r\n\r\nGET "
           "/4 HTTP/1.0\r\n\r\n");
  EXPECT_FALSE(has(text, "POST /1 abc0123456789")) << "a trailer that would change the body's length";
  const auto plain =
      told(*server,
           "POST /1 HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n"
           "X: trailer\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET http://h/3 HTTP/1.0\r\n\r\nGET /4 HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(has(plain, "POST /1 abc0123456789HTTP/1.1 200 OK\r\n")) << plain;
  EXPECT_TRUE(has(plain, "GET /2 HTTP")) << plain;
  EXPECT_TRUE(plain.ends_with("Connection: close\r\n\r\nGET http://h/3 ")) << plain;
}

TEST(HttpServer, RefusesGarbageWithAStatusAndCloses) {
  const auto server = serving(echo);
  const std::vector<std::pair<std::string, int>> cases = {
      {"\x16\x03\x01 hello\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"GET /\r\n\r\n", 400},
      {"GET / / HTTP/1.1\r\n\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 400},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nspace : x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nzero: \0\r\n\r\n"s, 400},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", 501},
      {"GET /" + std::string(70'000, 'a'), 431},
      {"GET /" + std::string(40'000, 'a') + " HTTP/1.1\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nX: " + std::string(70'000, 'a'), 431},
  };
  for (const auto& [text, status] : cases) {
    const auto answer = told(*server, text);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(status))) << text.substr(0, 60) << "\n" << answer;
    EXPECT_TRUE(answer.ends_with("Connection: close\r\n\r\n")) << answer;
  }
  EXPECT_TRUE(has(told(*server, "GET /fine HTTP/1.1\r\n\r\n"), "GET /fine "));
}

TEST(HttpServer, TellsTheHandlerWhatIsWrongWithABody) {
  const auto server = serving(echo);
  const std::string chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& bad :
       {"zz\r\n"s, "3\r\nabcdefgh\r\n"s, "-1\r\n"s, "11111111111111111\r\n"s, "1;=\r\nx"s, "1\nx\r\n"s,
        "1;" + std::string(200'000, 'x'), "0\r\nX: " + std::string(200'000, 'x')}) {
    const auto text = told(*server, chunked + bad);
    EXPECT_TRUE(has(text, "X-Kind: corrupt\r\n")) << bad.substr(0, 40) << "\n" << text;
    EXPECT_TRUE(has(text, "Connection: close\r\n"));
  }
  EXPECT_TRUE(has(told(*server, chunked + "5\r\nab"), "X-Kind: lost\r\n"));
  EXPECT_TRUE(has(told(*server, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"), "X-Kind: lost\r\n"));
  EXPECT_TRUE(has(told(*server, "POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\nab"), "X-Kind: bad_input\r\n"));
  EXPECT_TRUE(has(told(*server, chunked + "100001\r\n" + std::string(0x100001, 'x') + "\r\n0\r\n\r\n"),
                  "X-Kind: bad_input\r\n"));
}

TEST(HttpServer, SaysContinueWhenTheBodyIsWanted) {
  const auto server = serving([](const ServedRequest& request, BodyReader& body) {
    if (request.target == "/refused") return saying("no", 403);
    return saying(request.target + " " + body.read_all(100).value_or("?"));
  });
  const auto fd = client_of(*server);
  ASSERT_TRUE(write_all(fd.get(), "POST /1 HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(read_until(fd.get(), "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(write_all(fd.get(), "ok"));
  EXPECT_TRUE(read_until(fd.get(), "/1 ok").starts_with("HTTP/1.1 200 OK"));
  ASSERT_TRUE(write_all(fd.get(), "POST /refused HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  const auto refused = read_all_of(fd.get());
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 403 Forbidden\r\n")) << refused;
  EXPECT_TRUE(has(refused, "Connection: close\r\n")) << "whether the body comes is not known";
  EXPECT_TRUE(told(*server, "POST /3 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok")
                  .starts_with("HTTP/1.1 200"))
      << "it is there already";
  EXPECT_TRUE(told(*server, "POST /3 HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok")
                  .starts_with("HTTP/1.1 200"));
}

TEST(HttpServer, ReadsABodyOfManyMegabytesInPieces) {
  constexpr std::size_t block = 1 << 20, blocks = 24;
  const auto server = serving([](const ServedRequest&, BodyReader& body) {
    std::vector<char> part(50'000);
    std::size_t all = 0, odd = 0;
    while (true) {
      const auto got = body.read(part);
      if (!got || *got == 0) break;
      for (std::size_t i = 0; i < *got; ++i) odd += part[i] != static_cast<char>((all + i) % 251);
      all += *got;
    }
    return saying(fmt::format("{} {}", all, odd));
  });
  std::string bytes(block * blocks, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 251);
  const auto fd = client_of(*server);
  ASSERT_TRUE(write_all(fd.get(), fmt::format("PUT /x HTTP/1.1\r\nContent-Length: {}\r\n\r\n", bytes.size()) + bytes));
  const auto end = fmt::format("{} 0", bytes.size());
  EXPECT_TRUE(read_until(fd.get(), end).ends_with(end));
  std::string chunks = "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < bytes.size(); at += block)
    chunks += fmt::format("{:x}\r\n", block) + bytes.substr(at, block) + "\r\n";
  ASSERT_TRUE(write_all(fd.get(), chunks + "0\r\n\r\n"));
  EXPECT_TRUE(read_until(fd.get(), end).ends_with(end));
}

TEST(HttpServer, SkipsWhatAHandlerLeftOfABodyUpToAMegabyte) {
  const auto server = serving([](const ServedRequest& request, BodyReader&) { return saying("at " + request.target); });
  const std::string some(1 << 20, 'x');
  const auto text =
      told(*server, "POST /1 HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n" + some + "GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(has(text, "at /1") && text.ends_with("at /2")) << text;
  const auto more =
      told(*server, "POST /1 HTTP/1.1\r\nContent-Length: 1048577\r\n\r\nx" + some + "GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(has(more, "Connection: close\r\n") && more.ends_with("at /1")) << more;
  const auto fd = client_of(*server);
  ASSERT_TRUE(write_all(fd.get(), "POST /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"));
  EXPECT_TRUE(read_until(fd.get(), "at /1").ends_with("at /1")) << "the answer does not wait for the rest";
  ASSERT_TRUE(write_all(fd.get(), "23456789GET /2 HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(read_until(fd.get(), "at /2").ends_with("at /2"));
}

TEST(HttpServer, AnswersWithAFilesRangeAndToHeadWithTheHeadAlone) {
  TempDir dir;
  const auto path = dir.path() / "file";
  std::string bytes(3'000'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 251);
  ASSERT_TRUE(write_file(path, bytes));
  const auto server = serving([&](const ServedRequest& request, BodyReader&) {
    auto reply = saying("", 206);
    reply.file = *open_file(path, O_RDONLY);
    reply.file_offset = 1000, reply.file_bytes = request.target == "/too-much" ? 3'000'000 : 2'000'000;
    if (request.target == "/none") reply = saying("", 404);
    if (request.target == "/given") reply.headers = {{"Content-Length", "7"}};
    if (request.target == "/nothing") reply.status = 204;
    return reply;
  });
  const auto text = told(*server,
                         "GET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\nHEAD /given HTTP/1.1\r\n\r\nGET "
                         "/nothing HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(text.starts_with("HTTP/1.1 206 Partial Content\r\nContent-Length: 2000000\r\n\r\n"))
      << text.substr(0, 100);
  const auto body = text.find("\r\n\r\n") + 4;
  EXPECT_TRUE(text.compare(body, 2'000'000, bytes, 1000, 2'000'000) == 0);
  EXPECT_EQ(text.substr(body + 2'000'000),
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 2000000\r\n\r\n"
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\n\r\n"
            "HTTP/1.1 204 No Content\r\n\r\n");
  const auto cut = told(*server, "GET /too-much HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(has(cut, "404")) << "a file that is too short ends the connection";
}

TEST(HttpServer, StreamsWithoutKnowingTheLength) {
  const auto server = serving([](const ServedRequest& request, BodyReader&) {
    ServedReply reply;
    reply.stream = [n = 0, broken = request.target == "/broken"](std::span<char> into) mutable -> std::size_t {
      if (n == 2 && broken) throw std::runtime_error("gone");
      if (n == 3) return 0;
      return std::string_view("abc").copy(into.data(), static_cast<std::size_t>(++n));
    };
    return reply;
  });
  EXPECT_EQ(told(*server, "GET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nab\r\n3\r\nabc\r\n0\r\n\r\n"
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(told(*server, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\naababc");
  EXPECT_TRUE(told(*server, "GET /broken HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").ends_with("2\r\nab\r\n"));
}

TEST(HttpServer, DropsAConnectionUnansweredWhenToldTo) {
  const auto server = serving(echo);
  EXPECT_EQ(told(*server, "GET /drop HTTP/1.1\r\n\r\n"), "");
}

TEST(HttpServer, AnswersBugsOfItsHandlerAndLivesOn) {
  const auto server = serving([](const ServedRequest& request, BodyReader& body) {
    auto reply = echo(request, body);
    if (request.target == "/split") reply.headers = {{"X", "a\r\nSet-Cookie: b"}};
    if (request.target == "/status") reply.status = 1000;
    if (request.target == "/close")
      reply.headers = {{"connection", "Close"}, {"Content-Length", "99"}, {"Transfer-Encoding", "chunked"}};
    return reply;
  });
  for (const char* target : {"/throw", "/split", "/status"}) {
    const auto text = told(*server, std::string("GET ") + target + " HTTP/1.1\r\n\r\nGET /fine HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(text.starts_with("HTTP/1.1 500 Internal Server Error\r\n") && text.ends_with("GET /fine ")) << text;
    EXPECT_FALSE(has(text, "Cookie"));
  }
  EXPECT_EQ(told(*server, "GET /close HTTP/1.1\r\n\r\nGET /fine HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nGET /close ");
}

TEST(HttpServer, ServesManyConnectionsAtOnceAndLetsMoreWait) {
  const auto server = serving(echo, {.connections = 40});
  std::vector<Fd> open;
  for (int i = 0; i < 60; ++i) open.push_back(client_of(*server));
  for (const auto& fd : open) ASSERT_TRUE(write_all(fd.get(), "GET /n HTTP/1.1\r\n\r\n"));
  for (std::size_t i = 0; i < 40; ++i) EXPECT_TRUE(read_until(open[i].get(), "/n ").ends_with("/n ")) << i;
  EXPECT_FALSE(wait_readable(open[59].get(), Millis(0)));
  for (std::size_t i = 0; i < 40; ++i) open[i].reset();
  for (std::size_t i = 40; i < 60; ++i) EXPECT_TRUE(read_until(open[i].get(), "/n ").ends_with("/n ")) << i;
}

TEST(HttpServer, LeavesWhoeverIsSilentOrTooSlow) {
  const auto server = serving(echo, {.silence = Millis(150)});
  for (const char* begun : {"", "GET /", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"}) {
    const auto fd = client_of(*server);
    ASSERT_TRUE(write_all(fd.get(), begun));
    EXPECT_FALSE(read_all_of(fd.get()).ends_with("?")) << begun;
  }
  const auto fd = client_of(*server);
  std::atomic<bool> left = false;
  std::thread drip([&] {  // never silent for long, never done
    while (!left && write_all(fd.get(), "x")) std::this_thread::sleep_for(Millis(10));
  });
  EXPECT_EQ(read_all_of(fd.get()), "");
  left = true;
  drip.join();
}

TEST(HttpServer, TellsTheHandlerThatTheBodyFellSilent) {
  auto pair = *make_socketpair();
  ASSERT_TRUE(write_all(pair.write.get(), "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"));
  HttpServer::converse(std::move(pair.read), echo, {.silence = Millis(100)});
  EXPECT_TRUE(has(read_all_of(pair.write.get()), "X-Kind: timeout\r\n"));
}

TEST(HttpServer, EndsThoughClientsAreIdleSendOrDoNotRead) {
  std::promise<void> reading;
  std::atomic<int> lost = 0;
  auto server = serving([&](const ServedRequest& request, BodyReader& body) {
    if (request.target == "/read") {
      reading.set_value();
      if (const auto all = body.read_all(100); !all && all.error().kind == Kind::lost) ++lost;
    }
    return saying(request.target == "/big" ? std::string(50 << 20, 'x') : "");
  });
  const auto idle = client_of(*server), midway = client_of(*server), sending = client_of(*server),
             deaf = client_of(*server);
  ASSERT_TRUE(write_all(midway.get(), "GET / HT"));
  ASSERT_TRUE(write_all(sending.get(), "POST /read HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"));
  ASSERT_TRUE(write_all(deaf.get(), "GET /big HTTP/1.1\r\n\r\n"));
  ASSERT_TRUE(wait_readable(deaf.get(), Millis(20'000)));
  reading.get_future().wait();
  const int port = server->port();
  server.reset();
  EXPECT_EQ(lost, 1);
  EXPECT_FALSE(connect_tcp("127.0.0.1", port, Millis(1000)));
}

TEST(HttpServer, AnAnswerThatIsBeingGivenIsStillGivenAtTheEnd) {
  std::promise<void> asked, told_to_end;
  auto server = serving([&](const ServedRequest&, BodyReader&) {
    asked.set_value();
    told_to_end.get_future().wait();
    return saying("bye");
  });
  const auto fd = client_of(*server);
  ASSERT_TRUE(write_all(fd.get(), "POST /stop HTTP/1.1\r\n\r\n"));
  asked.get_future().wait();
  const int port = server->port();
  std::thread end([&] { server.reset(); });
  while (connect_tcp("127.0.0.1", port, Millis(1000)).has_value()) {
  }
  told_to_end.set_value();
  EXPECT_TRUE(read_all_of(fd.get()).ends_with("bye"));
  end.join();
}

TEST(HttpServer, SaysThatAPortIsTaken) {
  const auto server = serving(echo);
  const auto second = HttpServer::start(server->port(), echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, Kind::exists);
}

TEST(HttpServer, ConversesOnTheCallersThread) {
  auto pair = *make_socketpair();
  ASSERT_TRUE(write_all(pair.write.get(),
                        "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\nGET /3 HTTP/1.1\r\n\r\n"));
  ::shutdown(pair.write.get(), SHUT_WR);
  const auto here = std::this_thread::get_id();
  HttpServer::converse(std::move(pair.read), [&](const ServedRequest& request, BodyReader& body) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    EXPECT_EQ(request.peer, "");
    return echo(request, body);
  });
  const auto text = read_all_of(pair.write.get());
  EXPECT_TRUE(has(text, "GET /1 HTTP") && text.ends_with("GET /2 ")) << text;
}

}  // namespace
}  // namespace ferry::os
