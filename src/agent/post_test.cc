// What the agent does when its files are removed under it.
#include "agent/post.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "agent/served.h"
#include "base/text.h"
#include "os/socket.h"

namespace ferry::agent {
namespace {

/// Says "ready", and "saved" once DIR/work/go is there.
constexpr const char* waiting = "echo ready; while [ ! -e go ]; do sleep 0.01; done; echo saved; exit 3";

/// Lets that job end, and expects all of its output from a client that comes now.
void expect_whole(Served& served) {
  EXPECT_TRUE(os::write_file(served.path("work") / "go", ""));
  auto client = served.client();
  const Seen seen = follow(client);
  EXPECT_EQ(seen.out, "ready\nsaved\n");
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->run_exit, 3);
}

bool answers(const Served& served) { return os::connect_unix(served.dir() / "sock").has_value(); }

TEST(AgentsPost, ASocketThatWasRemovedIsThereAgainAndNeitherJobNorClientsNoticeIt) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec(waiting)));
  (void)follow_until(client, "ready");
  const auto agent = served.pid();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(os::remove_all(served.dir() / "sock"));
    eventually([&] { return answers(served); });
  }
  EXPECT_EQ(served.pid(), agent);
  EXPECT_EQ(client.status()->state, JobState::running);
  struct stat info {};
  ASSERT_EQ(::stat((served.dir() / "sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  expect_whole(served);
}

TEST(AgentsPost, AnotherFileInPlaceOfTheSocketIsReplaced) {
  Served served;
  const auto agent = served.pid();
  ASSERT_TRUE(os::write_file(served.dir() / "sock", "somebody's"));
  eventually([&] { return answers(served); });
  EXPECT_EQ(served.pid(), agent);
}

TEST(AgentsPost, WhoeverAsksForAnAgentWhileItsFilesAreMissingGetsTheOneThatHasTheJob) {
  for (const auto& removed :
       {std::vector<std::string>{"sock"}, {"sock", "lock"}, {"sock", "lock", "state.json", "log"}}) {
    SCOPED_TRACE(join(removed, " "));
    Served served;
    ASSERT_TRUE(served.client().start(served.spec(waiting)));
    const auto agent = served.pid();
    for (const auto& name : removed) ASSERT_TRUE(os::remove_all(served.dir() / name));
    served.serve();
    EXPECT_EQ(served.pid(), agent);
    EXPECT_EQ(served.client().status()->state, JobState::running);
    EXPECT_TRUE(served.running());
    expect_whole(served);
  }
}

TEST(AgentsPost, AFolderThatWasRemovedIsMadeAnewWithWhatTheNextAgentNeeds) {
  Served served;
  ASSERT_TRUE(served.client().start(served.spec(waiting)));
  const auto agent = served.pid();
  ASSERT_TRUE(os::remove_all(served.dir()));
  served.serve();
  EXPECT_EQ(served.pid(), agent);
  struct stat info {};
  ASSERT_EQ(::stat(served.dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  expect_whole(served);
  EXPECT_NE(served.client().status()->note.find("was removed while ferry needed it"), std::string::npos);
  served.kill_agent();
  eventually([&] { return !answers(served); });  // a dying process closes its files one by one
  served.serve();
  EXPECT_EQ(served.client().status()->run_exit, 3);
}

TEST(AgentsPost, IsNotTakenWhileItsHolderMissesItsLock) {
  const os::TempDir temp;
  Served served;
  const auto agent = served.pid();
  ASSERT_TRUE(os::remove_all(served.dir() / "lock"));
  const auto taken = Post::take(served.dir());
  ASSERT_TRUE(taken) << describe(taken.error());
  EXPECT_FALSE(*taken);
  eventually([&] { return served.running(); });
  EXPECT_EQ(served.pid(), agent);
  const auto free = Post::take(temp.path());
  ASSERT_TRUE(free);
  EXPECT_TRUE(*free);
}

TEST(AgentsPost, LeavingItRemovesOnlyItsOwnSocket) {
  const os::TempDir temp;
  auto post = Post::take(temp.path());
  ASSERT_TRUE(post && *post);
  ASSERT_TRUE((*post)->listen());
  EXPECT_FALSE(*(*post)->tend());
  ASSERT_TRUE(os::write_file(temp.path() / "sock", "somebody's"));
  (*post)->leave();
  EXPECT_TRUE(os::exists(temp.path() / "sock"));
  ASSERT_TRUE((*post)->listen());
  (*post)->leave();
  EXPECT_FALSE(os::exists(temp.path() / "sock"));
}

}  // namespace
}  // namespace ferry::agent
