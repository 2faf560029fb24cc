#include "rehearsal/autoscaling_state.h"

#include <algorithm>

#include "base/text.h"
#include "rehearsal/catalog.h"

namespace ferry::rehearsal {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(TemplateVersion, number, created_ms, description, data)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GroupMember, id, version)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GroupTag, key, value, at_launch)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ScheduledAction, name, start_ms, min, max, desired)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ScalingActivity, id, description, cause, status, message, start_ms,
                                                end_ms)

namespace {

// The macro makes inline functions; what other files call is below.
struct TemplateFields : LaunchTemplate {};
struct GroupFields : ScalingGroup {};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(TemplateFields, id, name, client_token, created_ms, usual, last_number,
                                                versions)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GroupFields, name, uuid, template_id, template_version, health_check,
                                                min, max, desired, cooldown_s, grace_s, created_ms, protects_new,
                                                rebalances, is_going, subnet_ids, zones, suspended,
                                                termination_policies, tags, members, scheduled, activities, retry_ms,
                                                failures)

}  // namespace

void to_json(Json& json, const LaunchTemplate& value) { json = TemplateFields{value}; }
void from_json(const Json& json, LaunchTemplate& value) { value = json.get<TemplateFields>(); }
void to_json(Json& json, const ScalingGroup& value) { json = GroupFields{value}; }
void from_json(const Json& json, ScalingGroup& value) { value = json.get<GroupFields>(); }

const TemplateVersion* LaunchTemplate::version(std::string_view text) const {
  const auto number = text == "$Latest"                    ? std::optional(versions.back().number)
                      : text.empty() || text == "$Default" ? std::optional(usual)
                                                           : parse_int(text);
  const auto found = std::find_if(versions.begin(), versions.end(),
                                  [&](const TemplateVersion& it) { return number && it.number == *number; });
  return found == versions.end() ? nullptr : &*found;
}

std::string ScalingGroup::arn() const {
  return fmt::format("arn:aws:autoscaling:{}:{}:autoScalingGroup:{}:autoScalingGroupName/{}", region_name, account_id,
                     uuid, name);
}

bool ScalingGroup::does(std::string_view process) const {
  return std::find(suspended.begin(), suspended.end(), process) == suspended.end();
}

}  // namespace ferry::rehearsal
