#pragma once
/// \file
/// Signed calls to AWS: endpoint, signature, retries and error answers. The typed calls (ec2.h, sts.h, ssm.h)
/// stand on it.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aws/provider.h"
#include "aws/retry.h"
#include "base/error.h"
#include "base/json.h"
#include "os/clock.h"
#include "os/http.h"

namespace ferry::aws {

/// Parameters of the query protocol, flattened as on the wire: {"Filter.1.Name", "tag:ferry:run"}.
class Params {
 public:
  Params& add(std::string name, std::string value);
  Params& add(std::string name, int value) { return add(std::move(name), std::to_string(value)); }
  /// As add, unless there is nothing to say: "" or 0.
  Params& add_given(std::string name, std::string value);
  Params& add_given(std::string name, int value);
  /// EC2's flat list: PREFIX.1, PREFIX.2, …
  Params& list(const std::string& prefix, const std::vector<std::string>& values);
  /// The next Filter.N with its values.
  Params& filter(const std::string& name, const std::vector<std::string>& values);
  /// The next TagSpecification.N; nothing when there are no tags.
  Params& tags(const std::string& resource_type, const std::map<std::string, std::string>& tags);
  /// application/x-www-form-urlencoded, with %20 for spaces.
  std::string form_body() const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
  int filters_ = 0, tag_specifications_ = 0;
};

struct ClientConfig {
  std::shared_ptr<Provider> credentials;  ///< null: requests are not signed
  std::string region;
  std::string endpoint_url;                              ///< for every service; empty: AWS's own
  std::map<std::string, std::string> service_endpoints;  ///< by service ("ec2"), winning over endpoint_url
  int max_attempts = 3;
  std::string ca_bundle = {};  ///< certificates to trust; empty: see os/http.h
};

/// "https://ec2.us-east-1.amazonaws.com", without a slash at the end.
std::string endpoint_of(const ClientConfig& config, const std::string& service);
/// True when the URL's host is this computer.
bool is_loopback(std::string_view url);

/// The endpoint of each service that `config` names one for, by service.
std::map<std::string, std::string> configured_endpoints(const Config& config);

/// One identity in one region. `http` and `clock` must outlive it. Use from one thread. Services are named by
/// their ids (services.h).
///
/// When AWS answers that the credentials have expired, the provider is asked for new ones and the call is
/// made once more.
class Client {
 public:
  Client(ClientConfig config, os::HttpClient& http, os::Clock& clock, std::function<double()> random = {});

  /// The query protocol: EC2, STS. Answers the XML of a success; every other answer is an Error (see
  /// errors.h).
  Result<std::string> query(const std::string& service, const std::string& action, const Params& params, Repeat repeat);
  /// JSON 1.1: SSM and kin. `target_prefix` like "AmazonSSM".
  Result<Json> json(const std::string& service, const std::string& target_prefix, const std::string& action,
                    const Json& body, Repeat repeat);

  struct RestCall {
    std::string action;        ///< as its permission is called
    std::string method, path;  ///< "DELETE", "/experimentTemplates/EXT…"
  };
  /// REST with JSON: FIS. A body that is null is none; so is an empty answer.
  Result<Json> rest(const std::string& service, const RestCall& what, const Json& body, Repeat repeat);

  const ClientConfig& config() const { return config_; }
  os::HttpClient& http() { return http_; }
  os::Clock& clock() { return clock_; }

 private:
  Result<std::string> call(const std::string& service, const std::string& action, os::HttpRequest request,
                           Repeat repeat, const std::string& path = "/");
  Result<os::HttpResponse> send(const std::string& service, const os::HttpRequest& request,
                                const Credentials& credentials, Repeat repeat);

  ClientConfig config_;
  os::HttpClient& http_;
  os::Clock& clock_;
  Retry retry_;
};

}  // namespace ferry::aws
