#include "rehearsal/autoscaling.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct ScalingGroups : testing::Test, TestCloud {
  ScalingGroups() { make_template("ferry-r"); }
  Form machine(const std::string& prefix) const {
    return {{prefix + "ImageId", image_id()},
            {prefix + "InstanceType", "g4dn.xlarge"},
            {prefix + "InstanceMarketOptions.MarketType", "spot"},
            {prefix + "UserData", "IyEvYmluL3NoCg=="},
            {prefix + "TagSpecification.1.ResourceType", "instance"},
            {prefix + "TagSpecification.1.Tag.1.Key", "ferry:run"},
            {prefix + "TagSpecification.1.Tag.1.Value", "r"}};
  }
  static std::string image_id() {
    for (const auto& image : images())
      if (image.arch == "x86_64") return image.id;
    return "";
  }
  void make_template(const std::string& name) {
    auto form = machine("LaunchTemplateData.");
    form.emplace_back("LaunchTemplateName", name);
    template_id = ask("CreateLaunchTemplate", form).at("//launchTemplateId");
  }
  Answer make_group(Form more = {}) {
    Form form = {{"AutoScalingGroupName", "ferry-r"},
                 {"LaunchTemplate.LaunchTemplateId", template_id},
                 {"LaunchTemplate.Version", "1"},
                 {"MinSize", "0"},
                 {"MaxSize", "1"},
                 {"DesiredCapacity", "0"},
                 {"VPCZoneIdentifier", subnets()},
                 {"Tags.member.1.Key", "ferry:owner"},
                 {"Tags.member.1.Value", "me"},
                 {"Tags.member.1.PropagateAtLaunch", "true"}};
    for (auto& each : more) form.push_back(std::move(each));
    return ask_autoscaling("CreateAutoScalingGroup", form);
  }
  std::string subnets() const {
    std::vector<std::string> ids;
    for (const auto& subnet : store.saved.subnets) ids.push_back(subnet.id);
    return join(ids, ",");
  }
  Answer of(const std::string& action, Form more = {}) {
    more.emplace_back("AutoScalingGroupName", "ferry-r");
    return ask_autoscaling(action, more);
  }
  Answer attach(const std::string& id) { return of("AttachInstances", {{"InstanceIds.member.1", id}}); }
  Answer desire(int count) { return of("SetDesiredCapacity", {{"DesiredCapacity", std::to_string(count)}}); }
  Answer group() {
    return ask_autoscaling("DescribeAutoScalingGroups", {{"AutoScalingGroupNames.member.1", "ferry-r"}});
  }
  std::string member() { return group().at("//Instances/member/InstanceId"); }
  /// A spot machine that runs, in the group.
  std::string attached() {
    make_group();
    const auto id = launch({{"InstanceType", "g4dn.xlarge"}, {"InstanceMarketOptions.MarketType", "spot"}});
    settle();
    EXPECT_EQ(attach(id).status, 200);
    return id;
  }
  std::int64_t living() {
    std::int64_t count = 0;
    state->look([&](const State& now) {
      for (const auto& [id, it] : now.instances) count += it.phase == Phase::pending || it.phase == Phase::running;
    });
    return count;
  }
  std::string template_id;
};

TEST_F(ScalingGroups, AMachineIsPutInAndRaisesTheDesiredCapacity) {
  const auto id = attached();
  const auto now = group();
  EXPECT_EQ(now.at("//DesiredCapacity"), "1");
  EXPECT_EQ(now.at("//Instances/member/InstanceId"), id);
  EXPECT_EQ(now.at("//Instances/member/LifecycleState"), "InService");
  EXPECT_EQ(now.at("//Instances/member/HealthStatus"), "Healthy");
  EXPECT_EQ(store.saved.tags[id]["aws:autoscaling:groupName"], "ferry-r");
  settle();
  EXPECT_EQ(living(), 1) << "nothing is launched while it lives";
}

TEST_F(ScalingGroups, AMachineThatIsTakenBackIsReplacedFromTheTemplate) {
  const auto id = attached();
  ASSERT_TRUE(service->interrupt(id, 0));
  clock.advance(Millis(120'000));
  lifecycle->pass();  // taken
  EXPECT_EQ(living(), 0) << "never two: the next waits until it has ended";
  for (int i = 0; i < 3; ++i) lifecycle->pass();
  const auto next = member();
  EXPECT_NE(next, id);
  EXPECT_EQ(living(), 1);
  const auto made = instance(next);
  EXPECT_EQ(made.type, "g4dn.xlarge");
  EXPECT_EQ(made.user_data, "IyEvYmluL3NoCg==");
  EXPECT_FALSE(made.spot_request_id.empty());
  const auto tags = store.saved.tags[next];
  EXPECT_EQ(tags.at("ferry:run"), "r");
  EXPECT_EQ(tags.at("ferry:owner"), "me");
  EXPECT_EQ(tags.at("aws:autoscaling:groupName"), "ferry-r");
  EXPECT_EQ(tags.at("aws:ec2launchtemplate:id"), template_id);
  settle();
  EXPECT_EQ(group().at("//Instances/member/LifecycleState"), "InService");
}

TEST_F(ScalingGroups, OneThatSomebodyTerminatesIsReplacedToo) {
  const auto id = attached();
  ask("TerminateInstances", {{"InstanceId.1", id}});
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_NE(member(), id);
  EXPECT_EQ(living(), 1);
}

TEST_F(ScalingGroups, WithoutDesireTheMachineEndsAndNoneFollows) {
  const auto id = attached();
  EXPECT_EQ(desire(0).status, 200);
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_EQ(instance(id).phase, Phase::terminated);
  EXPECT_EQ(member(), "");
  EXPECT_EQ(living(), 0);
  EXPECT_EQ(desire(2).code(), "ValidationError");
  EXPECT_EQ(living(), 0);
}

TEST_F(ScalingGroups, WhatIsAttachedMustRunAndFit) {
  make_group();
  const auto pending = launch();
  EXPECT_EQ(attach(pending).code(), "ValidationError");
  settle();
  const auto other = launch();
  settle();
  EXPECT_EQ(attach(pending).status, 200);
  EXPECT_EQ(attach(pending).code(), "ValidationError") << "it is in a group";
  const auto over = attach(other);
  EXPECT_EQ(over.code(), "ValidationError");
  EXPECT_NE(over.at("//Message").find("max-size=1"), std::string::npos);
  EXPECT_EQ(attach("i-0123456789abcdef0").code(), "ValidationError");
}

TEST_F(ScalingGroups, AtItsTimeAScheduledActionLeavesNone) {
  const auto id = attached();
  const auto at = os::iso_time(clock.now + 60'000);
  const Form end = {
      {"ScheduledActionName", "end"}, {"StartTime", at}, {"MinSize", "0"}, {"MaxSize", "0"}, {"DesiredCapacity", "0"}};
  EXPECT_EQ(of("PutScheduledUpdateGroupAction", end).status, 200);
  EXPECT_EQ(of("DescribeScheduledActions").at("//StartTime"), at);
  restart();
  EXPECT_LE(lifecycle->pass().count(), 60'000);
  clock.advance(Millis(60'000));
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_EQ(instance(id).phase, Phase::terminated);
  EXPECT_EQ(group().at("//MaxSize"), "0");
  EXPECT_EQ(desire(1).code(), "ValidationError");
  EXPECT_EQ(of("DescribeScheduledActions").count("//ScheduledActionName"), 0u);
  EXPECT_EQ(of("PutScheduledUpdateGroupAction", end).code(), "ValidationError") << "it is in the past";
}

TEST_F(ScalingGroups, WithoutCapacityItIsTriedAgainLaterEachTime) {
  make_group({{"DefaultCooldown", "1"}});
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}, {"type", "g4dn.xlarge"}}));
  EXPECT_EQ(desire(1).status, 200);
  const auto wait = lifecycle->pass();
  EXPECT_EQ(wait.count(), 1000);
  lifecycle->pass();
  auto seen = of("DescribeScalingActivities");
  EXPECT_EQ(seen.count("//Activities/member"), 1u) << "not before a second is over";
  EXPECT_EQ(seen.at("//StatusCode"), "Failed");
  EXPECT_NE(seen.at("//StatusMessage").find("sufficient g4dn.xlarge capacity"), std::string::npos);
  clock.advance(Millis(1000));
  EXPECT_EQ(lifecycle->pass().count(), 2000);
  ASSERT_TRUE(service->add_fault({{"kind", "clear"}}));
  clock.advance(Millis(2000));
  lifecycle->pass();
  EXPECT_EQ(living(), 1);
  EXPECT_EQ(of("DescribeScalingActivities").at("//StatusCode"), "Successful");
}

TEST_F(ScalingGroups, AZoneWithoutCapacityLeavesTheOthers) {
  make_group();
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}, {"type", "g4dn.xlarge"}, {"zone", "us-east-1a"}}));
  desire(1);
  lifecycle->pass();
  EXPECT_EQ(instance(member()).zone, "us-east-1b");
}

TEST_F(ScalingGroups, ByForceAGroupGoesWithItsMachine) {
  const auto id = attached();
  EXPECT_EQ(of("DeleteAutoScalingGroup").code(), "ResourceInUse");
  EXPECT_EQ(of("DeleteAutoScalingGroup", {{"ForceDelete", "true"}}).status, 200);
  EXPECT_EQ(group().at("//Status"), "Delete in progress");
  EXPECT_EQ(desire(0).code(), "ScalingActivityInProgress");
  EXPECT_EQ(make_group().code(), "AlreadyExists");
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_EQ(instance(id).phase, Phase::terminated);
  EXPECT_EQ(group().count("//AutoScalingGroups/member"), 0u);
  const auto gone = of("DeleteAutoScalingGroup", {{"ForceDelete", "true"}});
  EXPECT_EQ(gone.code(), "ValidationError");
  EXPECT_NE(gone.at("//Message").find("not found"), std::string::npos);
}

TEST_F(ScalingGroups, AReplacementSurvivesAServerThatDiesAtAnyPass) {
  const auto id = attached();
  ask("TerminateInstances", {{"InstanceId.1", id}});
  for (int i = 0; i < 5; ++i) {
    lifecycle->pass();
    restart();
  }
  EXPECT_NE(member(), id);
  EXPECT_EQ(living(), 1);
}

TEST_F(ScalingGroups, WhatIsSuspendedIsNotDone) {
  const auto id = attached();
  EXPECT_EQ(of("SuspendProcesses", {{"ScalingProcesses.member.1", "Launch"}}).status, 200);
  EXPECT_EQ(group().at("//SuspendedProcesses/member/ProcessName"), "Launch");
  ask("TerminateInstances", {{"InstanceId.1", id}});
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_EQ(living(), 0);
  of("ResumeProcesses");
  lifecycle->pass();
  EXPECT_EQ(living(), 1);
  EXPECT_EQ(of("SuspendProcesses", {{"ScalingProcesses.member.1", "Lunch"}}).code(), "ValidationError");
}

TEST_F(ScalingGroups, AGroupThatCannotBeIsRefused) {
  const auto refused = [&](const std::string& name, const std::string& value) {
    return make_group({{name, value}}).code();
  };
  EXPECT_EQ(refused("MinSize", "2"), "ValidationError");
  EXPECT_EQ(refused("DesiredCapacity", "2"), "ValidationError");
  EXPECT_EQ(refused("MaxSize", "many"), "ValidationError");
  EXPECT_EQ(refused("VPCZoneIdentifier", "subnet-0123456789abcdef0"), "ValidationError");
  EXPECT_EQ(refused("LaunchTemplate.Version", "7"), "ValidationError");
  EXPECT_EQ(refused("LaunchTemplate.LaunchTemplateId", "lt-0123456789abcdef0"), "ValidationError");
  EXPECT_EQ(refused("MixedInstancesPolicy.X", "1"), "ValidationError");
  EXPECT_EQ(refused("Tags.member.1.Key", "aws:x"), "ValidationError");
  auto form = machine("LaunchTemplateData.");
  form.emplace_back("LaunchTemplateName", "bad");
  form.emplace_back("LaunchTemplateData.KeyName", "nobodys");
  const auto bad = ask("CreateLaunchTemplate", form).at("//launchTemplateId");
  EXPECT_EQ(refused("LaunchTemplate.LaunchTemplateId", bad), "ValidationError");
  EXPECT_EQ(make_group().status, 200);
  EXPECT_EQ(make_group().code(), "AlreadyExists");
}

TEST_F(ScalingGroups, PermissionsAreAskedFor) {
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "iam:CreateServiceLinkedRole"}}));
  EXPECT_EQ(make_group().code(), "AccessDenied");
  ASSERT_TRUE(service->add_fault({{"kind", "clear"}}));
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "ec2:RunInstances"}}));
  EXPECT_EQ(make_group().code(), "AccessDenied");
  ASSERT_TRUE(service->add_fault({{"kind", "clear"}}));
  ASSERT_TRUE(service->add_fault({{"kind", "throttle"}, {"count", 1}}));
  EXPECT_EQ(make_group().code(), "Throttling");
  EXPECT_EQ(make_group().status, 200);
}

TEST_F(ScalingGroups, AMachinesRoleMayWhatItsPolicySaysOfOneGroup) {
  make_profile("p",
               R"({"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"autoscaling:SetDesiredCapacity",)"
               R"("Resource":"arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/ferry-r"}})");
  make_group();
  const auto id = launch({{"IamInstanceProfile.Name", "p"}});
  settle();
  ASSERT_EQ(attach(id).status, 200);
  AccessKey own;
  state->look([&](const State& now) {
    for (const auto& [key_id, session] : now.iam.sessions) own = {key_id, session.secret, session.token};
  });
  ASSERT_FALSE(own.id.empty());
  const auto as_machine = [&](const std::string& action, const std::string& name) {
    return send(signed_form(
        {{"Action", action}, {"Version", "2011-01-01"}, {"AutoScalingGroupName", name}, {"DesiredCapacity", "0"}}, own,
        clock.now, "autoscaling"));
  };
  EXPECT_EQ(as_machine("SetDesiredCapacity", "ferry-other").code(), "AccessDenied");
  EXPECT_EQ(as_machine("DeleteAutoScalingGroup", "ferry-r").code(), "AccessDenied");
  EXPECT_EQ(as_machine("DescribeAutoScalingGroups", "ferry-r").code(), "AccessDenied");
  EXPECT_EQ(as_machine("SetDesiredCapacity", "ferry-r").status, 200);
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_EQ(instance(id).phase, Phase::terminated);
  EXPECT_EQ(living(), 0);
}

TEST_F(ScalingGroups, AreFoundByTheirTags) {
  make_group();
  const auto found = [&](const std::string& name, const std::string& value) {
    return ask_autoscaling("DescribeAutoScalingGroups",
                           {{"Filters.member.1.Name", name}, {"Filters.member.1.Values.member.1", value}})
        .count("//AutoScalingGroups/member");
  };
  EXPECT_EQ(found("tag:ferry:owner", "me"), 1u);
  EXPECT_EQ(found("tag:ferry:owner", "you"), 0u);
  EXPECT_EQ(found("tag-key", "ferry:owner"), 1u);
}

TEST_F(ScalingGroups, ANewVersionOfTheTemplateIsWhatTheNextMachineIs) {
  auto form = machine("LaunchTemplateData.");
  form.emplace_back("LaunchTemplateId", template_id);
  for (auto& [name, value] : form)
    if (name.ends_with("InstanceType")) value = "g5.xlarge";
  const auto made = ask("CreateLaunchTemplateVersion", form);
  EXPECT_EQ(made.at("//versionNumber"), "2");
  EXPECT_EQ(made.at("//launchTemplateData/instanceType"), "g5.xlarge");
  const auto id = attached();
  EXPECT_EQ(
      of("UpdateAutoScalingGroup", {{"LaunchTemplate.LaunchTemplateId", template_id}, {"LaunchTemplate.Version", "2"}})
          .status,
      200);
  EXPECT_EQ(member(), id);
  ask("TerminateInstances", {{"InstanceId.1", id}});
  for (int i = 0; i < 4; ++i) lifecycle->pass();
  EXPECT_EQ(instance(member()).type, "g5.xlarge");
}

TEST_F(ScalingGroups, TemplatesAreToldBackAndGone) {
  const auto versions = ask("DescribeLaunchTemplateVersions", {{"LaunchTemplateName", "ferry-r"}});
  EXPECT_EQ(versions.at("//launchTemplateData/tagSpecificationSet/item/tagSet/item/key"), "ferry:run");
  EXPECT_EQ(versions.at("//launchTemplateData/instanceMarketOptions/marketType"), "spot");
  auto form = machine("LaunchTemplateData.");
  form.emplace_back("LaunchTemplateName", "ferry-r");
  EXPECT_EQ(ask("CreateLaunchTemplate", form).code(), "InvalidLaunchTemplateName.AlreadyExistsException");
  form.back().second = "a b";
  EXPECT_EQ(ask("CreateLaunchTemplate", form).code(), "InvalidLaunchTemplateName.MalformedException");
  EXPECT_EQ(ask("CreateLaunchTemplate", {{"LaunchTemplateName", "empty"}}).code(), "MissingParameter");
  std::string deep = "LaunchTemplateData.a";
  for (int i = 0; i < 100; ++i) deep += ".a";
  for (const auto& name : {deep, std::string("LaunchTemplateData.a..b"), std::string("LaunchTemplateData.<a")})
    EXPECT_EQ(ask("CreateLaunchTemplate", {{"LaunchTemplateName", "odd"}, {name, "x"}}).code(), "UnknownParameter");
  restart();
  EXPECT_EQ(ask("DescribeLaunchTemplates").at("//launchTemplateName"), "ferry-r");
  EXPECT_EQ(ask("DeleteLaunchTemplate", {{"LaunchTemplateName", "ferry-r"}}).status, 200);
  EXPECT_EQ(ask("DeleteLaunchTemplate", {{"LaunchTemplateName", "ferry-r"}}).code(),
            "InvalidLaunchTemplateName.NotFoundException");
  EXPECT_EQ(ask("DescribeLaunchTemplates", {{"LaunchTemplateId.1", template_id}}).code(),
            "InvalidLaunchTemplateId.NotFound");
}

TEST_F(ScalingGroups, AGroupWhoseTemplateIsGoneNotesWhyItLaunchesNothing) {
  make_group();
  ask("DeleteLaunchTemplate", {{"LaunchTemplateId", template_id}});
  desire(1);
  lifecycle->pass();
  EXPECT_EQ(living(), 0);
  EXPECT_NE(of("DescribeScalingActivities").at("//StatusMessage").find("does not exist"), std::string::npos);
}

}  // namespace
}  // namespace ferry::rehearsal
