// os/transport.h against servers on loopback; TLS and proxies: tests/aws/s3.py.
#include "os/transport.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "aws/loopback_server.h"
#include "os/file.h"
#include "os/socket.h"

namespace ferry::s3 {
namespace {

/// Answers whoever comes first with these bytes, once the head of the request is there, and closes.
class Raw {
 public:
  explicit Raw(std::string bytes, bool waits = false)
      : listener_(std::move(*os::listen_tcp("127.0.0.1", 0))), thread_([this, bytes = std::move(bytes), waits] {
          auto connection = os::accept_one(listener_.get(), Millis(20'000));
          if (!connection) return;
          std::string got;
          while (got.find("\r\n\r\n") == std::string::npos) {
            const auto more = os::read_some(connection->get());
            if (!more || more->empty()) return;
            got += *more;
          }
          (void)os::write_all(connection->get(), bytes);
          while (waits) {  // until the other side is tired of it
            const auto more = os::read_some(connection->get());
            if (!more || more->empty()) return;
          }
        }) {}
  ~Raw() { thread_.join(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(os::local_port(listener_.get())) + "/x"; }

 private:
  os::Fd listener_;
  std::thread thread_;
};

os::HttpRequest asking(const std::string& url) {
  os::HttpRequest request;
  request.url = url;
  return request;
}

TEST(Transport, StreamsAPartOfAFileThereAndAnAnswerBackOverOneConnection) {
  os::TempDir temp;
  const std::string bytes(1'000'000, 'b');
  ASSERT_TRUE(os::write_file(temp.path() / "f", "aaa" + bytes + "ccc"));
  const auto file = os::open_file(temp.path() / "f", O_RDONLY);
  aws::LoopbackServer server([](const os::HttpRequest& request) {
    return os::HttpResponse{
        .status = request.url == "/none" ? 404 : 200, .headers = {{"X-Said", " it "}}, .body = request.body};
  });
  const auto transport = os::make_transport();
  std::string taken;
  std::uint64_t moved = 0;
  os::HttpRequest request = asking(server.url() + "/x");
  request.method = "PUT";
  const os::Streams streams{.file = file->get(),
                            .offset = 3,
                            .size = bytes.size(),
                            .take = [&](std::string_view more) -> Status {
                              taken += more;
                              return {};
                            },
                            .moved =
                                [&](std::uint64_t more) {
                                  moved += more;
                                  return true;
                                }};
  for (int i = 0; i < 2; ++i) {
    taken.clear();
    const auto answer = transport->exchange(request, streams);
    ASSERT_TRUE(answer) << describe(answer.error());
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->header("x-said"), "it");
    EXPECT_TRUE(taken == bytes && answer->body.empty());
  }
  EXPECT_EQ(moved, 4 * bytes.size());
  const auto missing = transport->exchange(asking(server.url() + "/none"), streams);
  ASSERT_TRUE(missing);
  EXPECT_TRUE(missing->body == bytes) << "an error's body is not taken for the object";
  EXPECT_EQ(server.connections(), 1);
}

TEST(Transport, ReadsWhatServersSayInTheirWays) {
  struct Row {
    const char* bytes;
    int status;
    const char* body;
  };
  const std::vector<Row> rows = {
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, "hi"},
      {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi", 200, "hi"},
      {"HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
      {"HTTP/1.0 503 Slow\r\nContent-Length: 0\r\n\r\n", 503, ""},
  };
  for (const Row& row : rows) {
    Raw server(row.bytes);
    const auto answer = os::make_transport()->exchange(asking(server.url()));
    ASSERT_TRUE(answer) << row.bytes << describe(answer.error());
    EXPECT_EQ(answer->status, row.status) << row.bytes;
    EXPECT_EQ(answer->body, row.body) << row.bytes;
  }
}

TEST(Transport, CallsLostWhatIsCutShortOrNoHttp) {
  for (const char* bytes : {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "SSH-2.0-OpenSSH\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"}) {
    Raw server(bytes);
    const auto answer = os::make_transport()->exchange(asking(server.url()));
    ASSERT_FALSE(answer) << bytes;
    EXPECT_EQ(answer.error().kind, Kind::lost) << bytes;
  }
  EXPECT_EQ(os::make_transport()->exchange(asking("ftp://127.0.0.1/")).error().kind, Kind::bad_input);
}

TEST(Transport, HearsARefusalThatComesBeforeTheBodyIsSent) {
  os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "f", std::string(20'000'000, 'x')));
  const auto file = os::open_file(temp.path() / "f", O_RDONLY);
  // It reads on, as a server should that wants its words to arrive.
  Raw server("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", true);
  os::HttpRequest request = asking(server.url());
  request.method = "PUT";
  const auto answer = os::make_transport()->exchange(
      request, {.file = file->get(), .offset = 0, .size = 20'000'000, .take = {}, .moved = {}});
  ASSERT_TRUE(answer) << describe(answer.error());
  EXPECT_EQ(answer->status, 403);
}

TEST(Transport, EndsWhenNothingComesOrWhenToldTo) {
  Raw silent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi", true);
  os::HttpRequest request = asking(silent.url());
  request.timeout = Millis(300);
  EXPECT_EQ(os::make_transport()->exchange(request).error().kind, Kind::timeout);
  Raw other("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi", true);
  int told = 0;
  os::Streams streams;
  streams.moved = [&](std::uint64_t) { return ++told < 4; };
  EXPECT_EQ(os::make_transport()->exchange(asking(other.url()), streams).error().kind, Kind::cancelled);
}

TEST(Transport, SendsNoHeaderWithALineBreakAndNoFileThatBecameShorter) {
  os::TempDir temp;
  ASSERT_TRUE(os::write_file(temp.path() / "f", "short"));
  const auto file = os::open_file(temp.path() / "f", O_RDONLY);
  aws::LoopbackServer server(
      [](const os::HttpRequest&) { return os::HttpResponse{.status = 200, .headers = {}, .body = {}}; });
  os::HttpRequest request = asking(server.url());
  request.method = "PUT";
  EXPECT_EQ(os::make_transport()
                ->exchange(request, {.file = file->get(), .offset = 0, .size = 100, .take = {}, .moved = {}})
                .error()
                .kind,
            Kind::corrupt);
  request.headers = {{"X", "a\r\nY: b"}};
  EXPECT_EQ(os::make_transport()->exchange(request).error().kind, Kind::bug);
}

}  // namespace
}  // namespace ferry::s3
