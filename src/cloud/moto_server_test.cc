// The server behind moto_server.h.

#include "cloud/moto_server.h"

#include <csignal>

#include "base/text.h"

namespace ferry::cloud {
namespace {

/// Prints its port once it listens; `seed` puts in what moto lacks: AWS's public image parameters.
constexpr const char* serve = R"PY(
import datetime, sys
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
from moto.ec2.models import ec2_backends
from moto.ssm.models import Parameter, ssm_backends

account, region = "123456789012", "us-east-1"
parameter, gpu_image, ubuntu_image = sys.argv[1:4]
ssm_backends[account][region]._parameters[parameter].append(Parameter(
    account, parameter, gpu_image, "String", None, None, None, datetime.datetime.now(), 1, "text"))
ec2_backends[account][region].amis[ubuntu_image].name = (
    "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260101")
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
)PY";

}  // namespace

std::optional<MotoServer> MotoServer::start() {
  auto process =
      os::Process::spawn({.argv = {"python3", "-c", serve, moto_gpu_parameter, moto_gpu_image, moto_ubuntu_image},
                          .env = {{"AWS_EC2_METADATA_DISABLED", "true"}},
                          .out = os::Stream::pipe,
                          .err = os::Stream::null,
                          .die_with_parent = true});
  if (!process) return std::nullopt;
  std::string line;
  while (line.find('\n') == std::string::npos) {
    const auto bytes = os::read_some(process->out.get());
    if (!bytes || bytes->empty()) return std::nullopt;  // it ended before it listened
    line += *bytes;
  }
  return MotoServer(std::move(*process), "http://127.0.0.1:" + std::string(trim(line)));
}

MotoServer::~MotoServer() {
  if (!process_ || url_.empty()) return;
  process_->signal(SIGKILL);
  process_->wait(Millis(5'000));
}

}  // namespace ferry::cloud
