#include "sandbox/userdata.h"

#include <gtest/gtest.h>

namespace ferry::sandbox {

TEST(UserData, AScriptIsKeptWhole) {
  EXPECT_EQ(parse_user_data("#!/bin/sh\nexit\n")->script, "#!/bin/sh\nexit\n");
  EXPECT_TRUE(parse_user_data("")->script.empty());
}

TEST(UserData, CloudConfigGivesItsKeys) {
  const auto data = parse_user_data(
      "#cloud-config\n"
      "hostname: box\n"
      "ssh_authorized_keys: [ssh-ed25519 AAAA me]\n"
      "ssh_keys: {ed25519_private: secret, ed25519_public: open}\n"
      "bootcmd: [echo hi]\n"
      "runcmd:\n  - [touch, a b]\n  - ls | wc\n"
      "write_files:\n  - {path: /a, content: aGk=, encoding: b64, permissions: '0600', owner: 'root:root', "
      "append: true}\n");
  ASSERT_TRUE(data) << data.error().why;
  EXPECT_EQ(data->hostname, "box");
  EXPECT_EQ(data->host_key, "secret");
  EXPECT_EQ(data->host_key_public, "open");
  EXPECT_EQ(data->authorized_keys, std::vector<std::string>{"ssh-ed25519 AAAA me"});
  EXPECT_EQ(data->boot_commands, std::vector<os::Argv>({{"/bin/sh", "-c", "echo hi"}}));
  EXPECT_EQ(data->run_commands, std::vector<os::Argv>({{"touch", "a b"}, {"/bin/sh", "-c", "ls | wc"}}));
  ASSERT_EQ(data->files.size(), 1U);
  EXPECT_EQ(data->files[0].content, "hi");
  EXPECT_EQ(data->files[0].mode, 0600U);
  EXPECT_TRUE(data->files[0].append);
  EXPECT_TRUE(data->notes.empty());
}

TEST(UserData, WhatIsNotDoneIsSaid) {
  EXPECT_EQ(parse_user_data("#cloud-config\npackages: [vim]\n")->notes.size(), 1U);
  EXPECT_EQ(parse_user_data("\x1f\x8b gzip")->notes.size(), 1U);
  EXPECT_EQ(parse_user_data("Content-Type: multipart/mixed\nMIME-Version: 1.0\n")->notes.size(), 1U);
  EXPECT_EQ(parse_user_data("hello")->notes.size(), 1U);
}

TEST(UserData, WrongShapesAreCorrupt) {
  for (const char* text : {"a: [", "- a", "runcmd: ls", "bootcmd: [{a: b}]", "write_files: [{content: x}]",
                           "write_files: [{path: a}]", "write_files: [{path: /a, permissions: rw}]",
                           "write_files: [{path: /a, content: '*', encoding: b64}]", "ssh_keys: x", "hostname: [a]"}) {
    const auto data = parse_user_data(std::string("#cloud-config\n") + text);
    ASSERT_FALSE(data) << text;
    EXPECT_EQ(data.error().kind, Kind::corrupt);
  }
  EXPECT_FALSE(parse_user_data("#cloud-config\na: " + std::string(5000, '[')));
  EXPECT_FALSE(parse_user_data("#cloud-config\n" + std::string(20000, '-')));
}

}  // namespace ferry::sandbox
