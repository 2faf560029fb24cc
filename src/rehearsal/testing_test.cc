#include "rehearsal/testing.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "rehearsal/catalog.h"

namespace ferry::rehearsal {

namespace {

std::string amz_time(std::int64_t ms) {
  std::string out;
  for (const char c : os::iso_time(ms))
    if (c != '-' && c != ':') out += c;
  return out;
}

}  // namespace

namespace {

void sign(HttpRequest& request, const AccessKey& key, std::int64_t now_ms, const std::string& service,
          const std::string& region) {
  SignatureClaim claim;
  claim.time = amz_time(now_ms);
  claim.day = claim.time.substr(0, 8);
  claim.region = region;
  claim.service = service;
  claim.key_id = key.id;
  request.headers.emplace_back("host", "127.0.0.1");
  request.headers.emplace_back("x-amz-date", claim.time);
  if (!key.token.empty()) request.headers.emplace_back("x-amz-security-token", key.token);
  for (const auto& [name, value] : request.headers) claim.signed_headers.push_back(name);
  std::sort(claim.signed_headers.begin(), claim.signed_headers.end());
  const auto signature = expected_signature(key, claim, string_to_sign(claim, canonical_request(request, claim)));
  request.headers.emplace_back(
      "authorization",
      fmt::format("AWS4-HMAC-SHA256 Credential={}/{}/{}/{}/aws4_request, SignedHeaders={}, Signature={}", key.id,
                  claim.day, region, service, join(claim.signed_headers, ";"), signature));
}

}  // namespace

HttpRequest signed_form(const Form& form, const AccessKey& key, std::int64_t now_ms, const std::string& service,
                        const std::string& region) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/";
  for (const auto& [name, value] : form)
    request.body += (request.body.empty() ? "" : "&") + percent_encoded(name) + "=" + percent_encoded(value);
  request.headers = {{"content-type", "application/x-www-form-urlencoded"}};
  sign(request, key, now_ms, service, region);
  return request;
}

HttpRequest signed_json(const std::string& target, const Json& body, const AccessKey& key, std::int64_t now_ms,
                        const std::string& service) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/";
  request.body = dump_json(body);
  request.headers = {{"content-type", "application/x-amz-json-1.1"}, {"x-amz-target", target}};
  sign(request, key, now_ms, service, "us-east-1");
  return request;
}

HttpRequest signed_rest(const std::string& method, const std::string& path, const Json& body, const AccessKey& key,
                        std::int64_t now_ms, const std::string& service) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  if (method == "POST") request.body = dump_json(body);
  request.headers = {{"content-type", "application/json"}};
  sign(request, key, now_ms, service, "us-east-1");
  return request;
}

TestCloud::TestCloud() {
  store.saved = fresh_state("us-east-1");
  key = {store.saved.access_key_id, store.saved.secret_access_key};
  restart();
}

void TestCloud::restart() {
  lifecycle.reset();
  service.reset();
  state = std::make_unique<Guarded>(store.saved, store);
  service = std::make_unique<Service>(*state, clock, 500, machines);
  roles = std::make_unique<RoleKeeper>(*state, machines,
                                       RoleKeeper::Options{.now_ms = [this] { return service->server_ms(); },
                                                           .session_ms = [this] { return service->session_ms(); },
                                                           .s3_port = [] { return 4567; },
                                                           .api_port = [] { return 4568; },
                                                           .machine_ms = [this] { return clock.now_ms(); }});
  lifecycle = std::make_unique<Lifecycle>(*state, machines, clock,
                                          Lifecycle::Options{.keep_ms = 3'600'000,
                                                             .executor = [](auto work) { work(); },
                                                             .log = {},
                                                             .before_pass =
                                                                 [this] {
                                                                   service->interrupt_spot();
                                                                   const auto again = service->scale_groups();
                                                                   roles->pass();
                                                                   return again;
                                                                 }});
}

Answer TestCloud::send(const HttpRequest& request) {
  const auto reply = service->handle(request);
  Answer answer;
  answer.status = reply.status;
  answer.dropped = reply.drop;
  answer.body = reply.body;
  answer.xml.load_string(reply.body.c_str());
  return answer;
}

Answer TestCloud::ask(const std::string& action, Form form) {
  form.insert(form.begin(), {{"Action", action}, {"Version", "2016-11-15"}});
  return send(signed_form(form, key, clock.now));
}

Answer TestCloud::ask_iam(const std::string& action, Form form) {
  form.insert(form.begin(), {{"Action", action}, {"Version", "2010-05-08"}});
  return send(signed_form(form, key, clock.now, "iam"));
}

Answer TestCloud::ask_autoscaling(const std::string& action, Form form) {
  form.insert(form.begin(), {{"Action", action}, {"Version", "2011-01-01"}});
  return send(signed_form(form, key, clock.now, "autoscaling"));
}

Json TestCloud::ask_json(const std::string& service_name, const std::string& operation, const Json& body) {
  const auto target = fmt::format("{}.{}", target_prefix(service_name), operation);
  return *parse_json(service->handle(signed_json(target, body, key, clock.now, service_name)).body);
}

void TestCloud::settle(int port) {
  lifecycle->pass();
  for (auto& [id, machine] : machines.now)
    if (machine.state == sandbox::State::booting) machines.come_up(id, "127.0.0.9", port);
  clock.advance(Millis(500));
  lifecycle->pass();
  lifecycle->pass();
}

void TestCloud::make_profile(const std::string& name, const std::string& policy) {
  ask_iam(
      "CreateRole",
      {{"RoleName", name},
       {"AssumeRolePolicyDocument",
        R"({"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}})"}});
  if (!policy.empty())
    ask_iam("PutRolePolicy", {{"RoleName", name}, {"PolicyName", "its"}, {"PolicyDocument", policy}});
  ask_iam("CreateInstanceProfile", {{"InstanceProfileName", name}});
  ask_iam("AddRoleToInstanceProfile", {{"InstanceProfileName", name}, {"RoleName", name}});
}

std::string TestCloud::launch(Form more) {
  more.insert(more.begin(),
              {{"ImageId", images().front().id}, {"InstanceType", "t3.micro"}, {"MinCount", "1"}, {"MaxCount", "1"}});
  return ask("RunInstances", more).at("//instanceId");
}

Instance TestCloud::instance(const std::string& id) const {
  Instance out;
  state->look([&](const State& now) { out = now.instances.at(id); });
  return out;
}

}  // namespace ferry::rehearsal
