#include "job/git_workdir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/text.h"
#include "os/env.h"
#include "os/process.h"

namespace ferry::job {
namespace {

using testing::HasSubstr;
using testing::Not;

/// A repository on this disk, and a folder for clones of it.
class GitWorkdir : public testing::Test {
 protected:
  GitWorkdir() { git({"init", "-q", "-b", "main"}); }

  std::string git(os::Argv words, os::Path folder = {}) {
    os::SpawnOptions options;
    options.argv = {"git",
                    "-C",
                    (folder.empty() ? source() : folder).string(),
                    "-c",
                    "user.name=t",
                    "-c",
                    "user.email=t@t",
                    "-c",
                    "protocol.file.allow=always"};
    options.argv.insert(options.argv.end(), words.begin(), words.end());
    options.env = {{"HOME", dir_.path()}};
    std::error_code failed;
    std::filesystem::create_directories(folder.empty() ? source() : folder, failed);
    const auto done = os::run_command(options);
    EXPECT_TRUE(done && done->exit.code == 0) << join(words, " ") << (done ? done->err : done.error().what);
    return done ? std::string(trim(done->out)) : "";
  }

  /// A commit in which `name` says `text`; its hash.
  std::string commit(const std::string& name, const std::string& text) {
    EXPECT_TRUE(os::write_file(source() / name, text));
    git({"add", name});
    git({"commit", "-q", "-m", text});
    return git({"rev-parse", "HEAD"});
  }

  Result<Clone> cloned(const std::string& ref, const std::string& url = {}) {
    task::GitSource git;
    git.url = url.empty() ? source().string() : url;
    git.ref = ref;
    git.at = "task.yaml:1:1";
    return clone_workdir(git, {.cache = dir_.path() / "clones"});
  }

  static std::string said(const Result<Clone>& clone, const std::string& name = "a.txt") {
    return clone ? os::read_file(clone->folder / name).value_or("(no such file)") : describe(clone.error());
  }

  os::Path source() const { return dir_.path() / "code"; }
  os::TempDir dir_;
};

TEST_F(GitWorkdir, ABranchATagACommitAndWhatTheRepositoryMeansByItselfAreClonedByPathAndByUrl) {
  const auto first = commit("a.txt", "one");
  git({"tag", "-a", "v1", "-m", "tag"});
  const auto second = commit("a.txt", "two");
  git({"checkout", "-q", "-b", "topic/x"});
  const auto third = commit("a.txt", "three");
  git({"checkout", "-q", "main"});
  for (const auto& url : {source().string(), "file://" + source().string()}) {
    EXPECT_EQ(said(cloned("", url)), "two");
    EXPECT_EQ(said(cloned("main", url)), "two");
    EXPECT_EQ(said(cloned("topic/x", url)), "three");
    EXPECT_EQ(said(cloned("v1", url)), "one");
    EXPECT_EQ(said(cloned(first, url)), "one");
    EXPECT_EQ(said(cloned(third.substr(0, 10), url)), "three");
  }
  const auto clone = cloned("v1");
  ASSERT_TRUE(clone);
  EXPECT_EQ(clone->commit, first);
  EXPECT_EQ(clone->folder.filename(), "code");
  EXPECT_EQ(cloned("main")->commit, second);
}

TEST_F(GitWorkdir, ABranchThatMovedIsClonedAgainAndWhatIsThereUnchangedIsNot) {
  commit("a.txt", "one");
  const auto before = cloned("main");
  ASSERT_TRUE(before);
  const auto moved = commit("a.txt", "two");
  EXPECT_EQ(said(cloned("main")), "two");
  EXPECT_EQ(said(before), "one");  // a run that is at it keeps its own
  std::filesystem::remove_all(source());
  EXPECT_EQ(said(cloned(moved)), "two");  // nobody was asked
}

TEST_F(GitWorkdir, AClonePeopleHaveChangedIsNotSentAsTheCommit) {
  const auto hash = commit("a.txt", "one");
  const auto before = cloned("main");
  ASSERT_TRUE(before);
  ASSERT_TRUE(os::write_file(before->folder / "a.txt", "changed"));
  EXPECT_EQ(said(cloned(hash)), "one");
  ASSERT_TRUE(os::write_file(before->folder / "more.txt", "new"));
  EXPECT_EQ(said(cloned("main"), "more.txt"), "(no such file)");
}

TEST_F(GitWorkdir, SubmodulesComeAlong) {
  commit("a.txt", "outer");
  const auto other = dir_.path() / "other";
  git({"init", "-q", "-b", "main"}, other);
  ASSERT_TRUE(os::write_file(other / "b.txt", "inner"));
  git({"add", "b.txt"}, other);
  git({"commit", "-q", "-m", "b"}, other);
  git({"submodule", "--quiet", "add", other.string(), "sub"});
  git({"commit", "-q", "-m", "sub"});
  EXPECT_EQ(said(cloned("main"), "sub/b.txt"), "inner");
}

TEST_F(GitWorkdir, WhatCannotBeClonedIsSaidInGitsWordsWithWhatToDoAndLeavesNothing) {
  commit("a.txt", "one");
  const auto typo = cloned("mian");
  ASSERT_FALSE(typo);
  EXPECT_EQ(typo.error().kind, Kind::bad_input);
  EXPECT_THAT(typo.error().what, HasSubstr("task.yaml:1:1: "));
  EXPECT_THAT(typo.error().what, HasSubstr("no branch, tag or commit 'mian'"));
  EXPECT_EQ(typo.error().advice, "did you mean 'main'?");
  EXPECT_THAT(describe(cloned(std::string(40, 'a')).error()), HasSubstr("no branch, tag or commit 'aaa"));
  EXPECT_THAT(describe(cloned("abcdef0").error()), HasSubstr("it is on none of its branches and tags"));
  const auto nowhere = cloned("", (dir_.path() / "nowhere").string());
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().why, HasSubstr("does not"));
  EXPECT_THAT(nowhere.error().advice, HasSubstr("a git repository"));
  const auto closed = cloned("", "https://127.0.0.1:1/x.git");
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().kind, Kind::lost);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path() / "clones"))
    EXPECT_THAT(entry.path().string(), Not(HasSubstr(".new-")));
}

TEST_F(GitWorkdir, ALoginIsNeitherShownNorKept) {
  commit("a.txt", "one");
  task::GitSource git{.url = "http://127.0.0.1:1/x.git", .ref = "", .login = "me:hush", .at = "t:1:1"};
  const auto closed = clone_workdir(git, {.cache = dir_.path() / "clones"});
  ASSERT_FALSE(closed);
  EXPECT_THAT(describe(closed.error()), Not(HasSubstr("hush")));
}

TEST_F(GitWorkdir, AStopEndsIt) {
  commit("a.txt", "one");
  // A helper that never answers stands in for a server that does not.
  const auto slow = dir_.path() / "slow";
  ASSERT_TRUE(os::write_file(slow, "#!/bin/sh\nexec sleep 600\n", 0755));
  task::GitSource git{.url = "ssh://nobody.invalid/x", .ref = "", .login = "", .at = "t:1:1"};
  ::setenv("GIT_SSH_COMMAND", slow.c_str(), 1);
  int asked = 0;
  const auto clone = clone_workdir(git, {.cache = dir_.path() / "clones", .is_stopped = [&] { return ++asked > 1; }});
  ::unsetenv("GIT_SSH_COMMAND");
  ASSERT_FALSE(clone);
  EXPECT_EQ(clone.error().kind, Kind::cancelled);
}

TEST(RepositoryName, IsTheLastPartOfItsAddress) {
  EXPECT_EQ(repository_name("https://example.org/lab/code.git"), "code");
  EXPECT_EQ(repository_name("git@example.org:lab/my code.git/"), "my-code");
  EXPECT_EQ(repository_name("git@example.org:code"), "code");
  EXPECT_EQ(repository_name("/"), "workdir");
  EXPECT_EQ(repository_name("/a/.git"), "workdir");
}

}  // namespace
}  // namespace ferry::job
