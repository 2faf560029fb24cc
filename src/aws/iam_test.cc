#include "aws/iam.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/errors.h"
#include "aws/scripted_http.h"

namespace ferry::aws {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Iam {
  ScriptedHttp http;
  os::FakeClock clock;
  Client client{{.credentials = fixed_provider({"AKIDEXAMPLE", "secret", "", "given"}),
                 .region = "eu-west-1",
                 .endpoint_url = "",
                 .service_endpoints = {},
                 .max_attempts = 1},
                http,
                clock};

  void reply(const std::string& action, const std::string& result = {}) {
    http.reply(200, "<" + action + "Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><" + action +
                        "Result>" + result + "</" + action + "Result></" + action + "Response>");
  }
  void reply_fault(const std::string& code, int status = 409) {
    http.reply(status, "<ErrorResponse><Error><Type>Sender</Type><Code>" + code +
                           "</Code><Message>because</Message></Error></ErrorResponse>");
  }
  std::vector<std::string> actions() const {
    std::vector<std::string> all;
    for (const auto& one : http.asked) {
      const auto at = one.body.find('=') + 1;
      all.push_back(one.body.substr(at, one.body.find('&') - at));
    }
    return all;
  }
};

std::string role_xml(const std::string& boundary, const std::string& owner, const std::string& path = "/ferry/") {
  return "<Role><Path>" + path +
         "</Path><RoleName>ferry-a</RoleName><Arn>arn:aws:iam::123456789012:role/ferry/ferry-a</Arn>"
         "<CreateDate>2026-11-29T02:00:00Z</CreateDate>" +
         (boundary.empty() ? ""
                           : "<PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>"
                             "<PermissionsBoundaryArn>" +
                                 boundary + "</PermissionsBoundaryArn></PermissionsBoundary>") +
         "<Tags><member><Key>ferry:owner</Key><Value>" + owner + "</Value></member></Tags></Role>";
}

const RoleOrder wanted{.name = "ferry-a",
                       .path = "/ferry/",
                       .trust = "{}",
                       .boundary = "arn:b",
                       .description = "x",
                       .tags = {{"ferry:owner", "me@here"}}};

TEST(IamCalls, AreSignedForTheOnePlaceThatIamHas) {
  Iam iam;
  iam.reply("CreateRole", role_xml("arn:b", "me@here"));
  const auto role = create_role(iam.client, wanted);
  ASSERT_TRUE(role) << describe(role.error());
  EXPECT_EQ(role->boundary, "arn:b");
  EXPECT_EQ(role->made_ms, 1795917600000);
  EXPECT_EQ(iam.http.asked[0].url, "https://iam.amazonaws.com/");
  EXPECT_THAT(header_of(iam.http.asked[0], "authorization"), HasSubstr("/us-east-1/iam/aws4_request"));
  EXPECT_THAT(iam.http.asked[0].body, HasSubstr("Tags.member.1.Key=ferry%3Aowner&Tags.member.1.Value=me%40here"));
}

TEST(IamCalls, WhatIsThereAlreadyAsItIsWantedIsASuccess) {
  Iam iam;
  iam.reply_fault("EntityAlreadyExists");
  iam.reply("GetRole", role_xml("arn:b", "me@here"));
  EXPECT_TRUE(create_role(iam.client, wanted));
  iam.reply_fault("LimitExceeded");
  iam.reply("GetInstanceProfile",
            "<InstanceProfile><InstanceProfileName>p</InstanceProfileName><Path>/ferry/</Path><Roles><member><RoleName>"
            "ferry-a</RoleName></member></Roles></InstanceProfile>");
  EXPECT_TRUE(add_role_to_instance_profile(iam.client, "p", "ferry-a"));
  iam.reply_fault("EntityAlreadyExists");
  iam.reply("GetInstanceProfile",
            "<InstanceProfile><InstanceProfileName>p</InstanceProfileName><Path>/ferry/</Path></InstanceProfile>");
  EXPECT_TRUE(create_instance_profile(iam.client, "p", "/ferry/", {}));
}

TEST(IamCalls, WhatIsThereInAnotherWayIsLeftAsItIs) {
  for (const auto& there : {role_xml("", "me@here"), role_xml("arn:other", "me@here"), role_xml("arn:b", "you@there"),
                            role_xml("arn:b", "me@here", "/")}) {
    Iam iam;
    iam.reply_fault("EntityAlreadyExists");
    iam.reply("GetRole", there);
    const auto role = create_role(iam.client, wanted);
    ASSERT_FALSE(role) << there;
    EXPECT_EQ(role.error().kind, Kind::conflict);
    EXPECT_THAT(iam.actions(), ElementsAre("CreateRole", "GetRole"));
  }
  Iam iam;
  iam.reply_fault("LimitExceeded");
  iam.reply("GetInstanceProfile",
            "<InstanceProfile><InstanceProfileName>p</InstanceProfileName><Roles><member><RoleName>other</RoleName>"
            "</member></Roles></InstanceProfile>");
  EXPECT_EQ(add_role_to_instance_profile(iam.client, "p", "ferry-a").error().kind, Kind::conflict);
}

TEST(IamCalls, WhatIsGoneAlreadyIsGone) {
  Iam iam;
  for (int i = 0; i < 4; ++i) iam.reply_fault("NoSuchEntity", 404);
  EXPECT_TRUE(delete_role_policy(iam.client, "r", "p"));
  EXPECT_TRUE(remove_role_from_instance_profile(iam.client, "p", "r"));
  EXPECT_TRUE(delete_instance_profile(iam.client, "p"));
  EXPECT_TRUE(delete_role(iam.client, "r"));
  iam.reply_fault("DeleteConflict");
  EXPECT_EQ(delete_role(iam.client, "r").error().kind, Kind::conflict);
  iam.reply_fault("AccessDenied", 403);
  const auto denied = delete_role(iam.client, "r");
  EXPECT_EQ(denied.error().kind, Kind::denied);
  EXPECT_THAT(denied.error().what, HasSubstr("iam:DeleteRole"));
}

TEST(IamCalls, ListsGoOnToTheirLastPage) {
  Iam iam;
  iam.reply("ListRoles",
            "<IsTruncated>true</IsTruncated><Marker>m/1</Marker><Roles><member><RoleName>ferry-a</RoleName>"
            "</member><member/></Roles>");
  iam.reply("ListRoles",
            "<IsTruncated>false</IsTruncated><Roles><member><RoleName>ferry-b</RoleName></member></Roles>");
  const auto roles = list_roles(iam.client, "/ferry/");
  ASSERT_TRUE(roles) << describe(roles.error());
  ASSERT_EQ(roles->size(), 2u);
  EXPECT_EQ(roles->back().name, "ferry-b");
  EXPECT_THAT(iam.http.asked[1].body, HasSubstr("Marker=m%2F1"));
}

TEST(IamCalls, APolicyIsReplacedByANewVersionAndTheOldestOtherGoesWhereFiveAreThere) {
  Iam iam;
  std::string versions;
  for (const char* one : {"v12", "v11", "v9", "v10", "v8"}) {
    const bool is_default = std::string(one) == "v8";
    versions += std::string("<member><VersionId>") + one + "</VersionId><IsDefaultVersion>" +
                (is_default ? "true" : "false") + "</IsDefaultVersion></member>";
  }
  iam.reply("ListPolicyVersions", "<Versions>" + versions + "<member/></Versions>");
  iam.reply("DeletePolicyVersion");
  iam.reply("CreatePolicyVersion");
  ASSERT_TRUE(replace_policy(iam.client, "arn:p", "{}"));
  EXPECT_THAT(iam.actions(), ElementsAre("ListPolicyVersions", "DeletePolicyVersion", "CreatePolicyVersion"));
  EXPECT_THAT(iam.http.asked[1].body, HasSubstr("VersionId=v9"));
  EXPECT_THAT(iam.http.asked[2].body, HasSubstr("SetAsDefault=true"));
  iam.reply("ListPolicyVersions", "<Versions/>");
  iam.reply("CreatePolicyVersion");
  EXPECT_TRUE(replace_policy(iam.client, "arn:p", "{}"));
}

TEST(IamCalls, ADocumentIsReadAsItWasWritten) {
  const auto document = parse_get_policy_version(
      "<GetPolicyVersionResponse><GetPolicyVersionResult><PolicyVersion><Document>%7B%22a%22%3A%20%22b%2Bc%22%7D"
      "</Document></PolicyVersion></GetPolicyVersionResult></GetPolicyVersionResponse>");
  ASSERT_TRUE(document);
  EXPECT_EQ(*document, "{\"a\": \"b+c\"}");
}

TEST(IamCalls, WhatIsNoAnswerIsCorrupt) {
  for (const char* bad : {"", "{}", "<GetRoleResponse/>", "<GetRoleResponse><GetRoleResult/></GetRoleResponse>",
                          "<GetRoleResponse><GetRoleResult><Role/></GetRoleResult></GetRoleResponse>"}) {
    const auto role = parse_role(bad, "GetRole");
    ASSERT_FALSE(role) << bad;
    EXPECT_EQ(role.error().kind, Kind::corrupt) << bad;
  }
  EXPECT_EQ(parse_list_instance_profiles("<x/>").error().kind, Kind::corrupt);
}

TEST(IamCalls, NamesAreInTheirPartition) {
  EXPECT_EQ(iam_arn("eu-west-1", "1", "policy", "/ferry/", "ferry-store"), "arn:aws:iam::1:policy/ferry/ferry-store");
  EXPECT_EQ(iam_arn("cn-north-1", "1", "role", "/", "x"), "arn:aws-cn:iam::1:role/x");
  EXPECT_EQ(iam_arn("us-gov-west-1", "1", "role", "/", "x"), "arn:aws-us-gov:iam::1:role/x");
}

}  // namespace
}  // namespace ferry::aws
