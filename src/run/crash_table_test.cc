#include "run/crash_table.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"

namespace ferry::run::crash_table {

namespace {

constexpr const char* head = R"(# The crash matrix

Would you trust this tool with a credit card? This table is made by a test, which walks a whole run, from `ferry
run` to "nothing left running", and kills something at each named point of it: {} points, {} kills. What is
killed:

* **ferry**: at that point, and not a line of it goes on. Then the next ferry command is given on the same
  laptop.
* **laptop**: ferry, and with it the ledger, the keys, the log and what had come home. Another laptop says
  `ferry recover RUN` where a machine is left, and `ferry down --all`.
* **agent**: ferry's process on the rented machine, as soon as there is one, by SIGKILL. ferry goes on.

After each kill the test demands: by the cloud's own count nothing is rented and nothing is left (no machine, no
key pair, no security group); never was there a second machine for the run's one node; whatever model the
training had saved is safe; a model that came home has its log beside it, whole. A cell that broke one of them
would fail the test, so no cell says so:

* *nothing rented*: no machine was ever rented.
* *given back*: a machine was rented, nothing had been trained on it, and it was given back.
* *model safe*: the training ran to its end, and its model is home. With the laptop lost: it is home on the new
  one, or, with a store, complete in the store; or it had come home to the laptop that was lost then, which
  nobody but your own backups can bring back.
* *cut, model safe*: the training was killed with its agent (that is meant: what nobody watches must not go on
  and cost). The run is called lost, and what it had saved is safe.
* *no agent*: there is none yet, or none any more. *–*: a run of that kind has no such point.

The ledger, the agent, the training and the transfers are the real ones; the cloud is one in memory that counts
what it rents, ssh is a local connection, the store is a folder, and ferry is a call within the test that is
left at the point, with what the kernel closes for a killed process. `tests/program/kill_test.py` kills ferry's
own processes with SIGKILL and has a real sshd between them, `scripts/chaos` does so at random moments. Run it:
`scripts/test --quick`, or in the build folder `ctest -R run_test`: all points, and every seventh kill; all
kills with FERRY_CRASH_MATRIX=all. After a change that moves a point `FERRY_WRITE_DOCS=1 ctest -R run_test`
tries all and writes this file anew.

| phase | killed at | ferry | laptop | agent | ferry, store | laptop, store | agent, store |
|---|---|---|---|---|---|---|---|
)";

std::string line_of(const Row& row) {
  const auto colon = row.point.find(": ");
  auto line = fmt::format("| {} | {} |", row.point.substr(0, colon), row.point.substr(colon + 2));
  for (const auto& half : row.cells) {
    for (const auto& cell : half) line += fmt::format(" {} |", cell);
  }
  return line;
}

/// Whether a line of the document is as wanted, where a cell that was not tried may be any.
bool fits(const std::string& wanted, const std::string& line) {
  const auto cells = split(wanted, '|'), found = split(line, '|');
  if (cells.size() != found.size()) return false;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const bool is_untried = cells[i] == "  ";
    if (found[i] == "  " || (cells[i] != found[i] && !is_untried)) return false;
  }
  return true;
}

}  // namespace

std::vector<Row> rows_of(const std::vector<std::string>& without_store, const std::vector<std::string>& with_store) {
  std::vector<Row> rows;
  const auto has = [](const auto& points, const std::string& one) {
    return std::ranges::find(points, one) != points.end();
  };
  const auto add = [&](const std::string& point) {
    if (std::ranges::find(rows, point, &Row::point) != rows.end()) return;
    Row row{point, {}};
    if (!has(without_store, point)) row.cells[0].fill(no_point);
    if (!has(with_store, point)) row.cells[1].fill(no_point);
    rows.push_back(std::move(row));
  };
  auto next = without_store.begin();
  for (const auto& point : with_store) {
    // What only the other walk has before a point of both comes before it.
    if (const auto same = std::find(next, without_store.end(), point); same != without_store.end()) {
      for (; next != same; ++next) {
        if (!has(with_store, *next)) add(*next);
      }
      ++next;
    }
    add(point);
  }
  for (const auto& point : without_store) add(point);
  return rows;
}

std::string text(const std::vector<Row>& rows) {
  std::size_t kills = 0;
  for (const auto& row : rows) {
    for (const auto& half : row.cells)
      kills += static_cast<std::size_t>(
          std::ranges::count_if(half, [](const auto& cell) { return cell != no_point && cell != no_agent; }));
  }
  auto document = fmt::format(head, rows.size(), kills);
  for (const auto& row : rows) document += line_of(row) + "\n";
  return document;
}

std::string difference(const std::vector<Row>& rows, const std::string& document) {
  const auto all = text(rows);
  const auto wanted = split(all, '\n'), found = split(document, '\n');
  for (std::size_t i = 0; i < std::max(wanted.size(), found.size()); ++i) {
    const std::string want(i < wanted.size() ? wanted[i] : ""), line(i < found.size() ? found[i] : "");
    if (!fits(want, line)) return fmt::format("line {} is\n{}\nand should be\n{}", i + 1, line, want);
  }
  return {};
}

namespace {

TEST(CrashTable, HasThePointsOfBothWalksInTheirOrder) {
  std::vector<std::string> points;
  for (const auto& row : rows_of({"a: 1", "a: 2", "c: 4", "d: 5"}, {"a: 1", "b: 3", "d: 5"}))
    points.push_back(row.point);
  EXPECT_EQ(points, (std::vector<std::string>{"a: 1", "b: 3", "a: 2", "c: 4", "d: 5"}));
}

TEST(CrashTable, ADocumentThatTellsAnotherCellOrHasAnotherRowIsFound) {
  auto rows = rows_of({"a: 1"}, {"a: 1"});
  rows[0].cells = {{{safe, safe, no_agent}, {safe, safe, no_agent}}};
  const auto document = text(rows);
  EXPECT_EQ(difference(rows, document), "");
  rows[0].cells[0][1].clear();
  EXPECT_EQ(difference(rows, document), "") << "not tried";
  EXPECT_NE(difference(rows, text(rows)), "") << "and never was";
  rows[0].cells[0][1] = given_back;
  EXPECT_NE(difference(rows, document), "");
  rows[0].cells[0][1] = safe;
  rows.push_back({"b: 2", {}});
  EXPECT_NE(difference(rows, document), "");
}

}  // namespace
}  // namespace ferry::run::crash_table
