#include "rehearsal/model.h"

#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/cidr.h"

namespace ferry::rehearsal {

NLOHMANN_JSON_SERIALIZE_ENUM(Phase, {{Phase::pending, "pending"},
                                     {Phase::running, "running"},
                                     {Phase::shutting_down, "shutting-down"},
                                     {Phase::stopping, "stopping"},
                                     {Phase::stopped, "stopped"},
                                     {Phase::terminated, "terminated"}})
NLOHMANN_JSON_SERIALIZE_ENUM(OnPoweroff, {{OnPoweroff::stop, "stop"}, {OnPoweroff::terminate, "terminate"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Direction, {{Direction::ingress, "ingress"}, {Direction::egress, "egress"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Disk, volume_id, device, snapshot_id, type, gib, iops, throughput,
                                                attached_ms, encrypted, delete_on_termination)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Volume, id, zone, snapshot_id, type, client_token, gib, iops,
                                                throughput, created_ms, encrypted, instance_id, device, attached_ms,
                                                detached_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(MetadataOptions, endpoint_enabled, token_required, tags, hop_limit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Taking, rebalance_ms, notice_ms, gone_ms, cause)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Instance, id, reservation_id, image_id, type, zone, subnet_id, key_name,
                                                client_token, private_ip, eni_id, eni_attachment_id, mac, address,
                                                ssh_port, has_public_ip, groups, disks, user_data, placement_group,
                                                capacity_reservation, capacity_target, capacity_preference, in_block,
                                                iam_profile, iam_profile_id, iam_association_id, iam_associated_ms,
                                                tenancy, credits, spot_request_id, phase, on_poweroff, launched_ms,
                                                phase_ms, boot_ms, disk_mib, launch_index, booted_before, reboot_wanted,
                                                never_boots, protect_termination, protect_stop, ebs_optimized,
                                                monitoring, check_source_dest, metadata, taking, bid_micros,
                                                reason_code, reason_message, transition_reason)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(KeyPair, id, name, type, fingerprint, public_key, created_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Rule, id, protocol, cidr4, cidr6, group_id, prefix_list_id, description,
                                                direction, from_port, to_port)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Group, id, name, description, vpc_id, rules)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Vpc, id, cidr)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Subnet, id, vpc_id, zone, cidr, maps_public_ip, default_for_zone,
                                                next_host)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PlacementGroup, id, name, strategy, spread_level, partitions)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(CapacityReservation, id, type, zone, platform, tenancy, match,
                                                client_token, block_id, count, created_ms, start_ms, end_ms,
                                                ebs_optimized, cancelled)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(BlockOffer, id, type, zone, count, hours, start_ms, offered_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LaunchToken, parameters, instance_ids)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(QuotaRequest, id, code, desired, created_ms, answer, answered_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Federated, secret, token, name, policy, expires_ms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(State, access_key_id, secret_access_key, vpc_id, vpcs, subnets,
                                                instances, volumes, keys, groups, placement_groups,
                                                capacity_reservations, block_offers, tokens, sessions, tags,
                                                quota_requests, federated, fis_templates, fis_experiments,
                                                launch_templates, scaling_groups, iam)

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
    return std::tie(rule.direction, rule.protocol, rule.from_port, rule.to_port, rule.cidr4, rule.cidr6, rule.group_id,
                    rule.prefix_list_id);
  };
  return key(*this) == key(other);
}

const KeyPair* State::key_named(std::string_view key_name) const {
  for (const auto& [id, key] : keys)
    if (key.name == key_name) return &key;
  return nullptr;
}

const Group* State::group_named(std::string_view vpc, std::string_view group_name) const {
  for (const auto& [id, group] : groups)
    if (group.vpc_id == vpc && group.name == group_name) return &group;
  return nullptr;
}

const Subnet* State::subnet(std::string_view id) const {
  const auto found = std::find_if(subnets.begin(), subnets.end(), [&](const Subnet& it) { return it.id == id; });
  return found == subnets.end() ? nullptr : &*found;
}

std::string State::vpc_of(const Instance& instance) const {
  const auto* found = subnet(instance.subnet_id);
  return found ? found->vpc_id : "";
}

std::int64_t State::free_addresses(const Subnet& subnet) const {
  const auto used = std::count_if(instances.begin(), instances.end(), [&](const auto& entry) {
    return entry.second.subnet_id == subnet.id && entry.second.phase != Phase::terminated;
  });
  constexpr int kept_by_aws = 5;  // the first four, and the last
  const auto cidr = parse_cidr4(subnet.cidr);
  return cidr ? cidr->size() - kept_by_aws - used : 0;
}

std::string new_id(std::string_view prefix) { return std::string(prefix) + hex(random_bytes(9)).substr(0, 17); }

std::string new_uuid() {
  const auto digits = hex(random_bytes(16));
  return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4), digits.substr(12, 4),
                     digits.substr(16, 4), digits.substr(20));
}

namespace {

std::string random_of(std::string_view alphabet, std::size_t count) {
  std::string out;
  while (out.size() < count)
    for (const char byte : random_bytes(count)) {
      const auto at = static_cast<unsigned char>(byte);
      if (at < 256 / alphabet.size() * alphabet.size() && out.size() < count) out += alphabet[at % alphabet.size()];
    }
  return out;
}

constexpr std::string_view default_cidr = "172.31.0.0/16";

/// Earlier states had the default VPC only, and did not say which subnets were in it.
void know_default_vpc(State& state) {
  if (!state.vpc_id.empty()) state.vpcs.try_emplace(state.vpc_id, Vpc{state.vpc_id, std::string(default_cidr)});
  for (auto& subnet : state.subnets) {
    if (!subnet.vpc_id.empty()) continue;
    subnet.vpc_id = state.vpc_id;
    subnet.maps_public_ip = subnet.default_for_zone = true;
  }
}

/// Earlier states had machines with profiles, and no IAM that knew them.
void know_profiles(State& state) {
  for (auto& [id, instance] : state.instances) {
    if (instance.iam_profile.empty() || !instance.iam_association_id.empty()) continue;
    const auto digits = hex(sha256(instance.iam_profile + id));
    instance.iam_profile_id = "AIPA" + digits.substr(0, 17);
    instance.iam_association_id = "iip-assoc-" + digits.substr(17, 17);
    instance.iam_associated_ms = instance.launched_ms;
  }
}

}  // namespace

std::string new_iam_id(std::string_view prefix, std::size_t size) {
  return std::string(prefix) + random_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", size - prefix.size());
}

State fresh_state(const std::string& region) {
  State state;
  state.access_key_id = new_iam_id("AKIA", 20);
  state.secret_access_key = random_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 40);
  state.vpc_id = add_vpc(state, std::string(default_cidr));
  for (int i = 0; i < 6; ++i)
    state.subnets.push_back({.id = new_id("subnet-"),
                             .vpc_id = state.vpc_id,
                             .zone = region + static_cast<char>('a' + i),
                             .cidr = fmt::format("172.31.{}.0/20", i * 16),
                             .maps_public_ip = true,
                             .default_for_zone = true});
  return state;
}

std::string add_vpc(State& state, const std::string& cidr) {
  const auto id = new_id("vpc-");
  state.vpcs[id] = {id, cidr};
  Group group;
  group.id = new_id("sg-");
  group.name = "default";
  group.description = "default VPC security group";
  group.vpc_id = id;
  Rule within, out;
  within.id = new_id("sgr-");
  within.group_id = group.id;
  out.id = new_id("sgr-");
  out.cidr4 = "0.0.0.0/0";
  out.direction = Direction::egress;
  within.protocol = out.protocol = "-1";
  group.rules = {within, out};
  state.groups[group.id] = group;
  return id;
}

Json to_json(const State& state) { return Json(state); }

Result<State> state_from(const Json& json) {
  try {
    auto state = json.get<State>();
    know_default_vpc(state);
    know_profiles(state);
    return state;
  } catch (const Json::exception& wrong) {
    return fail(Kind::corrupt, "the rehearsal cloud's state cannot be read", wrong.what());
  }
}

}  // namespace ferry::rehearsal
