#include "rehearsal/service.h"

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/actions.h"

namespace ferry::rehearsal {
namespace {

constexpr Millis ec2_skew{5 * 60'000};
constexpr Millis usual_skew{15 * 60'000};
constexpr std::string_view ec2_version = "2016-11-15";
constexpr std::string_view sts_version = "2011-06-15";

std::string new_request_id() {
  const auto digits = hex(random_bytes(16));
  return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4), digits.substr(12, 4),
                     digits.substr(16, 4), digits.substr(20));
}

constexpr std::string_view xml_heading = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

HttpReply reply_with(int status, std::string body, const std::string& request_id,
                     std::string_view type = "text/xml;charset=UTF-8") {
  HttpReply reply;
  reply.status = status;
  reply.content_type = type;
  reply.headers = {{"x-amzn-RequestId", request_id}, {"Cache-Control", "no-cache, no-store"}};
  reply.body = std::move(body);
  return reply;
}

HttpReply ec2_error(const ApiError& error, const std::string& id) {
  Xml xml;
  xml.raw(xml_heading).node("Response", [&] {
    xml.node("Errors",
             [&] { xml.node("Error", [&] { xml.text("Code", error.code).text("Message", error.message); }); })
        .text("RequestID", id);
  });
  return reply_with(error.status, xml.str(), id);
}

HttpReply sts_error(const ApiError& error, const std::string& id) {
  Xml xml;
  xml.raw(xml_heading).raw("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">");
  xml.node("Error", [&] {
    xml.text("Type", error.status < 500 ? "Sender" : "Receiver")
        .text("Code", error.code)
        .text("Message", error.message);
  });
  xml.text("RequestId", id).raw("</ErrorResponse>");
  return reply_with(error.status, xml.str(), id);
}

HttpReply json_error(const ApiError& error, const std::string& id) {
  return reply_with(error.status, dump_json({{"__type", error.code}, {"message", error.message}}), id,
                    "application/x-amz-json-1.1");
}

/// What EC2 answers to a signature that is not good.
ApiError ec2_refusal(const SignatureCheck& check) {
  switch (check.verdict) {
    case SignatureVerdict::missing:
      return {403, "MissingAuthenticationToken",
              "The request must contain either a valid (registered) AWS access key ID or X.509 certificate."};
    case SignatureVerdict::incomplete:
      return {400, "IncompleteSignature", check.detail};
    case SignatureVerdict::expired:
      return {400, "RequestExpired", "Request has expired."};
    default:
      return {401, "AuthFailure", "AWS was not able to validate the provided access credentials"};
  }
}

ApiError sts_refusal(const SignatureCheck& check) {
  switch (check.verdict) {
    case SignatureVerdict::missing:
      return {403, "MissingAuthenticationToken", "Request is missing Authentication Token"};
    case SignatureVerdict::incomplete:
      return {400, "IncompleteSignature", check.detail};
    case SignatureVerdict::unknown_key:
      return {403, "InvalidClientTokenId", check.detail};
    default:
      return {403, "SignatureDoesNotMatch", check.detail};
  }
}

ApiError json_refusal(const SignatureCheck& check) {
  switch (check.verdict) {
    case SignatureVerdict::missing:
      return {400, "MissingAuthenticationTokenException", "Missing Authentication Token"};
    case SignatureVerdict::incomplete:
      return {400, "IncompleteSignatureException", check.detail};
    case SignatureVerdict::unknown_key:
      return {400, "UnrecognizedClientException", check.detail};
    default:
      return {400, "InvalidSignatureException", check.detail};
  }
}

HttpReply caller_identity(const AccessKey& key, const std::string& id) {
  Xml xml;
  xml.raw(xml_heading).raw("<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">");
  xml.node("GetCallerIdentityResult", [&] {
    xml.text("Arn", fmt::format("arn:aws:iam::{}:user/rehearsal", account_id))
        .text("UserId", "AIDA" + key.id.substr(4))
        .text("Account", account_id);
  });
  xml.node("ResponseMetadata", [&] { xml.text("RequestId", id); }).raw("</GetCallerIdentityResponse>");
  return reply_with(200, xml.str(), id);
}

/// The form in the body, and what the query adds, without the signature's own parameters.
Params request_params(const HttpRequest& request) {
  auto params = request.method == "POST" ? Params::parse(request.body) : Params();
  const auto query = Params::parse(request.query);
  for (const auto& [name, value] : query.all())
    if (!name.starts_with("X-Amz-") && !params.has(name)) params.set(name, value);
  return params;
}

}  // namespace

State Guarded::copy() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool Guarded::update(const std::function<bool(State&)>& change) {
  const std::lock_guard lock(mutex_);
  State next = state_;
  if (!change(next) || !store_.save(next)) return false;
  state_ = std::move(next);
  ++version_;
  changed_.notify_all();
  return true;
}

void Guarded::look(const std::function<void(const State&)>& read) const {
  const std::lock_guard lock(mutex_);
  read(state_);
}

void Guarded::wait_for_change(Millis limit) {
  std::unique_lock lock(mutex_);
  const auto changed = [this] { return version_ != seen_; };
  if (limit.count() < 0)
    changed_.wait(lock, changed);
  else
    changed_.wait_for(lock, limit, changed);
  seen_ = version_;
}

void Guarded::wake() {
  const std::lock_guard lock(mutex_);
  ++version_;
  changed_.notify_all();
}

Service::Service(Guarded& state, os::Clock& clock, std::int64_t boot_ms,
                 std::function<std::string(const std::string&)> console)
    : state_(state), clock_(clock), console_(std::move(console)), boot_ms_(boot_ms) {
  state_.look([this](const State& now) { key_ = {now.access_key_id, now.secret_access_key}; });
}

Status Service::add_fault(const Json& fault) {
  const std::lock_guard lock(mutex_);
  return faults_.add(fault);
}

Json Service::faults() {
  const std::lock_guard lock(mutex_);
  return faults_.list();
}

void Service::set_boot_ms(std::int64_t ms) {
  const std::lock_guard lock(mutex_);
  boot_ms_ = ms;
}

SignatureCheck Service::check(const HttpRequest& request, Millis skew) {
  return check_signature(request, key_, region_name, clock_.now_ms(), skew);
}

HttpReply Service::handle(const HttpRequest& request) {
  const auto id = new_request_id();
  if (request.method != "POST" && request.method != "GET")
    return ec2_error({400, "InvalidAction", "Only POST and GET are valid for this web service."}, id);
  if (!request.header("x-amz-target").empty()) return handle_json(request, id);
  return handle_query(request, id);
}

HttpReply Service::handle_json(const HttpRequest& request, const std::string& id) {
  const auto checked = check(request, usual_skew);
  if (checked.verdict != SignatureVerdict::good) return json_error(json_refusal(checked), id);
  const auto target = request.header("x-amz-target");
  constexpr std::string_view prefix = "AmazonSSM.";
  if (!target.starts_with(prefix) || checked.service != "ssm")
    return json_error({400, "UnknownOperationException", ""}, id);
  const std::string operation(target.substr(prefix.size()));
  {
    const std::lock_guard lock(mutex_);
    if (const auto fault = faults_.refusal(operation)) return json_error(*fault, id);
  }
  const auto body = parse_json(request.body);
  if (!body) return json_error({400, "SerializationException", body.error().what}, id);
  const auto answer = run_ssm(operation, *body);
  if (!answer) return json_error(answer.error(), id);
  return reply_with(200, dump_json(*answer), id, "application/x-amz-json-1.1");
}

HttpReply Service::handle_query(const HttpRequest& request, const std::string& id) {
  const auto params = request_params(request);
  const auto action = params.get("Action"), version = params.get("Version");
  const bool sts = version == sts_version || action == "GetCallerIdentity";
  const auto fail_with = [&](const ApiError& error) {
    return sts ? sts_error(error, id) : ec2_error(error, id);
  };
  const auto checked = check(request, sts ? usual_skew : ec2_skew);
  if (checked.verdict == SignatureVerdict::good && checked.service != (sts ? "sts" : "ec2"))
    return fail_with(
        sts ? ApiError{403, "SignatureDoesNotMatch",
                       fmt::format("Credential should be scoped to correct service: 'sts'.")}
            : ApiError{401, "AuthFailure", "Credential should be scoped to correct service: 'ec2'."});
  if (checked.verdict != SignatureVerdict::good)
    return fail_with(sts ? sts_refusal(checked) : ec2_refusal(checked));
  if (action.empty())
    return fail_with({400, "MissingParameter", "The request must contain the parameter Action"});
  bool drop = false;
  {
    const std::lock_guard lock(mutex_);
    if (const auto fault = faults_.refusal(action)) return fail_with(*fault);
    drop = faults_.drops(action);
  }
  HttpReply reply;
  if (sts) {
    reply = action == "GetCallerIdentity"
                ? caller_identity(key_, id)
                : sts_error({400, "InvalidAction",
                             fmt::format("Could not find operation {} for version {}", action, sts_version)},
                            id);
  } else if (version != ec2_version) {
    reply = ec2_error(
        {400, version.empty() ? "MissingParameter" : "NoSuchVersion",
         version.empty()
             ? "The request must contain the parameter Version"
             : fmt::format("The requested version ({}) of service AmazonEC2 does not exist", version)},
        id);
  } else if (const auto answer = run_ec2(action, params)) {
    reply = reply_with(
        200,
        fmt::format("{}<{}Response "
                    "xmlns=\"http://ec2.amazonaws.com/doc/{}/\"><requestId>{}</requestId>{}</{}Response>",
                    xml_heading, action, ec2_version, id, answer->str(), action),
        id);
  } else {
    reply = ec2_error(answer.error(), id);
  }
  reply.drop = drop;
  return reply;
}

Api<Xml> Service::run_ec2(const std::string& action, const Params& params) {
  const auto* entry = find_ec2_action(action);
  if (!entry)
    return refuse("InvalidAction", fmt::format("The action {} is not valid for this web service.", action));
  API_SET(dry_run, params.flag("DryRun", false));
  const std::lock_guard lock(mutex_);
  Api<Xml> answer;
  bool stored = true;
  const auto run_on = [&](State& state) {
    Call call{params, state, faults_, clock_.now_ms(), boot_ms_, console_};
    answer = entry->run(call);
    return answer.has_value() && !dry_run;
  };
  if (entry->effect == Effect::writes) {
    stored = state_.update(run_on);
  } else {
    State copy = state_.copy();
    run_on(copy);
  }
  if (answer && dry_run)
    return refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412);
  if (answer && !stored)
    return refuse("InternalError", "The rehearsal cloud could not save its state: is its disk full?", 500);
  return answer;
}

}  // namespace ferry::rehearsal
