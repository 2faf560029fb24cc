#pragma once
/// \file
/// The EC2 calls ferry makes, typed. Requests follow version 2016-11-15 of the EC2 API; answers are read by
/// the parsers in ec2_xml.h. Names are EC2's own. Every call can be repeated safely unless it says otherwise.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "aws/client.h"
#include "aws/ec2_xml.h"
#include "base/units.h"

namespace ferry::aws {

using Tags = std::map<std::string, std::string>;

/// What RunInstances is asked for; one instance.
struct RunInstances {
  std::string image_id, instance_type, key_name, security_group_id;
  std::string zone;          ///< empty: EC2 chooses, or the subnet's
  std::string client_token;  ///< required: with it the call may be repeated
  std::string user_data;     ///< raw bytes
  std::string root_device;   ///< "/dev/sda1"
  int root_size_gib = 0;     ///< 0: the image's own
  bool spot = false;
  bool stops_itself = false;                  ///< a shutdown from inside stops it; else it terminates it
  bool capacity_block = false;                ///< with capacity_reservation_id, which is one
  Tags tags;                                  ///< on the instance and its volumes
  std::string subnet_id;                      ///< empty: the default one of the zone
  std::optional<bool> public_address;         ///< unset: as the subnet does
  std::string instance_profile;               ///< name or ARN of an IAM instance profile; empty: none
  std::string placement_group;                ///< name; empty: none
  std::string capacity_reservation_id;        ///< empty: any open one that matches
  std::string volume_type = "gp3";            ///< of the root disk
  int volume_iops = 0, volume_mib_per_s = 0;  ///< 0: the type's own
  std::optional<Usd> spot_max_price;          ///< an hour; unset: up to the on-demand price
};

/// A filter of a Describe call: any of the values.
struct Filter {
  std::string name;
  std::vector<std::string> values;
};

class Ec2 {
 public:
  explicit Ec2(Client& client) : client_(client) {}

  /// Rents one instance: IMDSv2 required, root volume encrypted and deleted with the instance, a
  /// shutdown from inside terminates, or stops. A spot request is one-time.
  Result<InstanceRecord> run_instances(const RunInstances& request);
  /// All pages. Ids that EC2 does not know are not_found; a filter without match is an empty answer.
  Result<std::vector<InstanceRecord>> describe_instances(const std::vector<std::string>& ids,
                                                         const std::vector<Filter>& filters);
  Status terminate_instance(const std::string& id);
  /// Adds tags, or gives them other values.
  Status create_tags(const std::string& id, const Tags& tags);
  Status stop_instance(const std::string& id);
  Status start_instance(const std::string& id);

  /// `owners` are account ids or aliases ("amazon"). One page: EC2 answers all that match, without those whose
  /// deprecation time is over unless `with_deprecated`.
  Result<std::vector<ImageRecord>> describe_images(const std::vector<std::string>& owners,
                                                   const std::vector<Filter>& filters, bool with_deprecated = false);
  /// A deprecated one, too; not_found if there is no such image here.
  Result<ImageRecord> describe_image(const std::string& id);

  Status import_key_pair(const std::string& name, const std::string& public_key, const Tags& tags);
  Status delete_key_pair(const std::string& name);

  Result<std::vector<SecurityGroupRecord>> describe_security_groups(const std::vector<Filter>& filters);
  /// In `vpc_id`, or in the default VPC when that is empty. Answers the group's id. The name is unique in a
  /// VPC, so a repeated call fails `exists`.
  Result<std::string> create_security_group(const std::string& name, const std::string& description,
                                            const std::string& vpc_id, const Tags& tags);
  /// By name: in the default VPC only. In use: conflict.
  Status delete_security_group_named(const std::string& name);
  Status delete_security_group(const std::string& id);
  Status authorize_ingress(const std::string& group_id, const IngressRule& rule);
  Status revoke_ingress(const std::string& group_id, const std::vector<IngressRule>& rules);
  /// Nothing when the account has none in this region.
  Result<std::optional<std::string>> default_vpc();

 private:
  Client& client_;
};

}  // namespace ferry::aws
