#include "s3/journal.h"

#include <unistd.h>

#include "base/text.h"

namespace ferry::s3 {
namespace {

constexpr std::size_t most_bytes = std::size_t{8} << 20;
constexpr int most_noted = 10'000'000;

}  // namespace

Json Journal::load() {
  pieces_.clear();
  if (path_.empty()) return nullptr;
  const auto text = os::read_file(path_, most_bytes);
  if (!text) return nullptr;
  auto lines = split(*text, '\n');
  if (lines.size() < 2) return nullptr;
  lines.pop_back();  // what follows the last line break was not written whole
  const auto of_what = parse_json(lines.front());
  if (!of_what || !of_what->is_object()) return nullptr;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto end = lines[i].find(' ');
    const auto number = parse_int(std::string_view(lines[i]).substr(0, end));
    if (!number || *number < 0 || *number > most_noted) continue;
    pieces_[static_cast<int>(*number)] = end == std::string::npos ? "" : lines[i].substr(end + 1);
  }
  return *of_what;
}

void Journal::begin(const Json& of_what) {
  pieces_.clear();
  if (!path_.empty()) (void)os::write_file(path_, dump_json(of_what) + "\n", 0600);
}

void Journal::add(int piece, const std::string& words) {
  pieces_[piece] = words;
  if (!path_.empty())
    (void)os::append_file(path_, std::to_string(piece) + (words.empty() ? "" : " " + words) + "\n", 0600);
}

void Journal::forget() {
  pieces_.clear();
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace ferry::s3
