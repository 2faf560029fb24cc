#include "aws/client.h"

#include <algorithm>

#include "aws/errors.h"
#include "aws/services.h"
#include "aws/sigv4.h"
#include "base/text.h"
#include "base/version.h"

namespace ferry::aws {
namespace {

/// RunInstances of a busy region takes its time; nothing here answers slower.
constexpr Millis call_timeout{60'000};

/// AWS's words for credentials whose time is over. RequestExpired may also mean a wrong clock, which Retry
/// has dealt with by the time it gets here.
bool says_expired(std::string_view code, const Credentials& used) {
  return code == "ExpiredToken" || code == "ExpiredTokenException" ||
         (code == "RequestExpired" && !used.session_token.empty());
}

/// `date`: of an answer's header.
Clock clock_beside(std::string_view date, std::int64_t now_ms) {
  constexpr std::int64_t accepted_ms = 5 * 60 * 1000;
  const auto server = parse_http_date(date);
  return server && std::llabs(*server - now_ms) > accepted_ms ? Clock::wrong : Clock::right;
}

std::string signing_name(const std::string& service) {
  const Service* known = find_service(service);
  return known ? std::string(known->signing) : service;
}

Error unreachable(Error cause, const std::string& service, const std::string& action, const std::string& url) {
  const bool is_about_url = cause.kind == Kind::bad_input || cause.kind == Kind::corrupt;
  cause.what = service + ":" + action + ": " + (is_about_url ? cause.what : "no answer from " + url);
  if (cause.advice.empty()) {
    cause.advice = is_loopback(url) ? "check that the server at AWS_ENDPOINT_URL runs"
                                    : "check the network (HTTPS_PROXY if you need one) and the region's name";
  }
  return cause;
}

}  // namespace

Params& Params::add(std::string name, std::string value) {
  all_.emplace_back(std::move(name), std::move(value));
  return *this;
}

Params& Params::add_given(std::string name, std::string value) {
  return value.empty() ? *this : add(std::move(name), std::move(value));
}

Params& Params::add_given(std::string name, int value) { return value == 0 ? *this : add(std::move(name), value); }

Params& Params::list(const std::string& prefix, const std::vector<std::string>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) add(prefix + "." + std::to_string(i + 1), values[i]);
  return *this;
}

Params& Params::filter(const std::string& name, const std::vector<std::string>& values) {
  const std::string prefix = "Filter." + std::to_string(++filters_);
  add(prefix + ".Name", name);
  return list(prefix + ".Value", values);
}

Params& Params::tags(const std::string& resource_type, const std::map<std::string, std::string>& tags) {
  if (tags.empty()) return *this;
  const std::string prefix = "TagSpecification." + std::to_string(++tag_specifications_);
  add(prefix + ".ResourceType", resource_type);
  int number = 0;
  for (const auto& [key, value] : tags) {
    const std::string tag = prefix + ".Tag." + std::to_string(++number);
    add(tag + ".Key", key);
    add(tag + ".Value", value);
  }
  return *this;
}

std::string Params::form_body() const {
  std::string body;
  for (const auto& [name, value] : all_) {
    if (!body.empty()) body += '&';
    body += percent_encoded(name) + "=" + percent_encoded(value);
  }
  return body;
}

std::string endpoint_of(const ClientConfig& config, const std::string& service) {
  const auto own = config.service_endpoints.find(service);
  std::string url = own != config.service_endpoints.end() && !own->second.empty() ? own->second : config.endpoint_url;
  if (url.empty()) url = own_endpoint(service, config.region);
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::map<std::string, std::string> configured_endpoints(const Config& config) {
  std::map<std::string, std::string> endpoints;
  for (const Service& service : services()) {
    const std::string id(service.id);
    if (auto url = config.endpoint_url(id); !url.empty()) endpoints[id] = std::move(url);
  }
  return endpoints;
}

bool is_loopback(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  if (url.find('@') != std::string_view::npos) return false;  // what is before it is a user, not the host
  if (url.starts_with("[::1]")) return true;
  const std::string_view host = url.substr(0, url.find(':'));
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  const auto parts = split(host, '.');
  return parts.size() == 4 && parts[0] == "127" &&
         std::all_of(parts.begin(), parts.end(), [](const auto& part) { return parse_int(part).has_value(); });
}

Client::Client(ClientConfig config, os::HttpClient& http, os::Clock& clock, std::function<double()> random)
    : config_(std::move(config)), http_(http), clock_(clock), retry_(clock, config_.max_attempts, std::move(random)) {}

Result<os::HttpResponse> Client::send(const std::string& service, const os::HttpRequest& request,
                                      const Credentials& credentials, Repeat repeat) {
  const SigningScope scope{home_region(service, config_.region), signing_name(service)};
  const auto make = [&](std::int64_t now_ms) {
    os::HttpRequest ready = request;
    if (config_.credentials) sign(ready, credentials, scope, now_ms, signing_options(service));
    return ready;
  };
  return retry_.send(http_, repeat, make, [](const os::HttpResponse& response) { return fault_of(response).code; });
}

Result<std::string> Client::call(const std::string& service, const std::string& action, os::HttpRequest request,
                                 Repeat repeat, const std::string& path) {
  const std::string endpoint = endpoint_of(config_, service);
  request.url = endpoint + path;
  request.timeout = call_timeout;
  request.ca_bundle = config_.ca_bundle;
  request.own_connection = repeat == Repeat::never;
  request.headers.emplace_back("User-Agent", "ferry/" + ferry_version());
  Provider* provider = config_.credentials.get();
  TRY_SET(credentials, "", provider ? provider->get() : Credentials());
  for (bool renewed = false;; renewed = true) {
    auto answer = send(service, request, credentials, repeat);
    if (!answer) return fail("", unreachable(std::move(answer).error(), service, action, endpoint));
    if (answer->status >= 200 && answer->status < 300) return std::move(answer->body);
    const Fault fault = fault_of(*answer);
    auto error = error_of(fault, answer->status, signing_name(service), action,
                          clock_beside(answer->header("date"), clock_.now_ms()));
    if (is_expired(error) && !credentials.source.empty())
      error.why +=
          fmt::format("{}the credentials are from: {}", error.why.empty() ? "" : "; ", printable(credentials.source));
    if (renewed || !provider || !says_expired(fault.code, credentials)) return fail("", error);
    provider->refused(credentials);
    TRY_SET(fresh, "", provider->get());
    if (fresh == credentials) return fail("", error);
    credentials = std::move(fresh);
  }
}

Result<std::string> Client::query(const std::string& service, const std::string& action, const Params& params,
                                  Repeat repeat) {
  Params whole;
  const Service* known = find_service(service);
  whole.add("Action", action).add("Version", std::string(known ? known->version : ""));
  os::HttpRequest request{.method = "POST"};
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
  request.body = whole.form_body();
  if (!params.all().empty()) request.body += "&" + params.form_body();
  return call(service, action, std::move(request), repeat);
}

Result<Json> Client::json(const std::string& service, const std::string& target_prefix, const std::string& action,
                          const Json& body, Repeat repeat) {
  os::HttpRequest request{.method = "POST"};
  request.headers = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", target_prefix + "." + action}};
  request.body = dump_json(body);
  TRY_SET(text, "", call(service, action, std::move(request), repeat));
  return parse_json(text);
}

Result<Json> Client::rest(const std::string& service, const RestCall& what, const Json& body, Repeat repeat) {
  os::HttpRequest request{.method = what.method};
  if (!body.is_null()) {
    request.headers = {{"Content-Type", "application/json"}};
    request.body = dump_json(body);
  }
  TRY_SET(text, "", call(service, what.action, std::move(request), repeat, what.path));
  return text.empty() ? Result<Json>(Json()) : parse_json(text);
}

}  // namespace ferry::aws
