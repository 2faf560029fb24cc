#pragma once
/// \file
/// The actions of EC2 and of the JSON services, as functions from a request to what stands inside its answer.

#include <string>
#include <string_view>

#include "rehearsal/catalog.h"
#include "rehearsal/faults.h"
#include "rehearsal/filters.h"
#include "rehearsal/machines.h"
#include "rehearsal/model.h"
#include "rehearsal/query.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// One request at work. `state` is a copy: it replaces the real one, durably, only if the action succeeds.
struct Call {
  const Params& params;
  State& state;
  Faults& faults;
  std::int64_t now_ms;
  std::int64_t boot_ms;  ///< the usual time of a boot
  Machines& machines;
  bool has_default_vpc() const { return !state.vpc_id.empty() && !faults.no_default_vpc(); }
};

using Action = Api<Xml> (*)(Call&);

enum class Effect { reads, writes };
struct ActionEntry {
  Action run;
  Effect effect;
};
/// Nothing for an action that is not offered.
const ActionEntry* find_ec2_action(std::string_view name);

/// One request of a JSON service at work. `operation` is what follows the dot of X-Amz-Target; `request` is
/// an object. `state` is a copy, as in Call.
struct JsonCall {
  const std::string& operation;
  const Json& request;
  State& state;
  const Faults& faults;
  std::int64_t now_ms;
  Machines& machines;
  std::string host;  ///< this cloud, as the client calls it: "127.0.0.1:4566"
};
/// By its name. What reads is given a copy of the state that is thrown away.
Effect effect_of_json(std::string_view operation);
Api<Json> run_ssm(JsonCall& call);
Api<Json> run_service_quotas(JsonCall& call);
Api<Json> run_pricing(JsonCall& call);
/// SageMaker, in which nobody can make anything here.
Api<Json> run_sagemaker(JsonCall& call);
/// Elastic Load Balancing, of both generations, likewise.
Api<Xml> run_load_balancing(const std::string& action);
Api<Json> run_instance_connect(JsonCall& call);
Api<Json> start_session(JsonCall& call);
Api<Json> terminate_session(JsonCall& call);

// One family a file.
Api<Xml> run_instances(Call& call);
Api<Xml> describe_instances(Call& call);
Api<Xml> describe_instance_status(Call& call);
Api<Xml> start_instances(Call& call);
Api<Xml> stop_instances(Call& call);
Api<Xml> reboot_instances(Call& call);
Api<Xml> terminate_instances(Call& call);
Api<Xml> describe_instance_attribute(Call& call);
Api<Xml> modify_instance_attribute(Call& call);
Api<Xml> modify_instance_metadata_options(Call& call);
Api<Xml> describe_instance_credit_specifications(Call& call);
Api<Xml> get_console_output(Call& call);
Api<Xml> associate_iam_instance_profile(Call& call);
Api<Xml> describe_iam_instance_profile_associations(Call& call);
Api<Xml> disassociate_iam_instance_profile(Call& call);
Api<Xml> import_key_pair(Call& call);
Api<Xml> create_key_pair(Call& call);
Api<Xml> describe_key_pairs(Call& call);
Api<Xml> delete_key_pair(Call& call);
Api<Xml> create_security_group(Call& call);
Api<Xml> describe_security_groups(Call& call);
Api<Xml> describe_security_group_rules(Call& call);
Api<Xml> delete_security_group(Call& call);
Api<Xml> authorize_security_group_ingress(Call& call);
Api<Xml> authorize_security_group_egress(Call& call);
Api<Xml> revoke_security_group_ingress(Call& call);
Api<Xml> revoke_security_group_egress(Call& call);
Api<Xml> describe_images(Call& call);
Api<Xml> describe_instance_types(Call& call);
Api<Xml> describe_instance_type_offerings(Call& call);
Api<Xml> describe_spot_price_history(Call& call);
Api<Xml> describe_spot_instance_requests(Call& call);
Api<Xml> get_spot_placement_scores(Call& call);
Api<Xml> describe_availability_zones(Call& call);
Api<Xml> describe_regions(Call& call);
Api<Xml> describe_account_attributes(Call& call);
Api<Xml> create_vpc(Call& call);
Api<Xml> delete_vpc(Call& call);
Api<Xml> describe_vpcs(Call& call);
Api<Xml> describe_vpc_attribute(Call& call);
Api<Xml> create_subnet(Call& call);
Api<Xml> delete_subnet(Call& call);
Api<Xml> modify_subnet_attribute(Call& call);
Api<Xml> describe_subnets(Call& call);
Api<Xml> create_capacity_reservation(Call& call);
Api<Xml> cancel_capacity_reservation(Call& call);
Api<Xml> describe_capacity_reservations(Call& call);
Api<Xml> describe_capacity_block_offerings(Call& call);
Api<Xml> purchase_capacity_block(Call& call);
Api<Xml> create_placement_group(Call& call);
Api<Xml> delete_placement_group(Call& call);
Api<Xml> describe_placement_groups(Call& call);
Api<Xml> create_volume(Call& call);
Api<Xml> attach_volume(Call& call);
Api<Xml> detach_volume(Call& call);
Api<Xml> delete_volume(Call& call);
Api<Xml> describe_volumes(Call& call);
// Of what nobody can make here.
Api<Xml> describe_addresses(Call& call);
Api<Xml> describe_nat_gateways(Call& call);
Api<Xml> describe_snapshots(Call& call);
Api<Xml> describe_vpc_endpoints(Call& call);
Api<Xml> describe_network_interfaces(Call& call);
Api<Xml> create_tags(Call& call);
Api<Xml> delete_tags(Call& call);
Api<Xml> describe_tags(Call& call);

}  // namespace ferry::rehearsal
