#pragma once
/// \file
/// Columns of text for a terminal.

#include <cstddef>
#include <string>
#include <vector>

namespace ferry::watch {

/// Cells of any script; text from outside must have been made printable. A column that is empty in every row
/// is left out.
class Table {
 public:
  /// A title that begins with '>' is of a column that is set to the right. `droppable`: columns, by number, that are
  /// left out where there is no room, the first one first.
  explicit Table(std::vector<std::string> titles, std::vector<std::size_t> droppable = {})
      : titles_(std::move(titles)), droppable_(std::move(droppable)) {}
  /// As many cells as there are titles; missing ones are empty.
  void add(std::vector<std::string> cells);
  /// One line for the titles and one for each row. Unless `width` is 0, whole columns are left out until the lines
  /// have at most that many; nothing is ever cut, so that what cannot be left out may be wider. For a coding agent
  /// (os::called_by_agent()) all columns, with one tab between two cells; an empty one is "-".
  std::string text(std::size_t width = 0) const;

 private:
  bool is_empty(std::size_t column) const;
  std::size_t wide(std::size_t column) const;
  std::string text_of(const std::vector<std::size_t>& shown) const;

  std::vector<std::string> titles_;
  std::vector<std::size_t> droppable_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ferry::watch
