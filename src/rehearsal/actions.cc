#include "rehearsal/actions.h"

#include "rehearsal/launch_templates.h"

namespace ferry::rehearsal {

const ActionEntry* find_ec2_action(std::string_view name) {
  using enum Effect;
  static const std::map<std::string_view, ActionEntry> all = {
      {"AssociateIamInstanceProfile", {associate_iam_instance_profile, writes}},
      {"AttachVolume", {attach_volume, writes}},
      {"AuthorizeSecurityGroupEgress", {authorize_security_group_egress, writes}},
      {"AuthorizeSecurityGroupIngress", {authorize_security_group_ingress, writes}},
      {"CancelCapacityReservation", {cancel_capacity_reservation, writes}},
      {"CreateCapacityReservation", {create_capacity_reservation, writes}},
      {"CreateKeyPair", {create_key_pair, writes}},
      {"CreateLaunchTemplate", {create_launch_template, writes}},
      {"CreateLaunchTemplateVersion", {create_launch_template_version, writes}},
      {"CreatePlacementGroup", {create_placement_group, writes}},
      {"CreateSecurityGroup", {create_security_group, writes}},
      {"CreateSubnet", {create_subnet, writes}},
      {"CreateTags", {create_tags, writes}},
      {"CreateVolume", {create_volume, writes}},
      {"CreateVpc", {create_vpc, writes}},
      {"DeleteKeyPair", {delete_key_pair, writes}},
      {"DeleteLaunchTemplate", {delete_launch_template, writes}},
      {"DeletePlacementGroup", {delete_placement_group, writes}},
      {"DeleteSecurityGroup", {delete_security_group, writes}},
      {"DeleteSubnet", {delete_subnet, writes}},
      {"DeleteTags", {delete_tags, writes}},
      {"DeleteVolume", {delete_volume, writes}},
      {"DeleteVpc", {delete_vpc, writes}},
      {"DescribeAccountAttributes", {describe_account_attributes, reads}},
      {"DescribeAddresses", {describe_addresses, reads}},
      {"DescribeAvailabilityZones", {describe_availability_zones, reads}},
      {"DescribeCapacityBlockOfferings", {describe_capacity_block_offerings, writes}},  // offers are kept
      {"DescribeCapacityReservations", {describe_capacity_reservations, reads}},
      {"DescribeIamInstanceProfileAssociations", {describe_iam_instance_profile_associations, reads}},
      {"DescribeImages", {describe_images, reads}},
      {"DescribeInstanceAttribute", {describe_instance_attribute, reads}},
      {"DescribeInstanceCreditSpecifications", {describe_instance_credit_specifications, reads}},
      {"DescribeInstanceStatus", {describe_instance_status, reads}},
      {"DescribeInstanceTypeOfferings", {describe_instance_type_offerings, reads}},
      {"DescribeInstanceTypes", {describe_instance_types, reads}},
      {"DescribeInstances", {describe_instances, reads}},
      {"DescribeKeyPairs", {describe_key_pairs, reads}},
      {"DescribeLaunchTemplateVersions", {describe_launch_template_versions, reads}},
      {"DescribeLaunchTemplates", {describe_launch_templates, reads}},
      {"DescribeNatGateways", {describe_nat_gateways, reads}},
      {"DescribeNetworkInterfaces", {describe_network_interfaces, reads}},
      {"DescribePlacementGroups", {describe_placement_groups, reads}},
      {"DescribeRegions", {describe_regions, reads}},
      {"DescribeSecurityGroupRules", {describe_security_group_rules, reads}},
      {"DescribeSecurityGroups", {describe_security_groups, reads}},
      {"DescribeSnapshots", {describe_snapshots, reads}},
      {"DescribeSpotInstanceRequests", {describe_spot_instance_requests, reads}},
      {"DescribeSpotPriceHistory", {describe_spot_price_history, reads}},
      {"DescribeSubnets", {describe_subnets, reads}},
      {"DescribeTags", {describe_tags, reads}},
      {"DescribeVolumes", {describe_volumes, reads}},
      {"DescribeVpcAttribute", {describe_vpc_attribute, reads}},
      {"DescribeVpcEndpoints", {describe_vpc_endpoints, reads}},
      {"DescribeVpcs", {describe_vpcs, reads}},
      {"DetachVolume", {detach_volume, writes}},
      {"GetConsoleOutput", {get_console_output, reads}},
      {"GetSpotPlacementScores", {get_spot_placement_scores, reads}},
      {"DisassociateIamInstanceProfile", {disassociate_iam_instance_profile, writes}},
      {"ImportKeyPair", {import_key_pair, writes}},
      {"ModifyInstanceAttribute", {modify_instance_attribute, writes}},
      {"ModifyInstanceMetadataOptions", {modify_instance_metadata_options, writes}},
      {"ModifyLaunchTemplate", {modify_launch_template, writes}},
      {"ModifySubnetAttribute", {modify_subnet_attribute, writes}},
      {"PurchaseCapacityBlock", {purchase_capacity_block, writes}},
      {"RebootInstances", {reboot_instances, writes}},
      {"RevokeSecurityGroupEgress", {revoke_security_group_egress, writes}},
      {"RevokeSecurityGroupIngress", {revoke_security_group_ingress, writes}},
      {"RunInstances", {run_instances, writes}},
      {"StartInstances", {start_instances, writes}},
      {"StopInstances", {stop_instances, writes}},
      {"TerminateInstances", {terminate_instances, writes}},
  };
  const auto found = all.find(name);
  return found == all.end() ? nullptr : &found->second;
}

Effect effect_of_json(std::string_view operation) {
  for (const std::string_view verb : {"Request", "Start", "Terminate"})
    if (operation.starts_with(verb)) return Effect::writes;
  return Effect::reads;
}

}  // namespace ferry::rehearsal
