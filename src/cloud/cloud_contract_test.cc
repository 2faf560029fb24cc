// One contract, many contexts: moto here; with FERRY_TEST_CLOUD=1 also whatever the AWS_* variables point at
// (the rehearsal cloud, or AWS itself, where it rents a t3.micro for about a minute).

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/version.h"
#include "cloud/cloud.h"
#include "cloud/moto_server.h"
#include "os/env.h"

namespace ferry::cloud {
namespace {

constexpr const char* public_key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm5OxUGwS0QZJkNdcT1ssm+4/fBmcHbk8cqbHUJsFjO ferry-test";

enum class Tokens { honoured, ignored };

/// Names of this run of the contract only, so that several may share one account.
struct Names {
  std::string run = "contract-" + random_name(6);
  Tags tags = {{"ferry:run", run}, {"ferry:owner", "test"}, {"ferry:version", ferry_version()}};
};

/// The value, or a failed test that says why there is none.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

class CloudContract : public testing::Test {
 protected:
  /// Waits as ferry does: asks, and sleeps on the clock in between.
  static Result<Instance> wait_for(Cloud& cloud, const std::string& id, State wanted) {
    for (int i = 0; i < 600; ++i) {
      auto got = cloud.describe(id);
      if (!got || got->state == wanted) return got;
      os::system_clock().sleep(Millis(200));
    }
    return fail(Kind::timeout, id + " does not become " + std::string(name(wanted)));
  }

  static void keys_can_be_made_and_deleted_twice(Cloud& cloud, const Names& names) {
    must(cloud.import_key(names.run, public_key, names.tags));
    must(cloud.import_key(names.run, public_key, names.tags));
  }

  static void a_group_opens_ssh_to_one_address(Cloud& cloud, const Names& names, SecurityGroup& group) {
    const auto made = must(cloud.ensure_group(names.run, "203.0.113.7/32", names.tags));
    const auto again = must(cloud.ensure_group(names.run, "203.0.113.7/32", names.tags));
    EXPECT_EQ(made.id, again.id);
    const auto moved = must(cloud.ensure_group(names.run, "127.0.0.1/32", names.tags));
    EXPECT_EQ(made.id, moved.id);
    group = made;
  }

  static void what_was_made_is_found_by_its_tags(Cloud& cloud, const Names& names) {
    std::set<std::string> kinds;
    for (const auto& one : must(cloud.find_made("ferry:run", names.run))) {
      EXPECT_EQ(one.name, names.run);
      EXPECT_EQ(one.tags, names.tags);
      EXPECT_TRUE(kinds.insert(one.kind).second) << one.kind;
    }
    EXPECT_EQ(kinds, (std::set<std::string>{"key-pair", "security-group"}));
    EXPECT_TRUE(must(cloud.find_made("ferry:run", names.run.substr(0, 5) + "*")).empty());
  }

  static void a_machine_is_rented_found_and_released(Cloud& cloud, const Names& names, const SecurityGroup& group,
                                                     Tokens tokens) {
    const auto image = must(cloud.newest_image({"t3.medium", "x86_64", false}));
    EXPECT_EQ(image.login_user, "ubuntu");
    LaunchRequest request;
    request.offer.type.name = "t3.micro";
    request.image = image;
    request.client_token = names.run + "-1";
    request.key_name = names.run;
    request.security_group = group.id;
    request.user_data = "#!/bin/sh\nshutdown -h +30\n";
    request.tags = names.tags;
    const auto made = must(cloud.launch(request));
    EXPECT_EQ(made.tags, names.tags);
    if (tokens == Tokens::honoured) {
      EXPECT_EQ(must(cloud.launch(request)).id, made.id) << "asking twice rents once";
      EXPECT_EQ(must(cloud.find_by_token(request.client_token)).value().id, made.id);
      EXPECT_FALSE(must(cloud.find_by_token(names.run + "-2")));
    }
    const auto up = must(wait_for(cloud, made.id, State::running));
    EXPECT_FALSE(up.address.empty());
    EXPECT_EQ(up.type, "t3.micro");
    EXPECT_EQ(up.region, cloud.region());
    EXPECT_TRUE(up.zone.starts_with(cloud.region()));
    EXPECT_GT(up.launched_ms, 1'600'000'000'000);
    must(cloud.stop(made.id));
    must(wait_for(cloud, made.id, State::stopped));
    EXPECT_TRUE(must(cloud.describe(made.id)).address.empty());
    must(cloud.start(made.id));
    must(wait_for(cloud, made.id, State::running));
    const auto tagged = must(cloud.find_by_tag("ferry:run", names.run));
    ASSERT_EQ(tagged.size(), 1U);
    EXPECT_EQ(tagged.front().id, made.id);
    must(cloud.terminate(made.id));
    must(cloud.terminate(made.id));
    const auto gone = must(wait_for(cloud, made.id, State::terminated));
    EXPECT_FALSE(gone.alive());
  }

  static void keeps_contract(Cloud& cloud, Tokens tokens) {
    const Names names;
    const auto who = must(cloud.whoami());
    EXPECT_EQ(who.account.size(), 12U);
    EXPECT_TRUE(who.arn.starts_with("arn:"));
    SecurityGroup group;
    keys_can_be_made_and_deleted_twice(cloud, names);
    a_group_opens_ssh_to_one_address(cloud, names, group);
    a_machine_is_rented_found_and_released(cloud, names, group, tokens);
    const auto unknown = cloud.describe("i-0123456789abcdef0");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().kind, Kind::not_found);
    EXPECT_TRUE(cloud.terminate("i-0123456789abcdef0")) << "releasing what is gone is calm";
    for (int twice = 0; twice < 2; ++twice) {
      must(cloud.delete_group(names.run));
      must(cloud.delete_key(names.run));
    }
  }

  static AwsContext moto_world(const MotoServer& moto) {
    AwsContext context;
    context.region = "us-east-1";
    context.endpoint_url = moto.url();
    context.credentials = fixed_credentials("AKIDEXAMPLE", "secret");
    return context;
  }

  std::unique_ptr<os::HttpClient> http = os::make_http_client();
};

TEST_F(CloudContract, IsKeptOverMotoAndImagesAreFoundByParameterAndByName) {
  const auto moto = MotoServer::start();
  if (!moto) GTEST_SKIP() << "python3 has no moto[server]";
  const auto cloud = make_ec2_cloud(moto_world(*moto), *http, os::system_clock());
  keeps_contract(*cloud, Tokens::ignored);  // moto knows neither ClientToken nor the filter for it
  if (HasFatalFailure()) return;
  const auto gpu = cloud->newest_image({"g5.xlarge", "x86_64", true});
  ASSERT_TRUE(gpu) << describe(gpu.error());
  EXPECT_EQ(gpu->id, moto_gpu_image);
  EXPECT_EQ(gpu->root_device, "/dev/sda1");
  EXPECT_GT(gpu->root_size_gib, 0);
  const auto plain = cloud->newest_image({"t3.medium", "x86_64", false});
  ASSERT_TRUE(plain) << describe(plain.error());
  EXPECT_EQ(plain->id, moto_ubuntu_image);
  EXPECT_EQ(cloud->newest_image({"g5g.xlarge", "arm64", true}).error().kind, Kind::not_found);
}

TEST_F(CloudContract, IsKeptOverTheCloudOfTheEnvironmentWhenAskedFor) {
  if (!os::env("FERRY_TEST_CLOUD")) GTEST_SKIP() << "FERRY_TEST_CLOUD is not set";
  auto context = aws_context_from_environment("");
  ASSERT_TRUE(context) << describe(context.error());
  const auto cloud = make_ec2_cloud(*context, *http, os::system_clock());
  keeps_contract(*cloud, Tokens::honoured);
}

}  // namespace
}  // namespace ferry::cloud
