// A run whose store is S3: with the machine's own role, and uploads that go on where a kill cut them.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>

#include "agent/served.h"
#include "agent/served_s3.h"
#include "agent/tree.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/socket.h"
#include "store/manifest.h"

namespace ferry::agent {
namespace {

/// S3 and a machine's metadata service behind one port.
class StoreS3Test : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::env("FERRY_AGENT")) GTEST_SKIP() << "FERRY_AGENT is not set";
    aws_.emplace();
    served.emplace();  // before there are threads
    aws_->serve([this](const auto& request, auto& body) { return answer(request, body); });
  }

  JobSpec spec(const std::string& command) const {
    JobSpec out = served->spec(command);
    out.store = {.uri = "s3://bucket/prefix", .endpoint = aws_->url(), .every_s = 1};
    return out;
  }
  store::Manifest manifest() {
    const std::lock_guard lock(s3.mutex);
    const auto at = s3.objects.find("prefix/runs/digits-7k2/a1/r0/manifest.json");
    return at == s3.objects.end() ? store::Manifest()
                                  : store::parse_manifest(at->second.bytes).value_or(store::Manifest());
  }
  void patiently(const std::function<bool()>& condition) {
    const auto end = os::system_clock().steady_ms() + 60'000;
    while (!condition() && os::system_clock().steady_ms() < end) os::system_clock().sleep(Millis(10));
    EXPECT_TRUE(condition());
  }
  pid_t store_process() {
    for (const pid_t pid : family_of(served->pid())) {
      if (command_line(pid).find(" store ") != std::string::npos) return pid;
    }
    return 0;
  }

  s3::FakeS3 s3;
  std::optional<Served> served;

 private:
  os::ServedReply answer(const os::ServedRequest& asked, os::BodyReader& body) {
    if (asked.target.starts_with("/latest/")) return answer_of_role(asked.target, "ferry-digits-7k2");
    return answer_of_s3(s3, aws_->url(), asked, whole(body));
  }

  std::optional<AwsOfMachine> aws_;
};

TEST_F(StoreS3Test, StoresByTheMachinesOwnRoleThatS3DoesNotKnowYet) {
  int refusals = 1;
  s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    EXPECT_NE(s3::sent_header(request, "authorization").find("Credential=ROLEKEY/"), std::string::npos);
    EXPECT_EQ(s3::sent_header(request, "x-amz-security-token"), "session");
    if (refusals-- > 0) return s3::fault(403, "InvalidAccessKeyId");
    return std::nullopt;
  };
  auto client = served->client();
  ASSERT_TRUE(client.start(spec("mkdir outputs; echo a model > outputs/model; echo said")));
  patiently([&] { return served->power_offs() == 1; });
  const auto there = manifest();
  EXPECT_TRUE(there.complete);
  ASSERT_EQ(there.entries.size(), 3u);
  EXPECT_EQ(there.entries[0].path, "outputs/model");
  EXPECT_EQ(s3.objects["prefix/" + there.entries[0].key].bytes, "a model\n");
}

TEST_F(StoreS3Test, AnUploadThatAKillCutGoesOnWithTheParts) {
  std::atomic<bool> open = false;
  s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (!open && request.url.find("partNumber=3") != std::string::npos) return s3::fault(503, "SlowDown");
    return std::nullopt;
  };
  auto client = served->client();
  JobSpec mine = spec("mkdir outputs; head -c 40000000 /dev/urandom > outputs/model");
  mine.power_off = false;
  ASSERT_TRUE(client.start(mine));
  const auto both_are_noted = [&] {  // (one that S3 has and nobody noted would go again)
    const auto notes = os::list_dir(served->dir() / "store-parts");
    if (!notes || notes->size() != 1) return false;
    const auto lines = os::read_file(served->dir() / "store-parts" / notes->front()).value_or("");
    return std::count(lines.begin(), lines.end(), '\n') == 3;
  };
  patiently(both_are_noted);
  ::kill(store_process(), SIGKILL);
  open = true;
  patiently([&] { return client.status()->store.state == StoreStatus::State::stored; });
  EXPECT_EQ(s3.count("PUT", "partNumber=1&"), 1);
  EXPECT_EQ(s3.count("PUT", "partNumber=2&"), 1);
  const auto stored = manifest();
  EXPECT_TRUE(stored.complete);
  ASSERT_FALSE(stored.entries.empty());
  const auto& bytes = s3.objects["prefix/" + stored.entries[0].key].bytes;
  EXPECT_EQ(bytes, *os::read_file(served->path("work/outputs/model")));
}

}  // namespace
}  // namespace ferry::agent
