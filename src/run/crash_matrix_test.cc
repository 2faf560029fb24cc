// Every point of a run at which something can be killed, and what comes of it. docs/crash-matrix.md is made here.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "base/text.h"
#include "os/env.h"
#include "run/actions.h"
#include "run/crash_table.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;

enum class Victim {
  ferry,   ///< and the next command comes to the same laptop
  laptop,  ///< with the ferry on it: another one recovers
  agent,   ///< the ferry goes on
};
constexpr Victim victims[] = {Victim::ferry, Victim::laptop, Victim::agent};

/// It saves, prints, and goes on until it may end. What it prints is not in the text of the task.
constexpr const char* training =
    "mkdir -p outputs; echo model >outputs/.part; mv outputs/.part outputs/model; printf 'tr%s\\n' ained; "
    "until [ -e \"$HOME/may-end\" ]; do sleep 0.01; done";
constexpr const char* printed = "trained\n";

struct Point {
  std::string name;
  bool has_agent = false;
};

/// One run from `ferry run` to released, in a world where something is killed at one point of it.
class CrashedRun {
 public:
  explicit CrashedRun(bool has_store) {
    if (has_store) stage_.give_store();
    stage_.when("begin train", [this] { let_end(); });
    // Some seconds after all is stored the machine ends itself: not while it is given back, by chance.
    stage_.when("done store", [this] {
      for (const auto& home : machines()) {
        if (os::is_directory(home)) must(os::write_file(home / "off-switch", "#!/bin/sh\n"));
      }
    });
  }

  /// Its points, in order, where nothing is killed, and whether an agent runs there.
  std::vector<Point> walk() {
    std::vector<Point> points;
    stage_.on_point = [&](const std::string& point) {
      // When a lease is renewed is the real clock's to say.
      const auto any_ends = [&](auto... ends) { return (point.ends_with(ends) || ...); };
      const auto any_begins = [&](auto... begins) { return (point.starts_with(begins) || ...); };
      const bool is_renewal = (any_ends("put lease") && !any_begins("launching", "releas")) ||
                              (any_ends("ec2 CreateTags", "ec2 DescribeInstances of the machine") &&
                               !any_begins("launching", "connecting", "releas"));
      if (!is_renewal) points.push_back({point, agents_folder().has_value()});
    };
    EXPECT_EQ(stage_.start(stage_.request(training)), 0) << stage_.everything_shown();
    EXPECT_EQ(stage_.trouble(), "");
    return points;
  }

  /// What became of the run, in a few words; what must not become of one fails the test.
  std::string kill(Victim victim, const std::string& point) {
    SCOPED_TRACE(point);
    if (victim == Victim::agent) return kill_agent(point);
    stage_.on_point = [&](const std::string& passed) {
      if (passed == point) throw Killed();
    };
    EXPECT_EQ(stage_.start(stage_.request(training)), std::nullopt) << "never passed";
    EXPECT_EQ(stage_.broken_promise({}), "");
    let_end();
    return victim == Victim::ferry ? come_back() : come_with_another_laptop();
  }

 private:
  static void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 60'000; ++i) {
      if (condition()) return;
      std::this_thread::sleep_for(Millis(1));
    }
    throw std::runtime_error("waited for a minute");
  }

  os::Path root() const { return stage_.data().parent_path(); }
  std::vector<os::Path> machines() {
    std::vector<os::Path> homes;
    for (const auto& one : stage_.cloud.machines()) homes.push_back(root() / one.now.id);
    return homes;
  }
  void let_end() {
    for (const auto& home : machines()) {
      if (os::is_directory(home)) must(os::write_file(home / "may-end", ""));
    }
  }
  /// Whether the training, wherever it ran, had saved its model.
  bool was_model_made() {
    return std::ranges::any_of(machines(), [](const auto& home) {
      for (const auto& name : os::list_dir(home / "ferry").value_or(std::vector<std::string>())) {
        if (os::exists(home / "ferry" / name / "outputs/model")) return true;
      }
      return false;
    });
  }
  std::optional<ledger::Run> noted() {
    const auto all = must(stage_.ledger().runs(false));
    return all.empty() ? std::nullopt : std::optional(all.front());
  }

  /// Of the agent that runs.
  std::optional<os::Path> agents_folder() {
    const auto run = noted();
    if (!run) return std::nullopt;
    for (const auto& one : stage_.cloud.machines()) {
      const auto folder = root() / one.now.id / ".ferry/runs" / run->name;
      if (one.ended_ms == 0 && os::exists(folder / "sock")) return folder;
    }
    return std::nullopt;
  }

  std::string kill_agent(const std::string& point) {
    stage_.on_point = [&](const std::string& passed) {
      if (passed != point) return;
      const auto folder = agents_folder().value();
      if (os::exists(stage_.machine().home() / "may-end"))
        wait_for(
            [&] { return os::read_file(folder / "state.json").value_or("").find("\"done\"") != std::string::npos; });
      else if (stage_.was_shown("done setup"))
        wait_for([&] { return has_printed(folder); });
      EXPECT_TRUE(stage_.machine().kill_agent(noted()->name));
    };
    EXPECT_TRUE(stage_.start(stage_.request(training))) << "nobody killed ferry";
    stage_.let_followers_end();
    return judge(std::nullopt);
  }

  /// What it printed was read by the agent.
  static bool has_printed(const os::Path& folder) {
    for (const auto& name : os::list_dir(folder).value_or(std::vector<std::string>())) {
      if (os::read_file(folder / name).value_or("").find(trim(printed)) != std::string::npos) return true;
    }
    return false;
  }

  std::string come_back() {
    stage_.recover_all();
    return judge(std::nullopt);
  }

  std::string come_with_another_laptop() {
    const auto before = noted();
    const bool was_home = before && os::exists(os::Path(before->output_dir) / "outputs/model");
    std::vector<std::string> runs;
    for (const auto& one : stage_.cloud.machines()) {
      if (one.ended_ms == 0) runs.push_back(one.now.tags.at("ferry:run"));
    }
    const auto request = stage_.request(training);
    stage_.lose_laptop();
    must(os::make_dirs(root() / "elsewhere"));
    const auto folder = std::filesystem::current_path();
    std::filesystem::current_path(root() / "elsewhere");
    if (!runs.empty()) {
      stage_.process([&](fleet::Context& here) {
        auto recovered = recover(here, {.names = runs});
        // One that has stored everything ends itself, perhaps in this moment; then there is nothing to go on with.
        const bool is_gone =
            std::ranges::all_of(stage_.cloud.machines(), [](const auto& one) { return one.ended_ms != 0; });
        if (!recovered && recovered.error().kind == Kind::not_found && is_gone) return;
        EXPECT_EQ(must(std::move(recovered)).runs, runs);
      });
      // A folder is in no tag: this is what the tag would tell of a bucket.
      if (auto run = noted(); run && request.task.store) {
        run->store = *request.task.store;
        must(stage_.ledger().update(*run));
      }
      stage_.let_followers_end();
    }
    // What may be another ferry's that is just launching is nobody's leftover for an hour.
    stage_.clock.sleep(Millis(3'700'000));
    stage_.process([](fleet::Context& here) {
      SweepOptions options;
      options.every_ledger = true;
      const auto done = must(down_all(here, options));
      EXPECT_FALSE(done.failed || !done.of_other_ledgers.empty());
    });
    std::filesystem::current_path(folder);
    return judge(was_home, before ? before->name : "");
  }

  /// `was_home`: the laptop is another one, and whether the model had come home to the first.
  std::string judge(std::optional<bool> was_home, const std::string& first_name = {}) {
    EXPECT_TRUE(stage_.cloud.left().empty()) << join(stage_.cloud.left(), ", ") << stage_.everything_shown();
    EXPECT_LE(stage_.cloud.machines().size(), 1U) << "two machines for one node" << stage_.everything_shown();
    EXPECT_TRUE(was_home || stage_.trouble().empty()) << stage_.trouble();
    const auto run = noted();
    const bool is_home = run && stage_.model().empty();
    const bool is_safe = is_home || was_home.value_or(false) || stage_.is_stored(run ? run->name : first_name);
    EXPECT_TRUE(is_safe || !was_model_made()) << "a model was lost" << stage_.everything_shown();
    if (is_home) {
      const auto log = os::read_file(stage_.home() / "train.log").value_or("");
      EXPECT_TRUE(log == printed || (run->outcome == Outcome::lost && log.starts_with(printed)))
          << "the log: " << log << stage_.everything_shown();
    }
    EXPECT_TRUE(is_home || !is_safe || was_home) << "stored, and not home" << stage_.everything_shown();
    if (is_safe && run && run->outcome == Outcome::lost && !was_home) return crash_table::cut;
    if (is_safe) return crash_table::safe;
    EXPECT_TRUE(!run || run->outcome == Outcome::not_started || run->outcome == Outcome::lost)
        << stage_.everything_shown();
    return stage_.cloud.machines().empty() ? crash_table::never_rented : crash_table::given_back;
  }

  Stage stage_;
};

std::vector<std::string> names_of(const std::vector<Point>& points) {
  std::vector<std::string> names;
  for (const auto& point : points) names.push_back(point.name);
  return names;
}

struct Kill {
  std::size_t row;
  bool has_store;
  Victim victim;
};

/// Tries kills in several processes at once, for most of their time is waiting; fills the table's cells.
void try_all(const std::vector<Kill>& kills, std::vector<crash_table::Row>& table) {
  constexpr std::size_t processes = 6;
  const os::TempDir dir;
  std::vector<pid_t> children;
  std::fflush(nullptr);
  for (std::size_t process = 0; process < processes; ++process) {
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child > 0) {
      children.push_back(child);
      continue;
    }
    std::string told;
    try {
      for (std::size_t i = process; i < kills.size() && !testing::Test::HasFailure(); i += processes) {
        const auto& one = kills[i];
        told += CrashedRun(one.has_store).kill(one.victim, table[one.row].point) + "\n";
      }
      must(os::write_file(dir.path() / std::to_string(process), told));
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    std::fflush(nullptr);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  for (std::size_t process = 0; process < children.size(); ++process) {
    int status = 0;
    ASSERT_EQ(::waitpid(children[process], &status, 0), children[process]);
    EXPECT_EQ(status, 0) << "what failed is above";
    if (status != 0) continue;
    const auto told = must(os::read_file(dir.path() / std::to_string(process)));
    const auto cells = split(told, '\n');
    for (std::size_t i = process, line = 0; i < kills.size(); i += processes, ++line)
      table[kills[i].row].cells[kills[i].has_store][static_cast<std::size_t>(kills[i].victim)] = cells.at(line);
  }
}

TEST(CrashMatrix, IsAsTheDocumentTells) {
  const std::vector<Point> walks[] = {CrashedRun(false).walk(), CrashedRun(true).walk()};
  auto table = crash_table::rows_of(names_of(walks[0]), names_of(walks[1]));
  EXPECT_GE(table.size(), 60U);
  std::vector<Kill> kills;
  for (std::size_t row = 0; row < table.size(); ++row) {
    for (const bool has_store : {false, true}) {
      const auto& points = walks[has_store];
      const auto point = std::ranges::find(points, table[row].point, &Point::name);
      if (point == points.end()) continue;
      for (const auto victim : victims) {
        if (victim == Victim::agent && !point->has_agent)
          table[row].cells[has_store][static_cast<std::size_t>(victim)] = crash_table::no_agent;
        else
          kills.push_back({row, has_store, victim});
      }
    }
  }
  // All of them take a minute; under a sanitizer each takes seconds.
  const bool writes = os::env("FERRY_WRITE_DOCS").has_value();
  const std::size_t stride = writes || os::env("FERRY_CRASH_MATRIX") == "all" ? 1 : is_sanitized ? 41 : 7;
  std::vector<Kill> chosen;
  for (std::size_t i = 0; i < kills.size(); i += stride) chosen.push_back(kills[i]);
  try_all(chosen, table);
  if (HasFailure()) return;
  const auto file = os::Path(os::env("FERRY_DOCS").value_or("../docs")) / "crash-matrix.md";
  if (writes) must(os::write_file(file, crash_table::text(table)));
  EXPECT_EQ(crash_table::difference(table, must(os::read_file(file))), "")
      << "renew it, and read what changed: FERRY_WRITE_DOCS=1 ctest -R run_test";
}

}  // namespace
}  // namespace ferry::run
