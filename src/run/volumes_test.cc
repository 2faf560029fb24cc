// Volumes that a task names, before a cloud that loses answers and machines: found once, never taken from another
// machine, attached once.
#include "fleet/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run/stage.h"

namespace ferry::run {
namespace {

using testing::HasSubstr;

cloud::Volume volume_in(const std::string& region, const std::string& id, const std::string& name) {
  return {.id = id, .name = name, .zone = region + "a", .region = region, .gib = 20, .state = "available"};
}

class VolumesOfATask : public testing::Test {
 protected:
  VolumesOfATask() {
    task.volumes = {{"/mnt/data", "my-data", "t.yaml:3:3"}};
    stage.cloud.volumes = {volume_in("us-east-1", "vol-0123456789abcdef0", "my-data")};
    regions = {"us-east-1", "eu-west-1"};
  }
  fleet::OpenRegion open() {
    return
        [this](const std::string& region) -> Result<std::unique_ptr<cloud::Cloud>> { return stage.cloud.open(region); };
  }
  Result<std::vector<cloud::Volume>> find() { return fleet::find_volumes(task, regions, open()); }
  /// A machine that has nothing to do with this run, unless it is its own.
  ledger::Instance rent(const std::string& token) {
    cloud::LaunchRequest request;
    request.offer.type.name = "t3.micro";
    request.offer.region = "us-east-1";
    request.client_token = token;
    must(here->import_key("key", "ssh-ed25519 AAAA", {}));
    request.key_name = "key";
    request.security_group = must(here->ensure_group("group", "127.0.0.1/32", {})).id;
    request.tags = {{"ferry:run", token}};
    ledger::Instance noted;
    noted.id = must(here->launch(request)).id;
    stage.clock.sleep(Millis(5'000));
    return noted;
  }
  Status attach(const ledger::Instance& machine) {
    auto context = stage.context();
    return fleet::attach_volumes(context, *here, must(find()), machine);
  }
  Status await() {
    auto context = stage.context();
    return fleet::await_free(context, *here, must(find()));
  }
  const cloud::Volume& volume() const { return stage.cloud.volumes.front(); }

  Stage stage;
  task::Task task;
  std::vector<std::string> regions;
  std::unique_ptr<cloud::Cloud> here = stage.cloud.open("us-east-1");
};

TEST_F(VolumesOfATask, AreFoundInWhicheverRegionAndOneThatIsThereTwiceOrNotAtAllIsRefused) {
  EXPECT_EQ(must(find()).at(0).id, "vol-0123456789abcdef0");
  stage.cloud.volumes.push_back(volume_in("eu-west-1", "vol-2", "my-data"));
  const auto twice = find();
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().kind, Kind::bad_input);
  EXPECT_THAT(twice.error().why, HasSubstr("vol-2 in eu-west-1a"));
  stage.cloud.volumes.clear();
  const auto none = find();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, Kind::not_found);
  EXPECT_EQ(none.error().what, "t.yaml:3:3: volumes: there is no volume my-data in us-east-1, eu-west-1");
  EXPECT_THAT(none.error().advice,
              HasSubstr("aws ec2 create-volume --region us-east-1 --availability-zone us-east-1a"));
  task.volumes[0].name = "vol-training";  // a name like any other
  EXPECT_THAT(find().error().advice, HasSubstr("create-volume"));
  task.volumes[0].name = "vol-0fedcba9876543210";
  EXPECT_THAT(find().error().advice, HasSubstr("check its id"));
}

TEST_F(VolumesOfATask, AreNotCalledMissingWhereARegionCouldNotBeAsked) {
  stage.cloud.volumes.clear();
  stage.cloud.add({.call = "volumes", .error = {Kind::denied, "may not look", "", "", ""}});
  EXPECT_EQ(find().error().kind, Kind::denied);
  stage.cloud.volumes = {volume_in("eu-west-1", "vol-2", "my-data")};
  stage.cloud.add({.call = "volumes", .error = {Kind::denied, "may not look", "", "", ""}});
  EXPECT_TRUE(find()) << "another region has it";
}

TEST_F(VolumesOfATask, OfSeveralZonesAreRefused) {
  task.volumes.push_back({"/mnt/b", "other", "t.yaml:4:3"});
  stage.cloud.volumes.push_back(volume_in("us-east-1", "vol-2", "other"));
  EXPECT_TRUE(find());
  stage.cloud.volumes.back().zone = "us-east-1b";
  EXPECT_THAT(find().error().what, HasSubstr("other is in us-east-1b, my-data in us-east-1a"));
}

TEST_F(VolumesOfATask, AreAttachedOnceWhateverAnswerIsLostAndASecondCallIsCalm) {
  const auto machine = rent("mine");
  stage.cloud.add({.call = "attach_volume", .error = {Kind::lost, "no answer", "", "", ""}, .took_effect = true});
  const auto attached = attach(machine);
  ASSERT_TRUE(attached) << describe(attached.error());
  EXPECT_EQ(volume().instance, machine.id);
  EXPECT_EQ(volume().device, "/dev/sdf");
  EXPECT_TRUE(attach(machine));
  EXPECT_EQ(stage.cloud.count("attach_volume"), 1);
}

TEST_F(VolumesOfATask, AreAskedForAgainWhereTheyWereNotAttachedButNotForever) {
  const auto machine = rent("mine");
  stage.cloud.add({.call = "attach_volume", .error = {Kind::io, "EC2 has a problem", "", "", ""}, .times = 2});
  EXPECT_TRUE(attach(machine));
  EXPECT_EQ(stage.cloud.count("attach_volume"), 3);
  stage.cloud.volumes = {volume_in("us-east-1", "vol-0123456789abcdef0", "my-data")};
  stage.cloud.add({.call = "attach_volume", .error = {Kind::io, "EC2 has a problem", "", "", ""}, .times = -1});
  EXPECT_EQ(attach(machine).error().kind, Kind::io);
  stage.cloud.heal();
  stage.cloud.add({.call = "attach_volume", .error = {Kind::denied, "may not", "", "", ""}});
  EXPECT_THAT(attach(machine).error().advice, HasSubstr("ferry policy --all"));
  EXPECT_EQ(volume().instance, "");
}

TEST_F(VolumesOfATask, AreNeverTakenFromAnotherMachineAndThoseThatComeFreeAreWaitedFor) {
  const auto other = rent("other"), machine = rent("mine");
  EXPECT_TRUE(await());
  ASSERT_TRUE(attach(other));
  const auto used = await();
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().kind, Kind::conflict);
  EXPECT_THAT(used.error().what, HasSubstr("is attached to " + other.id + " (of the run other)"));
  EXPECT_EQ(attach(machine).error().kind, Kind::conflict);
  EXPECT_EQ(volume().instance, other.id);
  ASSERT_TRUE(here->terminate(other.id));
  EXPECT_TRUE(await());
  EXPECT_TRUE(attach(machine));
  EXPECT_EQ(volume().instance, machine.id);
}

TEST_F(VolumesOfATask, OneThatWouldBeDeletedWithItsMachineIsNotUsed) {
  const auto machine = rent("mine");
  stage.cloud.volumes.front().ends_with_instance = true;
  EXPECT_THAT(attach(machine).error().what, HasSubstr("would be deleted with the machine"));
}

TEST_F(VolumesOfATask, ConfineWhatIsPlannedToTheirZone) {
  task.resources.cpus = task::Amount{2, true};
  const auto found = must(find());
  const auto planned = fleet::plan_beside(task, found, fleet::TimeLimits{}, stage.data(), stage.clock.now_ms(), "");
  ASSERT_TRUE(planned) << describe(planned.error());
  for (const auto& offer : planned->ranking.offers) EXPECT_EQ(offer.zone, "us-east-1a");
  EXPECT_EQ(planned->location.region, "us-east-1");
  task.resources.infra = task::Infra{.region = "eu-west-1"};
  const auto elsewhere = fleet::plan_beside(task, found, fleet::TimeLimits{}, stage.data(), stage.clock.now_ms(), "");
  ASSERT_FALSE(elsewhere);
  EXPECT_THAT(elsewhere.error().what, HasSubstr("which is where the volume my-data"));
}

}  // namespace
}  // namespace ferry::run
