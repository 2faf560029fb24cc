#include <gtest/gtest.h>

#include "os/socket.h"
#include "rehearsal/http_message.h"
#include "rehearsal/server.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

/// A body that is there already.
class GivenBody final : public os::BodyReader {
 public:
  explicit GivenBody(std::string bytes) : left_(std::move(bytes)) {}
  std::optional<std::uint64_t> length() const override { return std::nullopt; }
  Result<std::size_t> read(std::span<char> into) override {
    const auto size = left_.copy(into.data(), into.size());
    left_.erase(0, size);
    return size;
  }

 private:
  std::string left_;
};

HttpRequest message_to(const std::string& target, std::string bytes = "") {
  GivenBody body(std::move(bytes));
  return *whole_message({.method = "POST", .target = target, .headers = {{"a", "1"}, {"b", "2"}, {"a", "3"}}}, body);
}

TEST(HttpMessage, KeepsPathAndQueryAsSent) {
  const auto request = message_to("/a%2Fb//c?x=%41&y?z", std::string(300'000, 'f'));
  EXPECT_EQ(request.path, "/a%2Fb//c");
  EXPECT_EQ(request.query, "x=%41&y?z");
  EXPECT_EQ(request.body.size(), 300'000U);
  EXPECT_EQ(request.header("a"), "1");
  EXPECT_EQ(request.headers.size(), 3U);
}

TEST(HttpMessage, ForgetsTheHostThatATargetForProxiesNames) {
  EXPECT_EQ(message_to("http://127.0.0.1:80/x?y").path, "/x");
  EXPECT_EQ(message_to("http://127.0.0.1:80/x?y").query, "y");
  EXPECT_EQ(message_to("http://127.0.0.1").path, "/");
  EXPECT_EQ(message_to("/http://x").path, "/http://x");
  EXPECT_EQ(message_to("*").path, "*");
}

/// A cloud that is asked over its socket.
class OverHttp : public ::testing::Test {
 protected:
  OverHttp() {
    auto started = Server::start(store_, machines_, os::system_clock(), {});
    EXPECT_TRUE(started) << describe(started.error());
    server_ = *std::move(started);
  }
  /// All that is said until the connection is closed.
  std::string told(const std::string& head, const std::string& body) const {
    const auto fd = *os::connect_tcp("127.0.0.1", server_->port(), Millis(20'000));
    (void)os::write_all(fd.get(),
                        head + "\r\nConnection: close\r\n\r\n" + body);  // may be refused before it is all sent
    return os::read_to_end(fd.get()).value_or("");
  }
  std::string control(const std::string& verb, const std::string& body) const {
    return told(fmt::format("POST /_ferry/{} HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Length: {}", verb,
                            server_->token(), body.size()),
                body);
  }

  MemoryStore store_;
  FakeMachines machines_;
  std::unique_ptr<Server> server_;
};

TEST_F(OverHttp, AnswersFormsOfAnySizeUpToAMegabyte) {
  const std::string form = "Action=DescribeRegions&x=" + std::string(200'000, 'y');
  const auto text = told(fmt::format("POST / HTTP/1.1\r\nContent-Length: {}", form.size()), form);
  EXPECT_TRUE(text.starts_with("HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml;charset=UTF-8\r\n")) << text;
  EXPECT_NE(text.find("<Code>"), text.npos);
  const auto longer = told("POST / HTTP/1.1\r\nContent-Length: 1048577", "x");
  EXPECT_TRUE(longer.starts_with("HTTP/1.1 413 ")) << longer;
  const auto chunked =
      told("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", "fffffff\r\n" + std::string(1'100'000, 'x'));
  EXPECT_TRUE(chunked.starts_with("HTTP/1.1 413 ")) << chunked;
  const auto bad = told("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", "zz\r\n");
  EXPECT_TRUE(bad.starts_with("HTTP/1.1 400 Bad Request\r\n")) << bad;
}

TEST_F(OverHttp, AFaultClosesAConnectionUnanswered) {
  const auto asks = [&] {
    const auto request = signed_form({{"Action", "DescribeRegions"}, {"Version", "2016-11-15"}}, server_->access_key(),
                                     os::system_clock().now_ms());
    std::string head = fmt::format("POST / HTTP/1.1\r\nContent-Length: {}", request.body.size());
    for (const auto& [name, value] : request.headers) head += "\r\n" + name + ": " + value;
    return told(head, request.body);
  };
  EXPECT_TRUE(asks().starts_with("HTTP/1.1 200 OK\r\n"));
  const auto faults = control("fault", R"({"kind": "drop", "action": "DescribeRegions", "count": 1})");
  EXPECT_TRUE(faults.starts_with("HTTP/1.1 200 OK\r\n")) << faults;
  EXPECT_EQ(asks(), "");
  EXPECT_TRUE(asks().starts_with("HTTP/1.1 200 OK\r\n"));
}

}  // namespace
}  // namespace ferry::rehearsal
