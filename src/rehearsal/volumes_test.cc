// Volumes that live by themselves. tests/rehearsal/volumes.py has what is refused, in AWS's words.

#include "rehearsal/volumes.h"

#include <gtest/gtest.h>

#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Volumes : testing::Test, TestCloud {
  std::string make(const std::string& zone) {
    const auto id = ask("CreateVolume", {{"AvailabilityZone", zone}, {"Size", "20"}}).at("//volumeId");
    pass_time();
    return id;
  }
  void pass_time() { clock.advance(Millis(volume_change_ms)); }
  Answer attach(const std::string& volume, const std::string& machine) {
    return ask("AttachVolume", {{"VolumeId", volume}, {"InstanceId", machine}, {"Device", "/dev/sdf"}});
  }
  std::string state_of(const std::string& volume) {
    return ask("DescribeVolumes", {{"VolumeId.1", volume}}).at("//volumeSet/item/status");
  }
  std::vector<std::string> asked_of(const std::string& id) const {
    std::vector<std::string> out;
    for (const auto& line : machines.asked)
      if (line.ends_with(id) && !line.starts_with("boot")) out.push_back(line);
    return out;
  }
};

TEST_F(Volumes, GoThroughEc2sStatesAndAreKeptThroughARestartOfTheServer) {
  const auto machine = launch();
  settle();
  const auto made = ask("CreateVolume", {{"AvailabilityZone", instance(machine).zone}, {"Size", "20"}});
  const auto volume = made.at("//volumeId");
  EXPECT_EQ(made.at("//status"), "creating");
  EXPECT_EQ(attach(volume, machine).code(), "IncorrectState");
  pass_time();
  EXPECT_EQ(state_of(volume), "available");
  EXPECT_EQ(attach(volume, machine).at("//status"), "attaching");
  pass_time();
  restart();
  EXPECT_EQ(state_of(volume), "in-use");
  EXPECT_EQ(attach(volume, machine).code(), "VolumeInUse");
  EXPECT_EQ(ask("DetachVolume", {{"VolumeId", volume}}).at("//status"), "detaching");
  EXPECT_EQ(state_of(volume), "in-use");
  pass_time();
  EXPECT_EQ(state_of(volume), "available");
}

TEST_F(Volumes, AreTakenFromATerminatedMachineBeforeItsDiskIsRemoved) {
  const auto machine = launch();
  settle();
  const auto volume = make(instance(machine).zone);
  ASSERT_EQ(attach(volume, machine).status, 200);
  ask("TerminateInstances", {{"InstanceId.1", machine}});
  settle();
  const std::vector<std::string> order = {"give " + volume + " " + machine, "stop " + machine,
                                          "take " + volume + " " + machine, "destroy " + machine};
  EXPECT_EQ(asked_of(machine), order);
  EXPECT_EQ(state_of(volume), "available");
  const auto next = launch({{"Placement.AvailabilityZone", instance(machine).zone}});
  settle();
  EXPECT_EQ(attach(volume, next).status, 200);
}

}  // namespace
}  // namespace ferry::rehearsal
