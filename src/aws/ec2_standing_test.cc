#include "aws/ec2_standing.h"

#include <gtest/gtest.h>

#include "aws/load_balancers.h"

namespace ferry::aws {
namespace {

/// With EC2's names of what is around it.
std::string answer(const std::string& action, const std::string& inside) {
  return "<" + action + "Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">" + inside + "</" + action +
         "Response>";
}

TEST(Standing, IsReadAsEc2DocumentsItsAnswers) {
  const auto volumes = parse_describe_volumes(
      answer("DescribeVolumes",
             "<volumeSet><item><volumeId>vol-1</volumeId><size>80</size><availabilityZone>us-east-1a</availabilityZone>"
             "<status>in-use</status><createTime>2026-01-31T12:00:00.000Z</createTime><attachmentSet><item>"
             "<volumeId>vol-1</volumeId><instanceId>i-1</instanceId><device>/dev/sdf</device><status>attaching</status>"
             "<deleteOnTermination>true</deleteOnTermination></item></attachmentSet><status>in-use</"
             "status><tagSet><item><key>a</key>"
             "<value>b</value></item></tagSet><volumeType>gp3</volumeType><iops>3000</iops><throughput>125</throughput>"
             "</item><item><size>1</size></item></volumeSet><nextToken>more</nextToken>"));
  ASSERT_TRUE(volumes) << describe(volumes.error());
  ASSERT_EQ(volumes->items.size(), 1u) << "one without an id is none";
  const auto& volume = volumes->items.front();
  EXPECT_EQ(volume.id, "vol-1");
  EXPECT_EQ(volume.instance, "i-1");
  EXPECT_EQ(volume.state, "in-use");
  EXPECT_EQ(volume.device, "/dev/sdf");
  EXPECT_EQ(volume.attachment, "attaching");
  EXPECT_TRUE(volume.ends_with_instance);
  EXPECT_EQ(volume.type, "gp3");
  EXPECT_EQ(volume.gib, 80);
  EXPECT_EQ(volume.iops, 3000);
  EXPECT_EQ(volume.mib_per_s, 125);
  EXPECT_EQ(volume.created_ms, 1'769'860'800'000);
  EXPECT_EQ(volume.tags.at("a"), "b");
  EXPECT_EQ(volumes->next_token, "more");

  const auto snapshots = parse_describe_snapshots(answer(
      "DescribeSnapshots",
      "<snapshotSet><item><snapshotId>snap-1</snapshotId><volumeSize>100</volumeSize><storageTier>archive</storageTier>"
      "<description>d</description><fullSnapshotSizeInBytes>12</fullSnapshotSizeInBytes></item><item>"
      "<snapshotId>snap-2</snapshotId></item></snapshotSet>"));
  ASSERT_TRUE(snapshots);
  ASSERT_EQ(snapshots->items.size(), 2u);
  EXPECT_TRUE(snapshots->items[0].is_archived);
  EXPECT_EQ(snapshots->items[0].bytes, 12);
  EXPECT_EQ(snapshots->items[1].bytes, -1);

  const auto gateways =
      parse_describe_nat_gateways(answer("DescribeNatGateways",
                                         "<natGatewaySet><item><natGatewayId>nat-1</natGatewayId><vpcId>vpc-1</vpcId>"
                                         "<state>available</state></item></natGatewaySet>"));
  ASSERT_TRUE(gateways);
  EXPECT_EQ(gateways->items.front().state, "available");

  const auto endpoints = parse_describe_vpc_endpoints(
      answer("DescribeVpcEndpoints",
             "<vpcEndpointSet><item><vpcEndpointId>vpce-1</vpcEndpointId><vpcEndpointType>Interface</vpcEndpointType>"
             "<serviceName>s</serviceName><state>Available</state><subnetIdSet><item>subnet-1</item><item>subnet-2"
             "</item></subnetIdSet></item></vpcEndpointSet>"));
  ASSERT_TRUE(endpoints);
  EXPECT_EQ(endpoints->items.front().zones, 2);
  EXPECT_EQ(endpoints->items.front().state, "available");

  const auto addresses = parse_describe_addresses(
      answer("DescribeAddresses",
             "<addressesSet><item><publicIp>203.0.113.7</publicIp><allocationId>eipalloc-1</allocationId>"
             "</item></addressesSet>"));
  ASSERT_TRUE(addresses);
  EXPECT_EQ(addresses->items.front().ip, "203.0.113.7");
}

TEST(Standing, ThatIsAnotherAnswerIsCorrupt) {
  const std::string other = answer("DescribeImages", "");
  EXPECT_EQ(parse_describe_volumes(other).error().kind, Kind::corrupt);
  EXPECT_EQ(parse_describe_snapshots("<").error().kind, Kind::corrupt);
  EXPECT_EQ(parse_load_balancers(other).error().kind, Kind::corrupt);
}

TEST(LoadBalancers, OfBothGenerationsAreReadWithTheMarkOfTheNextPage) {
  const auto page = parse_load_balancers(
      answer("DescribeLoadBalancers",
             "<DescribeLoadBalancersResult><LoadBalancers><member><LoadBalancerArn>arn:1</LoadBalancerArn>"
             "<LoadBalancerName>front</LoadBalancerName><Type>network</Type></member></LoadBalancers>"
             "<NextMarker>m</NextMarker></DescribeLoadBalancersResult>"));
  ASSERT_TRUE(page) << describe(page.error());
  EXPECT_EQ(page->items.front().arn, "arn:1");
  EXPECT_EQ(page->items.front().type, "network");
  EXPECT_EQ(page->next_token, "m");
  const auto classic = parse_classic_load_balancers(
      answer("DescribeLoadBalancers",
             "<DescribeLoadBalancersResult><LoadBalancerDescriptions><member><LoadBalancerName>old</LoadBalancerName>"
             "</member></LoadBalancerDescriptions></DescribeLoadBalancersResult>"));
  ASSERT_TRUE(classic);
  EXPECT_EQ(classic->items.front().type, "classic");
  EXPECT_EQ(classic->items.front().arn, "");
}

}  // namespace
}  // namespace ferry::aws
