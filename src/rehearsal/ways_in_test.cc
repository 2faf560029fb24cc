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
  const auto with = launch({{"IamInstanceProfile.Name", "p"}}), without = launch();
  EXPECT_EQ(text_at(start(with), "__type"), "TargetNotConnected") << "it boots";
  settle();
  EXPECT_EQ(text_at(start(without), "__type"), "TargetNotConnected");
  EXPECT_EQ(text_at(start("i-00000000"), "__type"), "TargetNotConnected");
  const auto begun =
      start(with, {{"DocumentName", "AWS-StartSSHSession"}, {"Parameters", {{"portNumber", {"22"}}}}});
  const auto id = text_at(begun, "SessionId");
  EXPECT_FALSE(text_at(begun, "TokenValue").empty()) << begun;
  EXPECT_EQ(text_at(begun, "StreamUrl"), "ws://127.0.0.1/v1/data-channel/" + id);
  restart();
  EXPECT_EQ(text_at(ask_json("ssm", "TerminateSession", {{"SessionId", id}}), "SessionId"), id);
  EXPECT_EQ(text_at(ask_json("ssm", "TerminateSession", {{"SessionId", id}}), "__type"),
            "ValidationException");
}

TEST_F(Sessions, AreRefusedForUnknownDocumentsAndPorts) {
  const auto id = launch({{"IamInstanceProfile.Name", "p"}});
  settle();
  EXPECT_EQ(text_at(start(id, {{"DocumentName", "Mine"}}), "__type"), "InvalidDocument");
  for (const Json& port : {Json("22"), Json::array({"0"}), Json::array({"22", "23"}), Json::array({22})})
    EXPECT_EQ(
        text_at(start(id, {{"DocumentName", "AWS-StartSSHSession"}, {"Parameters", {{"portNumber", port}}}}),
                "__type"),
        "ValidationException")
        << port;
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "ssm:StartSession"}}));
  EXPECT_EQ(text_at(start(id), "__type"), "AccessDeniedException");
}

}  // namespace
}  // namespace ferry::rehearsal
