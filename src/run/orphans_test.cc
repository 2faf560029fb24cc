#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

/// A training whose ferry was killed, whose ledger is lost, and the run's folder with it.
void leave_behind(Stage& stage) {
  stage.leave_at(Phase::training);
  while (!os::exists(stage.machine().home() / "ferry/t-left/outputs/model")) std::this_thread::yield();
  stage.lose_ledger();
}

TEST(Orphans, AreLookedAtAndNothingIsNoted) {
  Stage stage;
  leave_behind(stage);
  stage.process([&](fleet::Context& here) {
    const auto found = must(find_orphans(here, ""));
    ASSERT_EQ(found.machines.size(), 1U) << stage.everything_shown();
    EXPECT_EQ(found.machines[0].instance.id, stage.machine_id());
    EXPECT_TRUE(found.machines[0].is_ours);
    EXPECT_TRUE(must(find_orphans(here, "somebody@else")).machines.empty());
  });
  EXPECT_TRUE(must(stage.ledger().runs(false)).empty());
}

TEST(Orphans, AreFollowedAgainToTheirEnd) {
  Stage stage;
  leave_behind(stage);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(stage.data());
  stage.process(
      [&](fleet::Context& here) { EXPECT_EQ(must(recover(here, {})).runs, std::vector<std::string>{"t-left"}); });
  stage.let_followers_end();
  std::filesystem::current_path(before);
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Orphans, OnesThatAreNamedAndNotThereAreToldBeforeAnyIsTaken) {
  Stage stage;
  leave_behind(stage);
  stage.process([&](fleet::Context& here) {
    const auto done = recover(here, {.names = {"t-left", "t-other"}});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, Kind::not_found);
    EXPECT_NE(done.error().what.find("t-other"), std::string::npos);
  });
  EXPECT_TRUE(must(stage.ledger().runs(false)).empty());
}

TEST(Orphans, TagsThatNoFerryWritesAreNotBelieved) {
  struct Row {
    const char *key, *value;
    Json task;  // what becomes of it
  };
  const Row rows[] = {
      {fleet::host_key_tag, "ssh-ed25519 AAAAC3Nza", {{"host_key", "ssh-ed25519 AAAAC3Nza"}}},
      {fleet::host_key_tag, "ssh-ed25519 AAAA\n* ssh-ed25519 BBBB", Json::object()},
      {fleet::host_key_tag, "ssh-rsa AAAA", Json::object()},
      {fleet::outputs_tag, "[\"a/\",\"b\"]", {{"outputs", {"a/", "b"}}}},
      {fleet::outputs_tag, "[\"a/\", 1]", Json::object()},
      {fleet::outputs_tag, "[\"a/", Json::object()},
      {fleet::max_duration_tag, "7200", {{"max_duration_s", 7200}}},
      {fleet::max_duration_tag, "-1", Json::object()},
      {fleet::max_duration_tag, "99999999999999", Json::object()},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(fmt::format("{} {}", row.key, row.value));
    Stage stage;
    fleet::Untracked machine;
    machine.location.provider = "rehearsal";
    machine.instance.id = "i-0123456789abcdef0";
    machine.instance.tags = {{"ferry:run", "digits-7k2"}, {row.key, row.value}};
    stage.process([&](fleet::Context& here) { EXPECT_EQ(must(fleet::adopt_untracked(here, machine)), "digits-7k2"); });
    const auto task = stage.run().task;
    Json known = row.task;
    if (!known.contains("outputs")) known["outputs"] = Json::array();
    for (const char* key : {"host_key", "outputs", "max_duration_s"})
      EXPECT_EQ(task.value(key, Json()), known.value(key, Json())) << key;
  }
}

TEST(Orphans, HaveTheStoreThatTheirTagNames) {
  ledger::Run tagged;
  tagged.store = "s3://a-bucket/team";
  const auto tags = fleet::tags_for_recovery(tagged, "");
  ASSERT_TRUE(tags.contains(fleet::store_tag));
  const std::pair<std::string, std::string> rows[] = {{tags.at(fleet::store_tag), tagged.store},
                                                      {"/a/folder", ""},
                                                      {"http://elsewhere/x", ""},
                                                      {"s3://a-bucket/../x", ""}};
  for (const auto& [value, store] : rows) {
    Stage stage;
    fleet::Untracked machine;
    machine.location.provider = "rehearsal";
    machine.instance.id = "i-0123456789abcdef0";
    machine.instance.tags = {{"ferry:run", "digits-7k2"}, {fleet::store_tag, value}};
    stage.process([&](fleet::Context& here) { must(fleet::adopt_untracked(here, machine)); });
    EXPECT_EQ(stage.run().store, store) << value;
  }
}

}  // namespace
}  // namespace ferry::run
