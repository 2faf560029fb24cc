#pragma once
/// \file
/// What the rehearsal cloud remembers of launch templates and Auto Scaling groups. Plain values, a part of State
/// (model.h).

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace ferry::rehearsal {

struct TemplateVersion {
  std::int64_t number = 1, created_ms = 0;
  std::string description;
  std::map<std::string, std::string> data;  ///< the parameters of RunInstances, as they are called there
};

struct LaunchTemplate {
  std::string id, name, client_token;
  std::int64_t created_ms = 0;
  std::int64_t usual = 1;                 ///< the default version's number
  std::int64_t last_number = 1;           ///< that was ever given
  std::vector<TemplateVersion> versions;  ///< oldest first
  /// "3", "$Latest" or "$Default" ("": the default one); nothing for one that there is not.
  const TemplateVersion* version(std::string_view text) const;
};

struct GroupMember {
  std::string id;
  std::int64_t version = 0;  ///< of the template; 0: it was attached
};

struct GroupTag {
  std::string key, value;
  bool at_launch = false;  ///< machines get it, too
};

/// Sizes are -1 where they are to stay.
struct ScheduledAction {
  std::string name;
  std::int64_t start_ms = 0, min = -1, max = -1, desired = -1;
};

struct ScalingActivity {
  std::string id, description, cause, status, message;
  std::int64_t start_ms = 0, end_ms = 0;
};

struct ScalingGroup {
  std::string name, uuid, template_id, template_version, health_check = "EC2";
  std::int64_t min = 0, max = 0, desired = 0, cooldown_s = 300, grace_s = 0, created_ms = 0;
  bool protects_new = false, rebalances = false;
  bool is_going = false;                ///< its deletion was asked for
  std::vector<std::string> subnet_ids;  ///< empty: the default ones of `zones`
  std::vector<std::string> zones, suspended, termination_policies;
  std::vector<GroupTag> tags;
  std::vector<GroupMember> members;
  std::vector<ScheduledAction> scheduled;   ///< in the order of their names
  std::vector<ScalingActivity> activities;  ///< oldest first
  std::int64_t retry_ms = 0;                ///< no launch is tried before
  std::int64_t failures = 0;                ///< launches that failed, one after the other
  std::string arn() const;
  bool does(std::string_view process) const;  ///< that process is not suspended
};

void to_json(Json& json, const LaunchTemplate& value);
void from_json(const Json& json, LaunchTemplate& value);
void to_json(Json& json, const ScalingGroup& value);
void from_json(const Json& json, ScalingGroup& value);

}  // namespace ferry::rehearsal
