// A machine that is taken back: what its metadata service says, what the training is told, how it ends.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <deque>

#include "agent/notice_watch.h"
#include "agent/served.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/http_server.h"
#include "os/socket.h"
#include "store/manifest.h"

namespace ferry::agent {
namespace {

constexpr const char* action_path = "/latest/meta-data/spot/instance-action";
constexpr const char* rebalance_path = "/latest/meta-data/events/recommendations/rebalance";

/// A metadata service in memory.
class FakeService final : public os::HttpClient {
 public:
  struct State {
    std::map<std::string, std::string> tree;
    std::string date;
    std::vector<std::string> asked;
    int token = 1;
    bool gone = false, broken = false;
  };
  explicit FakeService(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Result<os::HttpResponse> send(const os::HttpRequest& request) override {
    auto& state = *state_;
    const std::string path = request.url.substr(std::string("http://metadata").size());
    state.asked.push_back(request.method + " " + path);
    if (state.gone) return fail(Kind::lost, "nobody answers");
    if (state.broken) return os::HttpResponse{.status = 500};
    const auto token = "token" + std::to_string(state.token);
    if (request.method == "PUT") return os::HttpResponse{.status = 200, .body = token};
    os::HttpResponse out{.status = 404};
    if (!state.date.empty()) out.headers.emplace_back("date", state.date);
    if (request.headers.at(0).second != token) {
      out.status = 401;
    } else if (const auto at = state.tree.find(path); at != state.tree.end()) {
      out.status = 200;
      out.body = at->second;
    }
    return out;
  }

 private:
  std::shared_ptr<State> state_;
};

struct Reading {
  std::shared_ptr<FakeService::State> state = std::make_shared<FakeService::State>();
  NoticeReader reader{std::make_unique<FakeService>(state), "http://metadata/"};
  std::string in(std::int64_t ms) const { return os::iso_time(os::system_clock().now_ms() + ms); }
};

TEST(NoticeReader, KnowsOfNothingUntilTheServiceSaysSo) {
  Reading it;
  ASSERT_TRUE(it.reader.read());
  EXPECT_FALSE(*it.reader.read());
  it.state->tree[action_path] = R"({"action": "terminate", "time": ")" + it.in(120'000) + "\"}";
  const auto read = it.reader.read();
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->kind, Notice::Kind::interruption);
  EXPECT_EQ((*read)->action, "terminate");
  EXPECT_NEAR(static_cast<double>((*read)->time_ms - os::system_clock().now_ms()), 120'000, 2'000);
}

TEST(NoticeReader, AsksForARecommendationEveryFifthTimeAndRemembersIt) {
  Reading it;
  const std::string recommended = R"({"noticeTime": "2026-01-31T12:00:00Z"})";
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(*it.reader.read());
  EXPECT_EQ(std::count(it.state->asked.begin(), it.state->asked.end(), std::string("GET ") + rebalance_path), 1);
  it.state->tree[rebalance_path] = recommended;
  const auto read = it.reader.read();
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->kind, Notice::Kind::rebalance);
  EXPECT_EQ((*it.reader.read())->kind, Notice::Kind::rebalance);
  it.state->tree[action_path] = R"({"action": "stop", "time": "2026-01-31T12:02:00Z"})";
  EXPECT_EQ((*it.reader.read())->action, "stop");
}

TEST(NoticeReader, OneTokenDoesUntilItIsRefused) {
  Reading it;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(it.reader.read());
  const auto tokens = [&] {
    return std::count(it.state->asked.begin(), it.state->asked.end(), "PUT /latest/api/token");
  };
  EXPECT_EQ(tokens(), 1);
  it.state->token = 2;
  ASSERT_TRUE(it.reader.read());
  EXPECT_EQ(tokens(), 2);
}

TEST(NoticeReader, AClockThatIsWrongChangesNothingOfTheTimeThatIsLeft) {
  Reading it;
  it.state->date = "Sat, 31 Jan 2026 12:00:00 GMT";
  it.state->tree[action_path] = R"({"action": "terminate", "time": "2026-01-31T12:02:00Z"})";
  const auto read = it.reader.read();
  ASSERT_TRUE(read && *read);
  EXPECT_NEAR(static_cast<double>((*read)->time_ms - os::system_clock().now_ms()), 120'000, 2'000);
}

TEST(NoticeReader, WhatIsNoNoticeIsAnErrorAndTheNextOneCounts) {
  Reading it;
  for (const char* wrong :
       {"", "terminate", "[]", R"({"action": "terminate"})", R"({"time": "soon"})", R"({"time": 3})"}) {
    it.state->tree[action_path] = wrong;
    EXPECT_FALSE(it.reader.read()) << wrong;
  }
  it.state->broken = true;
  EXPECT_FALSE(it.reader.read());
  it.state->broken = false;
  it.state->gone = true;
  EXPECT_FALSE(it.reader.read());
  it.state->gone = false;
  it.state->tree.clear();
  EXPECT_TRUE(it.reader.read());
}

TEST(NoticeWatch, AsksASilentServiceMoreAndMoreSeldom) {
  EXPECT_EQ(until_next_look(0, false), Millis(1'000));
  EXPECT_EQ(until_next_look(1, false), Millis(2'000));
  EXPECT_EQ(until_next_look(3, false), Millis(8'000));
  EXPECT_EQ(until_next_look(6, false), Millis(60'000));
  EXPECT_EQ(until_next_look(1'000'000, false), Millis(60'000));
  EXPECT_EQ(until_next_look(1'000'000, true), Millis(5'000));
}

/// An agent, and the metadata service of its machine.
class NoticeTest : public testing::Test {
 protected:
  void SetUp() override {
    listener_ = std::move(*os::listen_tcp("127.0.0.1", 0));
    endpoint_.emplace("AWS_EC2_METADATA_SERVICE_ENDPOINT",
                      "http://127.0.0.1:" + std::to_string(os::local_port(listener_.get())));
    enabled_.emplace("AWS_EC2_METADATA_DISABLED", "false");
    served.emplace();  // before there are threads
    server_ = std::move(
        *os::HttpServer::serve(std::move(listener_), [this](const auto& request, auto&) { return answer(request); }));
  }

  JobSpec spec(const std::string& command, const std::string& signal = "SIGTERM", const std::string& setup = {}) const {
    JobSpec out = served->spec(command, setup);
    out.notices = NoticeSpec{.signal = signal};
    return out;
  }
  void announce(Millis left, const std::string& action = "terminate") {
    const std::lock_guard lock(mutex_);
    // (The time is told in whole seconds.)
    tree_[action_path] = R"({"action": ")" + action + R"(", "time": ")" +
                         os::iso_time(os::system_clock().now_ms() + left.count() + 999) + "\"}";
  }
  void recommend() {
    const std::lock_guard lock(mutex_);
    tree_[rebalance_path] = R"({"noticeTime": "2026-01-31T12:00:00Z"})";
  }
  int asked() const { return asked_; }
  /// Starts it, and announces once it says "ready".
  JobStatus interrupted_when_ready(const JobSpec& job, Millis left) {
    auto client = served->client();
    EXPECT_TRUE(client.start(job));
    EXPECT_TRUE(client.attach(0));
    follow_until(client, "ready");
    announce(left);
    auto watching = served->client();
    EXPECT_TRUE(watching.attach(0));
    seen = follow(watching);
    return seen.done.value_or(JobStatus());
  }
  std::string made(const std::string& name) const {
    return os::read_file(served->path("work") / name).value_or("(missing)");
  }

  std::optional<Served> served;
  Seen seen;

 private:
  os::ServedReply answer(const os::ServedRequest& request) {
    const std::lock_guard lock(mutex_);
    os::ServedReply reply;
    if (request.target == "/latest/api/token") reply.body = "token";
    if (request.target == action_path) ++asked_;
    if (const auto at = tree_.find(request.target); at != tree_.end()) reply.body = at->second;
    if (reply.body.empty()) reply.status = 404;
    return reply;
  }
  os::Fd listener_;
  std::optional<Variable> endpoint_, enabled_;
  std::mutex mutex_;
  std::map<std::string, std::string> tree_;
  std::atomic<int> asked_ = 0;
  std::unique_ptr<os::HttpServer> server_;
};

TEST_F(NoticeTest, TheTrainingIsToldBySigtermAndByTheFileAndWhatItSavesIsNoSuccess) {
  const auto end = interrupted_when_ready(
      spec("save() { cat \"$FERRY_NOTICE\" > notice; echo saved > model; exit 0; }; trap save TERM; echo ready; "
           "while :; do sleep 0.05; done"),
      Millis(30'000));
  EXPECT_EQ(end.reason, interrupted);
  EXPECT_EQ(end.run_exit, 0);
  EXPECT_FALSE(end.killed);
  ASSERT_TRUE(end.notice);
  EXPECT_EQ(end.notice->kind, Notice::Kind::interruption);
  EXPECT_EQ(made("model"), "saved\n");
  const auto told = parse_json(made("notice"));
  ASSERT_TRUE(told) << made("notice");
  EXPECT_EQ(text_at(*told, "kind"), "interruption");
  EXPECT_EQ(text_at(*told, "action"), "terminate");
  EXPECT_GT(int_at(*told, "seconds_left"), 20);
  EXPECT_LE(int_at(*told, "seconds_left"), 31);
  EXPECT_NE(seen.err.find("the cloud takes this machine back in"), std::string::npos) << seen.err;
}

TEST_F(NoticeTest, AShellThatDiesOfTheSignalTakesNoSavingChildAlong) {
  const auto end = interrupted_when_ready(spec("sh -c 'trap \"sleep 1; echo saved > model; exit 0\" TERM; echo ready; "
                                               "while :; do sleep 0.05; done'; echo on > on"),
                                          Millis(30'000));
  EXPECT_EQ(end.reason, interrupted);
  EXPECT_EQ(made("model"), "saved\n");
  EXPECT_EQ(made("on"), "(missing)") << "the script went on";
}

TEST_F(NoticeTest, WhatDoesNotEndIsKilledBeforeTheMachineGoes) {
  const auto left = Millis(3'000);
  const auto end = interrupted_when_ready(spec("trap '' TERM; echo ready; while :; do sleep 0.05; done"), left);
  EXPECT_EQ(end.reason, interrupted);
  EXPECT_TRUE(end.killed);
  ASSERT_TRUE(end.notice);
  EXPECT_LT(end.ended_ms, end.notice->time_ms);
}

TEST_F(NoticeTest, AnotherSignalReachesOnlyThoseThatHandleItAndSigtermComesInTheEnd) {
  const auto end = interrupted_when_ready(
      spec("sleep 100 & trap 'echo usr1 >> told' USR1; trap 'echo term >> told; exit 3' TERM; echo ready; "
           "while :; do sleep 0.05; done",
           "SIGUSR1"),
      Millis(3'000));
  EXPECT_EQ(end.reason, interrupted);
  EXPECT_EQ(made("told"), "usr1\nterm\n");
  EXPECT_EQ(end.run_exit, 3);
}

TEST_F(NoticeTest, WhereNobodyHandlesTheSignalSigtermComesAtOnce) {
  const auto end = interrupted_when_ready(
      spec("trap 'echo term > told; exit 3' TERM; echo ready; while :; do sleep 0.05; done", "SIGUSR1"),
      Millis(60'000));
  EXPECT_EQ(end.reason, interrupted);
  EXPECT_EQ(made("told"), "term\n");
}

TEST_F(NoticeTest, WithoutASignalTheFileAloneTells) {
  const auto end = interrupted_when_ready(
      spec("trap 'echo term > told' TERM; echo ready; until [ -e \"$FERRY_NOTICE\" ]; do sleep 0.05; done; "
           "echo saved > model; exit 0",
           "none"),
      Millis(60'000));
  EXPECT_EQ(end.reason, interrupted) << "a trainer that saved and left has not finished";
  EXPECT_EQ(end.run_exit, 0);
  EXPECT_EQ(made("model"), "saved\n");
  EXPECT_EQ(made("told"), "(missing)");
}

TEST_F(NoticeTest, ASetupIsStoppedAndTheTrainingDoesNotBegin) {
  const auto end = interrupted_when_ready(spec("echo on > on", "SIGUSR1", "echo ready; sleep 100"), Millis(30'000));
  EXPECT_EQ(end.reason, interrupted);
  EXPECT_FALSE(end.run_exit);
  EXPECT_EQ(made("on"), "(missing)");
}

TEST_F(NoticeTest, ARecommendationIsToldAndEndsNothing) {
  auto client = served->client();
  recommend();
  ASSERT_TRUE(
      client.start(spec("until [ -e \"$FERRY_NOTICE\" ]; do sleep 0.05; done; cat \"$FERRY_NOTICE\" > notice; "
                        "echo told; sleep 0.3; exit 0")));
  ASSERT_TRUE(client.attach(0));
  seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "");
  EXPECT_EQ(seen.done->run_exit, 0);
  ASSERT_TRUE(seen.done->notice);
  EXPECT_EQ(seen.done->notice->kind, Notice::Kind::rebalance);
  const auto told = parse_json(made("notice"));
  ASSERT_TRUE(told);
  EXPECT_EQ(text_at(*told, "kind"), "rebalance");
  EXPECT_EQ(text_at(*told, "time"), "2026-01-31T12:00:00Z");
}

TEST_F(NoticeTest, WhoIsAttachedHearsOfItWhileTheTrainingStillSaves) {
  auto client = served->client();
  ASSERT_TRUE(client.start(spec("trap 'sleep 2; exit 0' TERM; echo ready; while :; do sleep 0.05; done")));
  ASSERT_TRUE(client.attach(0));
  follow_until(client, "ready");
  announce(Millis(30'000));
  std::optional<JobStatus> heard;
  while (!heard) {
    const auto event = client.next(Millis(15'000));
    ASSERT_TRUE(event && *event);
    if ((*event)->state && (*event)->state->notice) heard = (*event)->state;
  }
  EXPECT_EQ(heard->state, JobState::running);
}

TEST_F(NoticeTest, ACancelledRunStaysCancelledAndOneWithoutNoticesIsNotAskedFor) {
  auto client = served->client();
  JobSpec job = spec("trap '' TERM; echo ready; while :; do sleep 0.05; done");
  job.notices.reset();
  ASSERT_TRUE(client.start(job));
  ASSERT_TRUE(client.attach(0));
  follow_until(client, "ready");
  announce(Millis(2'000));
  ASSERT_TRUE(client.cancel(Seconds(1)));
  auto watching = served->client();
  ASSERT_TRUE(watching.attach(0));
  seen = follow(watching);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "cancelled");
  EXPECT_FALSE(seen.done->notice);
  EXPECT_EQ(asked(), 0);
}

TEST(NoticeWatch, AServiceThatNeverAnswersDisturbsNoTraining) {
  const Variable nowhere("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
  const Variable enabled("AWS_EC2_METADATA_DISABLED", "false");
  Served served;
  JobSpec job = served.spec("sleep 1; echo fine");
  job.notices = NoticeSpec{};
  const auto seen = run_job(served, job);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "");
  EXPECT_EQ(seen.out, "fine\n");
}

}  // namespace
}  // namespace ferry::agent
