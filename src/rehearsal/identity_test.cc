#include "rehearsal/identity.h"

#include <gtest/gtest.h>

#include <thread>

#include "os/fd.h"
#include "os/socket.h"
#include "rehearsal/server.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

const std::string some_nonce(64, 'a');

/// A server in this process, and what a folder knows of it.
class Identity : public ::testing::Test {
 protected:
  Identity() {
    auto started = Server::start(store, machines, os::system_clock(), {});
    EXPECT_TRUE(started) << describe(started.error());
    server = std::move(*started);
    write(server->port(), server->token());
  }
  void write(int port, const std::string& token) {
    ASSERT_TRUE(write_endpoint(dir.path(), {.port = port, .pid = 1, .token = token}));
  }
  static std::string url(int port, const char* host = "127.0.0.1") { return fmt::format("http://{}:{}", host, port); }

  os::TempDir dir;
  Store store{dir.path()};
  FakeMachines machines;
  std::unique_ptr<Server> server;
  Result<std::optional<os::FileLock>> running = os::FileLock::try_take(lock_file(dir.path()));
};

TEST_F(Identity, TheCloudOfTheFolderIsKnown) {
  EXPECT_TRUE(is_own(dir.path(), url(server->port())));
  EXPECT_TRUE(is_own(dir.path(), url(server->port()) + "/"));
}

TEST_F(Identity, WhatOnlyLooksLikeItIsNot) {
  const int port = server->port();
  for (const auto& other :
       {url(port + 1), url(port, "127.0.0.2"), url(port, "localhost"), std::string(),
        url(port) + "@ec2.us-east-1.amazonaws.com", "https" + url(port).substr(4), url(port) + "/x"})
    EXPECT_FALSE(is_own(dir.path(), other)) << other;
  const os::TempDir nothing;
  EXPECT_FALSE(is_own(nothing.path(), url(port)));
}

TEST_F(Identity, AnotherServerAtItsPortIsNot) {
  write(server->port(), std::string(48, '0'));  // as if a stranger had the port now
  EXPECT_FALSE(is_own(dir.path(), url(server->port())));
}

TEST_F(Identity, AServerThatDoesNotRunIsNot) {
  running->reset();
  EXPECT_FALSE(is_own(dir.path(), url(server->port())));
}

TEST_F(Identity, AProofIsForOnePortAndOneNonceAndNoWordsOfOthers) {
  const auto proof = identity_proof("secret", 80, some_nonce);
  EXPECT_EQ(proof.size(), 64U);
  EXPECT_NE(proof, identity_proof("secret", 81, some_nonce));
  EXPECT_NE(proof, identity_proof("other", 80, some_nonce));
  EXPECT_NE(proof, identity_proof("secret", 80, std::string(64, 'b')));
  for (const std::string& odd : {std::string(), std::string(63, 'a'), std::string(64, 'A'), some_nonce + "\n"})
    EXPECT_EQ(identity_proof("secret", 80, odd), "") << odd;
  EXPECT_EQ(identity_proof("", 80, some_nonce), "") << "no secret proves nothing";
}

TEST_F(Identity, WhoeverPassesTheQuestionOnIsNot) {
  // A proxy in front of the real one, on a port that the folder believes in.
  auto listener = os::listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  const int port = os::local_port(listener->get());
  std::thread proxy([&] {
    const auto client = os::accept_one(listener->get());
    ASSERT_TRUE(client);
    const auto asked = os::read_some(client->get());
    const auto upstream = os::connect_tcp("127.0.0.1", server->port(), Millis(5000));
    ASSERT_TRUE(asked && upstream);
    ASSERT_TRUE(os::write_all(upstream->get(), *asked));
    ASSERT_TRUE(os::write_all(client->get(), os::read_to_end(upstream->get()).value_or("")));
  });
  write(port, server->token());
  EXPECT_FALSE(is_own(dir.path(), url(port)));
  proxy.join();
}

}  // namespace
}  // namespace ferry::rehearsal
