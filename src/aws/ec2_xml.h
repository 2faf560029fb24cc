#pragma once
/// \file
/// EC2's and STS's XML answers, parsed. Bytes from outside: every parser is bounded, never throws, and
/// answers Kind::corrupt for what is not the answer it expects. Members that are absent stay empty.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "aws/credentials.h"
#include "aws/paging.h"
#include "base/error.h"

namespace ferry::aws {

/// One <item> of an <instancesSet>.
struct InstanceRecord {
  std::string id, type, zone;
  std::string state;  ///< EC2's word: pending, running, shutting-down, terminated, stopping, stopped
  std::string public_dns, public_ip, private_ip;
  std::string client_token, key_name;
  std::string state_reason;  ///< "CODE: message", or EC2's transition reason
  std::string lifecycle;     ///< "spot", or empty
  std::int64_t launched_ms = 0;
  std::int64_t transition_ms = 0;  ///< of the last change of state, where EC2's reason for it says so; or 0
  std::map<std::string, std::string> tags;
};

struct ImageRecord {
  std::string id, name, architecture, root_device, creation_date;
  std::string deprecation_time;  ///< from then on its owner advises against it; empty: no day is set
  int root_size_gib = 0;
  std::vector<std::string> snapshots;  ///< that its disks are made from
};

/// One source that may come in: an ipPermission split by its sources, so that each has exactly one.
struct IngressRule {
  enum class Source { ipv4, ipv6, group, prefix_list };
  std::string protocol;  ///< "tcp", "udp", "icmp", "-1" for all
  int from_port = -1, to_port = -1;
  Source source = Source::ipv4;
  std::string value;  ///< a CIDR, a group id or a prefix list id
  bool operator==(const IngressRule&) const = default;
  /// True if a connection to this tcp port may come in by it.
  bool covers_tcp(int port) const {
    return protocol == "-1" || ((protocol == "tcp" || protocol == "6") && from_port <= port && port <= to_port);
  }
};

struct SecurityGroupRecord {
  std::string id, name, vpc_id;
  std::vector<IngressRule> ingress;
  std::map<std::string, std::string> tags;
};

struct CallerIdentity {
  std::string account, arn, user_id;
};

Result<Page<InstanceRecord>> parse_describe_instances(std::string_view xml);
/// The one instance of a RunInstances answer.
Result<InstanceRecord> parse_run_instances(std::string_view xml);
Result<std::vector<ImageRecord>> parse_describe_images(std::string_view xml);
Result<Page<SecurityGroupRecord>> parse_describe_security_groups(std::string_view xml);
/// The new group's id.
Result<std::string> parse_create_security_group(std::string_view xml);
Result<CallerIdentity> parse_get_caller_identity(std::string_view xml);
/// The credentials of an answer to `action`: AssumeRole or AssumeRoleWithWebIdentity.
Result<Credentials> parse_assume_role(std::string_view xml, const std::string& action);

/// The time at the end of "User initiated (2026-01-31 12:00:00 GMT)" in milliseconds since 1970; 0 if there is
/// none.
std::int64_t parse_transition_time(std::string_view reason);

/// "2026-01-31T12:00:00.000Z" in milliseconds since 1970; 0 if it is not one.
std::int64_t parse_iso_time(std::string_view text);

}  // namespace ferry::aws
