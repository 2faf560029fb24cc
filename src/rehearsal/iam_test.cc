#include "rehearsal/iam.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct IamTest : testing::Test, TestCloud {
  const std::string trust =
      R"({"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}})";
  const std::string puts =
      R"({"Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}]})";

  void good(const std::string& action, const Form& form) {
    const auto answer = ask_iam(action, form);
    EXPECT_EQ(answer.status, 200) << action << ": " << answer.body;
  }
  std::string code(const std::string& action, const Form& form) { return ask_iam(action, form).code(); }
  void make_role(const std::string& name) {
    good("CreateRole", {{"RoleName", name}, {"AssumeRolePolicyDocument", trust}});
  }
};

TEST_F(IamTest, ARoleIsMadeShownAndGone) {
  const auto made = ask_iam("CreateRole", {{"RoleName", "trainer"},
                                           {"Path", "/team/"},
                                           {"AssumeRolePolicyDocument", trust},
                                           {"Tags.member.1.Key", "owner"},
                                           {"Tags.member.1.Value", "me"}});
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(made.at("/CreateRoleResponse/CreateRoleResult/Role/Arn"), "arn:aws:iam::123456789012:role/team/trainer");
  EXPECT_TRUE(made.at("//RoleId").starts_with("AROA"));
  EXPECT_EQ(percent_decoded(made.at("//AssumeRolePolicyDocument")), trust);
  restart();
  const auto shown = ask_iam("GetRole", {{"RoleName", "trainer"}});
  EXPECT_EQ(shown.at("//RoleId"), made.at("//RoleId"));
  EXPECT_EQ(shown.at("//Tags/member/Value"), "me");
  make_role("other");
  EXPECT_EQ(ask_iam("ListRoles", {{"PathPrefix", "/team/"}}).count("//member"), 1U);
  const auto page = ask_iam("ListRoles", {{"MaxItems", "1"}});
  EXPECT_EQ(page.at("//IsTruncated"), "true");
  EXPECT_EQ(ask_iam("ListRoles", {{"MaxItems", "1"}, {"Marker", page.at("//Marker")}}).at("//RoleName"), "trainer");
  good("DeleteRole", {{"RoleName", "trainer"}});
  EXPECT_EQ(ask_iam("GetRole", {{"RoleName", "trainer"}}).status, 404);
  EXPECT_EQ(code("GetRole", {{"RoleName", "trainer"}}), "NoSuchEntity");
}

TEST_F(IamTest, WhatIsInUseIsNotDeleted) {
  make_role("r");
  const auto policy = ask_iam("CreatePolicy", {{"PolicyName", "p"}, {"PolicyDocument", puts}}).at("//Arn");
  good("PutRolePolicy", {{"RoleName", "r"}, {"PolicyName", "own"}, {"PolicyDocument", puts}});
  good("AttachRolePolicy", {{"RoleName", "r"}, {"PolicyArn", policy}});
  good("PutRolePermissionsBoundary", {{"RoleName", "r"}, {"PermissionsBoundary", policy}});
  good("CreateInstanceProfile", {{"InstanceProfileName", "p"}});
  good("AddRoleToInstanceProfile", {{"InstanceProfileName", "p"}, {"RoleName", "r"}});
  EXPECT_EQ(code("AddRoleToInstanceProfile", {{"InstanceProfileName", "p"}, {"RoleName", "r"}}), "LimitExceeded");
  EXPECT_EQ(ask_iam("ListInstanceProfilesForRole", {{"RoleName", "r"}}).at("//InstanceProfileName"), "p");
  EXPECT_EQ(code("DeleteInstanceProfile", {{"InstanceProfileName", "p"}}), "DeleteConflict");
  EXPECT_EQ(code("DeleteRole", {{"RoleName", "r"}}), "DeleteConflict") << "in a profile";
  good("RemoveRoleFromInstanceProfile", {{"InstanceProfileName", "p"}, {"RoleName", "r"}});
  good("DeleteInstanceProfile", {{"InstanceProfileName", "p"}});
  EXPECT_EQ(code("DeleteRole", {{"RoleName", "r"}}), "DeleteConflict") << "a policy of its own";
  good("DeleteRolePolicy", {{"RoleName", "r"}, {"PolicyName", "own"}});
  EXPECT_EQ(code("DeleteRole", {{"RoleName", "r"}}), "DeleteConflict") << "an attached one";
  EXPECT_EQ(code("DeletePolicy", {{"PolicyArn", policy}}), "DeleteConflict");
  good("DetachRolePolicy", {{"RoleName", "r"}, {"PolicyArn", policy}});
  EXPECT_EQ(code("DeletePolicy", {{"PolicyArn", policy}}), "DeleteConflict") << "a boundary";
  good("DeleteRole", {{"RoleName", "r"}});
  good("DeletePolicy", {{"PolicyArn", policy}});
  EXPECT_EQ(code("GetPolicy", {{"PolicyArn", policy}}), "NoSuchEntity");
}

TEST_F(IamTest, PoliciesHaveVersions) {
  const Form policy = {
      {"PolicyArn", ask_iam("CreatePolicy", {{"PolicyName", "p"}, {"PolicyDocument", puts}}).at("//Arn")}};
  const auto with = [&](Form more) {
    more.insert(more.end(), policy.begin(), policy.end());
    return more;
  };
  const std::string gets = R"({"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]})";
  EXPECT_EQ(
      ask_iam("CreatePolicyVersion", with({{"PolicyDocument", gets}, {"SetAsDefault", "true"}})).at("//VersionId"),
      "v2");
  EXPECT_EQ(ask_iam("GetPolicy", policy).at("//DefaultVersionId"), "v2");
  EXPECT_EQ(percent_decoded(ask_iam("GetPolicyVersion", with({{"VersionId", "v1"}})).at("//Document")), puts);
  EXPECT_EQ(ask_iam("ListPolicyVersions", policy).count("//member"), 2U);
  EXPECT_EQ(code("DeletePolicyVersion", with({{"VersionId", "v2"}})), "DeleteConflict");
  EXPECT_EQ(code("DeletePolicy", policy), "DeleteConflict");
  good("DeletePolicyVersion", with({{"VersionId", "v1"}}));
  for (int i = 0; i < 4; ++i) good("CreatePolicyVersion", with({{"PolicyDocument", gets}}));
  EXPECT_EQ(code("CreatePolicyVersion", with({{"PolicyDocument", gets}})), "LimitExceeded");
}

TEST_F(IamTest, RefusesInItsOwnWords) {
  make_role("r");
  good("CreateInstanceProfile", {{"InstanceProfileName", "p"}});
  const Form role = {{"RoleName", "r"}, {"PolicyName", "x"}};
  const auto document = [&](const std::string& text) {
    return Form{{"RoleName", "r"}, {"PolicyName", "x"}, {"PolicyDocument", text}};
  };
  const auto trusted = [&](const std::string& text) {
    return Form{{"RoleName", "n"}, {"AssumeRolePolicyDocument", text}};
  };
  const std::string managed = "arn:aws:iam::123456789012:policy/none";
  const std::string long_one = R"({"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::)" +
                               std::string(10'240, 'b') + "\"}]}";
  const std::vector<std::tuple<std::string, Form, int, std::string>> table = {
      {"CreateRole", {{"RoleName", "R"}, {"AssumeRolePolicyDocument", trust}}, 409, "EntityAlreadyExists"},
      {"CreateRole", {{"RoleName", "a b"}, {"AssumeRolePolicyDocument", trust}}, 400, "ValidationError"},
      {"CreateRole", {{"RoleName", std::string(65, 'a')}, {"AssumeRolePolicyDocument", trust}}, 400, "ValidationError"},
      {"CreateRole", {{"RoleName", "n"}, {"Path", "x"}, {"AssumeRolePolicyDocument", trust}}, 400, "ValidationError"},
      {"CreateRole", {{"RoleName", "n"}}, 400, "ValidationError"},
      {"CreateRole", {{"AssumeRolePolicyDocument", trust}}, 400, "ValidationError"},
      {"CreateRole",
       {{"RoleName", "n"}, {"AssumeRolePolicyDocument", trust}, {"PermissionsBoundary", managed}},
       404,
       "NoSuchEntity"},
      {"CreateRole", trusted("{"), 400, "MalformedPolicyDocument"},
      {"CreateRole", trusted(puts), 400, "MalformedPolicyDocument"},
      {"CreateRole",
       trusted(R"({"Statement":{"Effect":"Allow","Principal":{"Service":"ec2"},"Action":"sts:AssumeRole"}})"), 400,
       "MalformedPolicyDocument"},
      {"PutRolePolicy", document("nonsense"), 400, "MalformedPolicyDocument"},
      {"PutRolePolicy", document(R"({"Version":"2020-01-01","Statement":[]})"), 400, "MalformedPolicyDocument"},
      {"PutRolePolicy", document(trust), 400, "MalformedPolicyDocument"},
      {"PutRolePolicy", document(R"({"Statement":[{"Effect":"Allow","Action":"Put","Resource":"*"}]})"), 400,
       "MalformedPolicyDocument"},
      {"PutRolePolicy", document(R"({"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"bucket/*"}]})"), 400,
       "MalformedPolicyDocument"},
      {"PutRolePolicy", document(long_one), 409, "LimitExceeded"},
      {"GetRolePolicy", role, 404, "NoSuchEntity"},
      {"DeleteRolePolicy", role, 404, "NoSuchEntity"},
      {"AttachRolePolicy", {{"RoleName", "r"}, {"PolicyArn", managed}}, 404, "NoSuchEntity"},
      {"DetachRolePolicy", {{"RoleName", "r"}, {"PolicyArn", managed}}, 404, "NoSuchEntity"},
      {"CreateInstanceProfile", {{"InstanceProfileName", "P"}}, 409, "EntityAlreadyExists"},
      {"AddRoleToInstanceProfile", {{"InstanceProfileName", "p"}, {"RoleName", "none"}}, 404, "NoSuchEntity"},
      {"RemoveRoleFromInstanceProfile", {{"InstanceProfileName", "p"}, {"RoleName", "r"}}, 404, "NoSuchEntity"},
      {"GetInstanceProfile", {{"InstanceProfileName", "none"}}, 404, "NoSuchEntity"},
      {"TagRole",
       {{"RoleName", "r"}, {"Tags.member.1.Key", "aws:x"}, {"Tags.member.1.Value", ""}},
       400,
       "InvalidInput"},
      {"CreateUser", {{"UserName", "me"}}, 400, "InvalidAction"},
      {"ListRoles", {{"MaxItems", "0"}}, 400, "ValidationError"},
  };
  for (const auto& [action, form, status, wanted] : table) {
    const auto answer = ask_iam(action, form);
    EXPECT_EQ(answer.code(), wanted) << action << ": " << answer.body;
    EXPECT_EQ(answer.status, status) << action;
    EXPECT_EQ(answer.at("/ErrorResponse/Error/Type"), "Sender");
  }
}

TEST_F(IamTest, TagsAreReplacedListedAndRemoved) {
  make_role("r");
  good("TagRole", {{"RoleName", "r"}, {"Tags.member.1.Key", "a"}, {"Tags.member.1.Value", "1"}});
  good("TagRole", {{"RoleName", "r"}, {"Tags.member.1.Key", "A"}, {"Tags.member.1.Value", "2"}});
  const auto listed = ask_iam("ListRoleTags", {{"RoleName", "r"}});
  EXPECT_EQ(listed.count("//member"), 1U);
  EXPECT_EQ(listed.at("//Value"), "2");
  good("UntagRole", {{"RoleName", "r"}, {"TagKeys.member.1", "a"}});
  EXPECT_EQ(ask_iam("ListRoleTags", {{"RoleName", "r"}}).count("//member"), 0U);
}

TEST_F(IamTest, MeetsFaultsAndSignaturesLikeOthers) {
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "iam:PassRole"}}));
  make_role("r");
  good("CreateInstanceProfile", {{"InstanceProfileName", "p"}});
  const auto refused = ask_iam("AddRoleToInstanceProfile", {{"InstanceProfileName", "p"}, {"RoleName", "r"}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.code(), "AccessDenied");
  EXPECT_NE(refused.at("//Message").find("iam:PassRole"), std::string::npos);
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "iam:TagRole"}}));
  EXPECT_EQ(code("CreateRole", {{"RoleName", "t"},
                                {"AssumeRolePolicyDocument", trust},
                                {"Tags.member.1.Key", "a"},
                                {"Tags.member.1.Value", "b"}}),
            "AccessDenied");
  ASSERT_TRUE(service->add_fault({{"kind", "throttle"}, {"action", "iam:ListRoles"}, {"count", 1}}));
  EXPECT_EQ(code("ListRoles", {}), "Throttling");
  const Form list = {{"Action", "ListRoles"}, {"Version", "2010-05-08"}};
  EXPECT_EQ(send(signed_form(list, {key.id, "x"}, clock.now, "iam")).code(), "SignatureDoesNotMatch");
  EXPECT_EQ(send(signed_form(list, key, clock.now, "ec2")).code(), "SignatureDoesNotMatch");
  EXPECT_EQ(send(signed_form({{"Action", "ListRoles"}}, key, clock.now, "iam")).status, 200);
}

}  // namespace
}  // namespace ferry::rehearsal
