#include "run/background_send.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/text.h"
#include "run/scripted_machine.h"

namespace ferry::run {
namespace {

using namespace std::chrono_literals;

class BackgroundSends : public testing::Test {
 protected:
  BackgroundSends() {
    std::filesystem::create_directories(temp_.path() / "from");
    for (int i = 0; i < 300; ++i)
      std::ofstream(temp_.path() / "from" / std::to_string(i))
          << std::string(5000, static_cast<char>('a' + i % 26)) << i;
    options_.expects_nothing = true;
  }
  std::unique_ptr<BackgroundSend> begin() const {
    auto tree = sync::scan(temp_.path() / "from", {});
    EXPECT_TRUE(tree && sync::hash_tree(temp_.path() / "from", *tree, {}));
    return std::make_unique<BackgroundSend>(temp_.path() / "from", *std::move(tree), options_);
  }
  mux::Command start(const std::string& command) {
    if (!session_) session_.emplace(*machine_.connect());
    return *session_->spawn(command);
  }
  static void wait_for(const std::function<bool()>& what) {
    for (int i = 0; i < 6000 && !what(); ++i) std::this_thread::sleep_for(10ms);
    ASSERT_TRUE(what());
  }

  const os::TempDir temp_;
  sync::Options options_;

 private:
  ScriptedMachine machine_{temp_.path() / "home"};
  std::optional<ssh::Session> session_;
};

TEST_F(BackgroundSends, FilesAreReadBeforeThereIsAReceiver) {
  const auto send = begin();
  wait_for([&] { return send->progress().files_done == 300; });
  EXPECT_FALSE(send->wait(Millis(0)));
  send->stop();
  ASSERT_FALSE(send->report());
  EXPECT_EQ(send->report().error().kind, Kind::cancelled);
}

TEST_F(BackgroundSends, AReceiverThatIsNoneIsTold) {
  const auto send = begin();
  send->attach(start("echo out of order >&2; exit 3"));
  wait_for([&] { return send->wait(Millis(10)); });
  ASSERT_FALSE(send->report());
  EXPECT_EQ(send->report().error().kind, Kind::lost);
  EXPECT_EQ(send->report().error().why, "out of order");
}

TEST_F(BackgroundSends, OneThatIsGivenUpWhileTheReceiverTakesNothingEndsAtOnce) {
  const auto send = begin();
  send->attach(start("exec sleep 1000"));
  wait_for([&] { return send->progress().files_done == 300; });
}

TEST_F(BackgroundSends, WhatWasReadReachesTheReceiver) {
  const auto agent = temp_.path() / "agent";
  ASSERT_TRUE(os::write_file(agent, scripted_agent(), 0700));
  const auto send = begin();
  wait_for([&] { return send->progress().files_done == 300; });
  const auto to = temp_.path() / "to";
  send->attach(start(shell_quoted(agent.string()) + " receive " + shell_quoted(to.string())));
  wait_for([&] { return send->wait(Millis(10)); });
  ASSERT_TRUE(send->report()) << describe(send->report().error());
  EXPECT_EQ(send->report()->files_moved, 300U);
  EXPECT_EQ(os::read_file(to / "299").value_or("none"), os::read_file(temp_.path() / "from/299").value_or(""));
}

}  // namespace
}  // namespace ferry::run
