// `ferry-agent data`: the real program against S3 over HTTP and a machine's metadata service.
#include "agent/data.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>

#include "agent/data_order.h"
#include "agent/served_s3.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"
#include "os/socket.h"

namespace ferry::agent {
namespace {

using Is = DataEvent::Is;

TEST(DataOrder, GoesOverAndComesBackTheSameAndBadOnesAreRefused) {
  DataOrder order;
  order.items = {{"a-bucket", "set/", "/data/0", false}, {"b-bucket", "", "/data/1", true}};
  order.region = "eu-west-1";
  order.items[1].only_looks = true;
  order.endpoint = "http://127.0.0.1:1";
  order.has_new_role = order.goes_back = true;
  EXPECT_EQ(*data_order_from(to_json(order)), order);
  for (const char* bad : {"{}", "[]", R"({"items": [1]})", R"({"items": [{"bucket": "B", "to": "/x"}]})",
                          R"({"items": [{"bucket": "a-bucket", "to": "x"}]})"})
    EXPECT_EQ(data_order_from(*parse_json(bad)).error().kind, Kind::bad_input) << bad;
  DataEvent event{.is = Is::failed, .item = 3, .text = "NoSuchBucket"};
  event.error = Error{Kind::denied, "no", "because", "", "", {}};
  const auto back = *data_event_from(to_json(event));
  EXPECT_EQ(back.error->kind, Kind::denied);
  EXPECT_EQ(back.item, 3u);
  EXPECT_FALSE(data_event_from(Json{{"is", "else"}}));
  EXPECT_FALSE(data_event_from(Json::array()));
}

class DataProgram : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::env("FERRY_AGENT")) GTEST_SKIP() << "FERRY_AGENT is not set";
    auto listener = std::move(*os::listen_tcp("127.0.0.1", 0));
    url_ = "http://127.0.0.1:" + std::to_string(os::local_port(listener.get()));
    server_ = std::move(*os::HttpServer::serve(
        std::move(listener), [this](const auto& request, auto& body) { return answer(request, body); }));
    for (int i = 0; i < 30; ++i)
      put("set/deep/f" + std::to_string(i), std::string(static_cast<std::size_t>(i * 100), 'x'));
  }
  void put(const std::string& key, const std::string& bytes) { s3.objects[key] = {bytes, hex(md5(bytes)), {}}; }

  DataOrder order(const std::string& key) const {
    DataOrder out;
    out.items = {{"bucket", key, (temp.path() / "to").string(), false}};
    out.endpoint = url_;
    return out;
  }
  os::SpawnOptions program() const {
    os::SpawnOptions options;
    options.argv = {*os::env("FERRY_AGENT"), "data", temp.path().string()};
    options.env = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", url_}, {"AWS_EC2_METADATA_DISABLED", "false"}};
    return options;
  }
  struct Ended {
    int code = 0;
    std::vector<DataEvent> events;
    const DataEvent* find(Is is) const {
      const auto at = std::ranges::find(events, is, &DataEvent::is);
      return at == events.end() ? nullptr : &*at;
    }
  };
  Ended carry(const DataOrder& wanted, int in_fd = -1) const {
    auto options = program();
    options.in_fd = in_fd;
    const auto done = os::run_command(options, in_fd < 0 ? dump_json(to_json(wanted)) : "");
    Ended out;
    EXPECT_TRUE(done);
    if (!done) return out;
    out.code = done->exit.code;
    for (const auto& line : split(trim(done->out), '\n')) {
      const auto json = parse_json(line);
      if (json) out.events.push_back(*data_event_from(*json));
    }
    return out;
  }
  /// Whether somebody who is signed as the machine's role may read.
  void judge(bool role_may, bool anybody_may) {
    s3.before = [=](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
      const bool is_signed = !s3::sent_header(request, "authorization").empty();
      if (is_signed ? role_may : anybody_may) return std::nullopt;
      return s3::fault(403, "AccessDenied");
    };
  }

  s3::FakeS3 s3;
  os::TempDir temp;
  std::atomic<bool> has_role = true;

 private:
  os::ServedReply answer(const os::ServedRequest& asked, os::BodyReader& body) {
    if (asked.target.starts_with("/latest/")) return answer_of_role(asked.target, has_role ? "role" : "");
    return answer_of_s3(s3, url_, asked, whole(body));
  }
  std::string url_;
  std::unique_ptr<os::HttpServer> server_;
};

TEST_F(DataProgram, CopiesAsTheMachinesRoleAndTellsOfIt) {
  judge(true, false);
  const auto ended = carry(order("set"));
  EXPECT_EQ(ended.code, 0);
  ASSERT_TRUE(ended.find(Is::found));
  EXPECT_EQ(ended.find(Is::found)->files, 30u);
  EXPECT_FALSE(ended.find(Is::found)->is_anonymous);
  ASSERT_TRUE(ended.find(Is::done));
  EXPECT_EQ(ended.find(Is::done)->bytes, 43500u);
  EXPECT_EQ(os::read_file(temp.path() / "to/deep/f7")->size(), 700u);
  const auto again = carry(order("set"));
  ASSERT_TRUE(again.find(Is::done));
  EXPECT_EQ(again.find(Is::done)->kept_files, 30u);
}

TEST_F(DataProgram, OnlyLooksAtWhatIsToBeMounted) {
  judge(true, false);
  auto looking = order("set/");
  looking.items[0].only_looks = true;
  auto ended = carry(looking);
  EXPECT_EQ(ended.code, 0);
  ASSERT_TRUE(ended.find(Is::found));
  EXPECT_FALSE(ended.find(Is::found)->is_file || ended.find(Is::found)->is_anonymous);
  EXPECT_FALSE(ended.find(Is::done));
  EXPECT_FALSE(os::exists(temp.path() / "to"));
  looking.items[0].key = "set/deep/f3";
  ended = carry(looking);
  ASSERT_TRUE(ended.find(Is::found));
  EXPECT_TRUE(ended.find(Is::found)->is_file) << "a folder is mounted, an object is not";
  looking.items[0].key = "nothing/there";
  EXPECT_NE(carry(looking).code, 0);
  looking.items[0].may_be_empty = true;
  EXPECT_EQ(carry(looking).code, 0) << "it will be written to";
}

TEST_F(DataProgram, ReadsWhatIsPublicWithoutCredentialsWhereTheRoleMayNotOrThereIsNone) {
  judge(false, true);
  for (const bool role : {true, false}) {
    has_role = role;
    const auto ended = carry(order("set/deep/f3"));
    EXPECT_EQ(ended.code, 0);
    ASSERT_TRUE(ended.find(Is::found));
    EXPECT_TRUE(ended.find(Is::found)->is_anonymous);
    EXPECT_EQ(os::read_file(temp.path() / "to")->size(), 300u);
  }
}

TEST_F(DataProgram, SaysAsWhomItWasRefused) {
  judge(false, false);
  auto ended = carry(order("set"));
  EXPECT_NE(ended.code, 0);
  ASSERT_TRUE(ended.find(Is::failed));
  auto error = *ended.find(Is::failed)->error;
  EXPECT_EQ(error.kind, Kind::denied);
  EXPECT_NE(error.why.find("as its role"), std::string::npos) << error.why;
  EXPECT_NE(error.why.find("and it is not public"), std::string::npos) << error.why;
  has_role = false;
  ended = carry(order("set"));
  ASSERT_TRUE(ended.find(Is::failed));
  EXPECT_NE(ended.find(Is::failed)->error->why.find("it has no role"), std::string::npos);
}

TEST_F(DataProgram, WaitsForANewRoleThatS3DoesNotKnowYet) {
  std::atomic<int> refusals = 3;
  s3.before = [&](const os::HttpRequest&) -> std::optional<Result<os::HttpResponse>> {
    if (refusals-- > 0) return s3::fault(403, "AccessDenied");
    return std::nullopt;
  };
  auto young = order("set/deep/f3");
  young.has_new_role = true;
  EXPECT_EQ(carry(young).code, 0);
}

TEST_F(DataProgram, OfNothingIsAnEmptyFolderWhereSomethingWillBeWritten) {
  auto wanted = order("none");
  EXPECT_NE(carry(wanted).code, 0);
  wanted.items[0].may_be_empty = true;
  EXPECT_EQ(carry(wanted).code, 0);
  EXPECT_TRUE(os::is_directory(temp.path() / "to"));
}

TEST_F(DataProgram, GoesOnWhereAKillCutIt) {
  std::atomic<bool> open = false;
  std::atomic<int> held = 0;
  s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (open || request.url.find("/set/deep/f29") == std::string::npos) return std::nullopt;
    ++held;
    return s3::fault(503, "SlowDown");
  };
  auto options = program();
  options.in = options.out = os::Stream::pipe;
  auto process = os::Process::spawn(options);
  ASSERT_TRUE(process);
  ASSERT_TRUE(os::write_all(process->in.get(), dump_json(to_json(order("set")))));
  process->in.reset();
  const auto has_the_others = [&] {
    for (int i = 0; i < 29; ++i) {
      if (!os::exists(temp.path() / "to/deep" / ("f" + std::to_string(i)))) return false;
    }
    return held > 0;
  };
  const auto end = os::system_clock().steady_ms() + 60'000;
  while (!has_the_others() && os::system_clock().steady_ms() < end) os::system_clock().sleep(Millis(10));
  ASSERT_TRUE(has_the_others());
  process->signal(SIGKILL);
  process->wait(Millis(10'000));
  open = true;
  const auto ended = carry(order("set"));
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.find(Is::done)->kept_files, 29u);
  EXPECT_EQ(os::list_dir(temp.path() / "to/deep")->size(), 30u);
}

TEST_F(DataProgram, PutsBackWhatWasWrittenAfterItsOrder) {
  judge(true, false);
  EXPECT_EQ(carry(order("set")).code, 0);
  auto back = order("set");
  back.goes_back = true;
  os::system_clock().sleep(Millis(20));
  ASSERT_TRUE(os::write_file(temp.path() / "order", dump_json(to_json(back))));
  os::system_clock().sleep(Millis(20));
  ASSERT_TRUE(os::write_file(temp.path() / "to/model", "trained"));
  const auto file = os::open_file(temp.path() / "order", O_RDONLY);
  ASSERT_TRUE(file);
  const auto ended = carry(back, file->get());
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.find(Is::done)->files, 1u);
  EXPECT_EQ(s3.objects["set/model"].bytes, "trained");
  EXPECT_NE(carry(back).code, 0) << "a pipe has no time that could be meant";
}

}  // namespace
}  // namespace ferry::agent
