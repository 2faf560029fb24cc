// Whole task files, as people write them for SkyPilot and for ferry, in tests/tasks/. The first line of each
// says what must come of it:
//   # planned: [N ×] TYPE [spot] [REGION] [; told: FIELD, FIELD] [, then TYPE … for each further document]
//   # refused: LINE: words of the reason
// `told` are the fields about which there is a line for the user, no others.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "plan/plan.h"

namespace ferry::plan {
namespace {

struct File {
  std::string name, text, expected;
};

std::vector<File> corpus() {
  std::vector<File> out;
  const auto folder = std::filesystem::path(__FILE__).parent_path() / "../../tests/tasks";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const auto whole = text.str();
    out.push_back({entry.path().filename(), whole, whole.substr(0, whole.find('\n'))});
  }
  std::ranges::sort(out, {}, &File::name);
  return out;
}

/// What comes of one document.
struct Outcome {
  Result<Ranking> ranking;
  std::vector<std::string> lines;
  int nodes = 1;
};

Result<Ranking> ranking_of(const task::Reading& reading) {
  if (!reading.found.empty()) return tl::unexpected<Error>(reading.found.front());
  return rank(reading.task, Catalog::builtin(), {.home_region = "us-east-1"});
}

std::vector<Outcome> outcomes(const File& file) {
  std::vector<Outcome> out;
  for (const auto& reading : task::read_tasks(file.text, file.name).tasks)
    out.push_back({ranking_of(reading), reading.task.not_yet, reading.task.num_nodes});
  return out;
}

/// "task.yaml:6: ports: not yet, …" is about ports.
std::string field_of(const std::string& line) {
  const auto from = line.find(": ") + 2;
  return line.substr(from, line.find(':', from) - from);
}

/// What the first line would have to be; of several documents the first that is refused decides.
std::string outcome(const File& file) {
  std::string out;
  for (auto& [ranking, lines, nodes] : outcomes(file)) {
    if (!ranking) {
      const auto& what = ranking.error().what;
      if (!what.starts_with(file.name + ":")) return "refused without a place: " + what;
      const auto line = what.substr(file.name.size() + 1);
      return "# refused: " + line.substr(0, line.find(':')) + ": " + what.substr(what.find(": ") + 2);
    }
    const auto& best = ranking->offers.front();
    out += (out.empty() ? "# planned: " : ", then ") + (nodes > 1 ? fmt::format("{} × ", nodes) : "") + best.type.name;
    if (best.market == Market::spot) out += " spot";
    if (best.region != "us-east-1") out += " " + best.region;
    for (const auto& note : ranking->notes) {
      if (note.starts_with("left out")) lines.push_back(": alternative: " + note);
    }
    for (std::size_t i = 0; i < lines.size(); ++i) out += (i ? ", " : "; told: ") + field_of(lines[i]);
  }
  return out;
}

TEST(Corpus, EveryTaskFileIsPlannedOrRefusedAsItsFirstLineSays) {
  const auto files = corpus();
  EXPECT_GE(files.size(), 60U);
  for (const auto& file : files) {
    const auto got = outcome(file);
    if (file.expected.starts_with("# refused: ")) {
      // The words of the reason may be a part of it.
      EXPECT_TRUE(got.starts_with(file.expected.substr(0, file.expected.find(": ", 11) + 2)) &&
                  got.find(file.expected.substr(file.expected.find(": ", 11) + 2)) != got.npos)
          << file.name << "\n  expected " << file.expected << "\n  got      " << got;
    } else {
      EXPECT_EQ(got, file.expected) << file.name;
    }
  }
}

TEST(Corpus, EveryRefusalSaysWhatToDo) {
  for (const auto& file : corpus()) {
    for (const auto& one : outcomes(file)) {
      if (one.ranking) continue;
      EXPECT_NE(one.ranking.error().advice, "") << file.name << ": " << one.ranking.error().what;
    }
  }
}

}  // namespace
}  // namespace ferry::plan
