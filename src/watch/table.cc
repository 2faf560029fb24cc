#include "watch/table.h"

#include "os/env.h"
#include "watch/columns.h"
#include "watch/lines.h"

namespace ferry::watch {

void Table::add(std::vector<std::string> cells) {
  cells.resize(titles_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text(std::size_t width) const {
  const bool compact = os::called_by_agent();
  if (compact) width = 0;
  std::vector<std::string> lines(rows_.size() + 1);
  bool first = true;
  for (std::size_t column = 0; column < titles_.size(); ++column) {
    const bool right = titles_[column].starts_with('>');
    const std::string title = right ? titles_[column].substr(1) : titles_[column];
    const auto empty = [&](const auto& row) { return row[column].empty(); };
    if (!rows_.empty() && std::all_of(rows_.begin(), rows_.end(), empty)) continue;
    std::size_t wide = columns(title);
    for (const auto& row : rows_) wide = std::max(wide, columns(row[column]));
    for (std::size_t line = 0; line < lines.size(); ++line) {
      const std::string& cell = line ? rows_[line - 1][column] : title;
      if (compact) {
        lines[line] += (first ? "" : "\t") + (cell.empty() ? "-" : cell);
        continue;
      }
      if (!first) lines[line] += titles_[column - 1] == " " ? " " : "   ";
      lines[line] += right ? padded_left(cell, wide) : padded(cell, wide);
    }
    first = false;
  }
  std::string text;
  for (auto& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    text += (width ? clipped(line, width) : line) + "\n";
  }
  return text;
}

}  // namespace ferry::watch
