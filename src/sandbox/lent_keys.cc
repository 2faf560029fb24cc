#include "sandbox/lent_keys.h"

#include "base/text.h"

namespace ferry::sandbox {

std::vector<LentKey> lent_keys_from(std::string_view text, std::int64_t now_ms) {
  std::vector<LentKey> out;
  for (const auto& line : split(text, '\n')) {
    const auto gap = line.find(' ');
    const auto until = parse_int(std::string_view(line).substr(0, gap));
    if (gap != line.npos && until && *until > now_ms) out.push_back({*until, line.substr(gap + 1)});
  }
  return out;
}

std::string text_of(const std::vector<LentKey>& keys) {
  std::string out;
  for (const auto& key : keys) out += fmt::format("{} {}\n", key.until_ms, key.line);
  return out;
}

os::Path lent_keys_file(const Machine& machine) { return machine.at("run/ferry/lent-keys"); }

ferry::Status open_account(const Machine& machine, const std::vector<LentKey>& keys) {
  std::string text;
  for (const auto& key : keys) text += key.line + "\n";
  return os::write_file(lent_keys_file(machine), text, 0644);
}

}  // namespace ferry::sandbox
