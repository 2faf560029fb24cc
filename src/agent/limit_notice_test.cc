// A training that is asked to save before its time is over.
#include <gtest/gtest.h>

#include "agent/served.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"

namespace ferry::agent::limit_notice_test {
namespace {

TEST(LimitNotice, ComesBeforeTheEndByTheGraceButAtMostByATenthOfTheTime) {
  EXPECT_EQ(asked_before(100, Seconds(7200)), Seconds(100));
  EXPECT_EQ(asked_before(100, Seconds(600)), Seconds(60));
  EXPECT_EQ(asked_before(100, Seconds(3)), Millis(300));
  EXPECT_EQ(asked_before(0, Seconds(7200)), Seconds(0));
  EXPECT_EQ(asked_before(100, Millis(-5)), Seconds(0));
}

TEST(LimitNotice, SaysWhichLimitItIsAndWhatIsLeft) {
  const std::int64_t end = 1'769'860'800'000;
  EXPECT_EQ(dump_json(notice_file(LimitNotice{"budget", end}, end - 60'400)),
            R"({"kind":"limit","reason":"budget","seconds_left":60,"time":"2026-01-31T12:00:00Z"})");
  EXPECT_EQ(int_at(notice_file(LimitNotice{"budget", end}, end + 5'000), "seconds_left"), 0);
}

class LimitNoticeTest : public testing::Test {
 protected:
  JobSpec spec(const std::string& command, std::int64_t seconds, const std::string& signal = "SIGTERM") const {
    JobSpec out = served.spec(command);
    out.max_duration_s = seconds;
    out.power_off = false;
    out.on_limit = NoticeSpec{.signal = signal};
    return out;
  }
  JobStatus end_of(const JobSpec& job) {
    seen = run_job(served, job);
    return seen.done.value_or(JobStatus());
  }
  std::string made(const std::string& name) const {
    return os::read_file(served.path("work") / name).value_or("(missing)");
  }
  Served served;
  Seen seen;
};

TEST_F(LimitNoticeTest, AShellThatOnlyOutlivesItsTrainingMakesNoSuccessACut) {
  const auto end = end_of(spec(std::string(outlives_its_end) +
                                   "bash -c 'until [ -e \"$FERRY_NOTICE\" ]; do sleep 0.01; done; exit 0'\nexit $?\n",
                               5));
  EXPECT_EQ(end.reason, "");
  EXPECT_EQ(end.run_exit, 0);
}

TEST_F(LimitNoticeTest, ATrainingThatIsToldSavesAndEndsBeforeItsLimitAndCountsAsCut) {
  auto job =
      spec("trap 'cat \"$FERRY_NOTICE\" >notice; echo saved >model; exit 0' TERM; while :; do sleep 0.02; done", 3);
  job.limited_by = "budget";
  const auto end = end_of(job);
  EXPECT_EQ(end.reason, "max_duration");
  EXPECT_EQ(end.run_exit, 0);
  EXPECT_LE(end.ended_ms, end.deadline_ms + 200);
  EXPECT_GE(end.ended_ms, end.deadline_ms - 300);
  EXPECT_EQ(made("model"), "saved\n");
  const auto told = parse_json(made("notice"));
  ASSERT_TRUE(told);
  EXPECT_EQ(text_at(*told, "kind"), "limit");
  EXPECT_EQ(text_at(*told, "reason"), "budget");
  EXPECT_NE(seen.err.find("ferry: budget ends it in 0 s; told the training by SIGTERM"), std::string::npos) << seen.err;
  EXPECT_FALSE(end.notice) << "the cloud said nothing";
}

TEST_F(LimitNoticeTest, WhatDoesNotHandleTheSignalLosesNoTime) {
  const auto end = end_of(spec("sleep 1000", 2));
  EXPECT_EQ(end.reason, "max_duration");
  EXPECT_EQ(end.run_exit, 128 + 15);
  EXPECT_GE(end.ended_ms, end.deadline_ms);
  EXPECT_NE(seen.err.find("FERRY_NOTICE says so"), std::string::npos) << seen.err;
}

TEST_F(LimitNoticeTest, WhoSavesAndGoesOnIsStoppedAtTheLimit) {
  const auto end =
      end_of(spec("trap 'echo saved >>saves' USR1; trap 'echo over >>saves; exit 4' TERM; while :; do sleep 0.02; done",
                  2, "SIGUSR1"));
  EXPECT_EQ(end.reason, "max_duration");
  EXPECT_EQ(end.run_exit, 4);
  EXPECT_EQ(made("saves"), "saved\nover\n");
  EXPECT_GE(end.ended_ms, end.deadline_ms);
}

TEST_F(LimitNoticeTest, OneThatWasNotToldAndEndsByItselfHasDoneSo) {
  const std::string waits = "until [ -e \"$FERRY_NOTICE\" ]; do sleep 0.02; done; exit 0";
  EXPECT_EQ(end_of(spec(waits, 2)).reason, "");
  EXPECT_EQ(seen.done->run_exit, 0);
  Served other;
  auto job = other.spec(waits);
  job.max_duration_s = 2;
  job.on_limit = NoticeSpec{.signal = "none"};
  seen = run_job(other, job);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "max_duration") << "who chose none reads the file";
}

TEST_F(LimitNoticeTest, MoreTimeTakesItBack) {
  auto client = served.client();
  const auto started =
      client.start(spec("told=; trap 'told=1; echo told' TERM; until [ -n \"$told\" ]; do sleep 0.02; done; "
                        "while [ -e \"$FERRY_NOTICE\" ]; do sleep 0.02; done; echo gone; exit 0",
                        10));
  ASSERT_TRUE(started);
  (void)follow_until(client, "told\n");
  auto other = served.client();
  ASSERT_TRUE(other.extend({.deadline_ms = started->deadline_ms + 60'000, .retention_s = 30}));
  auto watching = served.client();
  seen = follow(watching);
  ASSERT_TRUE(seen.done);
  EXPECT_NE(seen.out.find("gone"), std::string::npos);
  EXPECT_EQ(seen.done->reason, "");
  EXPECT_EQ(seen.done->run_exit, 0);
}

TEST_F(LimitNoticeTest, WhatATrainingForkedIsNotTold) {
  if (!os::find_program("python3")) GTEST_SKIP() << "no python3";
  ASSERT_TRUE(os::make_dirs(served.path("work")));
  ASSERT_TRUE(
      os::write_file(served.path("work") / "train.py",
                     "import os, signal, time\n"
                     "signal.signal(signal.SIGUSR1, lambda *_: open('told', 'a').write(str(os.getpid()) + '\\n'))\n"
                     "if os.fork():\n"
                     "    open('parent', 'w').write(str(os.getpid()) + '\\n')\n"
                     "while True:\n"
                     "    time.sleep(0.02)\n"));
  const auto end = end_of(spec("python3 train.py", 3, "SIGUSR1"));
  EXPECT_EQ(end.reason, "max_duration");
  EXPECT_EQ(made("told"), made("parent"));
}

}  // namespace
}  // namespace ferry::agent::limit_notice_test
