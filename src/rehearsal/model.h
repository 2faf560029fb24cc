#pragma once
/// \file
/// Everything the rehearsal cloud remembers. Plain values; as JSON it is the state file.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "rehearsal/autoscaling_state.h"
#include "rehearsal/iam_state.h"

namespace ferry::rehearsal {

using Tags = std::map<std::string, std::string>;

enum class Phase { pending, running, shutting_down, stopping, stopped, terminated };
/// EC2's name ("shutting-down") and code (32) of an instance state.
std::string_view name(Phase phase);
int code(Phase phase);

/// What happens when the machine powers itself off.
enum class OnPoweroff { stop, terminate };

struct Disk {
  std::string volume_id, device, snapshot_id, type = "gp3";
  std::int64_t gib = 8, iops = 3000, throughput = 125, attached_ms = 0;
  bool encrypted = false, delete_on_termination = true;
};

/// A volume that lives by itself, attached or not; an instance's root disk and its like are Disks. Its states follow
/// from the times (volumes.h).
struct Volume {
  std::string id, zone, snapshot_id, type = "gp3", client_token;
  std::int64_t gib = 8, iops = 3000, throughput = 125, created_ms = 0;
  bool encrypted = false;
  std::string instance_id, device;  ///< "": attached to none
  std::int64_t attached_ms = 0;     ///< when that was asked for
  std::int64_t detached_ms = 0;     ///< when the opposite was; 0: it was not
};

struct MetadataOptions {
  bool endpoint_enabled = true, token_required = true, tags = false;
  std::int64_t hop_limit = 2;
};

/// How a spot machine is taken back. Times are 0 where nothing is planned.
struct Taking {
  std::int64_t rebalance_ms = 0;  ///< from then on its metadata recommends to rebalance
  std::int64_t notice_ms = 0;     ///< from then on its metadata says when it goes
  std::int64_t gone_ms = 0;       ///< then it goes
  std::string cause;              ///< the end of its request's code: "by-price", "no-capacity", "by-experiment"
};

struct Instance {
  std::string id, reservation_id, image_id, type, zone, subnet_id, key_name, client_token;
  std::string private_ip, eni_id, eni_attachment_id, mac;
  std::string address;  ///< loopback address of its sshd while it runs
  std::int64_t ssh_port = 0;
  bool has_public_ip = true;  ///< `address` is a public one; else it is reached, if at all, by private_ip
  std::vector<std::string> groups;
  std::vector<Disk> disks;
  std::string user_data;                                        ///< base64 of the raw bytes
  std::string placement_group;                                  ///< by name
  std::string capacity_reservation;                             ///< the one it runs in
  std::string capacity_target;                                  ///< the one it was told to run in
  std::string capacity_preference = "open";                     ///< or "none", "capacity-reservations-only"
  std::string iam_profile, iam_profile_id, iam_association_id;  ///< iam_profile: its ARN
  std::string tenancy = "default", credits = "unlimited", spot_request_id;
  Phase phase = Phase::pending;
  OnPoweroff on_poweroff = OnPoweroff::stop;
  std::int64_t launched_ms = 0;  ///< of the last start, as EC2 reports it
  std::int64_t phase_ms = 0;     ///< since when `phase` holds
  std::int64_t boot_ms = 0;      ///< how long a boot takes at least
  std::int64_t disk_mib = 0;     ///< the home's size when it was told to be small; 0: no limit
  std::int64_t launch_index = 0, iam_associated_ms = 0;
  bool in_block = false;  ///< of the capacity-block market
  bool booted_before = false, reboot_wanted = false, never_boots = false;
  bool protect_termination = false, protect_stop = false, ebs_optimized = false, monitoring = false,
       check_source_dest = true;
  MetadataOptions metadata;
  Taking taking;
  std::int64_t bid_micros = 0;              ///< of a spot machine: the most it may cost an hour; 0: as on demand
  std::string reason_code, reason_message;  ///< StateReason
  std::string transition_reason;            ///< "User initiated (2026-01-31 12:00:00 GMT)"
  /// "" if it has none, or does not run.
  std::string public_ip() const { return has_public_ip ? address : ""; }
};

struct KeyPair {
  std::string id, name, type, fingerprint, public_key;  ///< public_key: one OpenSSH line
  std::int64_t created_ms = 0;
};

enum class Direction { ingress, egress };

/// One security group rule has exactly one peer: a CIDR, another group or a prefix list.
struct Rule {
  std::string id, protocol, cidr4, cidr6, group_id, prefix_list_id, description;
  Direction direction = Direction::ingress;
  std::int64_t from_port = -1, to_port = -1;
  /// Same traffic, whatever id and description say.
  bool same_traffic(const Rule& other) const;
};

struct Group {
  std::string id, name, description, vpc_id;
  std::vector<Rule> rules;
};

struct Vpc {
  std::string id, cidr;
};

struct Subnet {
  std::string id, vpc_id, zone, cidr;
  bool maps_public_ip = false, default_for_zone = false;
  std::int64_t next_host = 10;  ///< private addresses are given out from here
};

struct PlacementGroup {
  std::string id, name, strategy, spread_level;
  std::int64_t partitions = 0;
};

struct CapacityReservation {
  std::string id, type, zone, platform = "Linux/UNIX", tenancy = "default", match = "open", client_token;
  std::string block_id;  ///< "" if it is no capacity block
  std::int64_t count = 0, created_ms = 0, start_ms = 0;
  std::int64_t end_ms = 0;  ///< 0: none
  bool ebs_optimized = false, cancelled = false;
};

/// A capacity block that can be bought.
struct BlockOffer {
  std::string id, type, zone;
  std::int64_t count = 1, hours = 24, start_ms = 0, offered_ms = 0;
  std::int64_t end_ms() const { return start_ms + hours * 3'600'000; }
};

/// What a ClientToken stands for.
struct LaunchToken {
  std::string parameters;  ///< SHA-256 of the request's parameters
  std::vector<std::string> instance_ids;
};

/// A request for a higher vCPU limit.
struct QuotaRequest {
  std::string id, code;  ///< code: "L-DB2E81BA"
  double desired = 0;
  std::int64_t created_ms = 0;
  std::string answer;  ///< the status that people at AWS would have given it (Faults::quota_answer); empty: none yet
  std::int64_t answered_ms = 0;
};

/// A session that GetFederationToken made.
struct Federated {
  std::string secret, token, name;
  std::string policy;  ///< JSON; what it is confined to
  std::int64_t expires_ms = 0;
};

struct State {
  std::string access_key_id, secret_access_key;
  std::string vpc_id;               ///< the default VPC; "" once it was deleted
  std::map<std::string, Vpc> vpcs;  ///< by id; the default one too
  std::vector<Subnet> subnets;
  std::map<std::string, Instance> instances;  ///< by id, as are keys and groups
  std::map<std::string, Volume> volumes;
  std::map<std::string, KeyPair> keys;
  std::map<std::string, Group> groups;
  std::map<std::string, PlacementGroup> placement_groups;            ///< by name
  std::map<std::string, CapacityReservation> capacity_reservations;  ///< by id, as are offers
  std::map<std::string, BlockOffer> block_offers;
  std::map<std::string, LaunchToken> tokens;
  std::map<std::string, std::string> sessions;  ///< of SSM: id → instance
  std::map<std::string, Tags> tags;             ///< by resource id, of any kind
  std::vector<QuotaRequest> quota_requests;     ///< oldest first
  std::map<std::string, Federated> federated;   ///< by access key id
  std::map<std::string, Json> fis_templates;    ///< by id, as they are answered (fis.h); experiments, too
  std::map<std::string, Json> fis_experiments;
  std::map<std::string, LaunchTemplate> launch_templates;  ///< by id
  std::map<std::string, ScalingGroup> scaling_groups;      ///< by name
  Iam iam;

  const KeyPair* key_named(std::string_view key_name) const;
  /// Names are unique within a VPC.
  const Group* group_named(std::string_view vpc, std::string_view group_name) const;
  const Subnet* subnet(std::string_view id) const;
  /// The VPC of an instance; "" once its subnet is gone.
  std::string vpc_of(const Instance& instance) const;
  /// How many more instances a subnet has private addresses for.
  std::int64_t free_addresses(const Subnet& subnet) const;
};

/// A fresh cloud: an access key, the default network in the six zones of `region`, and its default security
/// group.
State fresh_state(const std::string& region);
/// A new VPC with its default security group. Returns its id.
std::string add_vpc(State& state, const std::string& cidr);
/// "i-" and 17 random hexadecimal digits, for any prefix.
std::string new_id(std::string_view prefix);

/// As IAM names things and keys: `prefix` ("AROA", "ASIA") and capitals and digits, random, `size` in all.
std::string new_iam_id(std::string_view prefix, std::size_t size);

/// "5f7a2c1e-…", random.
std::string new_uuid();

Json to_json(const State& state);
/// Corrupt if it is not what to_json wrote.
Result<State> state_from(const Json& json);

}  // namespace ferry::rehearsal
