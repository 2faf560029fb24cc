// Every typed call, made against the server of tests/aws/calls.py, which checks each request against AWS's
// own model of it.

#include <gtest/gtest.h>

#include "aws/autoscaling.h"
#include "aws/ec2.h"
#include "aws/ec2_account.h"
#include "aws/ec2_catalog.h"
#include "aws/ec2_standing.h"
#include "aws/fis.h"
#include "aws/iam.h"
#include "aws/launch_templates.h"
#include "aws/load_balancers.h"
#include "aws/machine_access.h"
#include "aws/permissions.h"
#include "aws/person.h"
#include "aws/pricing.h"
#include "aws/quotas.h"
#include "aws/sagemaker.h"
#include "aws/ssm.h"
#include "aws/sts.h"
#include "os/env.h"

namespace ferry::aws {
namespace {

class EveryCall : public testing::Test {
 protected:
  void SetUp() override {
    const auto url = os::env("FERRY_CAPTURE_URL");
    if (!url) GTEST_SKIP() << "FERRY_CAPTURE_URL is not set";
    url_ = *url;
  }
  Client client(const std::string& session_token = "") const {
    return Client({.credentials = fixed_provider({"AKIDEXAMPLE", "secret", session_token, ""}),
                   .region = "eu-west-1",
                   .endpoint_url = url_,
                   .service_endpoints = {},
                   .max_attempts = 1},
                  *http_, os::system_clock());
  }
  template <class T>
  static void must(const Result<T>& result) {
    EXPECT_TRUE(result) << describe(result.error());
  }

  std::string url_;
  std::unique_ptr<os::HttpClient> http_ = os::make_http_client();
};

RunInstances full_order() {
  return {.image_id = "ami-0123456789abcdef0",
          .instance_type = "g5.xlarge",
          .key_name = "clé & co",
          .security_group_id = "sg-1",
          .zone = "eu-west-1a",
          .client_token = "t/1",
          .user_data = std::string("#!/bin/sh\n\0\xff", 12),
          .root_device = "/dev/sda1",
          .root_size_gib = 80,
          .spot = true,
          .tags = {{"ferry:run", "r + 1"}, {"Name", "été"}},
          .placement_group = "near",
          .capacity_reservation_id = "cr-1",
          .volume_type = "gp3",
          .volume_iops = 6000,
          .volume_mib_per_s = 500,
          .spot_max_price = Usd{1'250'000}};
}

TEST_F(EveryCall, OfEc2) {
  auto connection = client();
  Ec2 ec2(connection);
  must(ec2.run_instances(full_order()));
  auto other = full_order();
  other.spot = false;
  other.subnet_id = "subnet-1";
  other.public_address = true;
  other.instance_profile = "arn:aws:iam::123456789012:instance-profile/x";
  must(ec2.run_instances(other));
  other.public_address = std::nullopt;
  other.instance_profile = "x";
  must(ec2.run_instances(other));
  must(ec2.describe_instances({}, {{"tag:ferry:run", {"a", "b"}}, {"instance-state-name", {"running"}}}));
  must(ec2.describe_instances({"i-1", "i-2"}, {}));
  must(ec2.terminate_instance("i-1"));
  must(ec2.create_tags("i-1", {{"a", "b"}, {"c", "{\"d\": 1}"}}));
  must(ec2.stop_instance("i-1"));
  must(ec2.start_instance("i-1"));
  must(ec2.describe_images({"amazon"}, {{"name", {"Deep*"}}}));
  must(ec2.describe_image("ami-1"));
  must(ec2.import_key_pair("k", "ssh-ed25519 AAAA", {{"a", "b"}}));
  must(ec2.delete_key_pair("k"));
  must(ec2.describe_security_groups({{"group-name", {"g"}}}));
  must(ec2.create_security_group("g", "ferry", "vpc-1", {{"a", "b"}}));
  must(ec2.delete_security_group_named("g"));
  must(ec2.delete_security_group("sg-1"));
  using Source = IngressRule::Source;
  for (const auto source : {Source::ipv4, Source::ipv6, Source::group, Source::prefix_list}) {
    must(ec2.authorize_ingress("sg-1", {"tcp", 22, 22, source, "203.0.113.7/32"}));
  }
  must(ec2.revoke_ingress("sg-1", {{"-1", -1, -1, Source::ipv4, "0.0.0.0/0"}, {"tcp", 1, 2, Source::ipv6, "::/0"}}));
  must(ec2.default_vpc());
}

TEST_F(EveryCall, OfTheCatalog) {
  auto connection = client("token//+=");
  must(describe_instance_types(connection));
  must(describe_instance_types(connection, {"g5.xlarge", "t3.micro"}, {{"current-generation", {"true"}}}));
  must(describe_instance_type_offerings(connection));
  must(describe_instance_type_offerings(connection, {"g5.xlarge"}));
  must(describe_spot_prices(connection, {"g5.xlarge"}));
  must(describe_spot_price_history(connection, {"g5.xlarge", "g6.xlarge"}, 1'700'000'000'000));
  must(get_spot_placement_scores(connection, {"g5.xlarge", "g6.xlarge", "g4dn.xlarge"}, 1, {"us-east-1", "eu-west-1"}));
  must(describe_regions(connection));
  must(describe_regions(connection, true));
  must(describe_availability_zones(connection));
  must(describe_vpcs(connection, {{"is-default", {"true"}}}));
  must(describe_subnets(connection, {{"vpc-id", {"vpc-1"}}}));
}

TEST_F(EveryCall, OfWhatAnAccountHas) {
  auto connection = client();
  auto block = full_order();
  block.spot = false;
  block.capacity_block = true;
  must(Ec2(connection).run_instances(block));
  must(describe_key_pairs(connection, std::vector<std::string>{"clé & co"}));
  must(describe_key_pairs(connection, Filter{"tag:ferry:owner", {"me@here"}}));
  must(describe_capacity_reservation(connection, "cr-1"));
  must(purchase_capacity_block(connection, "cb-0123456789abcdefa",
                               {{"ferry:purchase", "buy-1"}, {"ferry:owner", "me"}}));
  must(describe_capacity_block_offerings(connection, {"p5.48xlarge", 2, 48, 1'800'000'000'000}));
  must(send_ssh_public_key(connection, "i-0123456789abcdef0", "ubuntu",
                           "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB6bkGNfVmdbgbyZbGOZvsVNQy6HyKcQLTgVyTKFqgQR x"));
  must(start_ssh_session(connection, "i-0123456789abcdef0", 22));
  must(terminate_session(connection, "me-0123456789abcdef0"));
}

TEST_F(EveryCall, OfWhatStandsInAnAccount) {
  auto connection = client();
  must(describe_volumes(connection));
  must(describe_volumes(connection, {{"tag:Name", {"my data"}}, {"volume-id", {"vol-1", "vol-2"}}}));
  const auto attached = attach_volume(connection, "vol-0123456789abcdef0", "i-0123456789abcdef0", "/dev/sdf");
  EXPECT_TRUE(attached) << describe(attached.error());
  must(describe_own_snapshots(connection));
  must(describe_addresses(connection));
  must(describe_nat_gateways(connection));
  must(describe_vpc_endpoints(connection));
  must(describe_capacity_reservations(connection));
  must(describe_load_balancers(connection));
  must(list_sagemaker_endpoints(connection));
  must(list_sagemaker_notebooks(connection));
}

TEST_F(EveryCall, OfTheOtherServices) {
  auto connection = client();
  must(get_caller_identity(connection));
  must(assume_role(connection, {.role_arn = "arn:aws:iam::123456789012:role/x",
                                .session_name = "ferry-1",
                                .external_id = "e/1",
                                .mfa_serial = "arn:aws:iam::123456789012:mfa/me",
                                .mfa_code = "123456",
                                .duration_seconds = 900}));
  must(get_parameter(connection, "/aws/service/x"));
  must(get_prices(connection, "eu-west-1"));
  must(get_prices(connection, "", "g5.xlarge"));
  must(get_service_quota(connection, "ec2", "L-1216C47A"));
  must(list_service_quotas(connection, "ec2"));
  must(list_quota_requests(connection, "ec2"));
  must(request_service_quota_increase(connection, "ec2", "L-DB2E81BA", 8));
  Client without_keys(
      {.credentials = nullptr, .region = "eu-west-1", .endpoint_url = url_, .service_endpoints = {}, .max_attempts = 1},
      *http_, os::system_clock());
  must(assume_role_with_web_identity(without_keys, {.role_arn = "arn:aws:iam::123456789012:role/x",
                                                    .session_name = "ferry-1",
                                                    .token = "eyJhbGciOi",
                                                    .duration_seconds = 900}));
}

TEST_F(EveryCall, OfRolesOfMachines) {
  auto connection = client();
  const std::string document = R"({"Version":"2012-10-17","Statement":[]})", role = "ferry-r", profile = "ferry-p";
  const std::string arn = iam_arn("eu-west-1", "123456789012", "policy", "/ferry/", "ferry-store");
  must(create_role(connection, {.name = role,
                                .path = "/ferry/",
                                .trust = document,
                                .boundary = arn,
                                .description = "stores by itself",
                                .tags = {{"ferry:owner", "me@here"}, {"ferry:run", "r"}}}));
  must(get_role(connection, role));
  must(list_roles(connection, "/ferry/"));
  must(put_role_policy(connection, role, "ferry-store", document));
  must(create_instance_profile(connection, profile, "/ferry/", {{"ferry:run", "r"}}));
  must(get_instance_profile(connection, profile));
  must(list_instance_profiles(connection, "/ferry/"));
  must(add_role_to_instance_profile(connection, profile, role));
  must(remove_role_from_instance_profile(connection, profile, role));
  must(delete_instance_profile(connection, profile));
  must(delete_role_policy(connection, role, "ferry-store"));
  must(delete_role(connection, role));
  must(create_policy(connection, "ferry-store", "/ferry/", document, "what stores"));
  must(get_policy(connection, arn));
  must(get_policy_version(connection, arn, "v1"));
  must(replace_policy(connection, arn, document));
}

TEST_F(EveryCall, OfAnInterruption) {
  auto connection = client();
  const std::map<std::string, std::string> tags = {{"ferry:owner", "me@here"}};
  must(create_interruption_template(connection,
                                    {.instance_arn = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0",
                                     .role_arn = "arn:aws:iam::123456789012:role/ferry/ferry-interrupt-r",
                                     .description = "ferry interrupt r",
                                     .client_token = "t1",
                                     .tags = tags}));
  must(start_experiment(connection, "EXT1", "t2", tags));
  must(get_experiment(connection, "EXP1"));
  const auto deleted = delete_experiment_template(connection, "EXT1");
  EXPECT_TRUE(deleted) << describe(deleted.error());
}

TEST_F(EveryCall, OfMachinesThatStandIn) {
  auto connection = client();
  auto other = full_order();
  other.public_address = false;
  must(create_launch_template(connection, "ferry-r", full_order(), {{"ferry:run", "r + 1"}}));
  must(create_launch_template_version(connection, "ferry-r", other));
  must(describe_launch_template(connection, "ferry-r"));
  must(describe_launch_templates(connection, {{"tag:ferry:owner", {"me@here"}}}));
  must(delete_launch_template(connection, "ferry-r"));
  const ScalingGroupOrder order{.name = "ferry-r",
                                .machine = {"lt-0123456789abcdef0", 2},
                                .subnet_ids = {"subnet-1", "subnet-2"},
                                .tags = {{"ferry:run", "r + 1"}, {"Name", "été"}}};
  must(create_scaling_group(connection, order));
  must(update_scaling_group(connection, order));
  must(suspend_processes(connection, "ferry-r", {"AZRebalance"}));
  must(attach_instance(connection, "ferry-r", "i-0123456789abcdef0"));
  must(set_desired_capacity(connection, "ferry-r", 0));
  must(schedule_end(connection, "ferry-r", 1'800'000'000'000));
  must(describe_scaling_groups(connection, {"ferry-r"}));
  must(describe_scaling_groups(connection, {}, {{"tag:ferry:owner", {"me@here"}}}));
  must(delete_scaling_group(connection, "ferry-r"));
}

TEST_F(EveryCall, OfSingleSignOn) {
  Person person;
  person.env["AWS_ENDPOINT_URL"] = url_;
  person.write("config",
               "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Train er\n"
               "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n");
  person.write(
      "sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",  // named by the SHA-1 of "corp"
      R"({"accessToken":"A","expiresAt":"2020-01-01T00:00:00Z","clientId":"C","clientSecret":"S","refreshToken":"R"})");
  must(person.credentials());
}

TEST_F(EveryCall, AsATrial) {
  auto connection = client();
  for (const auto action : trial_actions()) {
    EXPECT_EQ(dry_run(connection, action).permission, Permission::allowed) << action;
  }
}

}  // namespace
}  // namespace ferry::aws
