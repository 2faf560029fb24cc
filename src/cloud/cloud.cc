#include "cloud/cloud.h"

#include "aws/client.h"
#include "aws/sources.h"
#include "cloud/aws_client.h"
#include "os/terminal.h"

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

std::shared_ptr<aws::Provider> fixed_credentials(std::string access_key_id, std::string secret_access_key,
                                                 std::string session_token) {
  return aws::fixed_provider(
      {std::move(access_key_id), std::move(secret_access_key), std::move(session_token), "given"});
}

Result<AwsWorld> aws_world_from_environment(const std::string& region) {
  aws::Surroundings surroundings;
  surroundings.ask_mfa = [](const std::string& prompt) { return os::ask(prompt); };
  TRY_SET(config, "", aws::Config::load(surroundings));
  // One for the process: roles are assumed, and people asked for codes, once.
  static const auto shared = aws::make_provider(surroundings, os::system_clock());
  AwsWorld world;
  world.credentials = shared;
  TRY("", world.credentials->get());
  TRY_SET(chosen, "", config.region(region));
  world.region = std::move(chosen);
  world.service_endpoints = aws::configured_endpoints(config);
  world.max_attempts = config.max_attempts();
  world.ca_bundle = config.ca_bundle();
  return world;
}

aws::Client aws_client(const AwsWorld& world, os::HttpClient& http, os::Clock& clock,
                       const std::string& region) {
  return aws::Client({.credentials = world.credentials,
                      .region = region.empty() ? world.region : region,
                      .endpoint_url = world.endpoint_url,
                      .service_endpoints = world.service_endpoints,
                      .max_attempts = world.max_attempts,
                      .ca_bundle = world.ca_bundle},
                     http, clock);
}

Result<std::string> aws_region_from_environment(const std::string& region) {
  TRY_SET(config, "", aws::Config::load());
  return config.region(region);
}

}  // namespace ferry::cloud
