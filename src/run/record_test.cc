#include "run/record.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/text.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

/// What run.json of the stage's only run says, wherever it stands in its folder.
Json record_in(Stage& stage, const std::string& place = "run.json") {
  const auto run = stage.run();
  return must(parse_json(must(os::read_file(os::Path(run.output_dir) / place))));
}

TEST(Record, ARunThatSucceededSaysWhatItWasAndWhatCameOfIt) {
  Stage stage;
  auto request = stage.request();
  request.task.envs = {{"EPOCHS", "3"}, {"HF_TOKEN", "hf_123"}};
  request.task.secrets = {{"WANDB", "never"}};
  request.arguments = {"sh", "-c", "train"};
  ASSERT_EQ(stage.start(request), 0);
  const auto told = record_in(stage);
  EXPECT_EQ(told["schema"].get<std::string>(), record_schema);
  EXPECT_EQ(told["run"].get<std::string>(), stage.run().name);
  EXPECT_EQ(told["outcome"].get<std::string>(), "succeeded");
  EXPECT_EQ(told["exit_code"].get<int>(), 0);
  EXPECT_EQ(told["arguments"], (Json{"sh", "-c", "train"}));
  EXPECT_EQ(told["envs"], (Json{{"EPOCHS", "3"}, {"HF_TOKEN", nullptr}}));
  EXPECT_EQ(told["secrets"], (Json{"WANDB"}));
  EXPECT_EQ(told.dump().find("never"), std::string::npos);
  EXPECT_EQ(told["outputs"]["files"],
            (Json{{{"path", "outputs/model"}, {"bytes", 6}, {"sha256", hex(sha256("model\n"))}}}));
  EXPECT_EQ(told["code"]["sha256"].get<std::string>().size(), 64U);
  ASSERT_EQ(told["machines"].size(), 1U);
  EXPECT_EQ(told["machines"][0]["state"].get<std::string>(), "released");
  for (const char* moment : {"created", "train_start", "train_end", "ended"})
    EXPECT_TRUE(told["times"][moment].get<std::string>().ends_with("Z")) << moment;
  EXPECT_GE(told["cost"]["at_most_usd"].get<double>(), told["cost"]["spent_usd"].get<double>());
}

TEST(Record, AFailedRunHasOneTooAndTheTrainingsOwnRunJsonStays) {
  Stage stage;
  ASSERT_EQ(stage.start(stage.request("echo mine >run.json; exit 3")), 3);
  EXPECT_EQ(must(os::read_file(os::Path(stage.run().output_dir) / "run.json")), "mine\n");
  const auto told = record_in(stage, ".ferry/run.json");
  EXPECT_EQ(told["outcome"].get<std::string>(), "failed");
  EXPECT_EQ(told["exit_code"].get<int>(), 3);
}

TEST(Record, TheCodesHashIsOfNamesContentsAndWhatMayBeExecuted) {
  sync::Entry file;
  file.path = "train.py";
  file.sha256 = sha256("x");
  file.mode = 0644;
  const auto hash = [](std::vector<sync::Entry> entries) {
    sync::Tree tree;
    tree.entries = std::move(entries);
    return code_of(tree)["sha256"].get<std::string>();
  };
  EXPECT_EQ(hash({file}), hex(sha256(std::string("file train.py\0", 14) + hex(sha256("x")) + "\n")));
  auto touched = file, program = file, renamed = file, changed = file;
  touched.mtime_ns = 5;
  touched.mode = 0600;
  program.mode = 0755;
  renamed.path = "test.py";
  changed.sha256 = sha256("y");
  EXPECT_EQ(hash({file}), hash({touched}));
  for (const auto& other : {program, renamed, changed}) EXPECT_NE(hash({file}), hash({other}));
}

TEST(Record, WhereNothingWasRentedAndLaterItMayBeTheCodeSaysSo) {
  Stage stage;
  stage.cloud.refuse = [](const auto&) { return failure(Kind::no_capacity); };
  EXPECT_EQ(stage.start(stage.request()), try_later);
  auto context = stage.context();
  const auto told = result_of(context, stage.run().name, try_later, std::nullopt);
  EXPECT_EQ(told["outcome"].get<std::string>(), "not_started");
  EXPECT_FALSE(told["error"].is_null());
}

}  // namespace
}  // namespace ferry::run
