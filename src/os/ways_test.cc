#include "os/ways.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ferry::os {
namespace {

TEST(Ways, UrlsAreTakenApartAndWhatIsNoneIsRefused) {
  const auto url = parse_url("HTTPS://user:pass@Bucket.Example:8443/a%20b?x=/y#z");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "bucket.example");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/a%20b?x=/y");
  EXPECT_EQ(url->authority(), "bucket.example:8443");
  EXPECT_EQ(parse_url("http://[FD00:ec2::254]")->authority(), "[fd00:ec2::254]");
  EXPECT_EQ(parse_url("https://h:443?q")->authority(), "h");
  EXPECT_EQ(parse_url("https://h:443?q")->target, "/?q");
  for (const char* bad :
       {"", "h", "ftp://h", "file:///etc/passwd", "http://", "http://:80", "http://h:0", "http://h:65536", "http://h:x",
        "http://[::1", "http://[::1]x", "http://h/a b", "http://h/\r\nX: y"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
}

TEST(Ways, NoProxyNamesHostsAndAllBelowThem) {
  EXPECT_TRUE(is_without_proxy("s3.eu-west-1.amazonaws.com", "localhost, .amazonaws.com"));
  EXPECT_TRUE(is_without_proxy("amazonaws.com", "AmazonAWS.com"));
  EXPECT_TRUE(is_without_proxy("10.0.0.1", "10.0.0.2 10.0.0.1"));
  EXPECT_TRUE(is_without_proxy("anything", "*"));
  EXPECT_FALSE(is_without_proxy("notamazonaws.com", "amazonaws.com"));
  EXPECT_FALSE(is_without_proxy("1.10.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(is_without_proxy("h", ""));
}

/// The proxy for `url` where the environment has these only.
Result<std::optional<Proxy>> proxy_with(std::initializer_list<std::pair<const char*, const char*>> settings,
                                        const char* url) {
  for (const char* name :
       {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"})
    ::unsetenv(name);
  for (const auto& [name, value] : settings) ::setenv(name, value, 1);
  auto proxy = proxy_for(*parse_url(url));
  for (const auto& [name, value] : settings) ::unsetenv(name);
  return proxy;
}

TEST(Ways, TheProxyIsTheOneThatTheEnvironmentNamesForTheScheme) {
  const auto proxy = proxy_with({{"HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128/"}}, "https://s3.example");
  ASSERT_TRUE(proxy && *proxy);
  EXPECT_EQ((*proxy)->host, "proxy.example");
  EXPECT_EQ((*proxy)->port, 3128);
  EXPECT_EQ((*proxy)->authorization, "Basic dXNlcjpwQHNz");
  EXPECT_EQ((*proxy_with({{"HTTPS_PROXY", "a:1"}, {"https_proxy", "b:2"}}, "https://s3.example"))->host, "b");
  EXPECT_EQ((*proxy_with({{"ALL_PROXY", "a:1"}}, "http://s3.example"))->host, "a");
  EXPECT_FALSE(*proxy_with({{"HTTP_PROXY", "a:1"}}, "https://s3.example"));
  EXPECT_FALSE(*proxy_with({{"HTTPS_PROXY", "a:1"}, {"NO_PROXY", "example"}}, "https://s3.example"));
  for (const char* near : {"https://localhost", "https://127.0.0.9:1", "https://[::1]", "https://169.254.169.254",
                           "https://[fd00:ec2::254]"}) {
    EXPECT_FALSE(*proxy_with({{"HTTPS_PROXY", "a:1"}}, near)) << near;
  }
  EXPECT_TRUE(*proxy_with({{"HTTPS_PROXY", "a:1"}}, "https://127.evil.example"));
  EXPECT_EQ(proxy_with({{"HTTPS_PROXY", "socks5://a:1"}}, "https://s3.example").error().kind, Kind::unsupported);
  EXPECT_EQ(proxy_with({{"HTTPS_PROXY", "http://:1"}}, "https://s3.example").error().kind, Kind::bad_input);
}

}  // namespace
}  // namespace ferry::os
