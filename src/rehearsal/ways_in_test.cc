#include <gtest/gtest.h>

#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Sessions : testing::Test, TestCloud {
  Json start(const std::string& id, Json more = Json::object()) {
    more["Target"] = id;
    return ask_json("ssm", "StartSession", more);
  }
};

TEST_F(Sessions, StartOnARunningInstanceThatHasAProfile) {
  make_profile("p");
  const auto with = launch({{"IamInstanceProfile.Name", "p"}}), without = launch();
  EXPECT_EQ(text_at(start(with), "__type"), "TargetNotConnected") << "it boots";
  settle();
  EXPECT_EQ(text_at(start(without), "__type"), "TargetNotConnected");
  EXPECT_EQ(text_at(start("i-00000000"), "__type"), "TargetNotConnected");
  const auto begun = start(with, {{"DocumentName", "AWS-StartSSHSession"}, {"Parameters", {{"portNumber", {"22"}}}}});
  const auto id = text_at(begun, "SessionId");
  EXPECT_FALSE(text_at(begun, "TokenValue").empty()) << begun;
  EXPECT_EQ(text_at(begun, "StreamUrl"), "ws://127.0.0.1/v1/data-channel/" + id);
  restart();
  EXPECT_EQ(text_at(ask_json("ssm", "TerminateSession", {{"SessionId", id}}), "SessionId"), id);
  EXPECT_EQ(text_at(ask_json("ssm", "TerminateSession", {{"SessionId", id}}), "__type"), "ValidationException");
}

TEST_F(Sessions, AreRefusedForUnknownDocumentsAndPorts) {
  make_profile("p");
  const auto id = launch({{"IamInstanceProfile.Name", "p"}});
  settle();
  EXPECT_EQ(text_at(start(id, {{"DocumentName", "Mine"}}), "__type"), "InvalidDocument");
  for (const Json& port : {Json("22"), Json::array({"0"}), Json::array({"22", "23"}), Json::array({22})})
    EXPECT_EQ(
        text_at(start(id, {{"DocumentName", "AWS-StartSSHSession"}, {"Parameters", {{"portNumber", port}}}}), "__type"),
        "ValidationException")
        << port;
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "ssm:StartSession"}}));
  EXPECT_EQ(text_at(start(id), "__type"), "AccessDeniedException");
}

struct InstanceConnect : testing::Test, TestCloud {
  const std::string key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBlhaZJAe3XU8dJ+zXmF2nBUGTMnmGOzBqZcsKV8eEgT";
  std::string id = launch();
  Json send(Json more = Json::object()) {
    Json request = {{"InstanceId", id}, {"InstanceOSUser", "ubuntu"}, {"SSHPublicKey", key + " me"}};
    request.update(more);
    return ask_json("ec2-instance-connect", "SendSSHPublicKey", request);
  }
};

TEST_F(InstanceConnect, LendsAKeyToTheLoginUserOfARunningInstanceForAMinute) {
  EXPECT_EQ(text_at(send(), "__type"), "EC2InstanceStateInvalidException");
  settle();
  const auto sent = send({{"AvailabilityZone", "us-east-1a"}});
  EXPECT_EQ(sent.value("Success", false), true) << sent;
  EXPECT_EQ(machines.asked.back(), "lend " + id + " " + key + " 60000");
  EXPECT_EQ(send({{"InstanceOSUser", "nobody"}}).value("Success", false), true) << "AWS does not know either";
  EXPECT_EQ(std::count_if(machines.asked.begin(), machines.asked.end(),
                          [](const std::string& it) { return it.starts_with("lend "); }),
            1);
}

TEST_F(InstanceConnect, RefusesWhatIsNoInstanceZoneOrKey) {
  settle();
  EXPECT_EQ(text_at(send({{"InstanceId", "i-00000000"}}), "__type"), "EC2InstanceNotFoundException");
  EXPECT_EQ(text_at(send({{"AvailabilityZone", "us-east-1f"}}), "__type"), "EC2InstanceNotFoundException");
  EXPECT_EQ(text_at(send({{"SSHPublicKey", "ssh-ed25519 AAAA"}}), "__type"), "InvalidArgsException");
  EXPECT_EQ(text_at(send({{"SSHPublicKey", "command=\"x\" " + key}}), "__type"), "InvalidArgsException");
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "ec2-instance-connect:SendSSHPublicKey"}}));
  EXPECT_EQ(text_at(send(), "__type"), "AccessDeniedException");
}

}  // namespace
}  // namespace ferry::rehearsal
