// A held connection between real processes, over real sockets: the machine is this computer (Session::local).
#include "ssh/held.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "base/text.h"
#include "mux/testing.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/socket.h"
#include "ssh/holder.h"
#include "ssh/keys.h"

namespace ferry::ssh {
namespace {

class Held : public testing::Test {
 protected:
  void SetUp() override {
    os::ignore_sigpipe();
    for (const char* arch : {"x86_64", "aarch64"})
      programs_.push_back({arch, "ferry-agent-test", [] { return Result<std::string>(mux::serving_script()); }});
    target_ = {"me", "192.0.2.1", 22, dir_.path() / "id", dir_.path() / "known", "run-1"};
    ASSERT_TRUE(os::write_file(target_.identity, "key", 0600));
    ASSERT_TRUE(os::write_file(target_.known_hosts, "run-1 ssh-ed25519 AAAA"));
    place_ = {dir_.path() / "held", *held_key(target_, programs_)};
  }
  void TearDown() override { end(); }

  /// In a thread of its own, until end() or what else ends it. Returns once it listens, or is over.
  void begin(Millis idle = Millis(60'000)) {
    stop_ = std::make_unique<os::Pipe>(*os::make_pipe());
    holder_ = std::async(std::launch::async, [this, idle, stop = stop_->read.get()] {
      const auto open = [this] {
        auto session = Session::local(home_.path(), programs_);
        if (session) ssh_ = session->pid();
        return session;
      };
      return hold(place_, open, idle, stop);
    });
    const auto listens = [this] { return os::is_locked(place_.lock()) && os::exists(place_.socket()); };
    while (!listens() && holder_.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) continue;
  }
  Result<HoldEnd> end() {
    if (!holder_.valid()) return HoldEnd::others;
    (void)os::write_all(stop_->write.get(), "x");
    return holder_.get();
  }
  std::optional<Session> use() { return use_held(place_.folder, target_, programs_); }
  std::vector<std::string> left() const { return os::list_dir(place_.folder).value_or(std::vector<std::string>()); }

  /// A listener at the socket's path that is no holder.
  os::Fd listen() {
    EXPECT_TRUE(os::make_dirs(place_.folder, 0700));
    return *os::listen_unix(place_.socket());
  }

  os::TempDir dir_, home_;
  Programs programs_;
  Target target_;
  HeldPlace place_;
  std::unique_ptr<os::Pipe> stop_;
  std::future<Result<HoldEnd>> holder_;
  std::atomic<pid_t> ssh_ = -1;
};

TEST_F(Held, ACallerUsesItAsAConnectionOfItsOwn) {
  begin();
  auto session = use();
  ASSERT_TRUE(session);
  EXPECT_TRUE(session->is_held());
  EXPECT_EQ(session->machine().home, home_.path().string());
  const auto told = session->run("cat; pwd; exit 3", "input ");
  ASSERT_TRUE(told) << describe(told.error());
  EXPECT_EQ(told->exit.code, 3);
  EXPECT_EQ(told->out, "input " + home_.path().string() + "\n");
  EXPECT_EQ(*end(), HoldEnd::asked);
  while (session->alive()) std::this_thread::yield();
  EXPECT_EQ(session->run("true").error().kind, Kind::lost);
  EXPECT_THAT(left(), testing::IsEmpty());
}

TEST_F(Held, ManyBytesGoBothWaysUnchangedWhileAnotherCallerDoesNotRead) {
  begin();
  auto slow = use(), quick = use();
  ASSERT_TRUE(slow && quick);
  auto stalled = slow->start({"yes"}, mux::Lane::work);  // what it says is never read
  ASSERT_TRUE(stalled);
  std::string bytes;
  for (int i = 0; bytes.size() < 20'000'000; ++i) bytes += std::to_string(i);
  const auto told = quick->run("cat", bytes);
  ASSERT_TRUE(told) << describe(told.error());
  EXPECT_TRUE(told->out == bytes);
  EXPECT_EQ(slow->run("echo well")->out, "well\n") << "a stream that nobody reads holds up no other";
}

TEST_F(Held, TheProgramsOfACallerThatGoesSeeTheEndOfTheirInput) {
  begin();
  const auto file = home_.path() / "said";
  {
    auto session = use();
    ASSERT_TRUE(session);
    auto command = session->spawn("cat > said.part; mv said.part said");
    ASSERT_TRUE(command);
    ASSERT_TRUE(os::write_all(command->in.get(), "the last words"));
    ASSERT_TRUE(session->run("while ! [ -s said.part ]; do sleep 0.01; done"));
  }
  while (!os::exists(file)) std::this_thread::yield();
  EXPECT_EQ(*os::read_file(file), "the last words");
  auto next = use();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->run("echo on")->out, "on\n");
}

TEST_F(Held, ACallerThatIsKilledTakesNothingFromTheOthers) {
  begin();
  auto other = use();
  ASSERT_TRUE(other);
  const pid_t child = ::fork();
  if (child == 0) {
    auto socket = os::connect_unix(place_.socket());
    (void)os::write_all(socket->get(), ask_line({false, place_.key}));
    (void)os::write_all(socket->get(), "half a frame");
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(other->run("echo well")->out, "well\n");
  EXPECT_TRUE(use());
}

TEST_F(Held, WhereTheConnectionBreaksInTheMiddleAllCallersLoseTheirs) {
  begin();
  auto session = use();
  ASSERT_TRUE(session);
  auto endless = session->start({"yes"}, mux::Lane::work);
  ASSERT_TRUE(endless);
  ASSERT_TRUE(os::read_exactly(endless->out.get(), 1'000'000));
  ::kill(ssh_, SIGKILL);
  EXPECT_TRUE(is_cut_off(endless->wait(Millis(60'000))));
  EXPECT_EQ(*holder_.get(), HoldEnd::lost);
  EXPECT_EQ(session->run("true").error().kind, Kind::lost);
  EXPECT_FALSE(use());
  EXPECT_THAT(left(), testing::IsEmpty());
}

TEST_F(Held, NobodyIsLetInWhereTheProgramIsGone) {
  begin();
  ASSERT_TRUE(use());
  std::filesystem::remove(home_.path() / ".ferry/bin/ferry-agent-test");
  EXPECT_EQ(*holder_.get(), HoldEnd::lost) << "the next word has no answer";
  EXPECT_FALSE(use());
}

TEST_F(Held, ItEndsWhenNobodyUsedItForItsLimitAndUseBeginsThatAnew) {
  begin(Millis(1'500));
  const auto began = os::system_clock().steady_ms();
  os::system_clock().sleep(Millis(900));
  ASSERT_TRUE(use());
  EXPECT_EQ(*holder_.get(), HoldEnd::idle);
  EXPECT_GE(os::system_clock().steady_ms() - began, 2'300);
  EXPECT_THAT(left(), testing::IsEmpty());
  EXPECT_FALSE(use());
}

TEST_F(Held, WhoIsAskedToEndLetsNobodyElseInAndWaitsForThoseWhoAre) {
  begin();
  auto session = use();
  ASSERT_TRUE(session);
  ASSERT_EQ(session->run("true")->exit.code, 0);
  end_held(place_.folder, target_, programs_);
  EXPECT_FALSE(use());
  EXPECT_EQ(session->run("echo on")->out, "on\n");
  session.reset();
  EXPECT_EQ(*holder_.get(), HoldEnd::asked);
  EXPECT_THAT(left(), testing::IsEmpty());
}

TEST_F(Held, ThereIsOneForAPlaceAndItEndsWhenItsFileIsReplaced) {
  begin();
  const auto never = []() -> Result<Session> { return fail(Kind::bug, "a second connection was opened"); };
  EXPECT_EQ(*hold(place_, never, Millis(1'000), -1), HoldEnd::others);
  ASSERT_TRUE(os::remove_all(place_.folder));
  EXPECT_EQ(*holder_.get(), HoldEnd::replaced);
}

TEST_F(Held, ItsFolderIsPrivateOrNotUsed) {
  begin();
  struct stat info {};
  ASSERT_EQ(::stat(place_.folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  ASSERT_EQ(::stat(place_.socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  ::chmod(place_.folder.c_str(), 0750);
  EXPECT_FALSE(use()) << "others may put a socket there";
  const auto never = []() -> Result<Session> { return fail(Kind::bug, "a connection was opened"); };
  EXPECT_EQ(hold(place_, never, Millis(1'000), -1).error().kind, Kind::denied);
  ::chmod(place_.folder.c_str(), 0700);
  EXPECT_TRUE(use());
  if (!os::is_root()) return;
  ASSERT_EQ(::lchown(place_.folder.c_str(), 12345, 0), 0);
  EXPECT_FALSE(use()) << "it is somebody else's";
}

TEST_F(Held, AListenerOfAnotherUserIsNotSpokenWith) {
  if (!os::is_root()) GTEST_SKIP() << "only root may be somebody else";
  ASSERT_TRUE(os::make_dirs(place_.folder, 0700));
  for (const auto& path : {dir_.path(), place_.folder}) ::chmod(path.c_str(), 0777);
  os::Fd listener;
  const pid_t child = ::fork();
  if (child == 0) {
    (void)!::setuid(12345);
    auto socket = os::listen_unix(place_.socket());
    auto caller = socket ? os::accept_one(socket->get(), Millis(20'000)) : fail(Kind::io, "");
    const auto heard = caller ? os::read_to_end(caller->get()) : fail(Kind::io, "");
    ::_exit(heard && heard->empty() ? 0 : 1);
  }
  while (!os::exists(place_.socket())) std::this_thread::yield();
  ::chmod(place_.folder.c_str(), 0700);
  EXPECT_FALSE(use());
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "it heard something";
}

TEST_F(Held, ADeadSocketCostsNothingAndIsRemoved) {
  listen();  // and gone
  ASSERT_TRUE(os::exists(place_.socket()));
  EXPECT_FALSE(use());
  EXPECT_THAT(left(), testing::IsEmpty());
  listen();
  ASSERT_TRUE(os::write_file(place_.folder / "0123.lock", ""));
  begin();
  EXPECT_TRUE(use());
  EXPECT_THAT(left(), testing::ElementsAre(place_.key, place_.key + ".lock")) << "what killed ones left is gone";
}

TEST_F(Held, OneThatHangsCostsABoundedTime) {
  const auto listener = listen();
  const auto began = os::system_clock().steady_ms();
  EXPECT_FALSE(use()) << "it is connected to, and says nothing";
  std::vector<os::Fd> queue;
  while (true) {
    auto one = os::connect_unix(place_.socket(), Millis(50));
    if (!one) break;
    queue.push_back(*std::move(one));
  }
  EXPECT_FALSE(use()) << "nobody is let into its queue any more";
  EXPECT_LT(os::system_clock().steady_ms() - began, 30'000);
  EXPECT_TRUE(os::exists(place_.socket()));
}

TEST_F(Held, NonsenseIsNotLetIn) {
  begin();
  for (const std::string& said :
       {std::string("GET / HTTP/1.1\r\n"), std::string(400, 'x'), "ferry-hold 2 " + place_.key + " use\n",
        ask_line({false, std::string(32, '0')}), ask_line({false, place_.key}) + "and more\n"}) {
    auto socket = *os::connect_unix(place_.socket());
    (void)os::write_all(socket.get(), said);
    EXPECT_EQ(os::read_to_end(socket.get()).value_or(""), "") << said;
  }
  auto silent = *os::connect_unix(place_.socket());
  EXPECT_EQ(*os::read_to_end(silent.get()), "") << "who says nothing is not waited for";
  auto answers = listen();  // in the holder's place
  std::thread liar([&] {
    auto caller = *os::accept_one(answers.get());
    (void)os::write_all(caller.get(), "ferry-home:x\nferry-program:y\n");
    (void)os::read_to_end(caller.get());
  });
  EXPECT_FALSE(use());
  liar.join();
}

TEST_F(Held, WhateverDecidesWhomOneWouldReachIsInTheKey) {
  const auto key = [&] { return *held_key(target_, programs_); };
  const auto before = key();
  EXPECT_EQ(key(), before);
  const auto differs = [&](auto change) {
    const auto target = target_;
    const auto programs = programs_;
    change();
    EXPECT_NE(key(), before);
    target_ = target;
    programs_ = programs;
  };
  differs([&] { target_.address = "192.0.2.2"; });
  differs([&] { target_.port = 23; });
  differs([&] { target_.user = "other"; });
  differs([&] { target_.alias = "run-2"; });
  differs([&] { target_.proxy = "me@bastion"; });
  differs([&] { target_.identity = dir_.path() / "other"; });
  differs([&] { programs_[0].name = "ferry-agent-other"; });
  ASSERT_TRUE(os::write_file(target_.known_hosts, "run-1 ssh-ed25519 BBBB"));
  EXPECT_NE(key(), before) << "another host key is pinned";
  ASSERT_TRUE(os::write_file(target_.known_hosts, "run-1 ssh-ed25519 AAAA"));
  ASSERT_TRUE(os::write_file(target_.identity, "another key", 0600));
  EXPECT_NE(key(), before);
  std::filesystem::remove(target_.known_hosts);
  EXPECT_EQ(held_key(target_, programs_).error().kind, Kind::io) << "nothing is pinned any more";
}

TEST_F(Held, OfAHostOfTheUsersOwnConfigSshIsAsked) {
  Target own;
  own.address = "box.invalid";
  own.own_config = true;
  const auto before = held_key(own, programs_);
  ASSERT_TRUE(before) << describe(before.error());
  EXPECT_EQ(*held_key(own, programs_), *before);
  own.address = "me@box.invalid";
  EXPECT_NE(*held_key(own, programs_), *before);
  own.address = "-oProxyCommand=x";
  EXPECT_EQ(held_key(own, programs_).error().kind, Kind::denied);
}

}  // namespace
}  // namespace ferry::ssh
