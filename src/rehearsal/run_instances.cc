// RunInstances: ClientToken, capacity, quotas, and the new instances' names and addresses.
#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/cidr.h"
#include "rehearsal/describe.h"
#include "rehearsal/launch.h"
#include "rehearsal/quotas.h"
#include "rehearsal/reservations.h"
#include "rehearsal/spot.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

/// What two requests must have in common to count as the same.
std::string fingerprint(const Params& params) {
  std::string text;
  for (const auto& [name, value] : params.all())
    if (name != "ClientToken" && name != "DryRun") text += percent_encoded(name) + "=" + percent_encoded(value) + "&";
  return hex(sha256(text));
}

bool counts(const Instance& instance) { return instance.phase == Phase::pending || instance.phase == Phase::running; }

/// How many of the order's instances the vCPU and instance limits leave room for; the refusal if fewer than
/// wanted at least.
Api<std::int64_t> within_quota(const Call& call, const LaunchOrder& order) {
  std::int64_t room = order.most;
  if (order.instance.in_block) return room;  // paid for already
  const auto bucket = quota_bucket(*order.type, order.spot);
  std::int64_t used_vcpus = 0, used_instances = 0;
  for (const auto& [id, instance] : call.state.instances) {
    if (!counts(instance) || instance.in_block) continue;
    ++used_instances;
    const auto* type = find_type(instance.type);
    const bool spot = !instance.spot_request_id.empty();
    if (type && quota_bucket(*type, spot) == bucket) used_vcpus += type->vcpus;
  }
  if (const auto limit = call.faults.quota("instances")) {
    room = std::min(room, *limit - used_instances);
    if (room < order.least)
      return refuse("InstanceLimitExceeded",
                    fmt::format("You have requested more instances ({}) than your current instance limit of "
                                "{} allows for the specified instance type.",
                                order.least + used_instances, *limit));
  }
  const auto limit = vcpu_limit(call.state, call.faults, bucket);
  room = std::min(room, (limit - used_vcpus) / order.type->vcpus);
  if (room < order.least && order.spot)
    return refuse("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded");
  if (room < order.least)
    return refuse("VcpuLimitExceeded",
                  fmt::format("You have requested more vCPU capacity than your current vCPU limit of {} allows for the "
                              "instance bucket that the specified instance type belongs to. Please "
                              "visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this "
                              "limit.",
                              limit));
  return room;
}

/// The subnets that the order allows: the one it names, or the default ones (of its zone).
std::vector<Subnet*> candidates(State& state, const LaunchOrder& order) {
  std::vector<Subnet*> out;
  for (auto& subnet : state.subnets) {
    const bool default_one = subnet.default_for_zone && subnet.vpc_id == state.vpc_id;
    const bool fits = order.subnet_id.empty() ? default_one && (order.zone.empty() || order.zone == subnet.zone)
                                              : subnet.id == order.subnet_id;
    if (fits) out.push_back(&subnet);
  }
  return out;
}

tl::unexpected<ApiError> no_capacity(Call& call, const std::string& type, const std::string& zone) {
  std::vector<std::string> others;
  for (const auto& other : zones())
    if (!call.faults.no_capacity(type, other, false)) others.push_back(other);
  (void)call.faults.no_capacity(type, zone, true);
  return refuse("InsufficientInstanceCapacity",
                others.empty()
                    ? fmt::format("We currently do not have sufficient {} capacity in the Availability Zone you "
                                  "requested ({}). Our system will be working on provisioning additional capacity.",
                                  type, zone)
                    : fmt::format("We currently do not have sufficient {0} capacity in the Availability Zone you "
                                  "requested ({1}). Our system will be working on provisioning additional "
                                  "capacity. You can currently get {0} capacity by not specifying an Availability Zone "
                                  "in your request or choosing {2}.",
                                  type, zone, join(others, ", ")),
                500);
}

/// Whether what the order needs at least is reserved in `zone`.
bool has_reserved(const Call& call, const LaunchOrder& order, const std::string& zone) {
  return !order.instance.capacity_reservation.empty() ||
         open_reservation(call.state, order.instance, zone, order.least, call.now_ms);
}

/// The subnet to launch in: the first one allowed that has capacity.
Api<Subnet*> place(Call& call, const LaunchOrder& order) {
  const auto allowed = candidates(call.state, order);
  if (allowed.empty())
    return refuse("MissingInput", fmt::format("No subnets found for the default VPC '{}'. Please specify a subnet.",
                                              call.state.vpc_id));
  std::string refused;
  for (Subnet* subnet : allowed) {
    const auto now = spot_price_at(*order.type, subnet->zone, call.faults.market(), call.now_ms);
    const auto price = order.highest_bid ? parse_usd(now) : Usd{};
    if (order.highest_bid && price && *price > *order.highest_bid) continue;
    if (has_reserved(call, order, subnet->zone)) return subnet;
    const bool only = order.instance.capacity_preference == only_reserved;
    if (!only && !call.faults.no_capacity(order.type->name, subnet->zone, false)) return subnet;
    if (refused.empty()) refused = subnet->zone;
  }
  if (order.instance.capacity_preference == only_reserved) return reservation_full();
  return no_capacity(call, order.type->name, refused);
}

/// The next address of a subnet that is free.
std::string next_address(const State& state, Subnet& subnet) {
  const auto cidr = *parse_cidr4(subnet.cidr);
  const auto taken = [&](const std::string& address) {
    return std::any_of(state.instances.begin(), state.instances.end(), [&](const auto& entry) {
      return entry.second.private_ip == address && entry.second.subnet_id == subnet.id &&
             entry.second.phase != Phase::terminated;
    });
  };
  while (true) {
    constexpr std::int64_t first = 4;  // AWS keeps the ones below, and the last
    const auto host = subnet.next_host;
    subnet.next_host = host >= cidr.size() - 2 ? first : host + 1;
    const auto address = ipv4_text(cidr.first + static_cast<std::uint32_t>(host));
    if (!taken(address)) return address;
  }
}

Instance make_instance(Call& call, const LaunchOrder& order, Subnet& subnet) {
  Instance instance = order.instance;
  instance.id = new_id("i-");
  instance.zone = subnet.zone;
  if (const auto* open = open_reservation(call.state, instance, subnet.zone, 1, call.now_ms))
    instance.capacity_reservation = open->id;
  instance.subnet_id = subnet.id;
  instance.private_ip = next_address(call.state, subnet);
  instance.has_public_ip = order.public_address.value_or(subnet.maps_public_ip);
  instance.eni_id = new_id("eni-");
  instance.eni_attachment_id = new_id("eni-attach-");
  const std::string mac = hex(random_bytes(5));
  instance.mac = fmt::format("02:{}:{}:{}:{}:{}", mac.substr(0, 2), mac.substr(2, 2), mac.substr(4, 2),
                             mac.substr(6, 2), mac.substr(8, 2));
  instance.launched_ms = instance.phase_ms = call.now_ms;
  const auto fault = call.faults.boot(instance.type);
  instance.boot_ms = call.boot_ms + fault.extra_ms;
  instance.never_boots = fault.never;
  instance.disk_mib = fault.disk_mib;
  if (order.spot) instance.spot_request_id = "sir-" + random_name(8);
  if (order.highest_bid) instance.bid_micros = order.highest_bid->micros;
  for (auto& disk : instance.disks) {
    disk.volume_id = new_id("vol-");
    disk.attached_ms = call.now_ms;
  }
  return instance;
}

void tag_new(State& state, const LaunchOrder& order, const Instance& instance) {
  const auto tags_for = [&](const char* type) {
    const auto found = order.tags.find(type);
    return found == order.tags.end() ? Tags{} : found->second;
  };
  set_tags(state, instance.id, tags_for("instance"));
  set_tags(state, instance.eni_id, tags_for("network-interface"));
  for (const auto& disk : instance.disks) set_tags(state, disk.volume_id, tags_for("volume"));
  if (!instance.spot_request_id.empty()) set_tags(state, instance.spot_request_id, tags_for("spot-instances-request"));
}

Xml reservation(const State& state, const std::vector<std::string>& ids) {
  std::vector<const Instance*> all;
  for (const auto& id : ids)
    if (const auto found = state.instances.find(id); found != state.instances.end()) all.push_back(&found->second);
  Xml xml;
  write_reservation(xml, state, all);
  return xml;
}

}  // namespace

Api<Xml> run_instances(Call& call) {
  const auto parameters = fingerprint(call.params);
  if (const auto known = call.state.tokens.find(call.params.get("ClientToken")); known != call.state.tokens.end()) {
    if (known->second.parameters != parameters)
      return refuse("IdempotentParameterMismatch",
                    "The parameters of the request don't match those of an earlier request with the same client token");
    return reservation(call.state, known->second.instance_ids);
  }
  API_SET(order, read_launch(call));
  API_SET(count, within_quota(call, order));
  API_SET(subnet, place(call, order));
  API_TRY(settle_groups(call.state, *subnet, order.instance));
  const auto free = call.state.free_addresses(*subnet);
  if (free < order.least)
    return refuse("InsufficientFreeAddressesInSubnet",
                  fmt::format("There are not enough free addresses in subnet '{}' to satisfy the requested "
                              "number of instances.",
                              subnet->id));
  count = std::min(count, free);
  const auto reservation_id = new_id("r-");
  std::vector<std::string> ids;
  const bool only = order.instance.capacity_preference == only_reserved && order.instance.capacity_target.empty();
  for (std::int64_t index = 0; index < count; ++index) {
    if (only && !open_reservation(call.state, order.instance, subnet->zone, 1, call.now_ms)) break;
    Instance instance = make_instance(call, order, *subnet);
    instance.reservation_id = reservation_id;
    instance.launch_index = index;
    tag_new(call.state, order, instance);
    ids.push_back(instance.id);
    call.state.instances[instance.id] = std::move(instance);
  }
  if (!order.instance.client_token.empty()) call.state.tokens[order.instance.client_token] = {parameters, ids};
  return reservation(call.state, ids);
}

}  // namespace ferry::rehearsal
