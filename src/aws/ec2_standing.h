#pragma once
/// \file
/// What stands in an account's region and is charged for while it stands: volumes, snapshots, addresses, NAT gateways,
/// VPC endpoints, capacity reservations. All calls but one only read, and answer all pages.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/ec2_account.h"
#include "aws/paging.h"

namespace ferry::aws {

struct VolumeRecord {
  std::string id, zone, type;
  std::string state;                ///< "creating", "available", "in-use", "deleting", "deleted", "error"
  std::string instance;             ///< that it is attached to; empty: none
  std::string device;               ///< as which; empty: none
  std::string attachment;           ///< "attaching", "attached", "detaching", "busy"; empty: none
  bool ends_with_instance = false;  ///< it is deleted when that instance is terminated
  int gib = 0, iops = 0, mib_per_s = 0;
  std::int64_t created_ms = 0;
  std::map<std::string, std::string> tags;
};

struct SnapshotRecord {
  std::string id, description;
  bool is_archived = false;
  int gib = 0;              ///< of the volume it was made of
  std::int64_t bytes = -1;  ///< of a full copy, at most what is charged; -1: EC2 does not tell
  std::int64_t created_ms = 0;
  std::map<std::string, std::string> tags;
};

/// An Elastic IP address.
struct AddressRecord {
  std::string id, ip;
  std::string instance;   ///< empty: none
  std::string interface;  ///< of the network, that it is associated with; empty: none
  std::map<std::string, std::string> tags;
};

struct NatGatewayRecord {
  std::string id, vpc;
  std::string state;  ///< "pending", "available", "deleting", "deleted", "failed"
  std::int64_t created_ms = 0;
  std::map<std::string, std::string> tags;
};

struct VpcEndpointRecord {
  std::string id, service;
  std::string type;   ///< "Interface" and "GatewayLoadBalancer" are charged for, "Gateway" is not
  std::string state;  ///< "available", "pending", "deleted" and others
  int zones = 0;      ///< that it has an interface in
  std::int64_t created_ms = 0;
  std::map<std::string, std::string> tags;
};

Result<std::vector<VolumeRecord>> describe_volumes(Client& client, const std::vector<Filter>& filters = {});
/// EC2 knows no ClientToken for this: where the answer is lost it may be attached, and a repeated call fails with the
/// code VolumeInUse. `device`: "/dev/sdf".
Status attach_volume(Client& client, const std::string& volume, const std::string& instance, const std::string& device);
/// Those that the account owns.
Result<std::vector<SnapshotRecord>> describe_own_snapshots(Client& client);
Result<std::vector<AddressRecord>> describe_addresses(Client& client);
Result<std::vector<NatGatewayRecord>> describe_nat_gateways(Client& client);
Result<std::vector<VpcEndpointRecord>> describe_vpc_endpoints(Client& client);
/// In every state.
Result<std::vector<CapacityReservationRecord>> describe_capacity_reservations(Client& client);

// The answers, parsed. Bounded, never throw; corrupt for what is not the answer.
Result<Page<VolumeRecord>> parse_describe_volumes(std::string_view xml);
Result<Page<SnapshotRecord>> parse_describe_snapshots(std::string_view xml);
Result<Page<AddressRecord>> parse_describe_addresses(std::string_view xml);
Result<Page<NatGatewayRecord>> parse_describe_nat_gateways(std::string_view xml);
Result<Page<VpcEndpointRecord>> parse_describe_vpc_endpoints(std::string_view xml);

}  // namespace ferry::aws
