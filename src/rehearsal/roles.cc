#include "rehearsal/roles.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/catalog.h"
#include "rehearsal/iam_checks.h"
#include "rehearsal/service.h"
#include "rehearsal/spot.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view ec2_service = "ec2.amazonaws.com";

bool is_alive(const Instance& instance) { return instance.phase == Phase::pending || instance.phase == Phase::running; }

const IamRole* role_of(const State& state, const Instance& instance) {
  const auto* profile = profile_of(state, instance);
  return profile ? state.iam.role(profile->role) : nullptr;
}

/// Its key's id and itself; nullptr if there is none.
const std::pair<const std::string, RoleSession>* newest_session(const State& state, const std::string& instance,
                                                                const std::string& role_id) {
  const std::pair<const std::string, RoleSession>* newest = nullptr;
  for (const auto& entry : state.iam.sessions) {
    if (entry.second.instance != instance || entry.second.role_id != role_id) continue;
    if (!newest || entry.second.made_ms > newest->second.made_ms) newest = &entry;
  }
  return newest;
}

bool needs_session(const State& state, const Instance& instance, std::int64_t now_ms) {
  const auto* role = is_alive(instance) ? role_of(state, instance) : nullptr;
  if (!role || !trusts_service(role->trust, ec2_service)) return false;
  const auto* newest = newest_session(state, instance.id, role->id);
  return !newest || now_ms >= newest->second.made_ms + (newest->second.expires_ms - newest->second.made_ms) / 2;
}

bool has_work(const State& state, std::int64_t now_ms) {
  return std::any_of(state.instances.begin(), state.instances.end(),
                     [&](const auto& entry) { return needs_session(state, entry.second, now_ms); });
}

}  // namespace

const IamProfile* profile_of(const State& state, const Instance& instance) {
  const auto* profile = state.iam.profile_with_arn(instance.iam_profile);
  return profile && profile->id == instance.iam_profile_id ? profile : nullptr;
}

Json role_metadata(const State& state, const Instance& instance) {
  Json tree = Json::object();
  if (instance.iam_profile.empty()) return tree;
  const std::string base = "latest/meta-data/iam/";
  const auto info = [&](std::string_view code, const std::string& message) {
    Json text = {{"Code", code}, {"LastUpdated", os::iso_time(instance.iam_associated_ms)}};
    if (!message.empty()) text["Message"] = message;
    if (message.empty()) {
      text["InstanceProfileArn"] = instance.iam_profile;
      text["InstanceProfileId"] = instance.iam_profile_id;
    }
    tree[base + "info"] = text.dump(2);
  };
  if (!profile_of(state, instance)) {
    info("InstanceProfileNotFound", fmt::format("The IAM Instance Profile {} cannot be found.", instance.iam_profile));
    return tree;
  }
  info("Success", "");
  const auto* role = role_of(state, instance);
  if (!role) return tree;
  auto& credentials = tree[base + "security-credentials/" + role->name];
  if (!trusts_service(role->trust, ec2_service)) {
    credentials = Json{{"Code", "AssumeRoleUnauthorizedAccess"},
                       {"Message", fmt::format("EC2 cannot assume the role {}. Its trust policy must name {}.",
                                               role->name, ec2_service)},
                       {"LastUpdated", os::iso_time(instance.iam_associated_ms)}}
                      .dump(2);
  } else if (const auto* newest = newest_session(state, instance.id, role->id)) {
    const auto& [key_id, session] = *newest;
    credentials = Json{{"Code", "Success"},
                       {"LastUpdated", os::iso_time(session.made_ms)},
                       {"Type", "AWS-HMAC"},
                       {"AccessKeyId", key_id},
                       {"SecretAccessKey", session.secret},
                       {"Token", session.token},
                       {"Expiration", os::iso_time(session.expires_ms)}}
                      .dump(2);
  } else {  // not made yet
    tree.erase(base + "security-credentials/" + role->name);
  }
  return tree;
}

bool renew_sessions(State& state, std::int64_t now_ms, std::int64_t session_ms) {
  if (!has_work(state, now_ms)) return false;
  std::erase_if(state.iam.sessions, [&](const auto& entry) { return entry.second.expires_ms <= now_ms; });
  for (const auto& [id, instance] : state.instances) {
    if (!needs_session(state, instance, now_ms)) continue;
    const auto* role = role_of(state, instance);
    state.iam.sessions[new_iam_id("ASIA", 20)] = {.secret = base64(random_bytes(30)),
                                                  .token = base64(random_bytes(300)),
                                                  .role = role->name,
                                                  .role_id = role->id,
                                                  .instance = id,
                                                  .made_ms = now_ms,
                                                  .expires_ms = now_ms + session_ms};
  }
  return true;
}

std::string session_arn(const RoleSession& session) {
  return fmt::format("arn:aws:sts::{}:assumed-role/{}/{}", account_id, session.role, session.instance);
}

std::string session_user_id(const RoleSession& session) { return session.role_id + ":" + session.instance; }

const RoleSession* session_of(const State& state, const std::string& key_id) {
  const auto found = state.iam.sessions.find(key_id);
  if (found == state.iam.sessions.end()) return nullptr;
  const auto* role = state.iam.role(found->second.role);
  return role && role->id == found->second.role_id ? &found->second : nullptr;
}

S3Rights rights_of(const State& state, const IamRole& role) {
  S3Rights rights;
  const auto add = [](std::vector<Json>& to, const std::string& document) {
    to.push_back(parse_json(document).value_or(Json::object()));
  };
  for (const auto& [name, document] : role.inlined) add(rights.policies, document);
  for (const auto& arn : role.attached)
    if (const auto* policy = state.iam.policy(arn)) add(rights.policies, policy->document());
  if (const auto* bound = state.iam.policy(role.boundary)) {
    rights.boundary = parse_json(bound->document()).value_or(Json::object());
  } else if (!role.boundary.empty()) {
    rights.boundary = Json::object();  // whatever it was, it allows nothing now
  }
  rights.role_arn = role.arn();
  rights.keys = {{"aws:principalarn", role.arn()}, {"aws:principaltype", "AssumedRole"}};
  for (const auto& [tag, value] : role.tags) rights.keys["aws:principaltag/" + lower(tag)] = value;
  return rights;
}

S3Key s3_key_of(const State& state, const RoleSession& session) {
  S3Key key{session.secret, session_arn(session), session.token, session.expires_ms, Json()};
  key.role = rights_of(state, *state.iam.role(session.role));
  key.role->keys["aws:userid"] = session_user_id(session);
  return key;
}

void RoleKeeper::pass() {
  const auto now = options_.now_ms();
  bool due = false;
  state_.look([&](const State& state) { due = has_work(state, now); });
  if (due) state_.update([&](State& state) { return renew_sessions(state, now, options_.session_ms()); });
  std::map<std::string, sandbox::Live> all;
  const auto machine_ms = options_.machine_ms();
  const int s3_port = options_.s3_port ? options_.s3_port() : 0;
  const int api_port = options_.api_port ? options_.api_port() : 0;
  state_.look([&](const State& state) {
    for (const auto& [id, instance] : state.instances) {
      if (!is_alive(instance)) continue;
      all[id] = {role_metadata(state, instance), s3_port, api_port};
      all[id].metadata.update(spot_metadata(instance, machine_ms));
    }
  });
  std::erase_if(told_, [&](const auto& entry) { return !all.contains(entry.first); });
  for (const auto& [id, live] : all) {
    auto news = sandbox::to_json(live);
    if (const auto known = told_.find(id); known != told_.end() && known->second == news) continue;
    if (machines_.tell(id, live)) told_[id] = std::move(news);
  }
}

}  // namespace ferry::rehearsal
