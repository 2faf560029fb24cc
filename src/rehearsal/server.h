#pragma once
/// \file
/// The rehearsal cloud's server, put together: HTTP in front, the AWS services and a small control interface
/// behind it, and the lifecycle of instances beside them.
///
/// AWS clients may send anything anywhere: the signature's scope, X-Amz-Target and Action say which service
/// is meant. Offered are EC2 Query 2016-11-15, STS GetCallerIdentity and GetFederationToken, IAM's
/// roles, instance profiles and policies (iam.h), SSM GetParameter,
/// GetParameters, GetParametersByPath, StartSession and TerminateSession (without the data channel), EC2 Instance
/// Connect's SendSSHPublicKey, Service Quotas (EC2's vCPU limits), the price list's GetProducts, Auto Scaling's groups
/// (autoscaling.h) and the Fault Injection Service's interruptions of spot machines (fis.h). S3 (s3_service.h)
/// has a port of its own: nothing that S3's clients may send (an unsigned GET of any path, a bucket whose name is a
/// path of this server) can then be taken for another service's, and what uploads gigabytes takes no connection from
/// EC2. The log has a line for each call, with the name of its permission: "ec2:RunInstances 200 4 ms with
/// ec2:CreateTags", "ec2:RunInstances 412 (dry run) 1 ms".
///
/// Public addresses are loopback ones. A private one can be reached too if it is: VPCs may have blocks of
/// 127.0.0.0/8 here (AWS refuses them), and the sshd of an instance in such a subnet answers at its private
/// address. Tags say where that differs from AWS: ferry:ssh-port when the port is not 22, ferry:login-user
/// when the user is not the image's.
///
/// POST /_ferry/{info,status,fault,settings,stop} with a bearer token is for ferry itself; POST
/// /_ferry/identity (identity.h) for whoever wants to know whether this is a rehearsal.

#include <atomic>
#include <memory>
#include <thread>

#include "os/http_server.h"
#include "rehearsal/endpoint.h"
#include "rehearsal/lifecycle.h"
#include "rehearsal/roles.h"
#include "rehearsal/s3_service.h"

namespace ferry::rehearsal {

struct ServerOptions {
  int port = 0;       ///< 0: last_port, else what the kernel picks
  int last_port = 0;  ///< 0: none
  int last_s3_port = 0;
  os::Path s3_dir;  ///< where S3 keeps what it has; empty: there is no S3
  std::int64_t boot_ms = 500;
  std::int64_t keep_ms = 3'600'000;
  std::int64_t spot_notice_ms = usual_spot_notice_ms;  ///< between the notice and the end of a spot machine
  std::function<void(const std::string&)> log;
  std::function<void(sandbox::Spec&, const std::string&)> equip;  ///< as Lifecycle::Options has it
  std::function<void()> on_stop;                                  ///< asked to end, after the answer is decided
};

/// Serves until destroyed. Instances stay as they are when it goes.
class Server {
 public:
  /// `store`, `machines` and `clock` must outlive it.
  static Result<std::unique_ptr<Server>> start(Store& store, Machines& machines, os::Clock& clock,
                                               ServerOptions options);
  ~Server();
  int port() const { return http_->port(); }
  int s3_port() const { return s3_http_ ? s3_http_->port() : 0; }
  const std::string& token() const { return token_; }
  AccessKey access_key() const;

 private:
  Server(State state, Store& store, Machines& machines, os::Clock& clock, ServerOptions options);
  HttpReply handle(const HttpRequest& request);
  HttpReply handle_control(const HttpRequest& request);
  Result<Json> run_verb(std::string_view verb, const Json& body);
  Json describe();
  Result<Json> terminate_all();
  Status take_fault(const Json& fault);
  void log(const std::string& line) const;
  Status start_s3();

  ServerOptions options_;
  os::Clock& clock_;
  Machines& machines_;
  std::string token_;
  Guarded state_;
  Service service_;
  std::atomic<int> s3_port_{0}, api_port_{0};
  RoleKeeper roles_;
  Lifecycle lifecycle_;
  std::thread worker_;
  std::unique_ptr<os::HttpServer> http_;
  std::unique_ptr<S3Service> s3_;
  std::unique_ptr<os::HttpServer> s3_http_;
};

}  // namespace ferry::rehearsal
