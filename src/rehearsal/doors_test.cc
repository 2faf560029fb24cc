#include "rehearsal/doors.h"

#include <gtest/gtest.h>

#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Doors : testing::Test, TestCloud {
  std::string group = ask("CreateSecurityGroup", {{"GroupName", "g"}, {"GroupDescription", "g"}}).at("//groupId");
  std::string id = launch({{"SecurityGroupId.1", group}});
  Answer rule(const std::string& action, const std::string& cidr, const std::string& from = "22",
              const std::string& to = "22") {
    return ask(action, {{"GroupId", group},
                        {"IpPermissions.1.IpProtocol", "tcp"},
                        {"IpPermissions.1.FromPort", from},
                        {"IpPermissions.1.ToPort", to},
                        {"IpPermissions.1.IpRanges.1.CidrIp", cidr}});
  }
  std::vector<std::string> from() { return machines.doors.at(id).from; }
};

TEST_F(Doors, FollowTheRulesOfTheGroups) {
  EXPECT_TRUE(from().empty()) << "nobody gets in unless a rule says so";
  EXPECT_EQ(rule("AuthorizeSecurityGroupIngress", "203.0.113.7/32").status, 200);
  EXPECT_EQ(from(), std::vector<std::string>{"203.0.113.7/32"});
  EXPECT_EQ(rule("AuthorizeSecurityGroupIngress", "10.0.0.0/8", "23", "100").status, 200);
  EXPECT_EQ(rule("AuthorizeSecurityGroupIngress", "198.51.100.0/24", "0", "65535").status, 200);
  EXPECT_EQ(from(), (std::vector<std::string>{"203.0.113.7/32", "198.51.100.0/24"}));
  EXPECT_EQ(rule("RevokeSecurityGroupIngress", "203.0.113.7/32").status, 200);
  EXPECT_EQ(from(), std::vector<std::string>{"198.51.100.0/24"});
}

TEST_F(Doors, KnowWhereTheCallerIsToday) {
  EXPECT_EQ(machines.doors.at(id).caller, usual_caller);
  ASSERT_TRUE(service->add_fault({{"kind", "caller"}, {"address", "203.0.113.9"}}));
  EXPECT_EQ(machines.doors.at(id).caller, "203.0.113.9");
  EXPECT_EQ(service->caller(), "203.0.113.9");
  for (const char* bad : {"", "x", "1.2.3", "::1"})
    EXPECT_EQ(service->add_fault({{"kind", "caller"}, {"address", bad}}).error().kind, Kind::bad_input) << bad;
  ASSERT_TRUE(service->add_fault({{"kind", "clear"}}));
  EXPECT_EQ(machines.doors.at(id).caller, usual_caller);
}

TEST_F(Doors, OfMachinesWithoutAPublicAddressLetInThePersonsOwnWay) {
  Instance instance;
  instance.has_public_ip = false;
  instance.groups = {group};
  EXPECT_EQ(rule("AuthorizeSecurityGroupIngress", "10.9.8.0/24").status, 200);
  EXPECT_EQ(door_of(state->copy(), instance, usual_caller).caller, "10.9.8.0");
  EXPECT_EQ(rule("RevokeSecurityGroupIngress", "10.9.8.0/24").status, 200);
  EXPECT_TRUE(door_of(state->copy(), instance, usual_caller).from.empty());
}

}  // namespace
}  // namespace ferry::rehearsal
