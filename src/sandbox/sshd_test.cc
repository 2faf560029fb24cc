#include "sandbox/sshd.h"

#include <gtest/gtest.h>

#include "os/process.h"

namespace ferry::sandbox {

TEST(Sshd, FingerprintsAreThoseOfSshKeygen) {
  os::TempDir folder;
  const std::string key = (folder.path() / "key").string();
  ASSERT_TRUE(os::run_command({.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key}}));
  const auto theirs = os::run_command({.argv = {"ssh-keygen", "-lf", key}});
  const auto ours = fingerprint(*os::read_file(key + ".pub"));
  ASSERT_TRUE(ours);
  EXPECT_NE(theirs->out.find(*ours), std::string::npos) << theirs->out;
  EXPECT_FALSE(fingerprint("none"));
}

}  // namespace ferry::sandbox
