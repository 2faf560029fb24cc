// Service's part of Auto Scaling: who asks, the action on the state, and the groups made true.
#include "base/text.h"
#include "rehearsal/autoscaling.h"
#include "rehearsal/refusals.h"
#include "rehearsal/replies.h"
#include "rehearsal/roles.h"
#include "rehearsal/service.h"

namespace ferry::rehearsal {
namespace {

constexpr const char* service_name = "autoscaling";
constexpr std::string_view nobodys_uuid = "00000000-0000-0000-0000-000000000000";

/// Why the role of a machine may not; "" if it may.
std::string_view why_role_may_not(const State& state, const RoleSession& session, const Asked& asked,
                                  const std::string& group_name) {
  const auto* role = state.iam.role(session.role);
  if (!role) return "because its role is gone";
  const auto rights = rights_of(state, *role);
  PolicyQuestion question{asked.name(), "*", session_arn(session), rights.keys, role->arn()};
  if (!asked.action.starts_with("Describe")) {
    ScalingGroup nobodys;
    nobodys.name = group_name;
    nobodys.uuid = nobodys_uuid;
    const auto found = state.scaling_groups.find(group_name);
    const auto& group = found == state.scaling_groups.end() ? nobodys : found->second;
    question.resource = group.arn();
    for (const auto& tag : group.tags) {
      question.keys["aws:resourcetag/" + lower(tag.key)] = tag.value;
      question.keys["autoscaling:resourcetag/" + lower(tag.key)] = tag.value;
    }
  }
  return why_not_allowed(rights, question);
}

}  // namespace

HttpReply Service::answer_autoscaling(const Asked& asked, const Params& params, const RoleSession* session,
                                      const std::string& id) {
  const auto* entry = find_autoscaling_action(asked.action);
  const auto version = params.get("Version", autoscaling_version);
  if (!entry || version != autoscaling_version)
    return query_error(
        service_name,
        {400, "InvalidAction", fmt::format("Could not find operation {} for version {}", asked.action, version)}, id);
  if (session) {
    std::string_view why;
    state_.look([&](const State& state) {
      why = why_role_may_not(state, *session, asked, params.get("AutoScalingGroupName"));
    });
    if (!why.empty())
      return query_error(service_name, not_authorized(service_name, asked.name(), session_arn(*session)), id);
  }
  const std::lock_guard lock(mutex_);
  Api<Xml> answer;
  const auto run_on = [&](State& state) {
    Call call{params, state, faults_, clock_.now_ms(), boot_ms_, machines_};
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
  if (!answer) {
    // EC2's readers of parameters have its own words for what is wrong.
    auto error = answer.error();
    if (error.code == "InvalidParameterValue" || error.code == "MissingParameter") error.code = "ValidationError";
    return query_error(service_name, error, id);
  }
  if (!stored)
    return query_error(service_name, {500, "InternalFailure", "The rehearsal cloud could not save its state."}, id);
  return query_reply(service_name, asked.action, *answer, id);
}

Millis Service::scale_groups() {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.now_ms();
  bool due = false;
  state_.look([&](const State& state) { due = needs_scaling(state, now); });
  if (due) {
    const Params none;
    state_.update([&](State& state) {
      Call call{none, state, faults_, now, boot_ms_, machines_};
      scale(call);
      return true;
    });
  }
  std::int64_t next = 0;
  state_.look([&](const State& state) { next = next_scaling_ms(state, now); });
  return Millis(next == 0 ? -1 : std::max<std::int64_t>(1, next - now));
}

}  // namespace ferry::rehearsal
