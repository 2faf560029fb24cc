// The HTTP client as AWS's users expect it: their proxies, their certificates, and connections kept open.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "aws/client.h"
#include "aws/loopback_server.h"
#include "aws/person.h"
#include "base/text.h"
#include "os/process.h"

namespace ferry::aws {
namespace {

/// Variables of this process for one test; without any proxy or certificate of the computer's own.
class Environment {
 public:
  explicit Environment(std::map<std::string, std::string> wanted) {
    for (const char* name :
         {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
          "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      const auto at = wanted.find(name);
      set(name, at == wanted.end() ? std::nullopt : std::optional<std::string>(at->second));
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_) set(name, value);
  }

 private:
  static void set(const std::string& name, const std::optional<std::string>& value) {
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  std::map<std::string, std::optional<std::string>> before_;
};

os::HttpRequest to(const std::string& url) {
  os::HttpRequest request;
  request.url = url;
  request.timeout = Millis(10'000);
  return request;
}

os::HttpResponse ok(const os::HttpRequest&) { return {200, {}, "ok"}; }

TEST(HttpProxy, IsUsedForItsSchemeInEitherCase) {
  for (const char* name : {"http_proxy", "HTTP_PROXY", "ALL_PROXY"}) {
    LoopbackServer proxy(ok);
    const Environment environment({{name, proxy.url()}});
    const auto answer = os::make_http_client()->send(to("http://aws.invalid/x"));
    ASSERT_TRUE(answer) << name << ": " << describe(answer.error());
    EXPECT_EQ(proxy.asked().at(0).url, "http://aws.invalid/x") << name;
  }
  for (const char* name : {"https_proxy", "HTTPS_PROXY"}) {
    LoopbackServer proxy([](const auto&) { return os::HttpResponse{503, {}, "no tunnels today"}; });
    const Environment environment({{name, proxy.url()}, {"HTTP_PROXY", "http://127.0.0.1:1"}});
    EXPECT_FALSE(os::make_http_client()->send(to("https://aws.invalid/x")));
    EXPECT_EQ(proxy.asked().at(0).method, "CONNECT") << name;
    EXPECT_EQ(proxy.asked().at(0).url, "aws.invalid:443");
  }
}

TEST(HttpProxy, IsNotAskedForTheHostsOfNoProxy) {
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    for (const char* proxy_name : {"http_proxy", "HTTP_PROXY"}) {
      LoopbackServer proxy(ok);
      const Environment environment({{proxy_name, proxy.url()}, {name, "localdomain,.invalid"}});
      EXPECT_EQ(os::make_http_client()->send(to("http://aws.invalid/x")).error().kind, Kind::lost);
      EXPECT_TRUE(proxy.asked().empty()) << name;
    }
  }
}

TEST(HttpProxy, IsNeverAskedForThisComputer) {
  LoopbackServer proxy(ok), server(ok);
  const Environment environment({{"http_proxy", proxy.url()}, {"HTTP_PROXY", proxy.url()}, {"ALL_PROXY", proxy.url()}});
  ASSERT_TRUE(os::make_http_client()->send(to(server.url())));
  EXPECT_EQ(server.asked().size(), 1U);
  EXPECT_TRUE(proxy.asked().empty());
}

TEST(HttpConnections, AreKeptOpenBetweenCalls) {
  LoopbackServer server(ok);
  const auto http = os::make_http_client();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(http->send({.method = i % 2 ? "POST" : "GET", .url = server.url(), .headers = {}, .body = {}}));
  }
  EXPECT_EQ(server.asked().size(), 5U);
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpConnections, ThatAreNotAcceptedAreGivenUp) {
  auto request = to("http://127.0.0.1:1/");
  request.connect_timeout = Millis(200);
  EXPECT_EQ(os::make_http_client()->send(request).error().kind, Kind::lost);
}

/// A TLS server for 127.0.0.1 with a certificate that nobody else trusts.
class TlsServer {
 public:
  /// False where this computer lacks openssl or python3.
  bool start() {
    const auto made = os::run_command(
        {.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                  "-days", "2", "-subj", "/CN=ferry test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                  (dir_.path() / "key").string(), "-out", certificate()}});
    if (!made || made->exit.code != 0) return false;
    auto process = os::Process::spawn({.argv = {"python3", "-c", serve, certificate(), (dir_.path() / "key").string()},
                                       .out = os::Stream::pipe,
                                       .err = os::Stream::null,
                                       .die_with_parent = true});
    if (!process) return false;
    process_ = std::move(*process);
    const auto port = os::read_some(process_->out.get());
    if (!port || port->empty()) return false;
    url_ = "https://127.0.0.1:" + std::string(trim(*port)) + "/";
    return true;
  }
  ~TlsServer() {
    if (!process_) return;
    process_->signal(SIGKILL);
    process_->wait(Millis(5'000));
  }
  const std::string& url() const { return url_; }
  std::string certificate() const { return (dir_.path() / "cert.pem").string(); }

 private:
  static constexpr const char* serve = R"PY(
import http.server, ssl, sys
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
server = http.server.HTTPServer(("127.0.0.1", 0), Ok)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
)PY";
  os::TempDir dir_;
  std::optional<os::Process> process_;
  std::string url_;
};

TEST(HttpCertificates, OfACompanyAreTrustedWhenAnyUsualVariableNamesThem) {
  TlsServer server;
  if (!server.start()) GTEST_SKIP() << "openssl or python3 is missing";
  {
    const Environment none({});
    const auto refused = os::make_http_client()->send(to(server.url()));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::denied);
    EXPECT_NE(refused.error().advice.find("AWS_CA_BUNDLE"), std::string::npos);
  }
  for (const char* name : {"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    const Environment environment({{name, server.certificate()}});
    const auto answer = os::make_http_client()->send(to(server.url()));
    EXPECT_TRUE(answer) << name << ": " << describe(answer.error());
  }
  const Environment wrong({{"AWS_CA_BUNDLE", "/no/such/file"}, {"CURL_CA_BUNDLE", server.certificate()}});
  EXPECT_EQ(os::make_http_client()->send(to(server.url())).error().kind, Kind::bad_input);
  auto request = to(server.url());
  request.ca_bundle = server.certificate();
  EXPECT_TRUE(os::make_http_client()->send(request)) << "the request's own win";
}

TEST(HttpCertificates, OfTheProfileAreUsedByEveryCall) {
  TlsServer server;
  if (!server.start()) GTEST_SKIP() << "openssl or python3 is missing";
  const Environment none({});
  Person person;
  person.write("config", "[default]\nca_bundle = " + server.certificate() + "\n");
  EXPECT_EQ(person.load()->ca_bundle(), server.certificate());
  person.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url();
  EXPECT_NE(person.credentials().error().what.find("not valid JSON"), std::string::npos)
      << "the answer was read: " << person.credentials().error().what;
  person.env["AWS_CA_BUNDLE"] = "/no/such/file";
  EXPECT_EQ(person.load()->ca_bundle(), "/no/such/file") << "the variable wins";
}

TEST(HttpSafety, OnlyHttpAndHttpsAreSpoken) {
  const Environment environment({});
  os::TempDir dir;
  ASSERT_TRUE(os::write_file(dir.path() / "secret", "mine"));
  for (const auto& url : {"file://" + (dir.path() / "secret").string(), std::string("ftp://127.0.0.1/"),
                          std::string("gopher://127.0.0.1/_x"), std::string("127.0.0.1:80/"), std::string()}) {
    const auto answer = os::make_http_client()->send(to(url));
    ASSERT_FALSE(answer) << url;
    EXPECT_EQ(answer.error().kind, Kind::bad_input) << url;
    EXPECT_NE(answer.error().advice.find("AWS_ENDPOINT_URL"), std::string::npos);
  }
  LoopbackServer server(ok);
  EXPECT_TRUE(os::make_http_client()->send(to("HTTP" + server.url().substr(4))));
}

TEST(HttpSafety, AnAnswerOver64MibSaysSoAndIsNotAskedForAgain) {
  const Environment environment({});
  LoopbackServer server([](const auto&) { return os::HttpResponse{200, {}, std::string((64 << 20) + 1, 'x')}; });
  const auto http = os::make_http_client();
  Client client({.credentials = fixed_provider({"AKID", "secret", "", ""}),
                 .region = "us-east-1",
                 .endpoint_url = server.url(),
                 .service_endpoints = {}},
                *http, os::system_clock());
  const auto answer = client.query("ec2", "DescribeInstances", Params(), Repeat::freely);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Kind::corrupt);
  EXPECT_NE(answer.error().what.find("over 64 MiB"), std::string::npos) << answer.error().what;
  EXPECT_EQ(server.asked().size(), 1U);
}

TEST(HttpSafety, ARedirectIsNotFollowedWithCredentials) {
  const Environment environment({});
  LoopbackServer elsewhere(ok);
  for (const int status : {301, 302, 303, 307, 308}) {
    LoopbackServer server([&](const auto&) {
      return os::HttpResponse{status, {{"Location", elsewhere.url() + "/"}}, ""};
    });
    const auto http = os::make_http_client();
    Client client({.credentials = fixed_provider({"AKID", "secret", "token", ""}),
                   .region = "us-east-1",
                   .endpoint_url = server.url(),
                   .service_endpoints = {}},
                  *http, os::system_clock());
    EXPECT_FALSE(client.query("ec2", "DescribeInstances", Params(), Repeat::freely)) << status;
    EXPECT_EQ(server.asked().size(), 1U) << status;
  }
  EXPECT_TRUE(elsewhere.asked().empty());
}

}  // namespace
}  // namespace ferry::aws
