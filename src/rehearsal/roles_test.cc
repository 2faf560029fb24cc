#include "rehearsal/roles.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/testing.h"
#include "rehearsal/way_out.h"

namespace ferry::rehearsal {
namespace {

const std::string store_policy = R"({"Statement":[
  {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::store/runs/r1/*"},
  {"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::store",
   "Condition":{"StringLike":{"s3:prefix":"runs/r1/*"}}}]})";

struct Roles : testing::Test, TestCloud {
  std::string launch_with(const std::string& profile, Form more = {}) {
    more.emplace_back("IamInstanceProfile.Name", profile);
    return launch(more);
  }
  std::string metadata(const std::string& id, const std::string& path) {
    return text_at(machines.lives[id].metadata, "latest/meta-data/iam/" + path);
  }
  Json credentials(const std::string& id, const std::string& role) {
    return parse_json(metadata(id, "security-credentials/" + role)).value_or(Json::object());
  }
  /// What S3 says to the machine's role: "" if it may.
  std::string refused(const std::string& key_id, const std::string& action, const std::string& resource,
                      const std::string& prefix = "") {
    const auto found = service->s3_world().find_key(key_id);
    if (!found || !found->role) return "no such key";
    PolicyQuestion question{action, "arn:aws:s3:::" + resource, found->arn, found->role->keys, found->role->role_arn};
    if (!prefix.empty()) question.keys["s3:prefix"] = prefix;
    return std::string(why_not_allowed(*found->role, question));
  }
  AccessKey key_from(const Json& given) {
    return {text_at(given, "AccessKeyId"), text_at(given, "SecretAccessKey"), text_at(given, "Token")};
  }
};

TEST_F(Roles, AMachineHasThoseOfItsProfileFromItsFirstMomentOn) {
  make_profile("trainer", store_policy);
  const auto id = launch_with("trainer"), plain = launch();
  lifecycle->pass();
  EXPECT_EQ(machines.lives[id].s3_port, 4567);
  EXPECT_EQ(machines.lives[id].api_port, 4568);
  EXPECT_TRUE(machines.lives[plain].metadata.empty());
  const auto given = credentials(id, "trainer");
  EXPECT_EQ(text_at(given, "Code"), "Success");
  EXPECT_EQ(text_at(given, "Type"), "AWS-HMAC");
  EXPECT_TRUE(text_at(given, "AccessKeyId").starts_with("ASIA"));
  EXPECT_EQ(text_at(given, "Expiration"), os::iso_time(clock.now + usual_session_ms));
  const auto key_id = text_at(given, "AccessKeyId");
  const auto found = service->s3_world().find_key(key_id);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->token, text_at(given, "Token"));
  EXPECT_EQ(found->arn, "arn:aws:sts::123456789012:assumed-role/trainer/" + id);
  EXPECT_EQ(refused(key_id, "s3:PutObject", "store/runs/r1/a1/model.pt"), "");
  EXPECT_NE(refused(key_id, "s3:PutObject", "store/runs/r2/a1/model.pt"), "");
  EXPECT_NE(refused(key_id, "s3:DeleteObject", "store/runs/r1/a1/model.pt"), "");
  EXPECT_EQ(refused(key_id, "s3:ListBucket", "store", "runs/r1/a1/"), "");
  EXPECT_NE(refused(key_id, "s3:ListBucket", "store", "runs/"), "");
  EXPECT_NE(refused(key_id, "s3:ListBucket", "store"), "");
}

TEST_F(Roles, ABoundaryCutsWhatPoliciesAllow) {
  make_profile("trainer", R"({"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}})");
  const auto bound = ask_iam("CreatePolicy", {{"PolicyName", "bound"}, {"PolicyDocument", store_policy}}).at("//Arn");
  ASSERT_EQ(ask_iam("PutRolePermissionsBoundary", {{"RoleName", "trainer"}, {"PermissionsBoundary", bound}}).status,
            200);
  const auto id = launch_with("trainer");
  lifecycle->pass();
  const auto key_id = text_at(credentials(id, "trainer"), "AccessKeyId");
  EXPECT_EQ(refused(key_id, "s3:PutObject", "store/runs/r1/x"), "");
  EXPECT_EQ(refused(key_id, "s3:PutObject", "store/other"), "because no permissions boundary allows the action");
  ASSERT_EQ(ask_iam("DeleteRolePermissionsBoundary", {{"RoleName", "trainer"}}).status, 200);
  EXPECT_EQ(refused(key_id, "s3:PutObject", "store/other"), "") << "policies count as they are now";
  ask_iam("PutRolePolicy",
          {{"RoleName", "trainer"},
           {"PolicyName", "no"},
           {"PolicyDocument", R"({"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::store/*"}})"}});
  EXPECT_EQ(refused(key_id, "s3:PutObject", "store/other"), "with an explicit deny in an identity-based policy");
}

TEST_F(Roles, CredentialsAreRenewedInTimeAndTheOldOnesGoodToTheirEnd) {
  make_profile("trainer", store_policy);
  ASSERT_TRUE(service->add_fault({{"kind", "role-session"}, {"seconds", 60}}));
  const auto id = launch_with("trainer");
  settle();
  const auto first = credentials(id, "trainer");
  clock.advance(Millis(29'000));
  lifecycle->pass();
  EXPECT_EQ(credentials(id, "trainer"), first);
  restart();
  clock.advance(Millis(1'000));
  ASSERT_TRUE(service->add_fault({{"kind", "role-session"}, {"seconds", 60}}));
  lifecycle->pass();
  const auto second = credentials(id, "trainer");
  EXPECT_NE(second, first);
  EXPECT_EQ(text_at(second, "Expiration"), os::iso_time(clock.now + 60'000));
  EXPECT_TRUE(service->s3_world().find_key(text_at(first, "AccessKeyId")));
  clock.advance(Millis(30'000));
  lifecycle->pass();
  EXPECT_FALSE(service->s3_world().find_key(text_at(first, "AccessKeyId"))) << "its end has come";
}

TEST_F(Roles, AreGoneWithTheRoleAtOnce) {
  make_profile("trainer", store_policy);
  const auto id = launch_with("trainer");
  settle();
  const auto given = credentials(id, "trainer");
  ask_iam("RemoveRoleFromInstanceProfile", {{"InstanceProfileName", "trainer"}, {"RoleName", "trainer"}});
  lifecycle->pass();
  EXPECT_TRUE(credentials(id, "trainer").empty());
  EXPECT_TRUE(service->s3_world().find_key(text_at(given, "AccessKeyId"))) << "as long as the role is there";
  ask_iam("DeleteRolePolicy", {{"RoleName", "trainer"}, {"PolicyName", "its"}});
  ask_iam("DeleteRole", {{"RoleName", "trainer"}});
  EXPECT_FALSE(service->s3_world().find_key(text_at(given, "AccessKeyId")));
  ask_iam("DeleteInstanceProfile", {{"InstanceProfileName", "trainer"}});
  lifecycle->pass();
  EXPECT_EQ(text_at(parse_json(metadata(id, "info")).value_or(Json()), "Code"), "InstanceProfileNotFound");
  make_profile("trainer", store_policy);
  lifecycle->pass();
  EXPECT_TRUE(credentials(id, "trainer").empty()) << "another profile of that name";
  EXPECT_FALSE(service->s3_world().find_key(text_at(given, "AccessKeyId")));
}

TEST_F(Roles, EC2MustBeTrusted) {
  make_profile("trainer", store_policy);
  ask_iam("UpdateAssumeRolePolicy", {{"RoleName", "trainer"},
                                     {"PolicyDocument", R"({"Statement":{"Effect":"Allow","Action":"sts:AssumeRole",)"
                                                        R"("Principal":{"Service":"lambda.amazonaws.com"}}})"}});
  const auto id = launch_with("trainer");
  lifecycle->pass();
  EXPECT_EQ(text_at(credentials(id, "trainer"), "Code"), "AssumeRoleUnauthorizedAccess");
}

TEST_F(Roles, TellSTSWhoTheyAreAndMayDoNothingBesideS3) {
  make_profile("trainer", R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})");
  const auto id = launch_with("trainer");
  settle();
  const auto session = key_from(credentials(id, "trainer"));
  const auto form = [&](const std::string& action, const std::string& version, const std::string& of) {
    return signed_form({{"Action", action}, {"Version", version}}, session, clock.now, of);
  };
  const auto who = send(form("GetCallerIdentity", "2011-06-15", "sts"));
  EXPECT_EQ(who.at("//Arn"), "arn:aws:sts::123456789012:assumed-role/trainer/" + id) << who.body;
  EXPECT_TRUE(who.at("//UserId").ends_with(":" + id));
  EXPECT_EQ(send(form("DescribeInstances", "2016-11-15", "ec2")).code(), "UnauthorizedOperation");
  EXPECT_EQ(send(form("ListRoles", "2010-05-08", "iam")).code(), "AccessDenied");
  auto without_token = session;
  without_token.token.clear();
  EXPECT_EQ(
      send(signed_form({{"Action", "GetCallerIdentity"}, {"Version", "2011-06-15"}}, without_token, clock.now, "sts"))
          .code(),
      "InvalidClientTokenId");
  clock.advance(Millis(usual_session_ms));
  EXPECT_EQ(send(form("GetCallerIdentity", "2011-06-15", "sts")).code(), "ExpiredToken");
}

TEST_F(Roles, ComeAndGoWithAssociations) {
  make_profile("trainer", store_policy);
  const auto id = launch();
  settle();
  EXPECT_TRUE(machines.lives[id].metadata.empty());
  const auto made = ask("AssociateIamInstanceProfile", {{"InstanceId", id}, {"IamInstanceProfile.Name", "trainer"}});
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(made.at("//state"), "associating");
  const auto association = made.at("//associationId");
  lifecycle->pass();
  EXPECT_EQ(text_at(credentials(id, "trainer"), "Code"), "Success");
  EXPECT_EQ(ask("AssociateIamInstanceProfile", {{"InstanceId", id}, {"IamInstanceProfile.Name", "trainer"}}).code(),
            "IncorrectState");
  const auto shown =
      ask("DescribeIamInstanceProfileAssociations", {{"Filter.1.Name", "instance-id"}, {"Filter.1.Value.1", id}});
  EXPECT_EQ(shown.at("//associationId"), association);
  EXPECT_EQ(shown.at("//state"), "associated");
  EXPECT_EQ(ask("DisassociateIamInstanceProfile", {{"AssociationId", association}}).at("//state"), "disassociating");
  lifecycle->pass();
  EXPECT_TRUE(machines.lives[id].metadata.empty());
  EXPECT_EQ(ask("DisassociateIamInstanceProfile", {{"AssociationId", association}}).code(),
            "InvalidAssociationID.NotFound");
}

TEST_F(Roles, AProfileMustBeThereHaveARoleAndBeKnownToEC2) {
  const auto code = [&](const Form& profile) {
    Form form = {{"ImageId", images().front().id}, {"MinCount", "1"}, {"MaxCount", "1"}};
    form.insert(form.end(), profile.begin(), profile.end());
    const auto answer = ask("RunInstances", form);
    return answer.code() + (answer.status == 200 ? "" : ": " + answer.at("//Message"));
  };
  EXPECT_EQ(
      code({{"IamInstanceProfile.Name", "none"}}),
      "InvalidParameterValue: Value (none) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance "
      "Profile name");
  ask_iam("CreateInstanceProfile", {{"InstanceProfileName", "empty"}});
  EXPECT_TRUE(code({{"IamInstanceProfile.Name", "empty"}}).ends_with("has no associated IAM Roles"));
  ASSERT_TRUE(service->add_fault({{"kind", "late-profile"}, {"ms", 5000}}));
  make_profile("young");
  EXPECT_TRUE(code({{"IamInstanceProfile.Name", "young"}}).ends_with("Invalid IAM Instance Profile name"));
  clock.advance(Millis(5000));
  EXPECT_EQ(code({{"IamInstanceProfile.Name", "young"}}), "");
}

TEST_F(Roles, ARehearsalNamesTheProfileOfTheRealAccount) {
  const Form tag = {{"TagSpecification.1.ResourceType", "instance"},
                    {"TagSpecification.1.Tag.1.Key", way_out_tag},
                    {"TagSpecification.1.Tag.1.Value", "closed"}};
  const auto id = launch_with("trainer", tag);
  lifecycle->pass();
  const auto key_id = text_at(credentials(id, "trainer"), "AccessKeyId");
  EXPECT_NE(key_id, "");
  EXPECT_NE(refused(key_id, "s3:GetObject", "store/x"), "") << "nobody said what it may do";
  auto by_arn = tag;
  by_arn.emplace_back("IamInstanceProfile.Arn", "arn:aws:iam::999999999999:instance-profile/team/reader");
  const auto other = launch(by_arn);
  EXPECT_EQ(instance(other).iam_profile, "arn:aws:iam::123456789012:instance-profile/team/reader");
  EXPECT_EQ(launch_with("ferry-run-1", tag), "") << "ferry makes its own";
}

}  // namespace
}  // namespace ferry::rehearsal
