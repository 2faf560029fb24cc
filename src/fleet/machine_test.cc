#include "fleet/machine.h"

#include <gtest/gtest.h>

namespace ferry::fleet {
namespace {

TEST(Machine, UserDataHoldsTheHostKeyAndATimerThatEndsTheMachine) {
  const auto data = user_data("-----BEGIN\nabc\n-----END\n", "ssh-ed25519 AAAA x", Seconds(4242));
  EXPECT_TRUE(data.starts_with("#cloud-config\n"));
  EXPECT_NE(data.find("    abc\n"), std::string::npos);
  EXPECT_NE(data.find("ed25519_public: ssh-ed25519 AAAA x\n"), std::string::npos);
  EXPECT_NE(data.find("--on-active=4242"), std::string::npos);
  EXPECT_NE(data.find("sleep 4242"), std::string::npos);
}

TEST(Machine, TheTimerNeverFiresBeforeOutputsCouldBeFetched) {
  for (const auto hours : {0, 1, 24, 240}) {
    const TimeLimits lifetime{Seconds(hours * 3600 + 20)};
    EXPECT_GE(lifetime.until_power_off(), lifetime.max_duration + lifetime.retention() + Seconds(60));
    EXPECT_GE(lifetime.retention(), Seconds(30));
  }
}

}  // namespace
}  // namespace ferry::fleet
