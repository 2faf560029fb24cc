#include "aws/sagemaker.h"

#include <algorithm>
#include <cmath>

#include "aws/paging.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

Result<Json> ask(Client& client, const std::string& action, const Json& body) {
  return client.json("sagemaker", "SageMaker", action, body, Repeat::freely);
}

/// Seconds since 1970, as a number.
std::int64_t moment_at(const Json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_number()) return 0;
  const double seconds = at->get<double>();
  return seconds > 0 && seconds < 1e11 ? static_cast<std::int64_t>(std::llround(seconds * 1000)) : 0;
}

/// The objects of the list `name`.
std::vector<Json> objects_at(const Json& answer, const char* name) {
  std::vector<Json> all;
  const auto at = answer.find(name);
  if (at == answer.end() || !at->is_array()) return all;
  for (const auto& one : *at) {
    if (one.is_object()) all.push_back(one);
  }
  return all;
}

Result<std::vector<Json>> list_all(Client& client, const std::string& action, const char* list) {
  return every_page<Json>(action, [&](const std::string& token) -> Result<Page<Json>> {
    Json body = {{"MaxResults", 100}};
    if (!token.empty()) body["NextToken"] = token;
    TRY_SET(answer, "", ask(client, action, body));
    if (!answer.is_object()) return fail(Kind::corrupt, "SageMaker's answer to " + action + " is no object");
    return Page<Json>{objects_at(answer, list), text_at(answer, "NextToken")};
  });
}

/// SageMaker says ValidationException of what is not there.
bool is_gone(const Error& error) { return error.kind == Kind::not_found || error.kind == Kind::bad_input; }

/// Of each variant as it is configured, with as many as it has now.
std::vector<std::pair<std::string, int>> machines_of(const Json& endpoint, const Json& config) {
  constexpr std::int64_t most = 10'000;
  std::vector<std::pair<std::string, int>> all;
  for (const auto& variant : objects_at(config, "ProductionVariants")) {
    const auto type = text_at(variant, "InstanceType");
    auto count = int_at(variant, "InitialInstanceCount", 1);
    for (const auto& now : objects_at(endpoint, "ProductionVariants")) {
      if (text_at(now, "VariantName") == text_at(variant, "VariantName"))
        count = int_at(now, "CurrentInstanceCount", count);
    }
    if (!type.empty()) all.emplace_back(type, static_cast<int>(std::clamp<std::int64_t>(count, 0, most)));
  }
  return all;
}

}  // namespace

Result<std::vector<SageMakerEndpoint>> list_sagemaker_endpoints(Client& client) {
  TRY_SET(listed, "", list_all(client, "ListEndpoints", "Endpoints"));
  std::vector<SageMakerEndpoint> all;
  for (const auto& each : listed) {
    SageMakerEndpoint one{
        text_at(each, "EndpointName"), text_at(each, "EndpointStatus"), moment_at(each, "CreationTime"), {}};
    const auto endpoint = ask(client, "DescribeEndpoint", {{"EndpointName", one.name}});
    if (!endpoint && is_gone(endpoint.error())) continue;
    if (!endpoint) return tl::unexpected<Error>(endpoint.error());
    const auto config_name = endpoint->is_object() ? text_at(*endpoint, "EndpointConfigName") : "";
    const auto config = ask(client, "DescribeEndpointConfig", {{"EndpointConfigName", config_name}});
    if (!config && !is_gone(config.error())) return tl::unexpected<Error>(config.error());
    one.machines = config && config->is_object() ? machines_of(*endpoint, *config)
                                                 : std::vector<std::pair<std::string, int>>{{"", 1}};
    all.push_back(std::move(one));
  }
  return all;
}

Result<std::vector<SageMakerNotebook>> list_sagemaker_notebooks(Client& client) {
  TRY_SET(listed, "", list_all(client, "ListNotebookInstances", "NotebookInstances"));
  std::vector<SageMakerNotebook> all;
  for (const auto& each : listed) {
    all.push_back({text_at(each, "NotebookInstanceName"), text_at(each, "InstanceType"),
                   text_at(each, "NotebookInstanceStatus"), moment_at(each, "CreationTime")});
  }
  return all;
}

}  // namespace ferry::aws
