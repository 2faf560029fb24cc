// What a run has on this computer is damaged at random places, and the next commands bring the model home and give
// everything back all the same.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "base/text.h"
#include "fleet/labels.h"
#include "job/local_log.h"
#include "os/env.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Phase;
namespace fs = std::filesystem;

constexpr const char* damaged_task = "mkdir -p outputs; echo model >outputs/model; echo one; echo two";

using Chance = std::mt19937;

std::size_t any_of(Chance& chance, std::size_t count) { return count == 0 ? 0 : chance() % count; }

std::string any_bytes(Chance& chance, std::size_t count) {
  std::string bytes(count, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(chance());
  return bytes;
}

/// One character of `file` that can be read becomes another one: nothing notices by itself.
std::string change_character(const os::Path& file, Chance& chance) {
  const auto bytes = os::read_file(file).value_or("");
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > ' ' && bytes[i] < 127) places.push_back(i);
  }
  if (places.empty()) return {};
  const auto at = places[any_of(chance, places.size())];
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(at));
  stream << static_cast<char>('!' + any_of(chance, 94));
  return fmt::format("the character at {} of {} changed", at, file.filename().string());
}

/// What was done to `file`, in words; empty: it is not there.
std::string damage_file(const os::Path& file, Chance& chance) {
  std::error_code code;
  const auto size = static_cast<std::size_t>(fs::file_size(file, code));
  if (code) return {};
  const auto put = [&](std::size_t at, const std::string& bytes) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(at));
    stream << bytes;
  };
  const auto name = file.filename().string();
  switch (any_of(chance, 7)) {
    case 0: {
      const auto at = any_of(chance, size);
      put(at, any_bytes(chance, 1 + any_of(chance, 64)));
      return fmt::format("{} overwritten at {} of {}", name, at, size);
    }
    case 1: {
      const auto at = any_of(chance, size);
      put(at, any_bytes(chance, 1));
      return fmt::format("a byte of {} changed at {} of {}", name, at, size);
    }
    case 2: {
      const auto left = any_of(chance, size);
      fs::resize_file(file, left);
      return fmt::format("{} cut to {} of {}", name, left, size);
    }
    case 3: {
      const auto at = any_of(chance, size) / 4096 * 4096;
      put(at, std::string(std::min<std::size_t>(4096, size - at), '\0'));
      return fmt::format("a page of {} zeroed at {} of {}", name, at, size);
    }
    case 4:
      fs::remove(file);
      return name + " removed";
    case 5:
      put(0, any_bytes(chance, size));
      return name + " replaced by garbage";
    default:
      fs::resize_file(file, 0);
      return name + " emptied";
  }
}

/// A run whose files are damaged in one of its phases, and what a person does then.
class DamagedRun {
 public:
  explicit DamagedRun(unsigned seed) : chance(seed), before_(fs::current_path()) {
    fs::current_path(stage.data());  // where what is found by its tags comes home
  }
  ~DamagedRun() { fs::current_path(before_); }

  /// `damage` happens to a run that trains, whose outputs are just moving, or which is over.
  void play(const std::function<std::string(Chance&, bool is_live)>& damage) {
    const auto moment = any_of(chance, 3);
    must(os::make_dirs(stage.data() / "rehearsal", 0700));  // where its cloud is, whatever the ledger says
    stage.leave_at(Phase::training, damaged_task);
    // What a launch tags its machine with.
    const auto machine = must(stage.ledger().instances("t-left")).front();
    must(stage.cloud.open(machine.region)
             ->tag(machine.id, fleet::tags_for_recovery(stage.run(), text_at(stage.run().task, "host_key"))));
    home_ = stage.home();
    if (moment == 1) {
      stage.when("begin fetch", [&] { done = "while it fetches: " + damage(chance, true); });
      stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
      stage.let_followers_end();
    } else {
      if (moment == 2) stage.recover_all();
      stage.between_processes(
          [&] { done = (moment == 2 ? "when it is over: " : "while it trains: ") + damage(chance, false); });
    }
    for (int commands = 0; commands < 3; ++commands) {
      stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
      stage.let_followers_end();
    }
    // A ledger that is simply gone says nothing: the person does.
    if (!stage.cloud.left().empty()) {
      stage.process([](fleet::Context& here) { (void)recover(here, {}); });
      stage.let_followers_end();
    }
    if (!stage.cloud.left().empty()) {
      stage.process([](fleet::Context& here) { (void)down_all(here, {}); });
    }
  }

  /// Empty if nothing is rented, and model and log are home.
  std::string lost() {
    std::string found;
    if (const auto left = stage.cloud.left(); !left.empty()) found += "left: " + join(left, ", ") + "; ";
    const auto runs = stage.ledger().runs(false);
    if (!runs) return found + describe(runs.error());
    std::vector<os::Path> homes = {home_};
    for (const auto& run : *runs) {
      if (run.phase != Phase::released) found += fmt::format("{} is {}; ", run.name, name(run.phase));
      homes.emplace_back(run.output_dir);
    }
    const auto holds = [&](const char* name, const char* text) {
      return std::ranges::any_of(homes,
                                 [&](const auto& one) { return os::read_file(one / name).value_or("") == text; });
    };
    if (!holds("outputs/model", "model\n")) found += "the model is not home; ";
    if (!holds("train.log", "one\ntwo\n")) found += "the log is not home; ";
    return found.empty() ? "" : found + done + stage.everything_shown();
  }

  Stage stage;
  Chance chance;
  std::string done;

 private:
  os::Path before_, home_;
};

/// From FERRY_DAMAGE_SEED on, to look at others: 1 by itself.
unsigned first_seed() {
  return static_cast<unsigned>(parse_int(os::env("FERRY_DAMAGE_SEED").value_or("1")).value_or(1));
}

/// Of each kind: with those in the ledger's own room more than a thousand.
constexpr unsigned runs_to_damage = is_sanitized ? 8 : 100;
constexpr unsigned logs_of_trainings = 400;

TEST(DamagedAnywhere, ALedgerIsMendedAndNothingIsLost) {
  for (unsigned seed = first_seed(), end = seed + runs_to_damage; seed < end; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    DamagedRun run(seed);
    run.play([&](Chance& chance, bool is_live) {
      // The index of -wal that living processes share is memory: it goes with them.
      const char* const names[] = {"ledger.db", "ledger.db", "ledger.db-wal", "ledger.db-shm"};
      return damage_file(run.stage.data() / names[any_of(chance, is_live ? 3 : 4)], chance);
    });
    EXPECT_EQ(run.lost(), "");
  }
}

TEST(DamagedAnywhere, ACharacterOfALedgerIsPutRightAndNothingIsLost) {
  for (unsigned seed = first_seed(), end = seed + runs_to_damage / 2; seed < end; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    DamagedRun run(seed);
    run.play([&](Chance& chance, bool) {
      std::string said;
      for (auto count = 1 + any_of(chance, 4); count > 0; --count)
        said += change_character(run.stage.data() / "ledger.db", chance) + "; ";
      return said;
    });
    EXPECT_EQ(run.lost(), "");
  }
}

TEST(DamagedAnywhere, WhatTheLedgerSaysOfAMachineIsPutRightAndNothingIsLost) {
  for (unsigned seed = first_seed(), end = seed + runs_to_damage / 2; seed < end; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    DamagedRun run(seed);
    run.play([&](Chance& chance, bool) {
      // Its id, wherever it stands, one place or several.
      const auto file = run.stage.data() / "ledger.db";
      const auto bytes = os::read_file(file).value_or("");
      const auto machines = run.stage.cloud.machines();
      if (machines.empty()) return std::string("there was none");
      const auto& id = machines.front().now.id;
      std::vector<std::size_t> places;
      for (auto at = bytes.find(id); at != bytes.npos; at = bytes.find(id, at + 1)) places.push_back(at);
      std::string said;
      for (auto count = 1 + any_of(chance, 3); count > 0 && !places.empty(); --count) {
        const auto at = places[any_of(chance, places.size())] + 2 + any_of(chance, id.size() - 2);
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekp(static_cast<std::streamoff>(at));
        stream << "0123456789abcdef"[any_of(chance, 16)];
        said += fmt::format("the id changed at {}; ", at);
      }
      return said;
    });
    EXPECT_EQ(run.lost(), "");
  }
}

TEST(DamagedAnywhere, ARunsFolderIsMendedAndNothingIsLost) {
  for (unsigned seed = first_seed(), end = seed + runs_to_damage; seed < end; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    DamagedRun run(seed);
    run.play([&](Chance& chance, bool) {
      const auto folder = run.stage.data() / "runs/t-left";
      if (any_of(chance, 20) == 0) {
        fs::remove_all(folder);
        return std::string("the folder removed");
      }
      std::vector<os::Path> files = {run.stage.data() / "ledger-id"};
      for (const auto& one : fs::directory_iterator(folder)) {
        if (one.is_regular_file()) files.push_back(one.path());
      }
      std::ranges::sort(files);
      std::string said;
      for (auto count = 1 + any_of(chance, 3); count > 0; --count)
        said += damage_file(files[any_of(chance, files.size())], chance) + "; ";
      return said;
    });
    EXPECT_EQ(run.lost(), "");
  }
}

TEST(DamagedAnywhere, ALedgerAndItsIdTogetherAreMendedAndNothingIsLost) {
  for (unsigned seed = first_seed(), end = seed + runs_to_damage / 2; seed < end; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    DamagedRun run(seed);
    run.play([&](Chance& chance, bool) {
      return damage_file(run.stage.data() / "ledger.db", chance) + "; " +
             damage_file(run.stage.data() / "ledger-id", chance);
    });
    EXPECT_EQ(run.lost(), "");
  }
}

TEST(Damaged, ALedgersIdIsFoundInADamagedLedgerWhereNothingElseHasIt) {
  Stage stage;
  stage.leave_at(Phase::training, damaged_task);
  const auto id = must(fleet::ledger_id(stage.data()));
  stage.between_processes([&] {
    std::fstream stream(stage.data() / "ledger.db", std::ios::in | std::ios::out | std::ios::binary);
    stream << std::string(100, 'x');
    fs::remove(stage.data() / "ledger-id");
    fs::remove(stage.data() / "runs/t-left/known_hosts");
  });
  stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  EXPECT_TRUE(stage.was_shown("it is written again, as runs in a damaged ledger have it")) << stage.everything_shown();
  EXPECT_EQ(must(fleet::ledger_id(stage.data())), id);
}

TEST(Damaged, AKeyThatTheMachineRefusesIsRenewedOnceAndThatIsSaid) {
  Stage stage;
  stage.leave_at(Phase::training, damaged_task);
  const auto key = stage.data() / "runs/t-left/id_ed25519";
  must(os::write_file(key, "a k3y", 0600));
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("does not take the private key of t-left")) << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("t-left has a new key")) << stage.everything_shown();
  EXPECT_EQ(stage.cloud.count("send_key"), 1);
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Damaged, WhereNoOtherKeyIsLetInTheOldOneStaysAndTheModelWaits) {
  Stage stage;
  stage.leave_at(Phase::training, damaged_task);
  const auto key = stage.data() / "runs/t-left/id_ed25519";
  must(os::write_file(key, "a k3y", 0600));
  stage.cloud.add({"send_key", failure(Kind::denied), -1});
  EXPECT_EQ(stage.follow(), ferry_failed) << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("EC2 lets no other key in")) << stage.everything_shown();
  EXPECT_EQ(os::read_file(key).value(), "a k3y") << "it may be mended by hand";
  EXPECT_EQ(stage.cloud.left().size(), 3U) << "what only the machine has is not given up";
  stage.cloud.heal();
  stage.recover_all();
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(DamagedAnywhere, ACopyOfALogIsCompletedFromTheMachinesOwn) {
  const os::TempDir dir;
  const auto file = dir.path() / "log";
  for (unsigned seed = first_seed(), end = seed + logs_of_trainings; seed < end; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Chance chance(seed);
    std::string whole;
    std::vector<agent::LogChunk> chunks;
    for (auto count = 1 + any_of(chance, 20); count > 0; --count) {
      agent::LogChunk chunk;
      chunk.offset = whole.size();
      chunk.bytes = any_bytes(chance, 1 + any_of(chance, 3000));
      whole += chunk.bytes;
      chunks.push_back(std::move(chunk));
    }
    fs::remove(file);
    {
      auto log = must(job::LocalLog::open(file));
      for (auto chunk : chunks) must(log.append(std::move(chunk)));
    }
    std::string said;
    for (auto count = 1 + any_of(chance, 3); count > 0; --count) said += damage_file(file, chance) + "; ";
    auto log = must(job::LocalLog::open(file));
    ASSERT_LE(log.size(), whole.size()) << said;
    for (auto chunk : chunks) must(log.append(std::move(chunk)));  // those that are there already count for nothing
    std::string read;
    job::LogReader reader(file);
    must(reader.read([&](const agent::LogChunk& chunk) {
      read += chunk.bytes;
      return Status();
    }));
    ASSERT_TRUE(read == whole) << said;
    ASSERT_FALSE(reader.damaged()) << said;
  }
}

}  // namespace
}  // namespace ferry::run
