// Clients that come, go, stall and talk nonsense.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <random>
#include <thread>

#include "agent/served.h"
#include "base/text.h"
#include "base/version.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"
#include "os/socket.h"
#include "sync/packed.h"

namespace ferry::agent {
namespace {

/// Numbered lines on both streams, in bursts.
constexpr const char* chatter =
    "for i in $(seq 1 3000); do echo line $i; [ $((i % 7)) = 0 ] && echo err $i >&2; [ $((i % 100)) = 0 ] && "
    "sleep 0.02; done";

TEST(Connection, EveryByteComesOnceWhoeverDisconnectsWhen) {
  Served served;
  ASSERT_TRUE(served.client().start(served.spec(chatter)));
  std::mt19937 random(11);
  Seen seen;
  int connections = 0;
  while (!seen.done) {
    ++connections;
    auto client = served.client();
    ASSERT_TRUE(client.attach(seen.offset));
    const std::size_t wanted = 1 + random() % 4;
    for (std::size_t events = 0; events < wanted && !seen.done; ++events) {
      const auto event = client.next(Millis(10'000));
      ASSERT_TRUE(event && *event);
      seen.add(**event);
    }
  }
  auto client = served.client();
  EXPECT_TRUE(follow(client).all == seen.all);
  EXPECT_GT(connections, 1);  // how many depends on how the output was cut into events
  std::string expected;
  for (int i = 1; i <= 3000; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_TRUE(seen.out == expected);
  EXPECT_EQ(seen.done->log_size, seen.all.size());
}

TEST(Connection, AStartThatAttachesNeedsNoFurtherQuestion) {
  Served served;
  auto client = served.client();
  EXPECT_FALSE(client.reached());
  const auto started = client.start_and_attach(served.spec("echo one; sleep 0.1; echo two"), 0);
  ASSERT_TRUE(started) << describe(started.error());
  EXPECT_EQ(client.reached(), 0U);
  Seen seen;
  while (!seen.done) {
    const auto event = client.next(Millis(10'000));
    ASSERT_TRUE(event && *event);
    seen.add(**event);
    EXPECT_EQ(client.reached(), seen.offset);
  }
  EXPECT_EQ(seen.out, "one\ntwo\n");
}

TEST(Connection, AStartThatIsRefusedIsAValueAttachedOrNot) {
  Served served;
  auto client = served.client();
  JobSpec refusing = served.spec("true");
  refusing.secrets = {{"A=B", "c"}};
  const auto refused = client.start_and_attach(refusing, 0);
  ASSERT_TRUE(refused) << describe(refused.error());
  EXPECT_EQ(refused->reason, not_started);
  EXPECT_TRUE(client.status());  // the answers are in step
  const auto too_large = client.start_and_attach(served.spec(std::string(5'000'000, '#')), 0);
  ASSERT_TRUE(too_large) << describe(too_large.error());
  EXPECT_EQ(too_large->reason, not_started);
  EXPECT_TRUE(client.status());
}

TEST(Connection, AttachingInTheMiddleGivesTheRest) {
  Served served;
  const Seen all = run_job(served, served.spec(chatter));
  auto client = served.client();
  for (const std::uint64_t offset : {std::uint64_t{1}, all.offset / 2, all.offset - 1, all.offset}) {
    EXPECT_TRUE(follow(client, offset).all == all.all.substr(offset));
  }
}

TEST(Connection, TwoClientsAtOnceSeeTheSame) {
  Served served;
  auto first = served.client(), second = served.client();
  ASSERT_TRUE(first.start(served.spec(chatter)));
  Seen other;
  std::thread thread([&] { other = follow(second); });
  const Seen seen = follow(first);
  thread.join();
  EXPECT_TRUE(seen.all == other.all);
}

TEST(Connection, AClientThatNeverReadsHoldsNobodyUp) {
  Served served;
  auto stuck = served.client(), good = served.client();
  ASSERT_TRUE(stuck.attach(0));
  ASSERT_TRUE(good.start(served.spec("head -c 20000000 /dev/zero; exit 4")));
  const Seen seen = follow(good);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->run_exit, 4);
  EXPECT_EQ(seen.out.size(), 20'000'000u);
}

TEST(Connection, StateIsPushedWhileTheJobRuns) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("while :; do :; done")));
  ASSERT_TRUE(client.attach(0));
  int states = 0;
  double cpu = 0;
  while (states < 3 && !testing::Test::HasFailure()) {
    const auto event = client.next(Millis(10'000));
    ASSERT_TRUE(event && *event);
    ASSERT_TRUE((*event)->state);
    EXPECT_EQ((*event)->state->state, JobState::running);
    cpu = std::max(cpu, (*event)->state->cpu_percent);
    ++states;
  }
  EXPECT_GT(cpu, 0);
}

TEST(Connection, NonsenseEndsOnlyTheConnectionItCameFrom) {
  Served served;
  for (const std::string& nonsense : {std::string("GET / HTTP/1.1\r\n\r\n"), encode(FrameType::request, "{"),
                                      encode(FrameType::log, "x"), std::string(5, '\xff')}) {
    const auto socket = os::connect_unix(served.dir() / "sock");
    ASSERT_TRUE(socket);
    ASSERT_TRUE(os::write_all(socket->get(), nonsense));
    EXPECT_TRUE(os::read_to_end(socket->get()));
  }
  const auto socket = os::connect_unix(served.dir() / "sock");
  ASSERT_TRUE(os::write_all(
      socket->get(), encode(FrameType::request, "[1]") + encode(FrameType::request, R"({"op":"dance","id":3})")));
  EXPECT_TRUE(served.client().status());
}

TEST(Connection, OnlyTheOwnerCanConnect) {
  Served served;
  struct stat info {};
  ASSERT_EQ(::stat((served.dir() / "sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(served.dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(::stat((served.dir() / "log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(Connection, ServingTwiceIsOneAgent) {
  Served served;
  const pid_t first = served.pid();
  served.serve();
  EXPECT_EQ(served.pid(), first);
}

TEST(Connection, ManyAgentsAskedForAtOnceAreOne) {
  const os::TempDir temp;
  const ServeOptions options{.dir = temp.path() / "run"};
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(serve(options) ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const auto socket = os::connect_unix(options.dir / "sock");
  ASSERT_TRUE(socket);
  ucred peer{};
  socklen_t size = sizeof peer;
  ::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  ::kill(peer.pid, SIGTERM);
  eventually([&] { return !os::is_locked(options.dir / "lock"); });
}

/// `ferry-agent connect DIR` as a process, with pipes as ssh gives it.
struct Bridged {
  explicit Bridged(const ServeOptions& options) {
    auto up = os::make_pipe(), down = os::make_pipe();
    pid = ::fork();
    if (pid == 0) {
      up->write.reset();
      down->read.reset();
      ::_exit(connect(options, up->read.get(), down->write.get()) ? 0 : 1);
    }
    in = std::move(down->read);
    out = std::move(up->write);
  }
  /// The exit code, once it ended.
  int wait() const {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status;
  }
  pid_t pid = 0;
  os::Fd in, out;
};

TEST(Connection, TheBridgeStartsAnAgentAndCarriesAWholeJob) {
  Served served;
  ::kill(served.pid(), SIGTERM);
  eventually([&] { return !served.running(); });
  Bridged bridged(served.options);
  {
    auto client = Client::connect(std::move(bridged.in), std::move(bridged.out), Millis(5000));
    ASSERT_TRUE(client) << describe(client.error());
    EXPECT_EQ(client->agent_version(), ferry_version());
    ASSERT_TRUE(client->start(served.spec("head -c 3000000 /dev/zero; exit 9")));
    const Seen seen = follow(*client);
    EXPECT_EQ(seen.out.size(), 3'000'000u);
    EXPECT_EQ(seen.done->run_exit, 9);
  }
  EXPECT_EQ(bridged.wait(), 0);  // it ended with its input
}

TEST(Connection, TheBridgeEndsWithTheAgent) {
  Served served;
  Bridged bridged(served.options);
  auto client = Client::connect(std::move(bridged.in), std::move(bridged.out), Millis(5000));
  ASSERT_TRUE(client);
  served.kill_agent();
  EXPECT_EQ(client->status().error().kind, Kind::lost);
  bridged.wait();
  served.serve();
}

TEST(Connection, ALargeRequestPassesWhileTheLogFlows) {
  Served served;
  Bridged bridged(served.options);
  auto client = Client::connect(std::move(bridged.in), std::move(bridged.out), Millis(5000));
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->start(served.spec("head -c 30000000 /dev/zero")));
  ASSERT_TRUE(client->attach(0));
  JobSpec large = served.spec("# " + std::string(900'000, 'x'));
  EXPECT_TRUE(client->start(large));
}

/// A peer that says what it is told to.
Result<Client> connect_to(const std::string& bytes, os::Fd& peer, Millis limit = Millis(200)) {
  auto pair = os::make_socketpair();
  peer = std::move(pair->write);
  EXPECT_TRUE(os::write_all(peer.get(), bytes));
  os::Fd out(::dup(pair->read.get()));
  return Client::connect(std::move(pair->read), std::move(out), limit);
}

std::string hello(const std::string& versions = R"("protocol":1,"speaks":2)") {
  return std::string(greeting) + encode(FrameType::hello, "{" + versions + R"(,"version":"9"})");
}

TEST(Client, FindsTheHelloBehindALoginShellsNoise) {
  os::Fd peer;
  EXPECT_TRUE(connect_to("Welcome!\r\nLast login: today\n" + hello(), peer));
}

TEST(Client, SaysWhatCameInsteadOfAHello) {
  os::Fd peer;
  const auto silent = connect_to("bash: ferry-agent: command not found\n", peer);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().kind, Kind::lost);
  EXPECT_EQ(silent.error().why, "bash: ferry-agent: command not found");
}

TEST(Client, SpeaksTheNewestVersionThatBothEndsKnowAndRefusesWhereThereIsNone) {
  const struct {
    const char* versions;
    int spoken;  // 0: none
  } table[] = {{R"("protocol":1)", 1},
               {R"("protocol":1,"speaks":2)", 2},
               {R"("protocol":1,"speaks":7)", 2},
               {R"("protocol":2,"speaks":7)", 2},
               {R"("protocol":3)", 0},
               {R"("protocol":3,"speaks":4)", 0},
               {R"("protocol":2,"speaks":1)", 0},
               {R"("protocol":0)", 0},
               {R"("protocol":"1")", 0},
               {R"("speaks":2)", 2},
               {R"("x":1)", 0}};
  for (const auto& row : table) {
    os::Fd peer;
    const auto client = connect_to(hello(row.versions), peer);
    ASSERT_EQ(client.has_value(), row.spoken > 0) << row.versions;
    if (client) {
      EXPECT_EQ(client->protocol(), row.spoken) << row.versions;
    } else {
      EXPECT_EQ(client.error().kind, Kind::unsupported) << row.versions;
    }
  }
}

TEST(Client, AnAgentCanBeSpokenToByAFerryOfVersionOne) {
  Served served;
  auto socket = os::connect_unix(served.dir() / "sock");
  ASSERT_TRUE(socket);
  FrameReader reader;
  while (!reader.skip_to_hello()) reader.add(*os::read_some(socket->get()));
  const auto frame = reader.next();
  ASSERT_TRUE(frame && *frame);
  const auto said = *parse_json((*frame)->body);
  EXPECT_EQ(int_at(said, "protocol"), 1);  // all that such a ferry looks at
  EXPECT_EQ(int_at(said, "speaks"), protocol_version);
}

TEST(Client, ASilentAgentIsLost) {
  os::Fd peer;
  auto client = connect_to(hello(), peer);
  ASSERT_TRUE(client);
  client->silence_limit = Millis(50);
  EXPECT_EQ(client->status().error().kind, Kind::lost);
}

TEST(Client, AnAttachedAgentThatFallsSilentIsLost) {
  os::Fd peer;
  auto client = connect_to(hello() + encode(FrameType::answer, R"({"id":1})"), peer);
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->attach(0));
  client->silence_limit = Millis(50);
  const auto nothing = client->next(Millis(10));
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing);
  EXPECT_EQ(client->next(Millis(60)).error().kind, Kind::lost);
}

TEST(Client, AClosedOrCorruptStreamIsAnError) {
  os::Fd peer;
  auto closed = connect_to(hello(), peer);
  peer.reset();
  EXPECT_EQ(closed->next(Millis(100)).error().kind, Kind::lost);
  auto corrupt = connect_to(hello() + "\xff\xff\xff\xff\xff", peer);
  EXPECT_EQ(corrupt->next(Millis(100)).error().kind, Kind::corrupt);
}

/// The program as it is shipped, where the environment says where it is.
TEST(Program, IsSmallAndStaticAndStartsInMilliseconds) {
  const auto program = os::env("FERRY_AGENT");
  if (!program) GTEST_SKIP() << "FERRY_AGENT is not set";
  const auto bytes = os::read_file(*program);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->find("/lib64/ld-linux"), std::string::npos);
  const auto version = os::run_command({.argv = {*program, "--version"}});
  ASSERT_TRUE(version);
  EXPECT_EQ(version->out, "ferry-agent " + ferry_version() + "\n");

  Served served;
  ::kill(served.pid(), SIGTERM);
  eventually([&] { return !served.running(); });
  const auto begin = os::system_clock().steady_ms();
  ASSERT_EQ(os::run_command({.argv = {*program, "serve", served.dir()}})->exit.code, 0);
  EXPECT_LT(os::system_clock().steady_ms() - begin, 500);
  (void)run_job(served, served.spec("head -c 20000000 /dev/zero"));
  const auto status = *os::read_file("/proc/" + std::to_string(served.pid()) + "/status");
  for (const char* field : {"VmRSS:", "VmHWM:"}) {
    const auto at = status.find(field);
    const auto kib = parse_int(trim(status.substr(at + 6, status.find("kB", at) - at - 6)));
    ASSERT_TRUE(kib);
    RecordProperty(field, static_cast<int>(*kib));
    EXPECT_LT(*kib, 10 * 1024) << field;
  }
}

TEST(Program, GivesAProgramWhatCameToItPacked) {
  const auto program = os::env("FERRY_AGENT");
  if (!program) GTEST_SKIP() << "FERRY_AGENT is not set";
  const std::string script = "echo \"$1 $(stat -Lc %F /dev/stdin)\"\nexit 7\n# " + std::string(200'000, 'x') + "\n";
  const os::Argv bash = {*program, "unpacked", "bash", "-s", "given"};
  const auto ran = os::run_command({.argv = bash}, sync::pack(script));
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->out, "given regular file\n");
  EXPECT_EQ(ran->exit.code, 7);
  const auto damaged = os::run_command({.argv = bash}, script);
  EXPECT_EQ(damaged->exit.code, 125);
  EXPECT_NE(damaged->err.find("not a zstd frame"), std::string::npos) << damaged->err;
  const auto absent = os::run_command({.argv = {*program, "unpacked", "no-such-program"}}, sync::pack(""));
  EXPECT_EQ(absent->exit.code, 125);
  EXPECT_NE(absent->err.find("no-such-program"), std::string::npos) << absent->err;
}

}  // namespace
}  // namespace ferry::agent
