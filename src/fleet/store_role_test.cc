// The role of a machine that stores by itself: made, lent, removed, whatever happens between any two calls.
#include "fleet/store_role.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "fleet/fake_iam.h"
#include "fleet/labels.h"
#include "fleet/launch.h"
#include "fleet/test_context.h"
#include "fleet/untracked.h"
#include "os/env.h"

namespace ferry::fleet {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char *the_store = "s3://bucket/team",
                     *the_boundary = "arn:aws:iam::123456789012:policy/ferry/ferry-store";

/// A laptop with a run, and an account.
struct Laptop {
  std::unique_ptr<FakeIam> owned = std::make_unique<FakeIam>();
  FakeIam& iam = *owned;
  TestContext test{std::move(owned)};
  CloudLocation location{"rehearsal", "", "", "", ""};
  ledger::Run run = added();

  ledger::Run added() {
    ledger::Run one;
    one.name = "digits-7k2";
    one.infra = "rehearsal";
    one.task = Json::object();
    one.store = the_store;
    one.created_ms = 1;
    EXPECT_TRUE(test.ledger->add_run(one));
    return *test.ledger->run(one.name);
  }
  Result<std::string> ensure() { return ensure_store_role(test.context, run, location); }
  std::vector<std::string> noted() {
    std::vector<std::string> kinds;
    const auto all = *test.ledger->resources(run.name);
    for (const auto& one : all) {
      if (!one.released) kinds.push_back(one.kind);
    }
    return kinds;
  }
};

TEST(StoreRole, MayTouchWhatIsTheRunsInTheStoreAndNothingElse) {
  const auto policy = store_policy("s3://bucket/team/x", "digits-7k2", "aws");
  ASSERT_TRUE(policy) << describe(policy.error());
  const auto& statements = policy->at("Statement");
  ASSERT_EQ(statements.size(), 2u);
  EXPECT_EQ(statements[0]["Resource"], Json::array({"arn:aws:s3:::bucket/team/x/runs/digits-7k2/a*"}))
      << "the record, the history and the lease are beside that";
  EXPECT_EQ(statements[1]["Resource"], Json::array({"arn:aws:s3:::bucket"}));
  EXPECT_EQ(statements[1]["Condition"]["StringLike"]["s3:prefix"], Json::array({"team/x/runs/digits-7k2/*"}));
  EXPECT_EQ(store_policy("s3://bucket", "", "aws-cn")->at("Statement")[0]["Resource"],
            Json::array({"arn:aws-cn:s3:::bucket/runs/*"}));
  EXPECT_EQ(store_policy("/shared", "r", "aws").error().kind, Kind::bad_input);
  EXPECT_EQ(store_policy("s3://bucket", "a/*", "aws").error().kind, Kind::bad_input);
}

TEST(StoreRole, IsNamedAfterItsRunInTheRoomThatIamGives) {
  EXPECT_EQ(store_role_name("digits-7k2", "1f3a99c200000000"), "ferry-digits-7k2-1f3a99c2");
  const auto longer = store_role_name(std::string(100, 'x'), "1f3a99c200000000");
  EXPECT_EQ(longer.size(), 64u);
  EXPECT_TRUE(longer.ends_with("-1f3a99c2"));
}

TEST(StoreRole, IsMadeWithItsProfileAndNotedBeforeEachIsMade) {
  Laptop laptop;
  laptop.iam.policies[the_boundary] = dump_json(*store_policy(the_store, "", "aws"));
  laptop.iam.before = [&](const std::string& action) {
    if (action == "CreateRole") {
      EXPECT_THAT(laptop.noted(), ElementsAre("role"));
    } else if (action == "CreateInstanceProfile") {
      EXPECT_THAT(laptop.noted(), ElementsAre("role", "instance-profile"));
    }
  };
  const auto name = laptop.ensure();
  ASSERT_TRUE(name) << describe(name.error());
  const auto& role = laptop.iam.roles.at(*name);
  EXPECT_EQ(role.path, "/ferry/");
  EXPECT_EQ(role.boundary, the_boundary);
  EXPECT_EQ(role.tags.at(owner_tag), owner_name());
  EXPECT_EQ(role.tags.at("ferry:run"), laptop.run.name);
  EXPECT_EQ(parse_json(role.policies.at("ferry-store")).value(), *store_policy(the_store, laptop.run.name, "aws"));
  EXPECT_EQ(laptop.iam.profiles.at(*name).role, *name);
  EXPECT_EQ(laptop.iam.profiles.at(*name).path, "/ferry/");
  laptop.iam.before = {};
  const auto again = laptop.ensure();
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(*again, *name);
  ASSERT_TRUE(release_all(laptop.test.context, laptop.run));
  EXPECT_TRUE(laptop.iam.is_empty());
  EXPECT_TRUE(laptop.noted().empty());
}

TEST(StoreRole, IsUnboundedOnlyWhereTheAccountHasNoBoundary) {
  Laptop without;
  ASSERT_TRUE(without.ensure());
  EXPECT_EQ(without.iam.roles.begin()->second.boundary, "");
  Laptop blind;  // who may not look may make bounded roles only
  blind.iam.policies[the_boundary] = "";
  blind.iam.denied.insert("GetPolicy");
  ASSERT_TRUE(blind.ensure());
  EXPECT_NE(blind.iam.roles.begin()->second.boundary, "");
}

TEST(StoreRole, IsNotMadeWhereTheBoundaryWouldNotLetItStore) {
  Laptop laptop;
  laptop.iam.policies[the_boundary] = dump_json(*store_policy("s3://other", "", "aws"));
  const auto role = laptop.ensure();
  ASSERT_FALSE(role);
  EXPECT_EQ(role.error().kind, Kind::denied);
  EXPECT_THAT(role.error().advice, HasSubstr("ferry store setup 's3://bucket/team'"));
  EXPECT_TRUE(laptop.iam.is_empty());
  EXPECT_TRUE(laptop.noted().empty());
}

TEST(StoreRole, WhetherAPolicyLetsOneStoreIsReadInEveryFormThatIamTakes) {
  const auto wanted = *store_policy(the_store, "run", "aws");
  const auto lets = [&](const char* text) { return fleet::lets(parse_json(text).value(), wanted); };
  EXPECT_TRUE(fleet::lets(*store_policy(the_store, "", "aws"), wanted));
  EXPECT_TRUE(fleet::lets(*store_policy("s3://bucket/team/", "", "aws"), wanted));
  EXPECT_TRUE(lets(R"({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})"));
  EXPECT_TRUE(
      lets(R"({"Statement": [{"Effect": "Allow", "Action": ["s3:Put*"], "Resource": "arn:aws:s3:::bucket/*"}]})"));
  EXPECT_FALSE(lets(R"({"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}})"));
  EXPECT_FALSE(lets(R"({"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}})"));
  EXPECT_FALSE(
      lets(R"({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/other/*"}})"));
  for (const char* none : {"{}", "[]", R"({"Statement": 1})", R"({"Statement": [1, {"Action": 1}]})"})
    EXPECT_FALSE(lets(none)) << none;
}

TEST(StoreRole, MayReadTheDataSetsThatTheTaskNamesAndPutIntoThoseThatItWrites) {
  task::Task task;
  task.data = {{"/a", "s3://one-bucket/set", task::MountMode::copy, false, ""},
               {"/b", "s3://two-bucket/", task::MountMode::mount, true, ""},
               {"/c", "https://example.org/x", task::MountMode::copy, false, ""}};
  task.data[1].url = "s3://two-bucket";
  ledger::Run run;
  run.name = "x";
  run.task["data"] = buckets_to_keep(task);
  const auto uses = buckets_of(run);
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0], (BucketUse{"one-bucket", "set", false}));
  EXPECT_EQ(uses[1], (BucketUse{"two-bucket", "", true}));
  const auto policy = *role_policy(run, "aws");
  const auto& statements = policy.at("Statement");
  ASSERT_EQ(statements.size(), 4u);
  EXPECT_EQ(statements[0]["Action"], Json::array({"s3:GetObject"}));
  EXPECT_EQ(statements[0]["Resource"], Json::array({"arn:aws:s3:::one-bucket/set/*", "arn:aws:s3:::one-bucket/set"}));
  EXPECT_EQ(statements[1]["Condition"]["StringLike"]["s3:prefix"], Json::array({"set/*", "set"}));
  EXPECT_THAT(statements[2]["Action"].dump(), HasSubstr("s3:PutObject"));
  EXPECT_THAT(statements[2]["Action"].dump(), HasSubstr("s3:DeleteObject")) << "it is mounted: files are renamed there";
  EXPECT_EQ(statements[2]["Resource"], Json::array({"arn:aws:s3:::two-bucket/*"}));
  const auto bounds = [&](const char* resource, const char* action) {
    const Json one = {{"Effect", "Allow"}, {"Action", action}, {"Resource", resource}};
    return lets(Json{{"Statement", Json::array({one})}}, policy);
  };
  EXPECT_TRUE(bounds("*", "s3:*"));
  EXPECT_FALSE(bounds("*", "s3:Get*")) << "the second is written";
  EXPECT_FALSE(bounds("arn:aws:s3:::two-bucket/*", "*"));
  const auto bound = [&](const Json& actions) {
    const Json one = {{"Effect", "Allow"}, {"Action", actions}, {"Resource", "*"}};
    return lets(Json{{"Statement", Json::array({one})}}, policy);
  };
  EXPECT_FALSE(bound(Json::array({"s3:Get*", "s3:Put*"}))) << "a file that is renamed is removed";
  EXPECT_TRUE(bound(Json::array({"s3:Get*", "s3:Put*", "s3:DeleteObject"})));
  EXPECT_FALSE(bound(Json::array({"s3:Get*", "s3:PutObject", "s3:DeleteObject"}))) << "rclone says an ACL";
}

TEST(StoreRole, OfARunThatTakesWhatAnotherMadeMayReadThatAndNothingElseOfIt) {
  ledger::Run run;
  run.name = "train-9d4";
  run.store = the_store;
  run.task[reads_run] = "prepare-7k2";
  const auto policy = *role_policy(run, "aws");
  const auto& statements = policy.at("Statement");
  ASSERT_EQ(statements.size(), 4u);
  EXPECT_EQ(statements[3]["Action"], Json::array({"s3:ListBucket"}));
  EXPECT_EQ(statements[3]["Condition"]["StringLike"]["s3:prefix"], Json::array({"team/runs/prepare-7k2/a*"}));
  EXPECT_EQ(statements[2]["Action"], Json::array({"s3:GetObject"}));
  const auto resource = statements[2]["Resource"][0].get<std::string>();
  EXPECT_TRUE(resource.ends_with("/runs/prepare-7k2/a*")) << resource;
  EXPECT_TRUE(lets(*store_policy(the_store, "", "aws"), policy)) << "the account's boundary allows runs/*";
  EXPECT_FALSE(lets(*store_policy(the_store, run.name, "aws"), policy));
  run.task[reads_run] = "../*";
  EXPECT_EQ(role_policy(run, "aws").error().kind, Kind::bad_input);
}

TEST(StoreRole, NothingOfItIsLeftHoweverFarAKilledFerryCame) {
  int calls = 0;
  {
    Laptop whole;
    ASSERT_TRUE(whole.ensure());
    calls = static_cast<int>(whole.iam.asked.size());
  }
  ASSERT_GE(calls, 6);
  for (const bool after : {false, true}) {
    for (int at = 0; at < calls; ++at) {
      Laptop laptop;
      laptop.iam.kill_at = at;
      laptop.iam.kill_after = after;
      EXPECT_THROW((void)laptop.ensure(), Killed);
      // The next ferry ends the run, or goes on with it and ends it then; and is killed in that, too.
      for (int end = 0; end < 12; ++end) {
        laptop.iam.kill_at = static_cast<int>(laptop.iam.asked.size()) + end;
        try {
          ASSERT_TRUE(release_all(laptop.test.context, laptop.run));
          break;
        } catch (const Killed&) {
        }
      }
      laptop.iam.kill_at = -1;
      ASSERT_TRUE(release_all(laptop.test.context, laptop.run));
      EXPECT_TRUE(laptop.iam.is_empty()) << "killed " << (after ? "after" : "before") << " call " << at;
      EXPECT_TRUE(laptop.noted().empty());
    }
  }
}

TEST(StoreRole, WhoMayMakeNoneIsToldTheWaysOutAndHasNothingToGiveBack) {
  for (const char* action : {"CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile"}) {
    Laptop laptop;
    laptop.iam.denied.insert(action);
    const auto role = laptop.ensure();
    ASSERT_FALSE(role) << action;
    EXPECT_EQ(role.error().kind, Kind::denied);
    EXPECT_THAT(role.error().what, HasSubstr(std::string("iam:") + action));
    EXPECT_THAT(role.error().advice, HasSubstr("ferry policy --store 's3://bucket/team'"));
    EXPECT_THAT(role.error().advice, HasSubstr("without a store"));
    ASSERT_TRUE(release_all(laptop.test.context, laptop.run));
    EXPECT_TRUE(laptop.iam.is_empty()) << action;
    EXPECT_TRUE(laptop.noted().empty()) << action;
  }
}

TEST(StoreRole, OneThatCannotBeRemovedKeepsNothingButStaysNotedUntilItCan) {
  Laptop laptop;
  ASSERT_TRUE(laptop.ensure());
  laptop.iam.denied.insert("DeleteRole");
  EXPECT_TRUE(release_all(laptop.test.context, laptop.run)) << "a role costs nothing";
  EXPECT_EQ(laptop.iam.roles.size(), 1u);
  EXPECT_EQ(laptop.noted().size(), 2u);
  ASSERT_TRUE(laptop.test.ledger->move(laptop.run.name, ledger::Phase::releasing));
  laptop.iam.denied.clear();
  EXPECT_TRUE(remove_noted_store_roles(laptop.test.context).value().empty()) << "its run is not over";
  ASSERT_TRUE(laptop.test.ledger->move(laptop.run.name, ledger::Phase::released));
  EXPECT_THAT(remove_noted_store_roles(laptop.test.context).value(),
              ElementsAre("role " + store_role_name(laptop.run.name, launch_id(laptop.run))));
  EXPECT_TRUE(laptop.iam.is_empty());
  EXPECT_TRUE(laptop.noted().empty());
}

TEST(StoreRole, AnothersOfTheSameNameIsLeftAlone) {
  Laptop laptop;
  const auto name = store_role_name(laptop.run.name, launch_id(laptop.run));
  laptop.iam.roles[name] = {"/ferry/", "", {}, {{owner_tag, "somebody@else"}}};
  EXPECT_EQ(laptop.ensure().error().kind, Kind::conflict);
  ASSERT_TRUE(release_all(laptop.test.context, laptop.run));
  EXPECT_TRUE(laptop.iam.roles.contains(name));
}

TEST(StoreRole, WhatALostLedgerKnewIsFoundByItsTags) {
  Laptop laptop;
  ASSERT_TRUE(laptop.ensure());
  const auto name = laptop.iam.roles.begin()->first;
  laptop.iam.roles["ferry-other"] = {"/ferry/", "", {}, {{owner_tag, "somebody@else"}}};
  laptop.iam.roles["unrelated"] = {"/ferry/", "", {}, {{owner_tag, owner_name()}}};
  const auto found = find_store_roles(laptop.test.context, laptop.location, owner_name());
  ASSERT_TRUE(found) << describe(found.error());
  ASSERT_EQ(found->size(), 1u);
  const Leftover leftover{laptop.location, found->front(), true};
  EXPECT_EQ(describe_leftover(leftover), "role " + name);
  ASSERT_TRUE(remove_leftover(laptop.test.context, leftover));
  EXPECT_FALSE(laptop.iam.roles.contains(name));
  EXPECT_TRUE(laptop.iam.profiles.empty());
  laptop.iam.denied.insert("ListRoles");
  EXPECT_TRUE(find_store_roles(laptop.test.context, laptop.location, owner_name()).value().empty());
}

/// A cloud that lends one machine, after it has refused as often as it is told to.
class LaunchingCloud final : public cloud::Cloud {
 public:
  std::deque<Error> refusals;
  std::vector<cloud::LaunchRequest> launches;
  std::vector<std::string> keys;

  const std::string& region() const override { return region_; }
  Result<cloud::Identity> whoami() override { return cloud::Identity{"123456789012", "me"}; }
  Result<cloud::Image> newest_image(const cloud::ImageQuery&) override { return cloud::Image{"ami-1", "x", "ubuntu"}; }
  Status import_key(const std::string& name, const std::string&, const cloud::Tags&) override {
    keys.push_back(name);
    return {};
  }
  Result<cloud::SecurityGroup> ensure_group(const std::string& name, const std::string&, const cloud::Tags&,
                                            const std::string&) override {
    return cloud::SecurityGroup{"sg-1", name};
  }
  Result<cloud::Instance> launch(const cloud::LaunchRequest& request) override {
    launches.push_back(request);
    if (!refusals.empty()) {
      auto error = std::move(refusals.front());
      refusals.pop_front();
      return tl::unexpected(std::move(error));
    }
    return describe("i-1");
  }
  Result<cloud::Instance> describe(const std::string& id) override {
    cloud::Instance one;
    one.id = id;
    one.state = is_gone_ ? cloud::State::terminated : cloud::State::running;
    one.address = "host";
    return one;
  }
  Result<std::string> caller_cidr() override { return std::string("203.0.113.7/32"); }
  Status delete_key(const std::string&) override { return {}; }
  Status delete_group(const std::string&) override { return {}; }
  Result<std::string> public_key(const std::string&) override { return none(); }
  Status send_key(const std::string&, const std::string&, const std::string&) override { return none(); }
  Result<std::vector<cloud::Made>> find_made(const std::string&, const std::string&) override { return none(); }
  Result<std::vector<cloud::Subnet>> subnets(const std::vector<std::string>&) override { return none(); }
  Result<std::string> vpc_cidr(const std::string&) override { return none(); }
  Result<cloud::Reservation> reservation(const std::string&) override { return none(); }
  Result<std::vector<std::string>> zones_with(const std::string&) override { return std::vector<std::string>(); }
  Result<std::vector<cloud::Instance>> find_by_tag(const std::string&, const std::string&) override {
    return std::vector<cloud::Instance>();
  }
  Result<std::optional<cloud::Instance>> find_by_token(const std::string&) override { return none(); }
  Status terminate(const std::string&) override {
    is_gone_ = true;
    return {};
  }
  Status tag(const std::string&, const cloud::Tags&) override { return none(); }
  Status stop(const std::string&) override { return none(); }
  Status start(const std::string&) override { return none(); }

 private:
  static tl::unexpected<Error> none() { return fail(Kind::bug, "not of this test"); }
  std::string region_ = "us-east-1";
  bool is_gone_ = false;
};

const Error young{Kind::bad_input, "ec2:RunInstances failed (InvalidParameterValue)",
                  "Value (ferry-x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
                  "", "InvalidParameterValue"};

/// A launch on such a cloud. `change` may set what the order has.
struct Launching {
  Laptop laptop;
  LaunchingCloud* cloud = nullptr;
  std::vector<Error> refusals;
  task::AwsSettings settings;
  std::string store = the_store;

  Result<Launched> launch_it(Context* other = nullptr) {
    laptop.run.store = store;
    Context& context = other ? *other : laptop.test.context;
    context.cloud = [&](CloudLocation& location) -> Result<std::unique_ptr<cloud::Cloud>> {
      location.region = "us-east-1";
      auto made = std::make_unique<LaunchingCloud>();
      made->refusals.assign(refusals.begin(), refusals.end());
      cloud = made.get();
      return made;
    };
    plan::Offer offer;
    offer.type.name = "t3.medium";
    offer.region = "us-east-1";
    offer.zone = "us-east-1a";
    offer.hourly = Usd{41'600};
    const std::vector<plan::Offer> offers = {offer};
    const std::vector<task::Resources> candidates(1);
    const LaunchOrder order{.run = laptop.run,
                            .location = {"rehearsal", "us-east-1", "", "", ""},
                            .offers = offers,
                            .candidates = candidates,
                            .framework = framework,
                            .lifetime = {},
                            .ceiling = {},
                            .aws = settings};
    return launch(context, order);
  }
  std::string framework;
};

TEST(StoreRole, AMachineGetsItOnceEc2KnowsIt) {
  Launching it;
  it.refusals = {young, young};
  const auto launched = it.launch_it();
  ASSERT_TRUE(launched) << describe(launched.error());
  const auto& launches = static_cast<LaunchingCloud&>(*launched->cloud).launches;
  ASSERT_EQ(launches.size(), 3u);
  const auto role = store_role_name(it.laptop.run.name, launch_id(it.laptop.run));
  for (const auto& one : launches) {
    EXPECT_EQ(one.instance_profile, role);
    EXPECT_EQ(one.client_token, launches[0].client_token) << "the same order, not another";
    EXPECT_EQ(one.tags.at(role_tag), role);
  }
  EXPECT_TRUE(it.laptop.iam.profiles.contains(role));
}

TEST(StoreRole, AProfileThatIsStillUnknownAfterAMinuteIsNoYoungOne) {
  Launching it;
  it.refusals.assign(1000, young);
  const auto begun = it.laptop.test.clock.now;
  const auto launched = it.launch_it();
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().kind, Kind::bad_input);
  EXPECT_LT(it.laptop.test.clock.now - begun, 120'000);
}

TEST(StoreRole, IsMadeOnlyForAStoreInS3AndWhereTheUserNamesNoneAndNothingIsRentedWithoutIt) {
  Launching folder;
  folder.store = "/shared/runs";
  auto launched = folder.launch_it();
  ASSERT_TRUE(launched) << describe(launched.error());
  EXPECT_EQ(static_cast<LaunchingCloud&>(*launched->cloud).launches[0].instance_profile, "");
  EXPECT_TRUE(folder.laptop.iam.asked.empty());
  Launching named;
  named.settings.instance_profile = "trainer";
  launched = named.launch_it();
  ASSERT_TRUE(launched) << describe(launched.error());
  EXPECT_EQ(static_cast<LaunchingCloud&>(*launched->cloud).launches[0].instance_profile, "trainer");
  EXPECT_TRUE(named.laptop.iam.asked.empty());
  Launching denied;
  denied.laptop.iam.denied.insert("CreateRole");
  EXPECT_EQ(denied.launch_it().error().kind, Kind::denied);
  EXPECT_TRUE(denied.laptop.noted().empty()) << "not even a key pair was made";
}

/// Against the IAM that FERRY_MOTO_URL names; tests/aws/store.py starts one.
TEST(StoreRoleOverMoto, LivesFromItsLaunchToItsRelease) {
  const auto url = os::env("FERRY_MOTO_URL");
  if (!url) GTEST_SKIP() << "tests/aws/store.py sets FERRY_MOTO_URL";
  TestContext test;
  cloud::AwsContext access{
      .region = "us-east-1", .endpoint_url = *url, .credentials = cloud::fixed_credentials("AKIDEXAMPLE", "secret")};
  test.context.rehearsal = [&]() -> Result<cloud::AwsContext> { return access; };
  Launching it;
  it.refusals = {young, young};
  it.laptop.test.context.rehearsal = test.context.rehearsal;
  fleet::Context real{it.laptop.test.clock,
                      *test.http,
                      *it.laptop.test.ledger,
                      *it.laptop.test.progress,
                      it.laptop.test.signals,
                      it.laptop.test.dir.path(),
                      test.context.rehearsal,
                      {},
                      {}};
  const auto launched = it.launch_it(&real);
  ASSERT_TRUE(launched) << describe(launched.error());
  EXPECT_EQ(static_cast<LaunchingCloud&>(*launched->cloud).launches.size(), 3u);
  const auto role = store_role_name(it.laptop.run.name, launch_id(it.laptop.run));
  EXPECT_EQ(static_cast<LaunchingCloud&>(*launched->cloud).launches.back().instance_profile, role);
  const auto there = find_store_roles(real, it.laptop.location, owner_name());
  ASSERT_TRUE(there) << describe(there.error());
  ASSERT_EQ(there->size(), 1u);
  EXPECT_EQ(there->front().name, role);
  const auto released = release_all(real, it.laptop.run);
  ASSERT_TRUE(released) << describe(released.error());
  EXPECT_TRUE(it.laptop.noted().empty());
  EXPECT_TRUE(find_store_roles(real, it.laptop.location, owner_name()).value().empty());
}

}  // namespace
}  // namespace ferry::fleet
