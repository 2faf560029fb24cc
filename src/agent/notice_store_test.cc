// A machine with a store that is taken back at various moments, over an uplink that is too slow for the last: what is
// in the store when it is gone.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <set>

#include "agent/served.h"
#include "agent/served_s3.h"
#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/socket.h"
#include "store/manifest.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t uplink_bytes_ms = 2'000;  // 2 MB a second
constexpr Millis window{6'000};

/// S3 behind an uplink that all uploads share, and a machine's metadata service, behind one port.
class TakenBackTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::env("FERRY_AGENT")) GTEST_SKIP() << "FERRY_AGENT is not set";
    aws_.emplace();
    served.emplace();  // before there are threads
    aws_->serve([this](const auto& request, auto& body) { return answer(request, body); });
  }
  void TearDown() override { is_fast_ = true; }

  /// Saves a generation every two seconds: a pair that is written anew, and a file of its own; when it is told, one
  /// more file, and one that is far too large.
  JobSpec training() const {
    JobSpec out = served->spec(
        "mkdir -p ckpt/last\n"
        "save() { (trap '' TERM; head -c \"$3\" /dev/zero | tr '\\0' \"$2\" > \"$1.tmp\"; mv \"$1.tmp\" \"$1\"); }\n"
        "last() { save ckpt/huge.pt h 40000000; save ckpt/told.pt t 1000; exit 0; }\n"
        "told=; trap told=yes TERM\n"  // not between the two of a pair
        "for i in 1 2 3 4 5 6 7 8 9; do\n"
        "  save ckpt/last/model $i 2000000; save ckpt/last/optimizer $i 1000; save ckpt/$i.pt $i 50000\n"
        "  echo saved $i\n"
        "  for n in $(seq 20); do [ -z \"$told\" ] || last; sleep 0.1; done\n"
        "done");
    out.store = {.uri = "s3://bucket/prefix", .endpoint = aws_->url(), .checkpoints = {"ckpt/"}, .every_s = 1};
    out.notices = NoticeSpec{};
    return out;
  }
  void announce() {
    const std::lock_guard lock(mutex_);
    action_ =
        R"({"action": "terminate", "time": ")" + os::iso_time(os::system_clock().now_ms() + window.count()) + "\"}";
  }
  std::string bytes_of(const std::string& key) {
    const std::lock_guard lock(s3.mutex);
    const auto at = s3.objects.find("prefix/" + key);
    return at == s3.objects.end() ? "" : at->second.bytes;
  }
  store::Manifest manifest() {
    return store::parse_manifest(bytes_of("runs/digits-7k2/a1/r0/manifest.json")).value_or(store::Manifest());
  }

  s3::FakeS3 s3;
  std::optional<Served> served;

 private:
  os::ServedReply answer(const os::ServedRequest& asked, os::BodyReader& body) {
    if (asked.target.starts_with("/latest/")) return answer_metadata(asked.target);
    auto bytes = whole(body);
    take_uplink(static_cast<std::int64_t>(bytes.size()));
    return answer_of_s3(s3, aws_->url(), asked, std::move(bytes));
  }
  os::ServedReply answer_metadata(const std::string& path) {
    const std::lock_guard lock(mutex_);
    auto reply = answer_of_role(path, "ferry-digits-7k2");
    if (path == "/latest/meta-data/spot/instance-action" && !action_.empty()) {
      reply.status = 200;
      reply.body = action_;
    }
    return reply;
  }
  /// Returns when so many bytes went over it beside those of others, or nobody waits for them any more.
  void take_uplink(std::int64_t bytes) {
    constexpr std::int64_t slice = 50'000;
    for (; bytes > 0 && !is_fast_; bytes -= slice) {
      std::int64_t at = 0;
      {
        const std::lock_guard lock(mutex_);
        at = std::max(os::system_clock().steady_ms(), free_at_);
        free_at_ = at + std::min(bytes, slice) / uplink_bytes_ms;
      }
      os::system_clock().sleep(Millis(std::max<std::int64_t>(0, at - os::system_clock().steady_ms())));
    }
  }

  std::string action_;
  std::mutex mutex_;
  std::int64_t free_at_ = 0;
  std::atomic<bool> is_fast_ = false;
  std::optional<AwsOfMachine> aws_;
};

class TakenBackAtTest : public TakenBackTest, public testing::WithParamInterface<int> {};

TEST_P(TakenBackAtTest, WhatIsStoredIsWholeAndTheManifestSaysWhich) {
  auto client = served->client();
  ASSERT_TRUE(client.start(training()));
  ASSERT_TRUE(client.attach(0));
  follow_until(client, "saved 2");
  os::system_clock().sleep(Millis(GetParam()));
  announce();
  const auto gone = os::system_clock().steady_ms() + window.count();
  while (os::system_clock().steady_ms() < gone) os::system_clock().sleep(Millis(20));
  served->kill_agent();  // and all that is below it

  const auto there = manifest();
  EXPECT_FALSE(there.complete) << "the largest cannot be there";
  std::map<std::string, std::string> stored;
  for (const auto& entry : there.entries) {
    stored[entry.path] = bytes_of(entry.key);
    EXPECT_EQ(hex(sha256(stored[entry.path])), entry.sha256) << entry.path;
    EXPECT_EQ(stored[entry.path].size(), entry.bytes) << entry.path;
  }
  EXPECT_FALSE(stored.contains("ckpt/huge.pt"));
  EXPECT_EQ(stored["ckpt/told.pt"], std::string(1000, 't')) << "what was saved last, and is small";
  ASSERT_FALSE(stored["ckpt/last/model"].empty());
  EXPECT_EQ(stored["ckpt/last/model"], std::string(2'000'000, stored["ckpt/last/model"][0])) << "half of two";
  EXPECT_EQ(stored["ckpt/last/model"][0], stored["ckpt/last/optimizer"][0]) << "of two generations";
  EXPECT_EQ(stored["ckpt/1.pt"], std::string(50'000, '1'));
  EXPECT_EQ(stored["ckpt/2.pt"], std::string(50'000, '2'));
  const auto end = status_from(parse_json(stored["end.json"]).value_or(Json()));
  ASSERT_TRUE(end) << "how it ended is stored before what is large";
  EXPECT_EQ(end->reason, interrupted);
  EXPECT_EQ(end->run_exit, 0);
  EXPECT_TRUE(stored.contains("notice.json"));
}

INSTANTIATE_TEST_SUITE_P(Moments, TakenBackAtTest, testing::Values(0, 700, 1'500, 2'300));

}  // namespace
}  // namespace ferry::agent
