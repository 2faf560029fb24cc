#include "cloud/cloud.h"

#include "aws/credentials.h"

namespace ferry::cloud {

std::string_view name(State state) {
  switch (state) {
    case State::pending:
      return "pending";
    case State::running:
      return "running";
    case State::stopping:
      return "stopping";
    case State::stopped:
      return "stopped";
    case State::shutting_down:
      return "shutting-down";
    case State::terminated:
      return "terminated";
  }
  return "unknown";
}

Result<AwsWorld> aws_world_from_environment(const std::string& region) {
  TRY_SET(config, "", aws::Config::load());
  TRY_SET(credentials, "", config.credentials());
  TRY_SET(chosen, "", config.region(region));
  AwsWorld world;
  world.region = chosen;
  for (const char* service : {"ec2", "sts", "ssm"}) {
    if (auto url = config.endpoint_url(service); !url.empty())
      world.service_endpoints[service] = std::move(url);
  }
  world.access_key_id = std::move(credentials.access_key_id);
  world.secret_access_key = std::move(credentials.secret_access_key);
  world.session_token = std::move(credentials.session_token);
  world.max_attempts = config.max_attempts();
  return world;
}

}  // namespace ferry::cloud
