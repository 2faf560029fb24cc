#include "watch/table.h"

#include <algorithm>

#include "os/env.h"
#include "watch/columns.h"

namespace ferry::watch {

void Table::add(std::vector<std::string> cells) {
  cells.resize(titles_.size());
  rows_.push_back(std::move(cells));
}

bool Table::is_empty(std::size_t column) const {
  return !rows_.empty() && std::ranges::all_of(rows_, [&](const auto& row) { return row[column].empty(); });
}

std::size_t Table::wide(std::size_t column) const {
  const auto& title = titles_[column];
  auto most = columns(title.starts_with('>') ? std::string_view(title).substr(1) : title);
  for (const auto& row : rows_) most = std::max(most, columns(row[column]));
  return most;
}

std::string Table::text(std::size_t width) const {
  if (os::called_by_agent()) width = 0;
  std::vector<std::size_t> shown;
  for (std::size_t column = 0; column < titles_.size(); ++column) {
    if (!is_empty(column)) shown.push_back(column);
  }
  const auto total = [&] {
    std::size_t sum = 0;
    for (const auto column : shown) sum += wide(column) + (titles_[column] == " " ? 1 : 3);
    return sum - std::min<std::size_t>(sum, 3);
  };
  std::vector<std::size_t> dropped;
  for (const auto column : droppable_) {
    if (width == 0 || total() <= width) break;
    if (std::erase(shown, column) > 0) dropped.push_back(column);
  }
  // A wide one made room for narrower ones that had gone before it.
  for (auto column = dropped.rbegin(); column != dropped.rend(); ++column) {
    if (total() + wide(*column) + 3 <= width) shown.insert(std::ranges::lower_bound(shown, *column), *column);
  }
  return text_of(shown);
}

std::string Table::text_of(const std::vector<std::size_t>& shown) const {
  std::vector<std::string> lines(rows_.size() + 1);
  const bool compact = os::called_by_agent();
  std::string_view gap;
  for (const auto column : shown) {
    const bool right = titles_[column].starts_with('>');
    const std::string title = right ? titles_[column].substr(1) : titles_[column];
    for (std::size_t line = 0; line < lines.size(); ++line) {
      const std::string& cell = line ? rows_[line - 1][column] : title;
      if (compact) {
        lines[line] += (column == shown.front() ? "" : "\t") + (cell.empty() ? "-" : cell);
        continue;
      }
      lines[line] += gap;
      lines[line] += right ? padded_left(cell, wide(column)) : padded(cell, wide(column));
    }
    gap = titles_[column] == " " ? " " : "   ";
  }
  std::string text;
  for (auto& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace ferry::watch
