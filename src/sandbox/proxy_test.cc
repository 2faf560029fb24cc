#include "sandbox/proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "base/text.h"
#include "os/socket.h"
#include "sandbox/proxy_address.h"
#include "sandbox/proxy_request.h"

namespace ferry::sandbox {

namespace {

Result<ProxyRequest> asked(const std::string& head) { return parse_proxy_request(head); }

std::string refused_for(const std::string& text) {
  in6_addr six{};
  sockaddr_in four{};
  four.sin_family = AF_INET;
  if (::inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1)
    return std::string(why_not_public(*address_of(reinterpret_cast<const sockaddr&>(four)), {}));
  EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &six), 1) << text;
  return std::string(why_not_public(six, {}));
}

/// Something on this computer that answers one connection with what it was sent, until "bye" or the end.
class Listening {
 public:
  explicit Listening(std::string greeting = "") : socket_(*os::listen_tcp("127.0.0.1", 0)) {
    thread_ = std::thread([this, greeting] {
      const auto client = os::accept_one(socket_.get(), Millis(60'000));
      if (!client) return;
      (void)os::write_all(client->get(), greeting);
      while (heard_.find("bye") == std::string::npos) {
        const auto part = os::read_some(client->get());
        if (!part || part->empty()) return;
        heard_ += *part;
        (void)os::write_all(client->get(), *part);
      }
    });
  }
  ~Listening() {
    if (!thread_.joinable()) return;
    ::shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
  }
  Target target() const { return {"127.0.0.1", os::local_port(socket_.get())}; }
  std::string heard() {
    thread_.join();
    return heard_;
  }

 private:
  os::Fd socket_;
  std::thread thread_;
  std::string heard_;
};

/// What a client of the proxy is told when it sends all of `bytes` and ends.
std::string said_to(const WayOut& way, const std::string& bytes, const ProxyLimits& limits = {}) {
  auto ends = *os::make_socketpair();
  std::thread proxy([&, end = std::move(ends.write)]() mutable {
    const os::Fd client = std::move(end);
    serve_proxy_client(way, client, limits);
  });
  (void)os::write_all(ends.read.get(), bytes);
  ::shutdown(ends.read.get(), SHUT_WR);
  const auto text = os::read_to_end(ends.read.get(), 1 << 20).value_or("");
  proxy.join();
  return text;
}

WayOut open_way(std::vector<Target> named = {}) { return {.is_open = true, .named = std::move(named), .settings = {}}; }

}  // namespace

TEST(ProxyRequest, ATunnelAndAPageAreUnderstood) {
  const auto tunnel = asked("CONNECT PyPI.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\nProxy-Authorization: x");
  ASSERT_TRUE(tunnel);
  EXPECT_TRUE(tunnel->is_tunnel);
  EXPECT_EQ(tunnel->target.text(), "pypi.org:443");
  const auto page = asked(
      "GET http://deb.debian.org/debian/dists/?x=1 HTTP/1.1\r\nHost: elsewhere\r\nAccept: */*\r\n"
      "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nProxy-Connection: keep-alive");
  ASSERT_TRUE(page);
  EXPECT_EQ(head_to_origin(*page),
            "GET /debian/dists/?x=1 HTTP/1.1\r\nHost: deb.debian.org\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n");
  EXPECT_EQ(asked("GET http://[2606:4700::1]:8080 HTTP/1.0")->target.text(), "[2606:4700::1]:8080");
  EXPECT_EQ(asked("POST http://h/ HTTP/1.1\nContent-Length: 12")->body, 12U);
  EXPECT_FALSE(asked("POST http://h/ HTTP/1.1\nTransfer-Encoding: chunked")->body);
}

TEST(ProxyRequest, WhatTwoReadersCouldUnderstandInTwoWaysIsRefused) {
  for (const char* head : {"",
                           "GET / HTTP/1.1",
                           "GET https://h/ HTTP/1.1",
                           "GET ftp://h/ HTTP/1.1",
                           "CONNECT h HTTP/1.1",
                           "CONNECT h:0 HTTP/1.1",
                           "CONNECT h:65536 HTTP/1.1",
                           "CONNECT h:+80 HTTP/1.1",
                           "CONNECT u@h:443 HTTP/1.1",
                           "CONNECT [::1%lo]:80 HTTP/1.1",
                           "CONNECT h:443 HTTP/2",
                           "GET http://u:p@h/ HTTP/1.1",
                           "GET http:///x HTTP/1.1",
                           "GET  http://h/ HTTP/1.1",
                           "GET http://h/a\tb HTTP/1.1",
                           "G\rT http://h/ HTTP/1.1",
                           "GET http://h/ HTTP/1.1\r\n folded: 1",
                           "GET http://h/ HTTP/1.1\r\nA : 1",
                           "GET http://h/ HTTP/1.1\r\nA: 1\r2",
                           "POST http://h/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1",
                           "POST http://h/ HTTP/1.1\r\nContent-Length: -1",
                           "POST http://h/ HTTP/1.1\r\nContent-Length: 99999999999999999999",
                           "POST http://h/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                           "POST http://h/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked"})
    EXPECT_FALSE(asked(head)) << head;
  EXPECT_FALSE(asked("GET http://h/ HTTP/1.1\r\nA: " + std::string(longest_proxy_head, 'a')));
  std::string many = "GET http://h/ HTTP/1.1";
  for (std::size_t i = 0; i <= most_proxy_headers; ++i) many += "\r\nA: 1";
  EXPECT_FALSE(asked(many));
}

TEST(ProxyRequest, ThePersonsOwnProxyIsAskedWithItsPassword) {
  const auto upstream = parse_upstream("http://me:p%40ss@proxy.example:3128/");
  ASSERT_TRUE(upstream);
  EXPECT_EQ(upstream->target.text(), "proxy.example:3128");
  EXPECT_EQ(head_to_upstream(*asked("CONNECT pypi.org:443 HTTP/1.1\r\nX: 1"), *upstream),
            "CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\nProxy-Authorization: Basic " + base64("me:p@ss") +
                "\r\n\r\n");
  EXPECT_EQ(head_to_upstream(*asked("GET http://h/x HTTP/1.1\r\nX: 1"), *parse_upstream("proxy:8080")),
            "GET http://h:80/x HTTP/1.1\r\nHost: h\r\nX: 1\r\nConnection: close\r\n\r\n");
  for (const char* other : {"socks5h://me:secret@proxy:1080", "https://me:secret@proxy"}) {
    const auto refused = parse_upstream(other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(describe(refused.error()).find("secret"), std::string::npos);
  }
}

TEST(ProxyAddress, OnlyTheInternetsAreReachedUnnamed) {
  for (const char* address :
       {"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "192.169.0.1", "223.255.255.255",
        "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"})
    EXPECT_EQ(refused_for(address), "") << address;
  const std::pair<const char*, const char*> refused[] = {{"127.0.0.1", "this computer itself"},
                                                         {"127.255.0.9", "this computer itself"},
                                                         {"::1", "this computer itself"},
                                                         {"::ffff:127.0.0.1", "this computer itself"},
                                                         {"::127.0.0.1", "this computer itself"},
                                                         {"64:ff9b::7f00:1", "this computer itself"},
                                                         {"2002:7f00:1::", "this computer itself"},
                                                         {"169.254.169.254", "a link-local address"},
                                                         {"::ffff:169.254.169.254", "a link-local address"},
                                                         {"fe80::1", "a link-local address"},
                                                         {"febf::1", "a link-local address"},
                                                         {"10.1.2.3", "in a private network"},
                                                         {"172.16.0.1", "in a private network"},
                                                         {"172.31.255.255", "in a private network"},
                                                         {"192.168.1.1", "in a private network"},
                                                         {"100.64.0.1", "in a private network"},
                                                         {"100.127.255.255", "in a private network"},
                                                         {"fd00:ec2::254", "in a private network"},
                                                         {"fc00::1", "in a private network"},
                                                         {"fec0::1", "in a private network"},
                                                         {"64:ff9b:1::1", "in a private network"},
                                                         {"224.0.0.1", "a multicast address"},
                                                         {"ff02::1", "a multicast address"},
                                                         {"0.0.0.0", "no address of a host"},
                                                         {"255.255.255.255", "no address of a host"},
                                                         {"::", "no address of a host"},
                                                         {"2001::1", "no address of a host"},
                                                         {"5f00::1", "no address of a host"}};
  for (const auto& [address, why] : refused) EXPECT_EQ(refused_for(address), why) << address;
}

TEST(ProxyAddress, WhatThisComputersInterfacesHaveIsThisComputer) {
  in6_addr mine{};
  ASSERT_EQ(::inet_pton(AF_INET6, "2606:4700::1111", &mine), 1);
  EXPECT_EQ(why_not_public(mine, {mine}), "this computer itself");
  EXPECT_FALSE(own_addresses().empty());
}

TEST(WayOut, ThePersonsProxyIsTakenAsItsVariablesSay) {
  const WayOut way{.is_open = true,
                   .named = {},
                   .http_proxy = "http://p:1",
                   .https_proxy = "http://p:2",
                   .no_proxy = "Example.org, .inside.example,10.0.0.0/8,[::2]:80,one:8080",
                   .settings = {}};
  EXPECT_EQ(way.proxy_for({"pypi.org", 443}, true), "http://p:2");
  EXPECT_EQ(way.proxy_for({"pypi.org", 80}, false), "http://p:1");
  for (const Target& direct :
       {Target{"example.org", 443}, Target{"a.example.org", 1}, Target{"x.inside.example", 80}, Target{"10.9.8.7", 80},
        Target{"::2", 80}, Target{"one", 8080}, Target{"localhost", 80}, Target{"127.3.2.1", 80}})
    EXPECT_EQ(way.proxy_for(direct, false), "") << direct.text();
  EXPECT_EQ(way.proxy_for({"one", 80}, false), "http://p:1");
  EXPECT_EQ(way.proxy_for({"notexample.org", 80}, false), "http://p:1");
  const auto back = way_out_from(to_json(way));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(way));
  EXPECT_FALSE(way_out_from(Json()).value().is_open);
}

TEST(Proxy, WhatIsNotNamedOfThisComputerIsRefusedWithASentence) {
  Listening service;
  const auto place = service.target().text();
  const auto port = place.substr(place.find(':'));
  // Loopback in every dress: what counts is what is connected.
  for (const auto& host :
       {std::string("127.0.0.1"), std::string("localhost"), std::string("[::ffff:127.0.0.1]"),
        std::string("2130706433"), std::string("0x7f.1"), std::string("0.0.0.0"), std::string("[::1]")}) {
    const auto told = said_to(open_way({{"127.0.0.1", 1}}), "CONNECT " + host + port + " HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(told.starts_with("HTTP/1.1 403 Forbidden (ferry: ")) << host << ": " << told;
    EXPECT_NE(told.find("--reach"), std::string::npos) << told;
  }
  EXPECT_TRUE(said_to(open_way(), "GET http://" + place + "/ HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 "));
  EXPECT_TRUE(said_to(open_way(), "CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 "));
}

TEST(Proxy, WhatIsNamedIsReachedAndATunnelCarriesBytesBothWays) {
  Listening service("hello ");
  const auto told =
      said_to(open_way({service.target()}), "CONNECT " + service.target().text() + " HTTP/1.1\r\n\r\nmore bye");
  EXPECT_EQ(told, "HTTP/1.1 200 Connection established\r\n\r\nhello more bye");
  EXPECT_EQ(service.heard(), "more bye");
}

TEST(Proxy, OfAPageOneRequestIsPassedOnWithItsBodyAndNoByteMore) {
  Listening service;
  const auto text = service.target().text();
  const auto told = said_to(open_way({service.target()}), "POST http://" + text +
                                                              "/x HTTP/1.1\r\nContent-Length: 3\r\n\r\nbye"
                                                              "GET http://" +
                                                              text + "/second HTTP/1.1\r\n\r\n");
  EXPECT_EQ(told, "POST /x HTTP/1.1\r\nHost: " + text + "\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbye");
}

TEST(Proxy, ThePersonsProxyIsLedThroughAndWhatTheNameIsHereStillCounts) {
  Listening upstream("HTTP/1.1 200 OK\r\n\r\n");
  auto way = open_way({{"index.invalid", 443}});
  way.https_proxy = "http://me:secret@" + upstream.target().text();
  EXPECT_TRUE(said_to(way, "CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 "));
  const auto told = said_to(way, "CONNECT index.invalid:443 HTTP/1.1\r\n\r\nbye");
  EXPECT_EQ(told.substr(0, 19), "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_NE(upstream.heard().find("CONNECT index.invalid:443 HTTP/1.1\r\n"), std::string::npos);
  way.https_proxy = "socks5://me:secret@127.0.0.1:1";
  const auto other = said_to(way, "CONNECT index.invalid:443 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(other.starts_with("HTTP/1.1 502 ")) << other;
  EXPECT_EQ(other.find("secret"), std::string::npos);
}

TEST(Proxy, WhatCannotBeReachedIsSaidAndNonsenseIsAnswered) {
  auto gone = *os::listen_tcp("127.0.0.1", 0);
  const Target nobody_there{"127.0.0.1", os::local_port(gone.get())};
  gone.reset();
  EXPECT_TRUE(said_to(open_way({nobody_there}), "CONNECT " + nobody_there.text() + " HTTP/1.1\r\n\r\n")
                  .starts_with("HTTP/1.1 502 "));
  EXPECT_TRUE(said_to(open_way(), "what?\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(said_to(open_way(), std::string(100'000, 'x')).starts_with("HTTP/1.1 400 "));
  EXPECT_EQ(said_to(open_way(), "CONNECT h:443 HTTP/1.1\r\n"), "") << "it ended before its request did";
}

TEST(Proxy, AClientThatSaysNothingIsLeft) {
  auto ends = *os::make_socketpair();
  const ProxyLimits short_patience{.head = Millis(20)};
  serve_proxy_client(open_way(), ends.write, short_patience);
  ends.write.reset();
  EXPECT_EQ(os::read_to_end(ends.read.get()).value_or("?"), "");
}

}  // namespace ferry::sandbox
