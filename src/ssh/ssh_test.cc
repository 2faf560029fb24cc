#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/text.h"
#include "mux/testing.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/socket.h"
#include "ssh/bootstrap.h"
#include "ssh/keys.h"
#include "ssh/session.h"
#include "ssh/testing.h"

namespace ferry::ssh {
namespace {

TEST_F(Sshd, CommandsShareOneConnectionAndKeepTheirExitCodes) {
  auto session = Session::open(target_, programs(), Millis(10'000));
  ASSERT_TRUE(session) << describe(session.error());
  auto out = session->run("cat; echo err >&2; exit 3", "input");
  ASSERT_TRUE(out);
  EXPECT_EQ(out->out, "input");
  EXPECT_EQ(out->err, "err\n");
  EXPECT_EQ(out->exit.code, 3);
  EXPECT_TRUE(session->alive());
}

TEST_F(Sshd, ASpawnedCommandHasPipes) {
  auto session = Session::open(target_, programs(), Millis(10'000));
  ASSERT_TRUE(session);
  auto cat = session->spawn("exec cat");
  ASSERT_TRUE(cat);
  ASSERT_TRUE(os::write_all(cat->in.get(), "ping"));
  EXPECT_EQ(*os::read_exactly(cat->out.get(), 4), "ping");
  cat->in.reset();
  EXPECT_EQ(cat->wait(Millis(5000))->code, 0);
}

TEST_F(Sshd, AnotherHostKeyThanThePinnedOneIsDeniedBeforeAnythingIsSent) {
  ASSERT_TRUE(
      os::write_file(target_.known_hosts, known_hosts_line("run-1", make_key(dir_.path(), "other")->public_line)));
  const auto session = Session::open(target_, programs(), Millis(10'000));
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().kind, Kind::denied);
  EXPECT_NE(session.error().what.find("another machine"), std::string::npos);
}

TEST_F(Sshd, AKeyThatIsNotAcceptedIsDenied) {
  ASSERT_TRUE(os::write_file(dir_.path() / "authorized", make_key(dir_.path(), "x")->public_line + "\n", 0600));
  EXPECT_EQ(Session::open(target_, programs(), Millis(10'000)).error().kind, Kind::denied);
}

TEST_F(Sshd, AProxyCommandLeadsToTheMachineWhereverItIs) {
  auto target = target_;
  const auto port = std::to_string(target.port);
  target.port = 9;
  target.address = "nowhere.invalid";
  target.proxy = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + "; cat <&3 & cat >&3; wait' %h";
  auto session = Session::open(target, programs(), Millis(20'000));
  ASSERT_TRUE(session) << describe(session.error());
  EXPECT_EQ(session->run("echo through")->out, "through\n");
}

TEST_F(Sshd, AProxyThatRefusesIsDeniedAndOneThatFailsIsAskedAgain) {
  auto target = target_;
  const auto proxy = [](const std::string& words) { return "sh -c 'echo " + words + " >&2; exit 1' %h"; };
  target.proxy = proxy(std::string(proxy_refused) + " no plugin");
  EXPECT_EQ(Session::open(target, programs(), Millis(20'000)).error().kind, Kind::denied);
  target.proxy = proxy("Permission denied");
  EXPECT_EQ(Session::open(target, programs(), Millis(20'000)).error().kind, Kind::denied);
  target.proxy = proxy("the machine is booting");
  EXPECT_EQ(Session::open(target, programs(), Millis(20'000)).error().kind, Kind::lost);
}

TEST_F(Sshd, ALoginShellThatEndsIsToldWithItsCodeAndTheFileToLookAt) {
  const auto config = *os::read_file(dir_.path() / "config");
  const auto with = [&](const std::string& command) {
    stop();
    EXPECT_TRUE(os::write_file(dir_.path() / "config", config + "ForceCommand " + command + "\n"));
    start();
    return Session::open(target_, programs(), Millis(20'000)).error();
  };
  auto error = with("exit 3");
  EXPECT_EQ(error.kind, Kind::lost);
  EXPECT_EQ(error.code, login_shell_code);
  EXPECT_EQ(error.what, "the login shell of " + user_ + "@127.0.0.1 ended with code 3 before it ran anything");
  EXPECT_NE(error.advice.find("~/.bashrc"), std::string::npos);
  error = with("echo /home/me/.bashrc: line 3: exec: fish: not found >&2; exit 127");
  EXPECT_NE(error.what.find("code 127"), std::string::npos);
  EXPECT_EQ(error.why, "/home/me/.bashrc: line 3: exec: fish: not found");
  EXPECT_NE(error.advice.find("look at /home/me/.bashrc there"), std::string::npos) << error.advice;
}

TEST(Ssh, AJumpHostMayAskAPersonAndNobodyElse) {
  const os::TempDir dir;
  ASSERT_TRUE(os::write_file(dir.path() / "known", ""));
  Target target{"me", "10.0.0.1", 22, dir.path() / "id", dir.path() / "known", "run-1"};
  target.proxy = "me@first,second:2222";
  const auto argv = interactive_argv(target, {}).value();
  EXPECT_NE(std::find(argv.begin(), argv.end(), "ProxyJump=me@first,second:2222"), argv.end());
}

TEST_F(Sshd, FilesMayBeCalledAnything) {
  for (const char* name : {"with a space", "it's \"quoted\"", "p%h", "100%", "#no comment", "back\\slash", "a=b"}) {
    auto target = target_;
    const auto folder = dir_.path() / name;
    ASSERT_TRUE(os::make_dirs(folder, 0700));
    target.identity = folder / "id";
    target.known_hosts = folder / "known";
    ASSERT_TRUE(os::write_file(target.identity, key_.private_text, 0600));
    ASSERT_TRUE(os::write_file(target.known_hosts, known_hosts_line("run-1", host_.public_line)));
    auto session = Session::open(target, programs(), Millis(10'000));
    ASSERT_TRUE(session) << name << ": " << describe(session.error());
    EXPECT_EQ(session->run("echo in")->out, "in\n") << name;
    auto words = interactive_argv(target, {"echo by hand"}).value();
    words.insert(words.begin() + 1, {"-o", "BatchMode=yes"});
    EXPECT_EQ(os::run_command({.argv = words})->out, "by hand\n") << name;
  }
  auto target = target_;
  target.identity = dir_.path() / "${HOME}";
  EXPECT_EQ(Session::open(target, programs(), Millis(10'000)).error().kind, Kind::bad_input);
}

TEST_F(Sshd, AFolderForTemporaryFilesWithALongOrOddNameIsNoHindrance) {
  const auto before = os::env("TMPDIR").value_or("");
  for (const std::string& name : {std::string(100, 'x'), std::string("a %h \"b\"")}) {
    const auto folder = dir_.path() / name;
    ASSERT_TRUE(os::make_dirs(folder, 0700));
    ::setenv("TMPDIR", folder.c_str(), 1);
    auto session = Session::open(target_, programs(), Millis(10'000));
    before.empty() ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", before.c_str(), 1);
    ASSERT_TRUE(session) << name << ": " << describe(session.error());
    EXPECT_EQ(session->run("echo in")->out, "in\n") << name;
  }
}

TEST_F(Sshd, WhatSshRefusesOfItsOwnConfigurationIsToldAtOnce) {
  auto target = target_;
  target.proxy = "nc %q %p";
  EXPECT_EQ(Session::open(target, programs(), Millis(20'000)).error().kind, Kind::bad_input);
  for (const char* words :
       {"command-line: line 0: Bad configuration option: nonsense", "command-line line 0: missing argument.",
        "/home/me/.ssh/config: line 3: Bad configuration option: usekeychain",
        "unix_listener: path \"/x\" too long for Unix domain socket",
        "command-line line 0: keyword userknownhostsfile extra arguments at end of line"})
    EXPECT_EQ(classify(target_, words).kind, Kind::bad_input) << words;
  EXPECT_EQ(classify(target_, "/home/me/.ssh/config: line 3: Bad configuration option: usekeychain").advice,
            "look at /home/me/.ssh/config");
  EXPECT_EQ(classify(target_, "Bad owner or permissions on /etc/ssh/ssh_config.d/20.conf\r\n").advice,
            "look at /etc/ssh/ssh_config.d/20.conf");
  EXPECT_EQ(classify(target_, "unix_listener: path \"/x\" too long for Unix domain socket").advice,
            "look at ~/.ssh/config");
}

TEST(Ssh, AJumpHostThatLetsNobodyInIsNotTakenForTheMachine) {
  Target target;
  target.user = "ubuntu";
  target.address = "10.0.0.7";
  const std::string of_the_machine = "ubuntu@10.0.0.7: Permission denied (publickey).\r\n",
                    of_the_host = "root@bastion: Permission denied (publickey,password).\r\n";
  EXPECT_THAT(classify(target, of_the_machine).what, testing::HasSubstr("key was refused"));
  target.proxy = "bastion";
  EXPECT_THAT(classify(target, of_the_machine).what, testing::HasSubstr("key was refused"));
  EXPECT_THAT(classify(target, of_the_host).what, testing::HasSubstr("jump host"));
  EXPECT_THAT(classify(target, of_the_host + "Connection closed by UNKNOWN port 65535\r\n").what,
              testing::HasSubstr("jump host"));
}

TEST_F(Sshd, AHostKeyThatWasLostHereIsNoOtherMachine) {
  ASSERT_TRUE(os::remove_all(target_.known_hosts));
  const auto error = Session::open(target_, programs(), Millis(10'000)).error();
  EXPECT_EQ(error.kind, Kind::io);
  EXPECT_EQ(describe(error).find("another machine"), std::string::npos) << describe(error);
}

TEST_F(Sshd, NothingThatACloudSaysBecomesAnOptionOrAWordOfAShell) {
  const auto mark = dir_.path() / "broken-in";
  const auto order = "touch " + mark.string();
  std::vector<Target> targets;
  for (const std::string& evil :
       {"-oProxyCommand=" + order, std::string("-F/dev/null"), "x;" + order, "$(" + order + ")", "`" + order + "`",
        std::string("a b"), std::string("a\nb"), std::string("[::1"), std::string("a'b"), std::string(300, 'a')}) {
    auto target = target_;
    target.address = evil;
    targets.push_back(target);
    target = target_;
    target.user = evil;
    targets.push_back(target);
    target = target_;
    target.own_config = true;
    target.address = evil;
    if (evil != "[::1" && evil.size() < 300) targets.push_back(target);
    target.address = "me@" + evil;
    if (evil != "[::1" && evil.size() < 300) targets.push_back(target);
  }
  for (auto& target : targets) {
    target.proxy = "nc %h %p";
    const auto session = Session::open(target, programs(), Millis(10'000));
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().kind, Kind::denied) << printable(target.address) << " " << printable(target.user);
    EXPECT_FALSE(interactive_argv(target, {}));
  }
  EXPECT_FALSE(os::exists(mark));
  for (const char* good : {"ec2-203-0-113-25.compute-1.amazonaws.com", "127.80.0.10", "2001:db8::1"})
    EXPECT_TRUE(is_address(good)) << good;
  for (const char* good : {"gpubox", "me@10.0.0.1", "ssh://me@host:2222", "lab_box.example", "me@dom@host"})
    EXPECT_TRUE(is_host(good)) << good;
  const auto argv = interactive_argv(target_, {"-v"}).value();
  EXPECT_EQ(std::vector(argv.end() - 3, argv.end()), (os::Argv{"--", "127.0.0.1", "-v"}));
}

TEST_F(Sshd, NobodyListeningIsLost) {
  stop();
  EXPECT_EQ(Session::open(target_, programs(), Millis(10'000)).error().kind, Kind::lost);
}

TEST_F(Sshd, SomeoneWhoNeverAnswersIsATimeoutOrLost) {
  auto silent = os::listen_tcp("127.0.0.1", 0);
  target_.port = os::local_port(silent->get());
  const auto kind = Session::open(target_, programs(), Millis(1'000)).error().kind;
  EXPECT_TRUE(kind == Kind::timeout || kind == Kind::lost);
}

TEST_F(Sshd, TheConnectionEndsWithTheSession) {
  {
    auto session = Session::open(target_, programs(), Millis(10'000));
    ASSERT_TRUE(session);
  }
  EXPECT_EQ(run_(fmt::format("pgrep -f '[s]sh -o UserKnownHostsFile={}' || true", target_.known_hosts.string())), "");
}

TEST_F(Sshd, WhoeverKillsSshCutsEverythingOffAndNothingHasAnExitCode) {
  auto session = Session::open(target_, programs(), Millis(10'000));
  ASSERT_TRUE(session);
  auto good = session->spawn("exit 7");
  ASSERT_TRUE(good);
  EXPECT_FALSE(is_cut_off(good->wait(Millis(10'000))));
  auto spawned = session->spawn("sleep 9");
  ASSERT_TRUE(spawned);
  EXPECT_EQ(session->run(fmt::format("kill -9 {}; sleep 9", session->pid())).error().kind, Kind::lost);
  EXPECT_TRUE(is_cut_off(spawned->wait(Millis(10'000))));
  EXPECT_FALSE(session->alive());
  EXPECT_EQ(session->run("true").error().kind, Kind::lost);
}

TEST_F(Sshd, TheProgramIsSentOnceAndAnotherOneIsSentBesideIt) {
  const auto bin = home_.path() / ".ferry/bin";
  int sent = 0;
  const auto counted = [&](const std::string& name) {
    auto all = serving_programs(name);
    for (auto& one : all) one.bytes = [&sent, bytes = one.bytes] { return ++sent, bytes(); };
    return all;
  };
  for (int i = 0; i < 2; ++i) {
    auto session = Session::open(target_, counted("first"), Millis(10'000));
    ASSERT_TRUE(session) << describe(session.error());
    EXPECT_EQ(session->machine().home, home_.path().string());
    EXPECT_EQ(session->machine().program, (bin / "first").string());
    EXPECT_EQ(session->run("umask")->out, run_("umask") + "\n") << "which sending changed for itself alone";
  }
  EXPECT_EQ(sent, 1);
  ASSERT_TRUE(Session::open(target_, counted("second"), Millis(10'000)));
  EXPECT_EQ(sent, 2);
  EXPECT_EQ(os::list_dir(bin).value(), (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(mode_of(bin / "second"), 0700);
}

TEST_F(Sshd, AProgramThatIsCutShortIsNotLeftThere) {
  auto line = session_argv(target_, Millis(10'000), bootstrap_line(serving_programs())).value();
  os::SpawnOptions options{.argv = std::move(line)};
  options.in = options.out = os::Stream::pipe;
  auto ssh = *os::Process::spawn(options);
  std::string said;
  while (said.find("ferry-needs:") == said.npos) said += *os::read_some(ssh.out.get());
  ASSERT_TRUE(os::write_all(ssh.in.get(), "1000\n#!/bin/sh\n"));
  ssh.in.reset();
  EXPECT_EQ(os::read_to_end(ssh.out.get())->find("ferry-has:"), std::string::npos);
  EXPECT_EQ(ssh.wait(Millis(60'000))->code, 4);
  EXPECT_EQ(os::list_dir(home_.path() / ".ferry/bin")->size(), 0U);
}

TEST_F(Sshd, AMachineOfAnotherKindIsToldAtOnce) {
  const auto error = Session::open(target_, {{"vax", "p", {}}}, Millis(10'000)).error();
  EXPECT_EQ(error.kind, Kind::unsupported);
  EXPECT_EQ(error.why, "it has one for vax");
}

TEST_F(Sshd, APortOfTheMachineIsReachedThroughOneOfThisComputer) {
  auto session = Session::open(target_, programs(), Millis(10'000));
  ASSERT_TRUE(session);
  auto there = os::listen_tcp("127.0.0.1", 0);
  const int here = free_port();
  ASSERT_TRUE(session->forward(here, os::local_port(there->get())));
  EXPECT_EQ(session->forward(here, 9).error().kind, Kind::conflict);
  auto caller = os::connect_tcp("127.0.0.1", here, Millis(5'000));
  ASSERT_TRUE(caller);
  auto called = os::accept_one(there->get(), Millis(10'000));
  ASSERT_TRUE(called);
  ASSERT_TRUE(os::write_all(caller->get(), "question"));
  EXPECT_EQ(*os::read_exactly(called->get(), 8), "question");
  ASSERT_TRUE(os::write_all(called->get(), "answer"));
  called->reset();
  EXPECT_EQ(*os::read_to_end(caller->get()), "answer");
}

TEST_F(Sshd, KeysAreMadeOnceAndPrivate) {
  EXPECT_EQ(os::list_dir(dir_.path()).value(),
            (std::vector<std::string>{"authorized", "config", "host_key", "id", "id.pub", "known"}))
      << "nothing else of its making stays";
  const auto again = ensure_key(dir_.path() / "id", "me");
  EXPECT_EQ(again->public_line, key_.public_line);
  EXPECT_EQ(mode_of(dir_.path() / "id"), 0600);
}

TEST(Keys, ThePublicHalfOfAPrivateKeyIsFoundAndTroubleWithItTold) {
  const os::TempDir dir;
  const auto file = dir.path() / "id";
  const auto key = ensure_key(file, "me").value();
  EXPECT_TRUE(same_key(public_half(file).value(), key.public_line));
  EXPECT_FALSE(same_key(make_key(dir.path(), "me")->public_line, key.public_line));
  ::chmod(file.c_str(), 0644);
  EXPECT_NE(public_half(file).error().advice.find("chmod 600"), std::string::npos);
  ASSERT_TRUE(os::write_file(file, "no key\n", 0600));
  std::filesystem::remove(file.string() + ".pub");
  EXPECT_EQ(public_half(file).error().kind, Kind::bad_input);
  EXPECT_EQ(public_half(dir.path() / "absent").error().kind, Kind::not_found);
}

TEST(LocalSession, CommandsRunHereWithAHomeOfTheirOwnAndAreLostWithTheConnection) {
  os::TempDir home;
  auto session = Session::local(home.path(), serving_programs(), {{"MACHINE", "7"}});
  ASSERT_TRUE(session);
  const auto told = session->run("cat; echo $HOME $MACHINE; pwd; exit 3", "input ");
  ASSERT_TRUE(told) << describe(told.error());
  EXPECT_EQ(told->exit.code, 3);
  EXPECT_EQ(told->out, fmt::format("input {0} 7\n{0}\n", home.path().string()));
  ::kill(session->pid(), SIGKILL);
  while (session->alive()) std::this_thread::yield();
  EXPECT_EQ(session->run("true").error().kind, Kind::lost);
}

}  // namespace
}  // namespace ferry::ssh
