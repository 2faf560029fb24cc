#include "sandbox/way_out.h"

#include <atomic>
#include <thread>

#include "os/socket.h"
#include "sandbox/test_instance.h"

namespace ferry::sandbox {

namespace {

/// Greets whoever connects, until destroyed: something of the user's that listens on this computer.
class Greeter {
 public:
  Greeter()
      : socket_(*os::listen_tcp("127.0.0.1", 0)), thread_([this] {
          while (!ending_) {
            const auto client = os::accept_one(socket_.get(), Millis(50));
            if (client) (void)os::write_all(client->get(), "hello\n");
          }
        }) {}
  ~Greeter() { end(); }
  void end() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
    socket_.reset();
  }
  Target target() const { return {"127.0.0.1", port_}; }

 private:
  os::Fd socket_;
  const int port_ = os::local_port(socket_.get());
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

/// `http PLACE` asks the way out for a tunnel there; `line PLACE` prints what comes from a place first.
constexpr const char* tools =
    "line() { exec 9<>/dev/tcp/${1%:*}/${1##*:} && read -r -t 30 -u 9 said && echo \"$said\"; exec 9>&-; }\n"
    "http() { exec 9<>/dev/tcp/127.0.0.2/3128 || return; printf 'CONNECT %s HTTP/1.1\\r\\n\\r\\n' \"$1\" >&9\n"
    "  cat <&9 | tr -d '\\r'; exec 9>&-; }\n";

bool shares_the_network() { return TestInstance::mode() == Mode::plain; }

}  // namespace

TEST(SandboxWayOut, WhatIsNamedOfTheComputerIsReachedAtTheSamePlaceAndNothingElse) {
  if (shares_the_network()) GTEST_SKIP() << "plain mode shares the network";
  Greeter named, other;
  TestInstance instance;
  instance.spec.way_out = {
      .is_open = true, .named = {named.target()}, .settings = {{"PIP_INDEX_URL", "http://x/simple"}}};
  instance.start();
  EXPECT_EQ(instance.said(tools + ("line " + named.target().text())), "hello");
  EXPECT_EQ(instance.run(tools + ("line " + other.target().text())).out, "");
  const auto through = instance.said(tools + ("http " + named.target().text()));
  EXPECT_EQ(through, "HTTP/1.1 200 Connection established\n\nhello");
  for (const auto& place :
       {other.target().text(), "localhost:" + std::to_string(other.target().port), std::string("169.254.169.254:80"),
        instance.now().address + ":" + std::to_string(instance.now().port)}) {
    const auto refused = instance.said(tools + ("http " + place));
    EXPECT_TRUE(refused.starts_with("HTTP/1.1 403 Forbidden (ferry: " + place + " is ")) << refused;
  }
}

TEST(SandboxWayOut, EveryShellInsideIsToldOfIt) {
  if (shares_the_network()) GTEST_SKIP() << "plain mode shares the network";
  TestInstance instance;
  instance.spec.way_out = {.is_open = true, .named = {}, .settings = {{"PIP_INDEX_URL", "http://x/simple?a b"}}};
  instance.start();
  const std::string show =
      "echo $https_proxy $HTTP_PROXY $PIP_INDEX_URL; echo \",$no_proxy,\" | grep -c "
      "',127.0.0.1,.*,169.254.169.254,.*,ip-10-0-0-10,10.0.0.10,'";
  const std::string all = "http://127.0.0.2:3128 http://127.0.0.2:3128 http://x/simple?a b\n1";
  EXPECT_EQ(instance.said(show), all);
  EXPECT_EQ(instance.said("bash -l -c '" + std::string("echo $https_proxy") + "'"), "http://127.0.0.2:3128");
  EXPECT_EQ(instance.said("sudo sh -c 'echo $https_proxy $PIP_INDEX_URL'"),
            "http://127.0.0.2:3128 http://x/simple?a b");
}

TEST(SandboxWayOut, AClosedOneIsNotThereAndNotSpokenOf) {
  if (shares_the_network()) GTEST_SKIP() << "plain mode shares the network";
  TestInstance instance;
  instance.spec.way_out = {
      .is_open = false, .named = {{"127.0.0.1", 9}}, .settings = {{"PIP_INDEX_URL", "http://x/simple"}}};
  instance.start();
  EXPECT_EQ(instance.said("echo $https_proxy$PIP_INDEX_URL-$PIP_NO_INDEX"), "-1");
  EXPECT_EQ(instance.run(tools + std::string("http pypi.org:443")).out, "");
}

TEST(SandboxKept, WhatOneInstanceInstalledTheNextOneFindsAsItsOwn) {
  os::TempDir kept("kept");
  std::string where;
  for (const bool first : {true, false}) {
    TestInstance instance;
    instance.spec.kept = (kept.path() / "k").string();
    instance.start();
    where = instance.said("cd ~/.ferry/envs && pwd -P");
    if (first) {
      EXPECT_EQ(instance.said("for f in ~/.ferry/envs ~/.cache/pip ~/.cache/uv; do echo one > $f/made; done; chmod 700 "
                              "~/.ferry/envs/made"),
                "");
    } else {
      EXPECT_EQ(instance.said(
                    "cat ~/.ferry/envs/made ~/.cache/pip/made ~/.cache/uv/made; stat -c '%U %a' ~/.ferry/envs/made; "
                    "echo two > ~/.ferry/envs/made"),
                "one\none\none\n" + instance.now().login_user + " 700");
    }
    EXPECT_EQ(instance.said("stat -c %U ~ ~/.ferry ~/.cache | sort -u"), instance.now().login_user)
        << instance.console();
    ASSERT_TRUE(destroy(instance.dir));
  }
  EXPECT_TRUE(where == "/home/ubuntu/.ferry/envs" || where.starts_with(kept.path().string())) << where;
}

TEST(SandboxLive, TheCloudIsReachedWhateverTheWayOutAndNothingElseAndFollowsWhereItMoves) {
  if (shares_the_network()) GTEST_SKIP() << "plain mode shares the network";
  Greeter s3, moved, other, api;
  TestInstance instance;
  ASSERT_TRUE(os::make_dirs(instance.dir));
  ASSERT_TRUE(tell(instance.dir, {Json::object(), s3.target().port, api.target().port})) << "before its first boot";
  instance.start();
  EXPECT_EQ(instance.said(tools + ("line " + s3.target().text())), "hello");
  EXPECT_EQ(instance.said(tools + ("line " + api.target().text())), "hello");
  EXPECT_EQ(instance.run(tools + ("line " + other.target().text())).out, "");
  EXPECT_EQ(instance.run(tools + std::string("http pypi.org:443")).out, "") << "there is no other way out";
  s3.end();
  ASSERT_TRUE(tell(instance.dir, {Json::object(), moved.target().port, api.target().port}));
  EXPECT_TRUE(eventually([&] { return instance.run(tools + ("line " + moved.target().text())).out == "hello\n"; }));
  EXPECT_EQ(instance.said(tools + ("line " + s3.target().text())), "hello") << "what programs inside were told first";
  EXPECT_EQ(instance.said(tools + ("line " + api.target().text())), "hello") << "it did not move";
  (void)instance.run("sudo reboot");
  EXPECT_TRUE(eventually([&] { return instance.run(tools + ("line " + moved.target().text())).out == "hello\n"; }));
  EXPECT_EQ(instance.run(tools + ("line " + s3.target().text())).out, "");
}

TEST(SandboxLive, MetadataChangesWhileTheMachineRuns) {
  TestInstance instance;
  instance.spec.imds_token_required = false;
  const std::string path = "latest/meta-data/iam/security-credentials/trainer";
  const auto told = [&](const std::string& text) { return tell(instance.dir, {{{path, text}}, 0}); };
  ASSERT_TRUE(os::make_dirs(instance.dir));
  ASSERT_TRUE(told("first"));
  EXPECT_EQ(std::filesystem::status(instance.dir / "live").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  instance.start();
  const auto seen = [&] {
    return instance.said(
        "python3 -c 'import os, urllib.request as u; print(u.urlopen(os.environ.get(\"AWS_EC2_METADATA_"
        "SERVICE_ENDPOINT\", \"http://169.254.169.254\") + \"/" +
        path + "\").read().decode())'");
  };
  EXPECT_EQ(seen(), "first");
  ASSERT_TRUE(told("second"));
  EXPECT_TRUE(eventually([&] { return seen() == "second"; }));
  ASSERT_TRUE(tell(instance.dir, {Json::object(), 0}));
  EXPECT_TRUE(eventually([&] { return seen().find("404") != std::string::npos; }));
  EXPECT_EQ(instance.now().state, State::running);
}

TEST(SandboxWayOut, ItEndsWithTheInstanceAndIsThereAgainAfterAReboot) {
  if (shares_the_network()) GTEST_SKIP() << "plain mode shares the network";
  Greeter named;
  TestInstance instance;
  instance.spec.way_out = {.is_open = true, .named = {named.target()}, .settings = {}};
  instance.start();
  (void)instance.run("sudo reboot");
  ASSERT_TRUE(eventually([&] {
    const std::string console = instance.console();
    return console.find("BEGIN SSH HOST KEY FINGER") != console.rfind("BEGIN SSH HOST KEY FINGER");
  }));
  ASSERT_TRUE(eventually([&] { return instance.now().state == State::running; }));
  EXPECT_EQ(instance.said(tools + ("line " + named.target().text())), "hello");
  EXPECT_EQ(instance.said(tools + std::string("http 10.0.0.1:1 | head -c 12")), "HTTP/1.1 403");
  ASSERT_TRUE(crash(instance.dir));
  EXPECT_TRUE(eventually([&] { return instance.processes() == 0; }));
}

}  // namespace ferry::sandbox
