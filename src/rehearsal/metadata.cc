#include "rehearsal/metadata.h"

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/catalog.h"
#include "rehearsal/describe.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

void add_network(Json& tree, const State& state, const Instance& instance) {
  const std::string base = "latest/meta-data/network/interfaces/macs/" + instance.mac + "/";
  tree[base + "device-number"] = "0";
  tree[base + "interface-id"] = instance.eni_id;
  tree[base + "local-hostname"] = private_dns(instance);
  tree[base + "local-ipv4s"] = instance.private_ip;
  tree[base + "mac"] = instance.mac;
  tree[base + "owner-id"] = account_id;
  tree[base + "subnet-id"] = instance.subnet_id;
  if (const auto* subnet = state.subnet(instance.subnet_id)) {
    tree[base + "subnet-ipv4-cidr-block"] = subnet->cidr;
    tree[base + "vpc-id"] = subnet->vpc_id;
    tree[base + "vpc-ipv4-cidr-block"] = state.vpcs.at(subnet->vpc_id).cidr;
  }
  tree[base + "security-group-ids"] = join(instance.groups, "\n");
}

std::string group_names(const State& state, const Instance& instance) {
  std::vector<std::string> names;
  for (const auto& id : instance.groups)
    if (const auto found = state.groups.find(id); found != state.groups.end()) names.push_back(found->second.name);
  return join(names, "\n");
}

std::string identity_document(const Instance& instance) {
  const auto* image = find_image(instance.image_id);
  return Json{{"accountId", account_id},
              {"architecture", image ? image->arch : "x86_64"},
              {"availabilityZone", instance.zone},
              {"imageId", instance.image_id},
              {"instanceId", instance.id},
              {"instanceType", instance.type},
              {"pendingTime", os::iso_time(instance.launched_ms)},
              {"privateIp", instance.private_ip},
              {"region", region_name},
              {"version", "2017-09-30"}}
      .dump(2);
}

}  // namespace

Json metadata_tree(const State& state, const Instance& instance) {
  Json tree = Json::object();
  const auto add = [&](const std::string& path, std::string_view text) { tree["latest/meta-data/" + path] = text; };
  add("ami-id", instance.image_id);
  add("ami-launch-index", std::to_string(instance.launch_index));
  add("hostname", private_dns(instance));
  add("instance-action", "none");
  add("instance-id", instance.id);
  add("instance-life-cycle", !instance.spot_request_id.empty() ? "spot"
                             : instance.in_block               ? "capacity-block"
                                                               : "on-demand");
  add("instance-type", instance.type);
  add("local-hostname", private_dns(instance));
  add("mac", instance.mac);
  add("placement/availability-zone", instance.zone);
  add("placement/availability-zone-id", zone_id(instance.zone));
  add("placement/region", region_name);
  if (!instance.placement_group.empty()) add("placement/group-name", instance.placement_group);
  add("reservation-id", instance.reservation_id);
  add("security-groups", group_names(state, instance));
  add("services/domain", "amazonaws.com");
  add("services/partition", "aws");
  if (const auto* key = state.key_named(instance.key_name)) {
    add("public-keys", "0=" + key->name);
    add("public-keys/0/openssh-key", key->public_key + "\n");
  }
  if (instance.metadata.tags)
    for (const auto& [key, value] : tags_of(state, instance.id)) add("tags/instance/" + key, value);
  add_network(tree, state, instance);
  tree["latest/dynamic/instance-identity/document"] = identity_document(instance);
  if (const auto user_data = from_base64(instance.user_data); user_data && !user_data->empty())
    tree["latest/user-data"] = *user_data;
  return tree;
}

sandbox::Spec boot_spec(const State& state, const Instance& instance, sandbox::Mode mode) {
  sandbox::Spec spec;
  const auto* image = find_image(instance.image_id);
  const auto dns = private_dns(instance);
  spec.instance_id = instance.id;
  spec.hostname = dns.substr(0, dns.find('.'));
  spec.private_ip = instance.private_ip;
  spec.has_public_ip = instance.has_public_ip;
  if (instance.private_ip.starts_with("127.")) spec.listen_address = instance.private_ip;
  if (image) spec.login_user = image->login_user;
  if (const auto* key = state.key_named(instance.key_name)) spec.authorized_keys.push_back(key->public_key);
  spec.user_data = from_base64(instance.user_data).value_or("");
  spec.metadata = metadata_tree(state, instance);
  spec.imds_token_required = instance.metadata.token_required;
  spec.boot_ms = instance.boot_ms;
  spec.disk_mib = instance.disk_mib;
  spec.mode = sandbox::name(mode);
  spec.first_boot = !instance.booted_before;
  return spec;
}

}  // namespace ferry::rehearsal
