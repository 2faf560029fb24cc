#pragma once
/// \file
/// Columns of text for a terminal.

#include <string>
#include <vector>

namespace ferry::watch {

/// Cells of any script; text from outside must have been made printable. A column that is empty in every row
/// is left out.
class Table {
 public:
  /// A title that begins with '>' is of a column that is set to the right.
  explicit Table(std::vector<std::string> titles) : titles_(std::move(titles)) {}
  /// As many cells as there are titles; missing ones are empty.
  void add(std::vector<std::string> cells);
  /// One line for the titles and one for each row, cut at `width` columns unless it is 0. For a coding agent
  /// (os::called_by_agent()) whole, and with one tab between two cells; an empty one is "-".
  std::string text(std::size_t width = 0) const;

 private:
  std::vector<std::string> titles_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ferry::watch
