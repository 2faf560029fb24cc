#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "task/task.h"

namespace ferry::task {
namespace {

using testing::HasSubstr;
using testing::Not;

Task workdir_accepted(std::string_view yaml) {
  auto task = parse_task(yaml, "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(Task{});
}

std::string workdir_refused(std::string_view yaml) {
  const auto task = parse_task(yaml, "task.yaml");
  return task ? "accepted" : describe(task.error());
}

TEST(WorkdirField, AGitRepositoryIsReadWithItsRef) {
  const auto task = workdir_accepted("workdir:\n  url: https://example.org/lab/code.git\n  ref: main\nrun: a\n");
  EXPECT_EQ(task.git.url, "https://example.org/lab/code.git");
  EXPECT_EQ(task.git.ref, "main");
  EXPECT_EQ(task.git.at, "task.yaml:1:1");
  EXPECT_TRUE(task.workdir.empty());
  EXPECT_EQ(show(task.git), "https://example.org/lab/code.git at main");
  for (const auto* url : {"git@example.org:lab/code.git", "ssh://git@example.org:22/x", "git://example.org/x",
                          "../code", "/srv/code.git", "file:///srv/code", "~/code"})
    EXPECT_EQ(workdir_accepted(fmt::format("workdir: {{url: '{}'}}\nrun: a\n", url)).git.url, url);
}

TEST(WorkdirField, VariablesAreFilledInAndALoginIsTakenOutOfTheUrl) {
  auto task = workdir_accepted(
      "envs: {WHO: lab, REF: v1}\nsecrets: {TOKEN: hush}\n"
      "workdir: {url: 'https://me:$TOKEN@example.org/${WHO}/code', ref: $REF}\nrun: a\n");
  ASSERT_TRUE(fill_variables(task));
  EXPECT_EQ(task.git.url, "https://example.org/lab/code");
  EXPECT_EQ(task.git.ref, "v1");
  EXPECT_EQ(task.git.login, "me:hush");
  EXPECT_EQ(workdir_accepted("workdir: {url: 'https://t@h/x'}\n").git.login, "t");
  const auto ssh = workdir_accepted("workdir: {url: 'ssh://me:hush@h/x'}\n");
  EXPECT_EQ(ssh.git.url, "ssh://me@h/x");
}

TEST(WorkdirField, WhatGitWouldTakeForSomethingElseIsRefusedWithItsPlace) {
  for (const auto* url : {"--upload-pack=x", "ext::sh -c x", "s3://bucket/x", "fd::3"})
    EXPECT_THAT(workdir_refused(fmt::format("workdir:\n  url: '{}'\nrun: a\n", url)),
                HasSubstr("task.yaml:2:8: url: '"))
        << url;
  for (const auto* ref : {"--force", "a b", "a..b", "main:x"})
    EXPECT_THAT(workdir_refused(fmt::format("workdir:\n  url: /x\n  ref: '{}'\nrun: a\n", ref)),
                HasSubstr("task.yaml:3:8: ref: '"))
        << ref;
  EXPECT_THAT(workdir_refused("workdir: {ref: main}\nrun: a\n"), HasSubstr("task.yaml:1:1: workdir: no url is given"));
  EXPECT_THAT(workdir_refused("workdir: {url: $WHERE}\nrun: a\n"),
              HasSubstr("nothing is known of the variable 'WHERE'"));
  EXPECT_THAT(workdir_refused("workdir: {url: /x, branch: main}\nrun: a\n"),
              HasSubstr("unknown field 'branch' in workdir"));
  EXPECT_THAT(workdir_refused("workdir: https://example.org/x.git\nrun: a\n"),
              HasSubstr("workdir: {url: URL, ref: BRANCH}"));
  auto late = workdir_accepted("envs: {U: 'ext::x'}\nworkdir: {url: $U}\nrun: a\n");
  const auto filled = fill_variables(late);
  ASSERT_FALSE(filled);
  EXPECT_THAT(filled.error().what, HasSubstr("task.yaml:2:1: workdir: url: "));
}

TEST(WorkdirField, NoComplaintShowsAPassword) {
  for (const auto* url : {"s3://me:hush@h/x", "https://me:hu$sh@h/x", "https://me:hush@h/$"})
    EXPECT_THAT(workdir_refused(fmt::format("workdir: {{url: '{}'}}\nrun: a\n", url)), Not(HasSubstr("hush"))) << url;
  EXPECT_THAT(workdir_refused("workdir: 'https://me:hush@h/x'\nrun: a\n"), Not(HasSubstr("hush")));
}

}  // namespace
}  // namespace ferry::task
