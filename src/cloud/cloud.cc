#include "cloud/cloud.h"

#include <mutex>

#include "aws/client.h"
#include "aws/sources.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "os/terminal.h"

namespace ferry::cloud {

namespace {
constexpr std::string_view opens_prefix = "opens-at-";
}

std::string opens_later(std::int64_t start_ms) { return fmt::format("{}{}", opens_prefix, start_ms); }

std::optional<std::int64_t> opens_at(const Error& error) {
  const std::string_view code = error.code;
  return code.starts_with(opens_prefix) ? parse_int(code.substr(opens_prefix.size())) : std::nullopt;
}

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

namespace {
tl::unexpected<Error> no_stand_ins() {
  return fail(Kind::unsupported, "this cloud does not start machines by itself", {},
              "leave recover: aws out of the task, or run it on AWS");
}
}  // namespace

Status Cloud::make_stand_in(const StandInOrder&) { return no_stand_ins(); }
Result<std::optional<StandIn>> Cloud::stand_in(const std::string&) { return no_stand_ins(); }
Status Cloud::end_stand_in_at(const std::string&, std::int64_t) { return no_stand_ins(); }
Status Cloud::delete_stand_in(const std::string&) { return no_stand_ins(); }

namespace {
tl::unexpected<Error> no_volumes() {
  return fail(Kind::unsupported, "this cloud has no volumes", {}, "leave volumes: out of the task, or run it on AWS");
}
}  // namespace

Result<std::vector<Volume>> Cloud::volumes(const std::string&) { return no_volumes(); }
Status Cloud::attach_volume(const std::string&, const std::string&, const std::string&) { return no_volumes(); }

std::shared_ptr<aws::Provider> fixed_credentials(std::string access_key_id, std::string secret_access_key,
                                                 std::string session_token) {
  return aws::fixed_provider(
      {std::move(access_key_id), std::move(secret_access_key), std::move(session_token), "given"});
}

namespace {

/// One for each profile of the process: roles are assumed, and people asked for codes, once.
std::shared_ptr<aws::Provider> shared_provider(const aws::Surroundings& surroundings) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<aws::Provider>> providers;
  const std::lock_guard guard(mutex);
  auto& provider = providers[surroundings.profile];
  if (!provider) provider = aws::make_provider(surroundings, os::system_clock());
  return provider;
}

aws::Surroundings surroundings_of(const std::string& profile) {
  aws::Surroundings surroundings;
  surroundings.profile = os::env("FERRY_PROFILE").value_or(profile);
  surroundings.ask_mfa = [](const std::string& prompt) { return os::ask(prompt); };
  return surroundings;
}

}  // namespace

Result<AwsContext> aws_context_from_environment(const std::string& region, const std::string& profile) {
  const auto surroundings = surroundings_of(profile);
  TRY_SET(config, "", aws::Config::load(surroundings));
  AwsContext context;
  context.credentials = shared_provider(surroundings);
  const bool keys_of_environment = !config.profile_is_from_flag() && config.env("AWS_ACCESS_KEY_ID");
  if (!keys_of_environment && config.has_profile(config.profile())) context.profile = config.profile();
  TRY("", context.credentials->get());
  TRY_SET(chosen, "", config.region(region));
  context.region = std::move(chosen);
  context.service_endpoints = aws::configured_endpoints(config);
  context.max_attempts = config.max_attempts();
  context.ca_bundle = config.ca_bundle();
  return context;
}

aws::Client aws_client(const AwsContext& context, os::HttpClient& http, os::Clock& clock, const std::string& region) {
  return aws::Client({.credentials = context.credentials,
                      .region = region.empty() ? context.region : region,
                      .endpoint_url = context.endpoint_url,
                      .service_endpoints = context.service_endpoints,
                      .max_attempts = context.max_attempts,
                      .ca_bundle = context.ca_bundle},
                     http, clock);
}

std::string literal(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '*' || c == '?' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

Result<std::string> aws_region_from_environment(const std::string& region) {
  TRY_SET(config, "", aws::Config::load(surroundings_of({})));
  return config.region(region);
}

}  // namespace ferry::cloud
