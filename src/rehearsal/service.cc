#include "rehearsal/service.h"

#include <ctime>

#include "base/text.h"
#include "rehearsal/actions.h"
#include "rehearsal/doors.h"
#include "rehearsal/federation.h"
#include "rehearsal/fis.h"
#include "rehearsal/iam.h"
#include "rehearsal/quotas.h"
#include "rehearsal/refusals.h"
#include "rehearsal/replies.h"
#include "rehearsal/roles.h"

namespace ferry::rehearsal {
namespace {

constexpr Millis ec2_skew{5 * 60'000};
constexpr Millis usual_skew{15 * 60'000};
constexpr std::string_view ec2_version = "2016-11-15";
constexpr std::string_view sts_version = "2011-06-15";

Xml identity_of(const std::string& arn, const std::string& user_id) {
  Xml xml;
  return xml.text("Arn", arn).text("UserId", user_id).text("Account", account_id);
}

/// "Tue, 14 Nov 2023 22:13:20 GMT"
std::string http_date(std::int64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

ApiError unknown_action(std::string_view action, std::string_view version) {
  return {400, "InvalidAction", fmt::format("Could not find operation {} for version {}", action, version)};
}

ApiError not_saved() { return {500, "InternalFailure", "The rehearsal cloud could not save its state."}; }

HttpReply error_reply(const Asked& asked, const ApiError& error, const std::string& id) {
  if (asked.service == "ec2") return ec2_error(error, id);
  return speaks_query(asked.service) ? query_error(asked.service, error, id) : json_error(error, id);
}

/// The refusal of a signature that is good, but made for another service; nothing if it is for this one.
std::optional<ApiError> wrong_service(const Asked& asked, const SignatureCheck& check) {
  if (check.service == asked.service) return std::nullopt;
  const auto what = fmt::format("Credential should be scoped to correct service: '{}'.", asked.service);
  if (asked.service == "ec2") return ApiError{401, "AuthFailure", what};
  if (speaks_query(asked.service)) return ApiError{403, "SignatureDoesNotMatch", what};
  return ApiError{400, "InvalidSignatureException", what};
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

Service::Service(Guarded& state, os::Clock& clock, std::int64_t boot_ms, Machines& machines)
    : state_(state), clock_(clock), machines_(machines), boot_ms_(boot_ms) {
  state_.look([this](const State& now) { key_ = {now.access_key_id, now.secret_access_key}; });
}

Status Service::add_fault(const Json& fault) {
  const std::lock_guard lock(mutex_);
  TRY("", faults_.add(fault));
  set_doors(state_, machines_, faults_.caller());
  return {};
}

std::string Service::caller() {
  const std::lock_guard lock(mutex_);
  return faults_.caller();
}

Json Service::faults() {
  const std::lock_guard lock(mutex_);
  return faults_.list();
}

void Service::set_boot_ms(std::int64_t ms) {
  const std::lock_guard lock(mutex_);
  boot_ms_ = ms;
}

void Service::set_spot_notice_ms(std::int64_t ms) {
  const std::lock_guard lock(mutex_);
  spot_notice_ms_ = ms;
}

void Service::interrupt_spot() {
  const std::lock_guard lock(mutex_);
  if (faults_.interruptions_per_hour() == 0 && !faults_.market()) return;
  const auto now = clock_.now_ms();
  State trial = state_.copy();
  if (plan_interruptions(trial, faults_, now, spot_notice_ms_))
    state_.update([&](State& state) { return plan_interruptions(state, faults_, now, spot_notice_ms_); });
}

void Service::answer_quotas() {
  const std::lock_guard lock(mutex_);
  if (!faults_.quota_answer()) return;
  const auto now = clock_.now_ms();
  State trial = state_.copy();
  if (answer_quota_requests(trial, faults_, now))
    state_.update([&](State& state) { return answer_quota_requests(state, faults_, now); });
}

Status Service::interrupt(const std::string& instance, std::int64_t after_ms) {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.now_ms();
  const bool done = state_.update([&](State& state) {
    const auto found = state.instances.find(instance);
    return found != state.instances.end() && take_back(found->second, now, after_ms, spot_notice_ms_, "no-capacity");
  });
  if (done) return {};
  return fail(Kind::bad_input, printable(instance) + " is no running spot machine, or is being taken back already");
}

std::int64_t Service::session_ms() {
  const std::lock_guard lock(mutex_);
  return faults_.session_ms(usual_session_ms);
}

std::int64_t Service::server_ms() {
  const std::lock_guard lock(mutex_);
  return clock_.now_ms() + faults_.clock_ms();
}

S3World Service::s3_world() {
  S3World world;
  world.find_key = [this](const std::string& id) -> std::optional<S3Key> {
    if (id == key_.id)
      return S3Key{key_.secret, fmt::format("arn:aws:iam::{}:user/rehearsal", account_id), "", 0, Json()};
    std::optional<S3Key> found;
    state_.look([&](const State& state) {
      if (const auto* session = session_of(state, id)) found = s3_key_of(state, *session);
      const auto federated = state.federated.find(id);
      if (federated == state.federated.end()) return;
      const auto& it = federated->second;
      found = S3Key{it.secret, fmt::format("arn:aws:sts::{}:federated-user/{}", account_id, it.name), it.token,
                    it.expires_ms, parse_json(it.policy).value_or(Json::object())};
    });
    return found;
  };
  world.now_ms = [this] { return server_ms(); };
  world.trouble = [this](const Asked& asked, bool conditional) {
    const std::lock_guard lock(mutex_);
    return faults_.s3_trouble(asked, conditional);
  };
  world.sleep = [this](Millis time) { clock_.sleep(time); };
  return world;
}

HttpReply Service::handle(const HttpRequest& request) {
  answer_quotas();
  auto reply = answer(request, new_uuid());
  reply.headers.emplace_back("Date", http_date(server_ms()));
  return reply;
}

HttpReply Service::answer(const HttpRequest& request, const std::string& id) {
  const auto asked = read_asked(request);
  if (request.method != "POST" && request.method != "GET" && asked.service != "fis")
    return ec2_error({400, "InvalidAction", "Only POST and GET are valid for this web service."}, id);
  const auto fail_with = [&](const ApiError& error) { return error_reply(asked, error, id); };
  std::optional<RoleSession> session;
  const auto key_id = claimed_key(request);
  state_.look([&](const State& state) {
    if (const auto* found = session_of(state, key_id)) session = *found;
  });
  const auto key = session ? AccessKey{key_id, session->secret, session->token} : key_;
  const auto checked =
      check_signature(request, key, region_name, server_ms(), asked.service == "ec2" ? ec2_skew : usual_skew);
  if (checked.verdict != SignatureVerdict::good) return fail_with(bad_signature(asked.service, checked));
  if (asked.service.empty()) return fail_with({400, "UnknownOperationException", ""});
  if (const auto wrong = wrong_service(asked, checked)) return fail_with(*wrong);
  if (session && server_ms() >= session->expires_ms) return fail_with(expired_credentials(asked.service));
  if (asked.action == "?" || asked.action.empty())
    return fail_with({400, "MissingParameter", "The request must contain the parameter Action"});
  bool drop = false;
  std::optional<ApiError> late;
  {
    const std::lock_guard lock(mutex_);
    if (const auto fault = faults_.refusal(asked)) return fail_with(*fault);
    drop = faults_.drops(asked);
    late = faults_.late_refusal(asked);
  }
  auto reply = asked.service == "autoscaling"
                   ? answer_autoscaling(asked, request_params(request), session ? &*session : nullptr, id)
               : session                                 ? answer_session(asked, *session, id)
               : asked.service == "ec2"                  ? answer_ec2(asked.action, request_params(request), id)
               : asked.service == "sts"                  ? answer_sts(asked.action, request_params(request), id)
               : asked.service == "iam"                  ? answer_iam(asked.action, request_params(request), id)
               : asked.service == "elasticloadbalancing" ? answer_load_balancing(asked.action, id)
               : asked.service == "fis"                  ? answer_fis(asked, request, id)
                                                         : answer_json(asked, request, id);
  if (late) reply = fail_with(*late);
  reply.drop = drop;
  return reply;
}

HttpReply Service::answer_load_balancing(const std::string& action, const std::string& id) {
  const auto answer = run_load_balancing(action);
  return answer ? query_reply("elasticloadbalancing", action, *answer, id)
                : query_error("elasticloadbalancing", answer.error(), id);
}

HttpReply Service::answer_fis(const Asked& asked, const HttpRequest& message, const std::string& id) {
  const auto body = message.body.empty() ? Result<Json>(Json::object()) : parse_json(message.body);
  if (!body || !body->is_object()) return json_error({400, "ValidationException", "The body is no JSON object."}, id);
  const std::lock_guard lock(mutex_);
  Api<Json> answer;
  const bool stored = state_.update([&](State& state) {
    FisCall call{asked.action, fis_id(message.path), *body, state, clock_.now_ms(), spot_notice_ms_};
    answer = run_fis(call);
    return answer.has_value() && message.method != "GET";
  });
  if (!answer) return json_error(answer.error(), id);
  if (!stored && message.method != "GET") return json_error(not_saved(), id);
  return json_text_reply(dump_json(*answer), id);
}

HttpReply Service::answer_json(const Asked& asked, const HttpRequest& message, const std::string& id) {
  const auto request = parse_json(message.body);
  if (!request || !request->is_object())
    return json_error({400, "SerializationException", "Expected a JSON object"}, id);
  const auto run = asked.service == "ssm"                    ? run_ssm
                   : asked.service == "servicequotas"        ? run_service_quotas
                   : asked.service == "sagemaker"            ? run_sagemaker
                   : asked.service == "ec2-instance-connect" ? run_instance_connect
                                                             : run_pricing;
  const std::lock_guard lock(mutex_);
  Api<Json> answer;
  const auto run_on = [&](State& state) {
    JsonCall call{
        asked.action, *request, state, faults_, clock_.now_ms(), machines_, std::string(message.header("host"))};
    answer = run(call);
    return answer.has_value();
  };
  bool stored = true;
  if (effect_of_json(asked.action) == Effect::writes) {
    stored = state_.update(run_on);
  } else {
    State copy = state_.copy();
    run_on(copy);
  }
  if (!answer) return json_error(answer.error(), id);
  if (!stored) return json_error({500, "ServiceException", "The rehearsal cloud could not save its state."}, id);
  return json_text_reply(dump_json(*answer), id);
}

/// Machines' roles have S3; of the rest, only what needs no permission.
HttpReply Service::answer_session(const Asked& asked, const RoleSession& session, const std::string& id) {
  const auto arn = session_arn(session);
  if (asked.name() == "sts:GetCallerIdentity")
    return query_reply("sts", asked.action, identity_of(arn, session_user_id(session)), id);
  return error_reply(asked, not_authorized(asked.service, asked.name(), arn), id);
}

HttpReply Service::answer_sts(const std::string& action, const Params& params, const std::string& id) {
  if (action == "GetCallerIdentity")
    return query_reply(
        "sts", action,
        identity_of(fmt::format("arn:aws:iam::{}:user/rehearsal", account_id), "AIDA" + key_.id.substr(4)), id);
  if (action != "GetFederationToken") return query_error("sts", unknown_action(action, sts_version), id);
  Api<Xml> answer;
  const auto now = server_ms();
  const bool stored = state_.update([&](State& state) {
    answer = get_federation_token(params, state, now);
    return answer.has_value();
  });
  if (!answer) return query_error("sts", answer.error(), id);
  return stored ? query_reply("sts", action, *answer, id) : query_error("sts", not_saved(), id);
}

HttpReply Service::answer_iam(const std::string& action, const Params& params, const std::string& id) {
  const auto* entry = find_iam_action(action);
  if (!entry || params.get("Version", iam_version) != iam_version)
    return query_error("iam", unknown_action(action, params.get("Version", iam_version)), id);
  Api<Xml> answer;
  const auto now = clock_.now_ms();
  const auto run_on = [&](State& state) {
    IamCall call{params, state, now};
    answer = entry->run(call);
    return answer.has_value();
  };
  bool stored = true;
  if (entry->effect == Effect::writes) {
    stored = state_.update(run_on);
  } else {
    State copy = state_.copy();
    run_on(copy);
  }
  if (!answer) return query_error("iam", answer.error(), id);
  return stored ? query_reply("iam", action, *answer, id) : query_error("iam", not_saved(), id);
}

HttpReply Service::answer_ec2(const std::string& action, const Params& params, const std::string& id) {
  const auto version = params.get("Version");
  if (version.empty())
    return ec2_error({400, "MissingParameter", "The request must contain the parameter Version"}, id);
  if (version != ec2_version)
    return ec2_error(
        {400, "NoSuchVersion", fmt::format("The requested version ({}) of service AmazonEC2 does not exist", version)},
        id);
  const auto answer = run_ec2(action, params);
  if (!answer) return ec2_error(answer.error(), id);
  return ec2_reply(action, ec2_version, *answer, id);
}

Api<Xml> Service::run_ec2(const std::string& action, const Params& params) {
  const auto* entry = find_ec2_action(action);
  if (!entry) return refuse("InvalidAction", fmt::format("The action {} is not valid for this web service.", action));
  API_SET(dry_run, params.flag("DryRun", false));
  const std::lock_guard lock(mutex_);
  Faults trial = faults_.for_dry_run();
  Api<Xml> answer;
  bool stored = true;
  const auto run_on = [&](State& state) {
    Call call{params, state, dry_run ? trial : faults_, clock_.now_ms(), boot_ms_, machines_};
    answer = entry->run(call);
    return answer.has_value() && !dry_run;
  };
  if (entry->effect == Effect::writes) {
    stored = state_.update(run_on);
    if (stored && answer) set_doors(state_, machines_, faults_.caller());
  } else {
    State copy = state_.copy();
    run_on(copy);
  }
  if (answer && dry_run) return refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412);
  if (answer && !stored)
    return refuse("InternalError", "The rehearsal cloud could not save its state: is its disk full?", 500);
  return answer;
}

}  // namespace ferry::rehearsal
