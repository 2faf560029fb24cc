#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/clock.h"
#include "os/env.h"
#include "os/http.h"
#include "os/private_dir.h"
#include "os/process.h"
#include "os/signals.h"
#include "os/socket.h"

namespace ferry::os {
namespace {

TEST(Files, AWrittenFileIsCompleteAndHasItsMode) {
  TempDir dir;
  const auto path = dir.path() / "a";
  ASSERT_TRUE(write_file(path, "hello", 0600));
  EXPECT_EQ(*read_file(path), "hello");
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_EQ(list_dir(dir.path())->size(), 1U);
}

TEST(Files, AMissingFileIsNotFoundAndAFullDeviceIsDiskFull) {
  EXPECT_EQ(read_file("/nonexistent/x").error().kind, Kind::not_found);
  auto full = open_file("/dev/full", O_WRONLY);
  ASSERT_TRUE(full);
  EXPECT_EQ(write_all(full->get(), "x").error().kind, Kind::disk_full);
}

TEST(Files, ATreeWithReadOnlyFoldersAndLinksIsRemovedWithoutFollowingThem) {
  TempDir dir, other;
  ASSERT_TRUE(write_file(other.path() / "keep", "x"));
  ASSERT_TRUE(make_dirs(dir.path() / "t/a/b"));
  ASSERT_TRUE(write_file(dir.path() / "t/a/b/f", "x"));
  std::filesystem::create_directory_symlink(other.path(), dir.path() / "t/link");
  ::chmod((dir.path() / "t/a").c_str(), 0500);
  ASSERT_TRUE(os::remove_all(dir.path() / "t"));
  EXPECT_FALSE(os::exists(dir.path() / "t"));
  EXPECT_TRUE(os::exists(other.path() / "keep"));
  EXPECT_TRUE(os::remove_all(dir.path() / "t"));
}

TEST(PrivateDir, IsShortPlainAndSweptAfterAKill) {
  const auto before = env("TMPDIR").value_or("");
  TempDir base;
  ::setenv("TMPDIR", base.path().c_str(), 1);
  ::unsetenv("XDG_RUNTIME_DIR");
  const pid_t child = ::fork();
  if (child == 0) {
    const auto left = PrivateDir::make("ferry-trial");
    ::_exit(left ? 0 : 1);  // as a kill would: nothing is removed
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(list_dir(base.path())->size(), 1U);
  {
    const auto one = PrivateDir::make("ferry-trial"), two = PrivateDir::make("ferry-trial");
    ASSERT_TRUE(one && two);
    EXPECT_EQ(one->path().parent_path(), base.path());
    EXPECT_TRUE(os::is_directory(one->path())) << "the second one must leave it alone";
    EXPECT_EQ(list_dir(base.path())->size(), 2U) << "what the killed one left is gone";
    struct stat info;
    ASSERT_EQ(::stat(two->path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
  }
  EXPECT_TRUE(list_dir(base.path())->empty());
  for (const std::string& name : {std::string(90, 'x'), std::string("a b")}) {
    ASSERT_TRUE(make_dirs(base.path() / name));
    ::setenv("TMPDIR", (base.path() / name).c_str(), 1);
    const auto made = PrivateDir::make("ferry-trial");
    ASSERT_TRUE(made);
    EXPECT_EQ(made->path().parent_path(), "/tmp");
  }
  before.empty() ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", before.c_str(), 1);
}

TEST(Files, ALockIsHeldByOneAndFreedWhenItsHolderIsGone) {
  TempDir dir;
  const auto path = dir.path() / "lock";
  EXPECT_FALSE(is_locked(path));
  {
    auto lock = FileLock::try_take(path);
    ASSERT_TRUE(lock && *lock);
    EXPECT_TRUE(is_locked(path));
    auto second = FileLock::try_take(path);
    ASSERT_TRUE(second);
    EXPECT_FALSE(*second);
    EXPECT_EQ(FileLock::take(path, Millis(10)).error().kind, Kind::timeout);
  }
  EXPECT_FALSE(is_locked(path));
}

TEST(Processes, OutputExitCodeAndSignalAreToldApart) {
  auto done = run_command({.argv = {"sh", "-c", "cat; echo err >&2; exit 3"}}, "input");
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, "input");
  EXPECT_EQ(done->err, "err\n");
  EXPECT_EQ(done->exit.code, 3);
  auto killed = run_command({.argv = {"sh", "-c", "kill -9 $$"}});
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->exit.signal, SIGKILL);
  EXPECT_EQ(killed->exit.code, 137);
}

TEST(Processes, AMissingProgramIsNotFoundAndASlowOneTimesOut) {
  EXPECT_EQ(run_command({.argv = {"no-such-program-x"}}).error().kind, Kind::not_found);
  EXPECT_EQ(run_command({.argv = {"/no/such/program"}}).error().kind, Kind::not_found);
  EXPECT_EQ(run_command({.argv = {"sleep", "60"}}, {}, Millis(30)).error().kind, Kind::timeout);
}

TEST(Env, ALengthOfTimeIsTheUsualOneUnlessTheVariableSaysAnother) {
  constexpr const char* name = "FERRY_TEST_LENGTH_OF_TIME";
  for (const auto& [text, meant] : {std::pair{"", 30}, {"soon", 30}, {"-1s", 30}, {"5s", 5}, {"2m", 120}}) {
    ::setenv(name, text, 1);
    EXPECT_EQ(env_duration(name, Seconds(30)), Seconds(meant)) << text;
  }
  ::unsetenv(name);
  EXPECT_EQ(env_duration(name, Seconds(30)), Seconds(30));
}

TEST(Processes, EnvironmentIsAddedToAndCanBeCleared) {
  auto added = run_command({.argv = {"/bin/sh", "-c", "echo $FERRY_X; echo ${HOME:+home}"}, .env = {{"FERRY_X", "1"}}});
  EXPECT_TRUE(added->out.starts_with("1\n"));
  auto clean = run_command({.argv = {"/bin/sh", "-c", "echo ${HOME:-none}"}, .env = {}, .clean_env = true});
  EXPECT_EQ(clean->out, "none\n");
}

TEST(Processes, LargeInputAndOutputDoNotDeadlock) {
  const std::string big(3 << 20, 'x');
  auto done = run_command({.argv = {"cat"}}, big);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, big);
}

TEST(Processes, AProcessIsNamedForGoodByPidAndStartTime) {
  EXPECT_GT(process_start_time(::getpid()), 0U);
  EXPECT_EQ(process_start_time(0x3ffffff), 0U);
}

TEST(Sockets, AUnixSocketIsPrivateAndMayLieDeep) {
  TempDir dir;
  const auto path = dir.path() / "s";
  auto listener = listen_unix(path);
  ASSERT_TRUE(listener);
  struct stat info;
  ::stat(path.c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  auto client = connect_unix(path);
  ASSERT_TRUE(client);
  auto server = accept_one(listener->get(), Millis(1000));
  ASSERT_TRUE(server);
  ASSERT_TRUE(write_all(client->get(), "hi"));
  EXPECT_EQ(*read_exactly(server->get(), 2), "hi");
  client->reset();
  EXPECT_EQ(read_exactly(server->get(), 1).error().kind, Kind::lost);
  EXPECT_EQ(listen_unix(dir.path() / std::string(120, 'x')).error().kind, Kind::bad_input);
  const auto deep = dir.path() / std::string(120, 'd') / std::string(120, 'e') / "sock";
  ASSERT_TRUE(make_dirs(deep.parent_path()));
  auto far = listen_unix(deep);
  ASSERT_TRUE(far) << describe(far.error());
  EXPECT_TRUE(connect_unix(deep));
  EXPECT_EQ(connect_unix(dir.path() / "none").error().kind, Kind::not_found);
}

TEST(Signals, ASignalBecomesReadable) {
  SignalQueue queue({SIGUSR1});
  EXPECT_FALSE(queue.next());
  ::raise(SIGUSR1);
  EXPECT_EQ(queue.next(), SIGUSR1);
}

TEST(Http, AnAnswerIsReadAndABrokenOneIsLost) {
  auto listener = listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  const int port = local_port(listener->get());
  const pid_t server = ::fork();
  if (server == 0) {
    auto one = accept_one(listener->get());
    (void)read_some(one->get());
    (void)write_all(one->get(),
                    "HTTP/1.1 201 Created\r\nX-Name: Value \r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    one->reset();
    auto two = accept_one(listener->get());
    (void)read_some(two->get());
    two->reset();
    ::_exit(0);
  }
  listener->reset();
  auto client = make_http_client();
  const auto url = "http://127.0.0.1:" + std::to_string(port) + "/a/../b?x=1";
  auto answer = client->send({.method = "POST", .url = url, .body = "data"});
  ASSERT_TRUE(answer) << describe(answer.error());
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->header("x-name"), "Value");
  EXPECT_EQ(answer->body, "ok");
  EXPECT_EQ(client->send({.url = url}).error().kind, Kind::lost);
}

TEST(Http, OnlyTheWebIsAsked) {
  TempDir dir;
  ASSERT_TRUE(write_file(dir.path() / "secret", "s"));
  auto client = make_http_client();
  for (const auto& url :
       {"file://" + (dir.path() / "secret").string(), std::string("ftp://127.0.0.1/x"),
        std::string("gopher://127.0.0.1:1/x"), std::string("127.0.0.1"), std::string("dict://127.0.0.1/x")})
    EXPECT_EQ(client->send({.url = url}).error().kind, Kind::bad_input) << url;
}

TEST(Http, AnAnswerWithoutEndIsCutAndToldApartFromALostOne) {
  auto listener = listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  const int port = local_port(listener->get());
  const pid_t server = ::fork();
  if (server == 0) {
    ignore_sigpipe();
    auto one = accept_one(listener->get());
    (void)read_some(one->get());
    (void)write_all(one->get(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    const std::string much(1 << 20, 'x');
    for (int i = 0; i < 100 && write_all(one->get(), much); ++i) continue;
    ::_exit(0);
  }
  const auto answer = make_http_client()->send({.url = "http://127.0.0.1:" + std::to_string(port) + "/"});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Kind::corrupt);
  EXPECT_NE(answer.error().what.find("64 MiB"), std::string::npos);
  ::waitpid(server, nullptr, 0);
}

TEST(Clock, TimesAreWrittenAsIso8601) {
  EXPECT_EQ(iso_time(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(iso_time(1'769'860'800'123, true), "2026-01-31T12:00:00.123Z");
}

}  // namespace
}  // namespace ferry::os
