#include "aws/ec2_xml.h"

#include <gtest/gtest.h>

namespace ferry::aws {
namespace {

constexpr const char* describe_instances = R"(<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
  <reservationSet>
    <item>
      <reservationId>r-1</reservationId>
      <instancesSet>
        <item>
          <instanceId>i-1234567890abcdef0</instanceId>
          <imageId>ami-1</imageId>
          <instanceState><code>16</code><name>running</name></instanceState>
          <privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName>
          <dnsName>ec2-203-0-113-25.compute-1.amazonaws.com</dnsName>
          <reason/>
          <keyName>digits &amp; co</keyName>
          <instanceType>g5.xlarge</instanceType>
          <launchTime>2026-01-31T12:00:00.250Z</launchTime>
          <placement><availabilityZone>us-east-1b</availabilityZone><tenancy>default</tenancy></placement>
          <privateIpAddress>10.0.0.1</privateIpAddress>
          <ipAddress>203.0.113.25</ipAddress>
          <clientToken>digits-7k2/1</clientToken>
          <instanceLifecycle>spot</instanceLifecycle>
          <tagSet>
            <item><key>ferry:run</key><value>digits-7k2</value></item>
            <item><key>empty</key><value/></item>
          </tagSet>
        </item>
      </instancesSet>
    </item>
    <item>
      <instancesSet>
        <item>
          <instanceId>i-2</instanceId>
          <instanceState><code>48</code><name>terminated</name></instanceState>
          <dnsName/>
          <reason>User initiated (2026-01-31 12:00:00 GMT)</reason>
          <stateReason><code>Client.UserInitiatedShutdown</code>
            <message>Client.UserInitiatedShutdown: User initiated shutdown</message></stateReason>
        </item>
        <item>
          <instanceId>i-3</instanceId>
          <stateReason><code>Server.SpotInstanceTermination</code><message>taken back</message></stateReason>
        </item>
      </instancesSet>
    </item>
  </reservationSet>
  <nextToken>page-2</nextToken>
</DescribeInstancesResponse>)";

TEST(Ec2Xml, ReadsEveryInstanceOfEveryReservation) {
  const auto page = parse_describe_instances(describe_instances);
  ASSERT_TRUE(page) << describe(page.error());
  ASSERT_EQ(page->items.size(), 3U);
  const auto& first = page->items[0];
  EXPECT_EQ(first.id, "i-1234567890abcdef0");
  EXPECT_EQ(first.state, "running");
  EXPECT_EQ(first.zone, "us-east-1b");
  EXPECT_EQ(first.public_dns, "ec2-203-0-113-25.compute-1.amazonaws.com");
  EXPECT_EQ(first.public_ip, "203.0.113.25");
  EXPECT_EQ(first.key_name, "digits & co");
  EXPECT_EQ(first.client_token, "digits-7k2/1");
  EXPECT_EQ(first.lifecycle, "spot");
  EXPECT_EQ(first.launched_ms, 1'769'860'800'250);
  EXPECT_EQ(first.tags, (std::map<std::string, std::string>{{"ferry:run", "digits-7k2"}, {"empty", ""}}));
  EXPECT_EQ(first.state_reason, "");
  EXPECT_EQ(page->items[1].state_reason, "Client.UserInitiatedShutdown: User initiated shutdown");
  EXPECT_EQ(page->items[2].state_reason, "Server.SpotInstanceTermination: taken back");
  EXPECT_EQ(page->next_token, "page-2");
  EXPECT_EQ(first.transition_ms, 0);
  EXPECT_EQ(page->items[1].transition_ms, 1'769'860'800'000);
}

TEST(Ec2Xml, WhenAStateChangedStandsInItsReason) {
  EXPECT_EQ(parse_transition_time("User initiated (2026-11-28 10:00:00 GMT)"), 1'795'860'000'000);
  EXPECT_EQ(parse_transition_time("Service initiated (a (2026-11-28 10:00:01 GMT)"), 1'795'860'001'000);
  for (const char* none :
       {"", "User initiated", "(2026-11-28 10:00:00)", "(2026-13-28 10:00:00 GMT)", " GMT)", " GMT) (", "( GMT)"}) {
    EXPECT_EQ(parse_transition_time(none), 0) << none;
  }
}

TEST(Ec2Xml, ReadsTheInstanceThatWasRented) {
  const auto instance = parse_run_instances(
      "<RunInstancesResponse><reservationId>r-1</reservationId><instancesSet><item><instanceId>i-9</"
      "instanceId>"
      "<instanceState><code>0</code><name>pending</name></instanceState></item></instancesSet>"
      "</RunInstancesResponse>");
  ASSERT_TRUE(instance);
  EXPECT_EQ(instance->id, "i-9");
  EXPECT_EQ(instance->state, "pending");
}

TEST(Ec2Xml, ReadsTheRootDiskOfAnImage) {
  const auto images = parse_describe_images(
      "<DescribeImagesResponse><imagesSet><item><imageId>ami-7</imageId><name>Deep Learning Base</name>"
      "<architecture>x86_64</architecture><rootDeviceName>/dev/sda1</rootDeviceName>"
      "<creationDate>2026-01-02T03:04:05.000Z</creationDate>"
      "<deprecationTime>2028-01-02T03:04:05.000Z</deprecationTime><blockDeviceMapping>"
      "<item><deviceName>/dev/sdb</deviceName><ebs><volumeSize>8</volumeSize></ebs></item>"
      "<item><deviceName>/dev/sda1</deviceName><ebs><volumeSize>75</volumeSize></ebs></item>"
      "</blockDeviceMapping></item></imagesSet></DescribeImagesResponse>");
  ASSERT_TRUE(images);
  ASSERT_EQ(images->size(), 1U);
  EXPECT_EQ(images->front().root_device, "/dev/sda1");
  EXPECT_EQ(images->front().root_size_gib, 75);
  EXPECT_EQ(images->front().deprecation_time, "2028-01-02T03:04:05.000Z");
}

TEST(Ec2Xml, SplitsIngressRulesBySource) {
  const auto page = parse_describe_security_groups(
      "<DescribeSecurityGroupsResponse><securityGroupInfo><item><groupId>sg-1</groupId><groupName>ferry</"
      "groupName>"
      "<vpcId>vpc-1</vpcId><ipPermissions>"
      "<item><ipProtocol>tcp</ipProtocol><fromPort>20</fromPort><toPort>30</toPort>"
      "<groups><item><userId>1</userId><groupId>sg-2</groupId></item></groups>"
      "<ipRanges><item><cidrIp>203.0.113.7/32</cidrIp></item><item><cidrIp>0.0.0.0/0</cidrIp></item></"
      "ipRanges>"
      "<ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges><prefixListIds/></item>"
      "<item><ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges></item>"
      "<item><ipProtocol>udp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>"
      "<ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges></item>"
      "</ipPermissions></item></securityGroupInfo></DescribeSecurityGroupsResponse>");
  ASSERT_TRUE(page);
  const auto& rules = page->items.at(0).ingress;
  ASSERT_EQ(rules.size(), 6U);
  EXPECT_EQ(rules[0].value, "203.0.113.7/32");
  EXPECT_EQ(rules[2].source, IngressRule::Source::ipv6);
  EXPECT_EQ(rules[3].source, IngressRule::Source::group);
  EXPECT_TRUE(rules[3].covers_tcp(22));
  EXPECT_FALSE(rules[3].covers_tcp(31));
  EXPECT_TRUE(rules[4].covers_tcp(22)) << "all protocols include tcp";
  EXPECT_FALSE(rules[5].covers_tcp(22)) << "udp is not tcp";
}

TEST(Ec2Xml, ReadsWhoIsCalling) {
  const auto caller = parse_get_caller_identity(
      "<GetCallerIdentityResponse "
      "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"
      "<Arn>arn:aws:iam::123456789012:user/alice</Arn><UserId>AIDA</UserId><Account>123456789012</Account>"
      "</GetCallerIdentityResult></GetCallerIdentityResponse>");
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->account, "123456789012");
  EXPECT_EQ(caller->arn, "arn:aws:iam::123456789012:user/alice");
}

TEST(Ec2Xml, WhatIsNotTheExpectedAnswerIsCorrupt) {
  for (const char* bad : {"", "not xml", "<html><body>captive portal</body></html>", "<DescribeInstancesResponse>",
                          "<RunInstancesResponse/>", "\xff\xfe"}) {
    EXPECT_EQ(parse_run_instances(bad).error().kind, Kind::corrupt) << bad;
    const auto page = parse_describe_instances(bad);
    ASSERT_FALSE(page) << bad;
    EXPECT_FALSE(page.error().advice.empty());
  }
  EXPECT_TRUE(parse_describe_instances("<DescribeInstancesResponse/>")) << "no instances is an answer";
}

TEST(Ec2Xml, DeepNestingAndEntitiesAreHarmless) {
  std::string deep = "<DescribeInstancesResponse>";
  for (int i = 0; i < 200'000; ++i) deep += "<item>";
  EXPECT_FALSE(parse_describe_instances(deep));
  for (int i = 0; i < 200'000; ++i) deep += "</item>";
  EXPECT_TRUE(parse_describe_instances(deep + "</DescribeInstancesResponse>"));
  const std::string bomb =
      "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>"
      "<CreateSecurityGroupResponse><groupId>&b;</groupId></CreateSecurityGroupResponse>";
  EXPECT_EQ(parse_create_security_group(bomb).value(), "&b;");
}

TEST(Ec2Xml, TimesThatAreNoTimesAreZero) {
  EXPECT_EQ(parse_iso_time("2026-01-31T12:00:00Z"), 1'769'860'800'000);
  for (const char* bad : {"", "2026-13-31T12:00:00Z", "2026-01-31 12:00:00", "20260131T120000Z"}) {
    EXPECT_EQ(parse_iso_time(bad), 0) << bad;
  }
}

}  // namespace
}  // namespace ferry::aws
