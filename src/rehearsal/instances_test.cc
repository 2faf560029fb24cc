#include <gtest/gtest.h>

#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Instances : testing::Test, TestCloud {
  std::string ami = images().front().id;
  Form order(Form more = {}) {
    more.insert(more.begin(), {{"ImageId", ami}, {"InstanceType", "t3.micro"}, {"MinCount", "1"}, {"MaxCount", "1"}});
    return more;
  }
  std::string phase(const std::string& id) {
    return ask("DescribeInstances", {{"InstanceId.1", id}}).at("//instanceState/name");
  }
};

TEST_F(Instances, ArePendingAtOnceAndRunningOnceTheirSshdAnswers) {
  const auto answer = ask("RunInstances", order());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.at("//instancesSet/item/instanceState/name"), "pending");
  const auto id = answer.at("//instanceId");
  lifecycle->pass();
  EXPECT_EQ(phase(id), "pending");
  machines.come_up(id, "127.77.0.1", 22);
  lifecycle->pass();
  EXPECT_EQ(phase(id), "pending") << "its boot time has not passed";
  clock.advance(Millis(500));
  lifecycle->pass();
  const auto shown = ask("DescribeInstances");
  EXPECT_EQ(shown.at("//instanceState/name"), "running");
  EXPECT_EQ(shown.at("//instancesSet/item/ipAddress"), "127.77.0.1");
  EXPECT_EQ(shown.at("//instancesSet/item/dnsName"), "127.77.0.1");
  EXPECT_TRUE(shown.at("//privateIpAddress").starts_with("172.31."));
  EXPECT_EQ(shown.count("//tagSet/item"), 0U);
}

TEST_F(Instances, SayTheirSshPortInATagWhenItIsNot22) {
  const auto id = launch();
  settle(2222);
  EXPECT_EQ(ask("DescribeInstances").at("//tagSet/item[key='ferry:ssh-port']/value"), "2222");
  ask("StopInstances", {{"InstanceId.1", id}});
  settle();
  EXPECT_EQ(ask("DescribeInstances").count("//tagSet/item"), 0U);
}

TEST_F(Instances, TheSameTokenRentsOnceAndOtherParametersAreRefused) {
  const auto first = ask("RunInstances", order({{"ClientToken", "t-1"}}));
  const auto again = ask("RunInstances", order({{"ClientToken", "t-1"}}));
  EXPECT_EQ(first.at("//instanceId"), again.at("//instanceId"));
  EXPECT_EQ(ask("DescribeInstances").count("//instanceId[starts-with(., 'i-')]"), 1U);
  const auto other = ask("RunInstances", order({{"ClientToken", "t-1"}, {"KeyName", "x"}}));
  EXPECT_EQ(other.status, 400);
  EXPECT_EQ(other.code(), "IdempotentParameterMismatch");
  EXPECT_EQ(ask("DescribeInstances", {{"Filter.1.Name", "client-token"}, {"Filter.1.Value.1", "t-1"}})
                .count("//instancesSet/item"),
            1U);
}

TEST_F(Instances, ADryRunChangesNothing) {
  const auto answer = ask("RunInstances", order({{"DryRun", "true"}}));
  EXPECT_EQ(answer.status, 412);
  EXPECT_EQ(answer.code(), "DryRunOperation");
  EXPECT_EQ(ask("DescribeInstances").count("//instancesSet/item"), 0U);
}

TEST_F(Instances, WrongOrdersAreRefusedWithAwsOwnCodes) {
  const auto other_arch =
      std::find_if(images().begin(), images().end(), [](const Image& image) { return image.arch == "arm64"; })->id;
  const std::vector<std::pair<Form, std::string>> cases = {
      {{{"ImageId", "ami-00000000000000000"}}, "InvalidAMIID.NotFound"},
      {{{"ImageId", "ami-xyz"}}, "InvalidAMIID.Malformed"},
      {{{"ImageId", ""}}, "MissingParameter"},
      {{{"ImageId", other_arch}}, "InvalidParameterValue"},
      {{{"InstanceType", "t9.huge"}}, "InvalidParameterValue"},
      {{{"MinCount", "0"}}, "InvalidParameterValue"},
      {{{"MinCount", "3"}}, "InvalidParameterCombination"},
      {{{"MaxCount", "many"}}, "InvalidParameterValue"},
      {{{"KeyName", "absent"}}, "InvalidKeyPair.NotFound"},
      {{{"SecurityGroupId.1", "sg-00000000000000000"}}, "InvalidGroup.NotFound"},
      {{{"SecurityGroupId.1", "mine"}}, "InvalidGroupId.Malformed"},
      {{{"SubnetId", "subnet-00000000000000000"}}, "InvalidSubnetID.NotFound"},
      {{{"Placement.AvailabilityZone", "us-east-1z"}}, "InvalidParameterValue"},
      {{{"UserData", "%%%"}}, "InvalidParameterValue"},
      {{{"UserData", base64(std::string(16385, 'x'))}}, "InvalidParameterValue"},
      {{{"InstanceInitiatedShutdownBehavior", "explode"}}, "InvalidParameterValue"},
      {{{"BlockDeviceMapping.1.DeviceName", "/dev/sda1"}, {"BlockDeviceMapping.1.Ebs.VolumeSize", "1"}},
       "InvalidBlockDeviceMapping"},
      {{{"TagSpecification.1.ResourceType", "moon"}, {"TagSpecification.1.Tag.1.Key", "a"}}, "InvalidParameterValue"},
      {{{"TagSpecification.1.ResourceType", "instance"}, {"TagSpecification.1.Tag.1.Key", "aws:x"}},
       "InvalidParameterValue"},
      {{{"IamInstanceProfile.Name", "no spaces"}}, "InvalidParameterValue"},
      {{{"IamInstanceProfile.Name", "unknown"}}, "InvalidParameterValue"},
      {{{"IamInstanceProfile.Arn", "arn:aws:iam::1:role/x"}}, "InvalidParameterValue"},
      {{{"InstanceType", "g5.xlarge"},
        {"InstanceMarketOptions.MarketType", "spot"},
        {"InstanceMarketOptions.SpotOptions.MaxPrice", "0.0001"}},
       "SpotMaxPriceTooLow"},
  };
  for (const auto& [changed, code] : cases) {
    auto form = order();
    for (const auto& change : changed) {
      std::erase_if(form, [&](const auto& field) { return field.first == change.first; });
      form.push_back(change);
    }
    const auto answer = ask("RunInstances", form);
    EXPECT_EQ(answer.code(), code) << changed[0].first << "=" << changed[0].second.substr(0, 40) << "\n" << answer.body;
    EXPECT_EQ(answer.status, 400);
  }
  EXPECT_EQ(ask("DescribeInstances").count("//instancesSet/item"), 0U);
}

TEST_F(Instances, AProfileIsShownAndInMetadata) {
  make_profile("trainer");
  const auto id = ask("RunInstances", order({{"IamInstanceProfile.Name", "trainer"}})).at("//instanceId");
  const auto arn = fmt::format("arn:aws:iam::{}:instance-profile/trainer", account_id);
  const auto shown =
      ask("DescribeInstances", {{"Filter.1.Name", "iam-instance-profile.name"}, {"Filter.1.Value.1", "trainer"}});
  EXPECT_EQ(shown.at("//iamInstanceProfile/arn"), arn);
  lifecycle->pass();
  const auto info = parse_json(text_at(machines.lives[id].metadata, "latest/meta-data/iam/info"));
  ASSERT_TRUE(info);
  EXPECT_EQ(text_at(*info, "InstanceProfileArn"), arn);
  EXPECT_EQ(text_at(*info, "InstanceProfileId"), shown.at("//iamInstanceProfile/id"));
  const auto by_arn = ask("RunInstances", order({{"IamInstanceProfile.Arn", arn}}));
  EXPECT_EQ(by_arn.at("//iamInstanceProfile/id"), shown.at("//iamInstanceProfile/id"));
}

TEST_F(Instances, AProfileNeedsPassRoleUnderDryRunToo) {
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "iam:PassRole"}}));
  const Form profile = {{"IamInstanceProfile.Name", "trainer"}};
  EXPECT_EQ(ask("RunInstances", order(profile)).code(), "UnauthorizedOperation");
  auto dry = profile;
  dry.push_back({"DryRun", "true"});
  const auto refused = ask("RunInstances", order(dry));
  EXPECT_EQ(refused.code(), "UnauthorizedOperation");
  EXPECT_NE(refused.at("//Message").find("iam:PassRole"), std::string::npos);
  EXPECT_EQ(ask("RunInstances", order({{"DryRun", "true"}})).code(), "DryRunOperation");
}

TEST_F(Instances, CountsTagsDisksAndSpotAreHonoured) {
  const auto answer = ask("RunInstances", {{"ImageId", ami},
                                           {"InstanceType", "g5.xlarge"},
                                           {"MinCount", "2"},
                                           {"MaxCount", "3"},
                                           {"InstanceMarketOptions.MarketType", "spot"},
                                           {"BlockDeviceMapping.1.DeviceName", "/dev/sda1"},
                                           {"BlockDeviceMapping.1.Ebs.VolumeSize", "100"},
                                           {"BlockDeviceMapping.1.Ebs.Encrypted", "true"},
                                           {"TagSpecification.1.ResourceType", "instance"},
                                           {"TagSpecification.1.Tag.1.Key", "ferry:run"},
                                           {"TagSpecification.1.Tag.1.Value", "a & <b>"},
                                           {"TagSpecification.2.ResourceType", "volume"},
                                           {"TagSpecification.2.Tag.1.Key", "disk"}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.count("//instancesSet/item"), 3U);
  EXPECT_EQ(answer.at("//instanceLifecycle"), "spot");
  const auto volumes = ask("DescribeVolumes", {{"Filter.1.Name", "tag-key"}, {"Filter.1.Value.1", "disk"}});
  EXPECT_EQ(volumes.count("//volumeSet/item"), 3U);
  EXPECT_EQ(volumes.at("//size"), "100");
  EXPECT_EQ(volumes.at("//encrypted"), "true");
  const auto tagged = ask("DescribeInstances", {{"Filter.1.Name", "tag:ferry:run"}, {"Filter.1.Value.1", "a*<b>"}});
  EXPECT_EQ(tagged.count("//instancesSet/item"), 3U);
  EXPECT_EQ(tagged.at("//tagSet/item/value"), "a & <b>");
}

TEST_F(Instances, GetANewAddressAfterAStopAndKeepTheirDisk) {
  const auto id = launch();
  settle();
  EXPECT_TRUE(machines.specs[id].first_boot);
  EXPECT_EQ(ask("StopInstances", {{"InstanceId.1", id}}).at("//currentState/name"), "stopping");
  settle();
  EXPECT_EQ(phase(id), "stopped");
  EXPECT_EQ(ask("DescribeInstances").at("//instancesSet/item/ipAddress"), "");
  EXPECT_EQ(ask("StartInstances", {{"InstanceId.1", id}}).at("//currentState/name"), "pending");
  lifecycle->pass();
  machines.come_up(id, "127.77.0.2", 22);
  clock.advance(Millis(500));
  lifecycle->pass();
  EXPECT_EQ(ask("DescribeInstances").at("//instancesSet/item/ipAddress"), "127.77.0.2");
  EXPECT_FALSE(machines.specs[id].first_boot);
}

TEST_F(Instances, ATerminatedOneLeavesNothingAndVanishesAfterAnHour) {
  const auto id = launch({{"ClientToken", "gone"}});
  settle();
  EXPECT_EQ(ask("TerminateInstances", {{"InstanceId.1", id}}).at("//previousState/name"), "running");
  settle();
  EXPECT_EQ(machines.asked.back(), "destroy " + id);
  EXPECT_EQ(phase(id), "terminated");
  EXPECT_EQ(ask("TerminateInstances", {{"InstanceId.1", id}}).status, 200) << "ending twice is calm";
  EXPECT_EQ(ask("DescribeVolumes").count("//volumeSet/item"), 0U);
  clock.advance(Millis(3'600'000));
  lifecycle->pass();
  EXPECT_EQ(ask("DescribeInstances", {{"InstanceId.1", id}}).code(), "InvalidInstanceID.NotFound");
  EXPECT_NE(launch({{"ClientToken", "gone"}}), id) << "the token is forgotten with it";
}

TEST_F(Instances, APowerOffFromInsideStopsOrTerminatesAsOrdered) {
  const auto stops = launch(), ends = launch({{"InstanceInitiatedShutdownBehavior", "terminate"}});
  settle();
  machines.power_off(stops);
  machines.power_off(ends);
  lifecycle->pass();
  lifecycle->pass();
  EXPECT_EQ(phase(stops), "stopped");
  EXPECT_EQ(phase(ends), "terminated");
  EXPECT_EQ(instance(ends).reason_code, "Client.InstanceInitiatedShutdown");
}

TEST_F(Instances, ASuddenDeathIsTheServersError) {
  const auto id = launch();
  settle();
  lifecycle->crash_at(id, clock.now + 1000);
  lifecycle->pass();
  EXPECT_EQ(phase(id), "running");
  clock.advance(Millis(1000));
  lifecycle->pass();
  lifecycle->pass();
  EXPECT_EQ(phase(id), "terminated");
  EXPECT_EQ(ask("DescribeInstances").at("//stateReason/code"), "Server.InternalError");
}

TEST_F(Instances, ThatCannotBootAreTerminated) {
  machines.next_boot = fail(Kind::io, "no memory");
  const auto id = launch();
  lifecycle->pass();
  lifecycle->pass();
  EXPECT_EQ(phase(id), "terminated");
}

TEST_F(Instances, ARebootKeepsStateAndAddress) {
  const auto id = launch();
  settle();
  EXPECT_EQ(ask("RebootInstances", {{"InstanceId.1", id}}).at("//return"), "true");
  settle();
  EXPECT_EQ(phase(id), "running");
  EXPECT_FALSE(machines.specs[id].first_boot);
  EXPECT_EQ(std::count(machines.asked.begin(), machines.asked.end(), "boot " + id), 2);
}

TEST_F(Instances, WrongStatesAndProtectionAreRefused) {
  const auto id = launch({{"DisableApiTermination", "true"}});
  EXPECT_EQ(ask("StopInstances", {{"InstanceId.1", id}}).code(), "IncorrectInstanceState");
  settle();
  EXPECT_EQ(ask("TerminateInstances", {{"InstanceId.1", id}}).code(), "OperationNotPermitted");
  EXPECT_EQ(ask("ModifyInstanceAttribute", {{"InstanceId", id}, {"DisableApiTermination.Value", "false"}}).status, 200);
  EXPECT_EQ(ask("ModifyInstanceAttribute", {{"InstanceId", id}, {"InstanceType.Value", "t3.small"}}).code(),
            "IncorrectInstanceState");
  EXPECT_EQ(ask("TerminateInstances", {{"InstanceId.1", id}}).status, 200);
  EXPECT_EQ(ask("StartInstances", {{"InstanceId.1", id}}).code(), "IncorrectInstanceState");
  EXPECT_EQ(ask("TerminateInstances", {{"InstanceId.1", "i-00000000"}}).code(), "InvalidInstanceID.NotFound");
  EXPECT_EQ(ask("TerminateInstances", {{"InstanceId.1", "nonsense"}}).code(), "InvalidInstanceID.Malformed");
  EXPECT_EQ(ask("TerminateInstances").code(), "MissingParameter");
}

TEST_F(Instances, SurviveAKillOfTheServer) {
  const auto booting = launch(), ending = launch();
  lifecycle->pass();
  ask("TerminateInstances", {{"InstanceId.1", ending}});
  restart();
  settle();
  EXPECT_EQ(phase(booting), "running");
  EXPECT_EQ(phase(ending), "terminated");
  EXPECT_EQ(std::count(machines.asked.begin(), machines.asked.end(), "boot " + booting), 1)
      << "found alive, not booted twice";
}

TEST_F(Instances, NothingChangesWhenTheStateCannotBeSaved) {
  store.full = true;
  const auto answer = ask("RunInstances", order());
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.code(), "InternalError");
  EXPECT_EQ(ask("DescribeInstances").count("//instancesSet/item"), 0U);
}

TEST_F(Instances, ComeInPages) {
  for (int i = 0; i < 7; ++i) launch();
  std::set<std::string> seen;
  std::string token;
  int pages = 0;
  do {
    Form form = {{"MaxResults", "5"}};
    if (!token.empty()) form.emplace_back("NextToken", token);
    const auto page = ask("DescribeInstances", form);
    for (const auto& node : page.xml.select_nodes("//instancesSet/item/instanceId"))
      seen.insert(node.node().text().get());
    token = page.at("//nextToken");
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(ask("DescribeInstances", {{"MaxResults", "2"}}).code(), "InvalidParameterValue");
  EXPECT_EQ(ask("DescribeInstances", {{"MaxResults", "5"}, {"NextToken", "zzz"}}).code(), "InvalidNextToken");
}

TEST_F(Instances, AreToldTheirMetadata) {
  ask("CreateTags");
  const auto id = launch({{"MetadataOptions.InstanceMetadataTags", "enabled"},
                          {"UserData", base64("#!/bin/sh\n")},
                          {"TagSpecification.1.ResourceType", "instance"},
                          {"TagSpecification.1.Tag.1.Key", "Name"},
                          {"TagSpecification.1.Tag.1.Value", "box"}});
  lifecycle->pass();
  const auto& spec = machines.specs[id];
  EXPECT_EQ(spec.user_data, "#!/bin/sh\n");
  EXPECT_EQ(spec.metadata["latest/meta-data/instance-id"], id);
  EXPECT_EQ(spec.metadata["latest/meta-data/tags/instance/Name"], "box");
  EXPECT_EQ(spec.metadata["latest/user-data"], "#!/bin/sh\n");
  EXPECT_TRUE(spec.imds_token_required);
}

}  // namespace
}  // namespace ferry::rehearsal
