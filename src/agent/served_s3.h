#pragma once
/// \file
/// For tests only: S3 in memory, and a machine's metadata service, for one HTTP server to answer as.

#include <memory>
#include <string>

#include "agent/served.h"
#include "os/http_server.h"
#include "os/socket.h"
#include "s3/fake_s3.h"

namespace ferry::agent {

/// What the metadata service says below /latest/ of the machine's role; 404 for all else. `role`: empty: it has none.
inline os::ServedReply answer_of_role(const std::string& target, const std::string& role) {
  const std::string roles = "/latest/meta-data/iam/security-credentials/";
  os::ServedReply reply;
  if (target == "/latest/api/token") reply.body = "token";
  if (target == roles) reply.body = role;
  if (target == roles + role && !role.empty())
    reply.body = R"({"Code":"Success","AccessKeyId":"ROLEKEY","SecretAccessKey":"secret","Token":"session",
                     "Expiration":"2099-01-01T00:00:00Z"})";
  if (reply.body.empty()) reply.status = 404;
  return reply;
}

/// `body`: of the request, read. `url`: of the server.
inline os::ServedReply answer_of_s3(s3::FakeS3& s3, const std::string& url, const os::ServedRequest& asked,
                                    std::string body) {
  os::HttpRequest request{.method = asked.method, .url = url + asked.target};
  request.headers = asked.headers;
  request.body = std::move(body);
  const auto done = s3.door()()->exchange(request, {});
  os::ServedReply reply;
  reply.status = done ? done->status : 500;
  if (done) reply.headers = done->headers;
  if (done) reply.body = done->body;
  return reply;
}
inline std::string whole(os::BodyReader& body) { return body.read_all(std::size_t{64} << 20).value_or(""); }

/// The port at which a test is S3 and the metadata service of the machine that it plays: whatever it starts finds them.
class AwsOfMachine {
 public:
  AwsOfMachine()
      : listener_(std::move(*os::listen_tcp("127.0.0.1", 0))),
        url_("http://127.0.0.1:" + std::to_string(os::local_port(listener_.get()))),
        metadata_("AWS_EC2_METADATA_SERVICE_ENDPOINT", url_),
        enabled_("AWS_EC2_METADATA_DISABLED", "false") {}
  const std::string& url() const { return url_; }
  /// From now on it answers. Agents are started before: there are threads then.
  void serve(os::HttpServer::Handler answer) {
    server_ = std::move(*os::HttpServer::serve(std::move(listener_), std::move(answer)));
  }

 private:
  os::Fd listener_;
  std::string url_;
  Variable metadata_, enabled_;
  std::unique_ptr<os::HttpServer> server_;
};

}  // namespace ferry::agent
