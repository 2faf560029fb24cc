// Volumes over moto, which knows nothing of ferry.

#include <gtest/gtest.h>

#include "cloud/aws_client.h"
#include "cloud/cloud.h"
#include "cloud/moto_server.h"
#include "os/clock.h"

namespace ferry::cloud {
namespace {

struct VolumesOverMoto : testing::Test {
  VolumesOverMoto() : moto(MotoServer::start()) {
    if (!moto) return;
    context.region = "us-east-1";
    context.endpoint_url = moto->url();
    context.credentials = fixed_credentials("AKIDEXAMPLE", "secret");
    cloud = make_ec2_cloud(context, *http, os::system_clock());
  }
  void SetUp() override {
    if (!moto) GTEST_SKIP() << "python3 has no moto[server]";
  }
  /// Of that name, in us-east-1b. Ferry itself makes none.
  Status make(const std::string& name) {
    auto client = aws_client(context, *http, os::system_clock());
    const auto params =
        aws::Params().add("AvailabilityZone", "us-east-1b").add("Size", 20).tags("volume", {{"Name", name}});
    TRY("", client.query("ec2", "CreateVolume", params, aws::Repeat::never));
    return {};
  }
  std::optional<MotoServer> moto;
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  AwsContext context;
  std::unique_ptr<Cloud> cloud;
};

TEST_F(VolumesOverMoto, AreFoundByNameOrByIdAndAttached) {
  ASSERT_TRUE(make("my data"));
  ASSERT_TRUE(make("my own data"));
  EXPECT_TRUE(cloud->volumes("nothing")->empty());
  EXPECT_TRUE(cloud->volumes("vol-00000000000000000")->empty());
  const auto found = cloud->volumes("my data");
  ASSERT_TRUE(found) << describe(found.error());
  ASSERT_EQ(found->size(), 1u);
  const auto& volume = found->front();
  EXPECT_EQ(volume.name, "my data");
  EXPECT_EQ(volume.zone, "us-east-1b");
  EXPECT_EQ(volume.region, "us-east-1");
  EXPECT_EQ(volume.gib, 20);
  EXPECT_EQ(volume.state, "available");
  EXPECT_EQ(volume.instance, "");
  EXPECT_EQ(cloud->volumes(volume.id)->at(0).name, "my data");

  LaunchRequest request;
  request.offer.type.name = "t3.micro";
  request.offer.zone = "us-east-1b";
  request.image = {moto_ubuntu_image, "ubuntu", "ubuntu", "/dev/sda1", 8};
  request.client_token = "t";
  const auto machine = cloud->launch(request);
  ASSERT_TRUE(machine) << describe(machine.error());
  ASSERT_TRUE(cloud->attach_volume(volume.id, machine->id, "/dev/sdf"));
  const auto attached = cloud->volumes(volume.id)->at(0);
  EXPECT_EQ(attached.state, "in-use");
  EXPECT_EQ(attached.instance, machine->id);
  EXPECT_EQ(attached.device, "/dev/sdf");
  EXPECT_EQ(attached.attachment, "attached");
  EXPECT_FALSE(attached.ends_with_instance);
  const auto missing = cloud->attach_volume("vol-00000000000000000", machine->id, "/dev/sdg");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, Kind::not_found);
}

}  // namespace
}  // namespace ferry::cloud
