// A character of the ledger that became another one, which SQLite does not notice (copies.h).
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>

#include "ledger/damaging.h"
#include "ledger/ledger.h"

namespace ferry::ledger {
namespace {

/// Where `text` stands in the file.
std::vector<std::size_t> places_of(const os::Path& file, const std::string& text) {
  const auto bytes = os::read_file(file).value();
  std::vector<std::size_t> places;
  for (auto at = bytes.find(text); at != bytes.npos; at = bytes.find(text, at + 1)) places.push_back(at);
  return places;
}

/// A ledger with a run that trains on a machine.
void fill_with_machine(const os::Path& file, os::Clock& clock) {
  auto ledger = Ledger::open(file, clock).value();
  ledger::Run run;
  run.name = "a-1";
  run.task = {{"host_key", "ssh-ed25519 theHostKey"}};
  run.output_dir = "/home/ann/outputs-of-a";
  ASSERT_TRUE(ledger->add_run(run));
  Instance machine;
  machine.token = "a-1-token";
  machine.run = "a-1";
  machine.provider = "aws";
  machine.region = "eu-central-1";
  machine.endpoint = "http://the.endpoint";
  machine.account = "123456789012";
  ASSERT_TRUE(ledger->record_intent(machine));
  machine.id = "i-0123456789abcdef0";
  machine.state = Rent::live;
  ASSERT_TRUE(ledger->record_instance(machine));
  ASSERT_TRUE(ledger->move("a-1", Phase::training));
}

/// Empty: the run is not there at all, or nothing of it is other than fill_with_machine() wrote it.
std::string changed_of_machine(Ledger& ledger) {
  const auto runs = ledger.runs(true);
  if (!runs) return describe(runs.error());
  if (runs->empty()) return ledger.unreleased()->empty() ? "" : "a machine of no run";
  const auto& run = runs->front();
  const auto machines = ledger.instances("a-1");
  if (!machines) return describe(machines.error());
  if (runs->size() != 1 || machines->size() != 1) return "halves";
  const auto& machine = machines->front();
  const bool same =
      run.name == "a-1" && run.phase == Phase::training && text_at(run.task, "host_key") == "ssh-ed25519 theHostKey" &&
      run.output_dir == "/home/ann/outputs-of-a" && machine.token == "a-1-token" && machine.provider == "aws" &&
      machine.region == "eu-central-1" && machine.endpoint == "http://the.endpoint" &&
      machine.account == "123456789012" && machine.id == "i-0123456789abcdef0" && machine.state == Rent::live;
  return same ? "" : "not as it was written: " + machine.id + " " + machine.region + " " + dump_json(run.task);
}

TEST(LedgerCopies, ACharacterThatBecameAnotherOneIsPutRight) {
  const os::TempDir dir;
  os::FakeClock clock;
  const os::Path whole = dir.path() / "whole.db";
  fill_with_machine(whole, clock);
  int n = 0;
  for (const char* text : {"i-0123456789abcdef0", "eu-central-1", "the.endpoint", "123456789012live", "theHostKey",
                           "outputs-of-a", "a-1-token"}) {
    const auto size = std::string_view(text).ends_with("live") ? 12 : std::string_view(text).size();
    const auto places = places_of(whole, std::string(text).substr(0, size));
    EXPECT_GE(places.size(), 3U) << text;
    for (const auto at : places) {
      SCOPED_TRACE(fmt::format("{} at {}", text, at));
      const os::Path file = dir.path() / fmt::format("{}.db", ++n);
      std::filesystem::copy_file(whole, file);
      overwrite(file, at + size - 1, "7");
      auto ledger = Ledger::open(file, clock);
      ASSERT_TRUE(ledger) << describe(ledger.error());
      EXPECT_EQ(changed_of_machine(**ledger), "");
      EXPECT_EQ((*ledger)->runs(true)->size(), 1U) << "two of three have it";
      const auto mending = last_mending(file);
      EXPECT_TRUE(!mending || !mending->lost_some) << mending->line;
      ASSERT_TRUE((*ledger)->move("a-1", Phase::fetching));
    }
  }
}

TEST(LedgerCopies, ACharacterThatBecameAnotherOneUnderAFerryIsPutRightBeforeTheRowIsWrittenAgain) {
  const os::TempDir dir;
  os::FakeClock clock;
  const os::Path file = dir.path() / "ledger.db";
  fill_with_machine(file, clock);
  const auto places = places_of(file, "i-0123456789abcdef0");
  auto ledger = Ledger::open(file, clock).value();
  overwrite(file, places.back() + 4, "7");
  ASSERT_TRUE(ledger->move("a-1", Phase::fetching));
  EXPECT_EQ(ledger->instances("a-1")->front().id, "i-0123456789abcdef0");
  EXPECT_EQ(ledger->unreleased()->front().id, "i-0123456789abcdef0");
}

TEST(LedgerCopies, OfWhichNoTwoSayTheSameARunIsLeftOutWhole) {
  const os::TempDir dir;
  os::FakeClock clock;
  const os::Path file = dir.path() / "ledger.db";
  fill_with_machine(file, clock);
  const char* const others[] = {"7", "8", "9"};
  const auto places = places_of(file, "i-0123456789abcdef0");
  ASSERT_GE(places.size(), 3U);
  for (std::size_t i = 0; i < places.size(); ++i) overwrite(file, places[i] + 5, others[i % 3]);
  auto ledger = Ledger::open(file, clock).value();
  EXPECT_TRUE(ledger->runs(false)->empty() && ledger->unreleased()->empty());
  EXPECT_TRUE(last_mending(file)->lost_some) << "it is to be looked for by its tags";
}

TEST(LedgerCopies, WhereverACharacterBecomesAnotherOneARunIsAsItWasOrNotThere) {
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
  const os::TempDir dir;
  os::FakeClock clock;
  const os::Path whole = dir.path() / "whole.db", file = dir.path() / "ledger.db";
  fill_with_machine(whole, clock);
  const auto bytes = os::read_file(whole).value();
  std::vector<std::size_t> printable_ones;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > ' ' && bytes[i] < 127) printable_ones.push_back(i);
  }
  int kept = 0;
  constexpr unsigned seeds = 400;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 chance(seed);
    for (const auto& one : std::filesystem::directory_iterator(dir.path())) {
      if (one.path() != whole) std::filesystem::remove(one.path());
    }
    std::filesystem::copy_file(whole, file);
    const auto at = printable_ones[chance() % printable_ones.size()];
    overwrite(file, at, std::string(1, static_cast<char>('!' + chance() % 94)));
    auto ledger = Ledger::open(file, clock);
    ASSERT_TRUE(ledger) << describe(ledger.error());
    EXPECT_EQ(changed_of_machine(**ledger), "") << at;
    kept += !(*ledger)->runs(true)->empty();
  }
  EXPECT_GT(kept, 350);
}

}  // namespace
}  // namespace ferry::ledger
