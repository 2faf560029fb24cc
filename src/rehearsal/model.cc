#include "rehearsal/model.h"

#include "base/hash.h"
#include "base/text.h"

namespace ferry::rehearsal {

NLOHMANN_JSON_SERIALIZE_ENUM(Phase, {{Phase::pending, "pending"},
                                     {Phase::running, "running"},
                                     {Phase::shutting_down, "shutting-down"},
                                     {Phase::stopping, "stopping"},
                                     {Phase::stopped, "stopped"},
                                     {Phase::terminated, "terminated"}})
NLOHMANN_JSON_SERIALIZE_ENUM(OnPoweroff, {{OnPoweroff::stop, "stop"}, {OnPoweroff::terminate, "terminate"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Direction, {{Direction::ingress, "ingress"}, {Direction::egress, "egress"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Disk, volume_id, device, snapshot_id, type, gib, iops,
                                                throughput, attached_ms, encrypted, delete_on_termination)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(MetadataOptions, endpoint_enabled, token_required, tags,
                                                hop_limit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(
    Instance, id, reservation_id, image_id, type, zone, subnet_id, key_name, client_token, private_ip, eni_id,
    eni_attachment_id, mac, public_ip, ssh_port, groups, disks, user_data, iam_profile, tenancy, credits,
    spot_request_id, phase, on_poweroff, launched_ms, phase_ms, boot_ms, disk_mib, launch_index,
    booted_before, reboot_wanted, never_boots, protect_termination, protect_stop, ebs_optimized, monitoring,
    check_source_dest, metadata, reason_code, reason_message, transition_reason)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(KeyPair, id, name, type, fingerprint, public_key, created_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Rule, id, protocol, cidr4, cidr6, group_id, prefix_list_id,
                                                description, direction, from_port, to_port)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Group, id, name, description, vpc_id, rules)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Subnet, id, zone, cidr, next_host)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LaunchToken, parameters, instance_ids)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(QuotaRequest, id, code, desired, created_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(State, access_key_id, secret_access_key, vpc_id, subnets,
                                                instances, keys, groups, tokens, tags, quota_requests)

std::string_view name(Phase phase) {
  switch (phase) {
    case Phase::pending:
      return "pending";
    case Phase::running:
      return "running";
    case Phase::shutting_down:
      return "shutting-down";
    case Phase::stopping:
      return "stopping";
    case Phase::stopped:
      return "stopped";
    case Phase::terminated:
      return "terminated";
  }
  return "terminated";
}

int code(Phase phase) {
  switch (phase) {
    case Phase::pending:
      return 0;
    case Phase::running:
      return 16;
    case Phase::shutting_down:
      return 32;
    case Phase::stopping:
      return 64;
    case Phase::stopped:
      return 80;
    case Phase::terminated:
      return 48;
  }
  return 48;
}

bool Rule::same_traffic(const Rule& other) const {
  const auto key = [](const Rule& rule) {
    return std::tie(rule.direction, rule.protocol, rule.from_port, rule.to_port, rule.cidr4, rule.cidr6,
                    rule.group_id, rule.prefix_list_id);
  };
  return key(*this) == key(other);
}

const KeyPair* State::key_named(std::string_view key_name) const {
  for (const auto& [id, key] : keys)
    if (key.name == key_name) return &key;
  return nullptr;
}

const Group* State::group_named(std::string_view group_name) const {
  for (const auto& [id, group] : groups)
    if (group.name == group_name) return &group;
  return nullptr;
}

std::string new_id(std::string_view prefix) {
  return std::string(prefix) + hex(random_bytes(9)).substr(0, 17);
}

namespace {

std::string random_of(std::string_view alphabet, std::size_t count) {
  std::string out;
  while (out.size() < count)
    for (const char byte : random_bytes(count)) {
      const auto at = static_cast<unsigned char>(byte);
      if (at < 256 / alphabet.size() * alphabet.size() && out.size() < count)
        out += alphabet[at % alphabet.size()];
    }
  return out;
}

}  // namespace

State fresh_state(const std::string& region) {
  State state;
  state.access_key_id = "AKIA" + random_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16);
  state.secret_access_key = random_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 40);
  state.vpc_id = new_id("vpc-");
  for (int i = 0; i < 6; ++i)
    state.subnets.push_back({.id = new_id("subnet-"),
                             .zone = region + static_cast<char>('a' + i),
                             .cidr = fmt::format("172.31.{}.0/20", i * 16)});
  Group group{.id = new_id("sg-"),
              .name = "default",
              .description = "default VPC security group",
              .vpc_id = state.vpc_id,
              .rules = {}};
  Rule within{.id = new_id("sgr-"),
              .protocol = "-1",
              .cidr4 = "",
              .cidr6 = "",
              .group_id = group.id,
              .prefix_list_id = "",
              .description = ""};
  Rule out{.id = new_id("sgr-"),
           .protocol = "-1",
           .cidr4 = "0.0.0.0/0",
           .cidr6 = "",
           .group_id = "",
           .prefix_list_id = "",
           .description = "",
           .direction = Direction::egress};
  group.rules = {within, out};
  state.groups[group.id] = group;
  return state;
}

Json to_json(const State& state) { return Json(state); }

Result<State> state_from(const Json& json) {
  try {
    return json.get<State>();
  } catch (const Json::exception& wrong) {
    return fail(Kind::corrupt, "the rehearsal cloud's state cannot be read", wrong.what());
  }
}

}  // namespace ferry::rehearsal
