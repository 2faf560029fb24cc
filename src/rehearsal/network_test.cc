#include <gtest/gtest.h>

#include "rehearsal/catalog.h"
#include "rehearsal/cidr.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Network : testing::Test, TestCloud {
  std::string vpc = ask("CreateVpc", {{"CidrBlock", "127.80.0.0/16"}}).at("//vpc/vpcId");
  std::string subnet = make_subnet("127.80.1.0/24");

  std::string make_subnet(const std::string& cidr) {
    return ask("CreateSubnet", {{"VpcId", vpc}, {"CidrBlock", cidr}, {"AvailabilityZone", "us-east-1b"}})
        .at("//subnet/subnetId");
  }
  std::string make_group(const std::string& name, const std::string& of_vpc) {
    return ask("CreateSecurityGroup", {{"GroupName", name}, {"GroupDescription", "d"}, {"VpcId", of_vpc}})
        .at("//groupId");
  }
  Answer run(Form more) {
    more.insert(more.begin(),
                {{"ImageId", images().front().id}, {"InstanceType", "t3.micro"}, {"MinCount", "1"}, {"MaxCount", "1"}});
    return ask("RunInstances", more);
  }
};

TEST_F(Network, ShowsItsVpcsAndSubnetsBesideTheDefaultOnes) {
  EXPECT_EQ(ask("DescribeVpcs").count("//vpcSet/item"), 2U);
  const auto own = ask("DescribeVpcs", {{"Filter.1.Name", "is-default"}, {"Filter.1.Value.1", "false"}});
  EXPECT_EQ(own.at("//vpcSet/item/vpcId"), vpc);
  EXPECT_EQ(own.at("//vpcSet/item/cidrBlock"), "127.80.0.0/16");
  EXPECT_EQ(ask("DescribeSubnets").count("//subnetSet/item"), 7U);
  const auto shown = ask("DescribeSubnets", {{"Filter.1.Name", "vpc-id"}, {"Filter.1.Value.1", vpc}});
  EXPECT_EQ(shown.at("//subnetSet/item/availabilityZone"), "us-east-1b");
  EXPECT_EQ(shown.at("//availableIpAddressCount"), "251");
  EXPECT_EQ(shown.at("//mapPublicIpOnLaunch"), "false");
  EXPECT_EQ(shown.at("//defaultForAz"), "false");
  EXPECT_EQ(ask("CreateTags", {{"ResourceId.1", subnet}, {"Tag.1.Key", "Name"}, {"Tag.1.Value", "s"}}).status, 200);
  EXPECT_EQ(ask("DescribeSubnets", {{"Filter.1.Name", "tag:Name"}, {"Filter.1.Value.1", "s"}}).at("//subnetId"),
            subnet);
}

TEST_F(Network, RefusesBlocksThatDoNotFit) {
  EXPECT_EQ(ask("CreateVpc", {{"CidrBlock", "10.0.0.0/8"}}).code(), "InvalidVpc.Range");
  EXPECT_EQ(ask("CreateVpc").code(), "MissingParameter");
  const auto subnet_of = [&](const std::string& cidr) {
    return ask("CreateSubnet", {{"VpcId", vpc}, {"CidrBlock", cidr}}).code();
  };
  EXPECT_EQ(subnet_of("127.81.0.0/24"), "InvalidSubnet.Range");
  EXPECT_EQ(subnet_of("127.80.2.0/29"), "InvalidSubnet.Range");
  EXPECT_EQ(subnet_of("127.80.1.128/25"), "InvalidSubnet.Conflict");
  EXPECT_EQ(subnet_of("127.80.0.0/20"), "InvalidSubnet.Conflict");
  EXPECT_EQ(ask("CreateSubnet", {{"VpcId", "vpc-00000000"}, {"CidrBlock", "127.80.2.0/24"}}).code(),
            "InvalidVpcID.NotFound");
}

TEST_F(Network, LaunchesThereWithAPrivateAddressOnly) {
  const auto id = run({{"SubnetId", subnet}}).at("//instanceId");
  settle(2222);
  const auto shown = ask("DescribeInstances", {{"InstanceId.1", id}});
  EXPECT_EQ(shown.at("//instanceState/name"), "running");
  EXPECT_EQ(shown.count("//ipAddress"), 0U);
  EXPECT_EQ(shown.at("//instancesSet/item/dnsName"), "");
  EXPECT_EQ(shown.count("//association"), 0U);
  EXPECT_TRUE(shown.at("//instancesSet/item/privateIpAddress").starts_with("127.80.1."));
  EXPECT_EQ(shown.at("//instancesSet/item/vpcId"), vpc);
  EXPECT_EQ(shown.at("//placement/availabilityZone"), "us-east-1b");
  EXPECT_EQ(shown.at("//tagSet/item[key='ferry:ssh-port']/value"), "2222");
  const auto& spec = machines.specs[id];
  EXPECT_EQ(spec.listen_address, spec.private_ip) << "its sshd is to answer at the private address";
  EXPECT_FALSE(spec.has_public_ip);
  EXPECT_EQ(text_at(spec.metadata, "latest/meta-data/network/interfaces/macs/" + instance(id).mac + "/vpc-id"), vpc);
}

TEST_F(Network, GivesAPublicAddressWhereSubnetOrRequestSaySo) {
  const auto has_one = [&](Form more) {
    const auto id = run(std::move(more)).at("//instanceId");
    settle();
    return ask("DescribeInstances", {{"InstanceId.1", id}}).at("//instancesSet/item/ipAddress") == "127.0.0.9";
  };
  const auto interface = [&](const std::string& of_subnet, const std::string& wanted) {
    return Form{{"NetworkInterface.1.DeviceIndex", "0"},
                {"NetworkInterface.1.SubnetId", of_subnet},
                {"NetworkInterface.1.AssociatePublicIpAddress", wanted}};
  };
  const auto usual =
      ask("DescribeSubnets", {{"Filter.1.Name", "default-for-az"}, {"Filter.1.Value.1", "true"}}).at("//subnetId");
  EXPECT_TRUE(has_one({}));
  EXPECT_TRUE(has_one({{"SubnetId", usual}}));
  EXPECT_FALSE(has_one(interface(usual, "false")));
  EXPECT_FALSE(has_one({{"SubnetId", subnet}}));
  EXPECT_TRUE(has_one(interface(subnet, "true")));
  EXPECT_EQ(ask("ModifySubnetAttribute", {{"SubnetId", subnet}, {"MapPublicIpOnLaunch.Value", "true"}}).at("//return"),
            "true");
  EXPECT_TRUE(has_one({{"SubnetId", subnet}}));
  EXPECT_FALSE(has_one(interface(subnet, "false")));
}

TEST_F(Network, GroupsBelongToOneVpc) {
  const auto here = make_group("web", vpc), there = make_group("web", "");
  EXPECT_EQ(there, "") << "an empty VPC id is none";
  const auto usual = ask("CreateSecurityGroup", {{"GroupName", "web"}, {"GroupDescription", "d"}}).at("//groupId");
  EXPECT_NE(here, usual);
  EXPECT_EQ(ask("CreateSecurityGroup", {{"GroupName", "web"}, {"GroupDescription", "d"}, {"VpcId", vpc}}).code(),
            "InvalidGroup.Duplicate");
  const auto other = run({{"SubnetId", subnet}, {"SecurityGroupId.1", usual}});
  EXPECT_EQ(other.code(), "InvalidParameter");
  EXPECT_EQ(other.at("//Message"),
            "Security group " + usual + " and subnet " + subnet + " belong to different networks.");
  EXPECT_EQ(run({{"SecurityGroupId.1", here}}).code(), "InvalidParameter");
  EXPECT_EQ(run({{"SubnetId", subnet}, {"SecurityGroup.1", "web"}}).code(), "InvalidParameterCombination");
  EXPECT_EQ(run({{"SecurityGroup.1", "web"}}).at("//instancesSet/item/groupSet/item/groupId"), usual);
  EXPECT_EQ(run({{"SubnetId", subnet}, {"SecurityGroupId.1", here}}).at("//item/groupSet/item/groupName"), "web");
  EXPECT_EQ(ask("AuthorizeSecurityGroupIngress",
                {{"GroupId", here}, {"IpPermissions.1.IpProtocol", "-1"}, {"IpPermissions.1.Groups.1.GroupId", usual}})
                .code(),
            "InvalidGroup.NotFound");
  make_group("only-here", vpc);
  EXPECT_EQ(ask("DeleteSecurityGroup", {{"GroupName", "only-here"}}).code(), "InvalidGroup.NotFound");
}

TEST_F(Network, AnInstanceWithoutAGroupGetsTheDefaultOneOfItsVpc) {
  run({{"SubnetId", subnet}});
  EXPECT_EQ(ask("DescribeSecurityGroups", {{"Filter.1.Name", "vpc-id"}, {"Filter.1.Value.1", vpc}}).at("//groupId"),
            ask("DescribeInstances").at("//instancesSet/item/groupSet/item/groupId"));
}

TEST_F(Network, WorksInAnAccountWithoutADefaultVpc) {
  ASSERT_TRUE(service->add_fault({{"kind", "no-default-vpc"}}));
  EXPECT_EQ(run({}).code(), "VPCIdNotSpecified");
  EXPECT_EQ(run({{"SecurityGroup.1", "default"}}).code(), "VPCIdNotSpecified");
  const auto group = make_group("g", vpc);
  const auto launched = run({{"SubnetId", subnet}, {"SecurityGroupId.1", group}});
  EXPECT_EQ(launched.status, 200) << launched.body;
  settle();
  EXPECT_EQ(ask("DescribeInstances").at("//instanceState/name"), "running");
  EXPECT_EQ(ask("DescribeVpcs", {{"Filter.1.Name", "is-default"}, {"Filter.1.Value.1", "true"}}).count("//vpcSet/item"),
            0U);
}

TEST_F(Network, GoesInOrderAndNotWhileUsed) {
  const auto id = run({{"SubnetId", subnet}}).at("//instanceId");
  const auto group = make_group("g", vpc);
  EXPECT_EQ(ask("DeleteSubnet", {{"SubnetId", subnet}}).code(), "DependencyViolation");
  ask("TerminateInstances", {{"InstanceId.1", id}});
  settle();
  EXPECT_EQ(ask("DeleteVpc", {{"VpcId", vpc}}).code(), "DependencyViolation");
  EXPECT_EQ(ask("DeleteSubnet", {{"SubnetId", subnet}}).at("//return"), "true");
  EXPECT_EQ(ask("DeleteSubnet", {{"SubnetId", subnet}}).code(), "InvalidSubnetID.NotFound");
  EXPECT_EQ(ask("DeleteVpc", {{"VpcId", vpc}}).code(), "DependencyViolation");
  EXPECT_EQ(ask("DeleteSecurityGroup", {{"GroupId", group}}).status, 200);
  EXPECT_EQ(ask("DeleteVpc", {{"VpcId", vpc}}).at("//return"), "true");
  EXPECT_EQ(ask("DeleteVpc", {{"VpcId", vpc}}).code(), "InvalidVpcID.NotFound");
  EXPECT_EQ(ask("DescribeSecurityGroups").count("//securityGroupInfo/item"), 1U);
  EXPECT_EQ(ask("DescribeInstances", {{"InstanceId.1", id}}).at("//instanceState/name"), "terminated");
}

TEST_F(Network, ASmallSubnetFillsUp) {
  const auto small = make_subnet("127.80.2.0/28");
  EXPECT_EQ(run({{"SubnetId", small}, {"MaxCount", "20"}}).count("//instancesSet/item"), 11U);
  const auto full = run({{"SubnetId", small}});
  EXPECT_EQ(full.code(), "InsufficientFreeAddressesInSubnet");
  std::set<std::string> addresses;
  state->look([&](const State& now) {
    for (const auto& [id, instance] : now.instances) addresses.insert(instance.private_ip);
  });
  EXPECT_EQ(addresses.size(), 11U);
  EXPECT_TRUE(addresses.contains("127.80.2.4") && addresses.contains("127.80.2.14"));
}

TEST_F(Network, TheDefaultVpcCanBeDeleted) {
  const auto usual = ask("DescribeVpcs", {{"Filter.1.Name", "is-default"}, {"Filter.1.Value.1", "true"}}).at("//vpcId");
  state->update([](State& now) {
    std::erase_if(now.subnets, [](const Subnet& it) { return it.default_for_zone; });
    return true;
  });
  EXPECT_EQ(run({}).code(), "MissingInput");
  EXPECT_EQ(ask("DeleteVpc", {{"VpcId", usual}}).status, 200);
  restart();
  EXPECT_EQ(run({}).code(), "VPCIdNotSpecified");
  EXPECT_EQ(ask("DescribeAvailabilityZones").count("//availabilityZoneInfo/item"), 6U);
  EXPECT_EQ(run({{"SubnetId", subnet}}).status, 200);
}

TEST(OldState, KnowsItsDefaultVpc) {
  Json json = to_json(fresh_state("us-east-1"));
  json.erase("vpcs");
  for (auto& subnet : json["subnets"])
    for (const char* member : {"vpc_id", "maps_public_ip", "default_for_zone"}) subnet.erase(member);
  const auto state = state_from(json);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->vpcs.at(state->vpc_id).cidr, "172.31.0.0/16");
  EXPECT_EQ(state->subnets[0].vpc_id, state->vpc_id);
  EXPECT_TRUE(state->subnets[0].maps_public_ip && state->subnets[0].default_for_zone);
}

TEST(Cidr, IsReadAndCompared) {
  EXPECT_EQ(parse_cidr4("10.1.2.3/16")->text(), "10.1.0.0/16");
  EXPECT_EQ(parse_cidr4("10.1.0.0/16")->size(), 65536);
  for (const char* wrong : {"10.0.0.0", "10.0.0/8", "10.0.0.256/8", "10.0.0.0/33", "a.b.c.d/8", "/", ""})
    EXPECT_FALSE(parse_cidr4(wrong)) << wrong;
  EXPECT_TRUE(parse_cidr4("0.0.0.0/0")->contains(*parse_cidr4("255.1.2.3/32")));
  EXPECT_FALSE(parse_cidr4("10.0.0.0/24")->contains(*parse_cidr4("10.0.0.0/16")));
  EXPECT_TRUE(parse_cidr4("10.0.0.0/24")->overlaps(*parse_cidr4("10.0.0.0/16")));
  EXPECT_FALSE(is_cidr4("10.0.0.1/24"));
}

}  // namespace
}  // namespace ferry::rehearsal
