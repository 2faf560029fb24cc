#include "s3/role.h"

#include "aws/sources.h"
#include "base/text.h"

namespace ferry::s3 {
namespace {

std::optional<std::string> only_metadata(const char* name) {
  const std::string_view wanted(name);
  if (wanted == "AWS_METADATA_SERVICE_NUM_ATTEMPTS") return "4";
  if (wanted == "AWS_METADATA_SERVICE_TIMEOUT") return "5";
  if (wanted.starts_with("AWS_EC2_METADATA_")) return os::env(name);
  return std::nullopt;
}

Result<aws::Config> metadata_config() {
  aws::Surroundings surroundings;
  surroundings.env = only_metadata;
  surroundings.home = "/nonexistent";
  return aws::Config::load(std::move(surroundings));
}

std::string endpoint() {
  std::string url = os::env("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("http://169.254.169.254");
  while (url.ends_with('/')) url.pop_back();
  return url;
}

}  // namespace

std::shared_ptr<aws::Provider> role_of_this_machine(os::HttpClient& http, os::Clock& clock) {
  return std::make_shared<aws::Provider>(
      [&http, &clock]() -> Result<aws::Credentials> {
        TRY_SET(config, "", metadata_config());
        TRY_SET(found, "", aws::from_instance({config, http, clock}));
        if (found) return *std::move(found);
        return fail(Kind::denied, "this machine has no role", "its metadata service names none",
                    "launch it with an instance profile that may use the store");
      },
      clock);
}

Result<std::string> region_of_this_machine(os::HttpClient& http) {
  const auto none = [](const std::string& why) {
    return fail(Kind::not_found, "the region of this machine is not known", why, "name it: AWS_REGION");
  };
  if (lower(os::env("AWS_EC2_METADATA_DISABLED").value_or("")) == "true")
    return none("AWS_EC2_METADATA_DISABLED is set");
  os::HttpRequest request{.method = "PUT", .url = endpoint() + "/latest/api/token"};
  request.headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "300"}};
  request.timeout = request.connect_timeout = Millis(5'000);
  const auto token = http.send(request);
  if (!token || token->status != 200) return none("no metadata service answers");
  request.method = "GET";
  request.url = endpoint() + "/latest/meta-data/placement/region";
  request.headers = {{"x-aws-ec2-metadata-token", std::string(trim(token->body))}};
  const auto region = http.send(request);
  if (!region || region->status != 200) return none("the metadata service does not say");
  const std::string name(trim(region->body));
  const bool good = !name.empty() && name.size() <= 40 &&
                    name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  return good ? Result<std::string>(name) : none("the metadata service says something else");
}

}  // namespace ferry::s3
