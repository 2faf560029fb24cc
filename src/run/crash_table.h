#pragma once
/// \file
/// For tests only: the table of docs/crash-matrix.md, which tells of each point of a run what comes of it when
/// something is killed there.

#include <array>
#include <string>
#include <vector>

namespace ferry::run::crash_table {

// What a cell says; the document's head tells what is meant.
inline constexpr const char* never_rented = "nothing rented";
inline constexpr const char* given_back = "given back";
inline constexpr const char* safe = "model safe";
inline constexpr const char* cut = "cut, model safe";
inline constexpr const char* no_agent = "no agent";
inline constexpr const char* no_point = "–";

struct Row {
  std::string point;  ///< "PHASE: before ec2 RunInstances"
  /// [without, with a store][ferry, laptop, agent]; empty: not tried.
  std::array<std::array<std::string, 3>, 2> cells;
};

/// One row for each point of either walk, in the order in which they are passed, no_point in the other's cells.
std::vector<Row> rows_of(const std::vector<std::string>& without_store, const std::vector<std::string>& with_store);

/// The whole document.
std::string text(const std::vector<Row>& rows);

/// The first line of `document` that is not as text(rows) has it; empty: there is none. A cell that was not tried may
/// say anything.
std::string difference(const std::vector<Row>& rows, const std::string& document);

}  // namespace ferry::run::crash_table
