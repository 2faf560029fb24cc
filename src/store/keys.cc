#include "store/keys.h"

#include <algorithm>

#include "base/text.h"

namespace ferry::store {
namespace {

constexpr std::size_t most_key_bytes = 900, most_component = 200, most_path = 4096, most_name = 255;

/// Calls `good` with each component; false as soon as one is not good.
template <class Good>
bool all_components(std::string_view path, const Good& good) {
  while (true) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (!good(path.substr(0, end))) return false;
    if (end == path.size()) return true;
    path.remove_prefix(end + 1);
  }
}

bool is_dots(std::string_view part) { return part.empty() || part == "." || part == ".."; }

bool has_only_key_bytes(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\'; });
}

bool is_key_component(std::string_view part) {
  return !is_dots(part) && part.size() <= most_component && !part.starts_with(".ferry-");
}

auto no_key(std::string_view text) {
  return fail(Kind::bad_input, "no name for a stored object: " + short_line(text, 200),
              "it is a relative path in UTF-8 of at most 900 bytes, without \"..\", control characters and "
              "backslashes");
}

}  // namespace

Status check_key(std::string_view key) {
  const bool good =
      key.size() <= most_key_bytes && has_only_key_bytes(key) && is_utf8(key) && all_components(key, is_key_component);
  if (!good) return no_key(key);
  return {};
}

Status check_prefix(std::string_view prefix) {
  if (prefix.empty()) return {};
  // Whatever its last component is by now, one more letter must make it whole.
  return check_key(std::string(prefix) + "x");
}

std::string_view name(FileKind kind) {
  switch (kind) {
    case FileKind::output:
      return "output";
    case FileKind::checkpoint:
      return "checkpoint";
    case FileKind::log:
      return "log";
    case FileKind::record:
      return "record";
  }
  return "";
}

std::string run_prefix(std::string_view run) { return "runs/" + std::string(run) + "/"; }

std::string rank_prefix(std::string_view run, int attempt, int rank) {
  return run_prefix(run) + "a" + std::to_string(attempt) + "/r" + std::to_string(rank) + "/";
}

std::string manifest_key(std::string_view run, int attempt, int rank) {
  return rank_prefix(run, attempt, rank) + "manifest.json";
}

std::string lease_key(std::string_view run) { return run_prefix(run) + "lease"; }
std::string record_key(std::string_view run) { return run_prefix(run) + "record.json"; }
std::string history_key(std::string_view run) { return run_prefix(run) + "history.json"; }
std::string sent_key(std::string_view run) { return run_prefix(run) + "sent.pack"; }

std::string stand_in_key(std::string_view run) { return run_prefix(run) + "stand-in.json"; }

std::string agent_key(std::string_view run) { return run_prefix(run) + "stand-in.agent"; }

std::string claim_key(std::string_view run, int attempt, int rank) {
  return rank_prefix(run, attempt, rank) + "machine.json";
}

std::string file_key(std::string_view run, int attempt, int rank, FileKind kind, std::string_view path,
                     std::string_view sha256) {
  std::string folder(name(kind));
  if (kind == FileKind::output || kind == FileKind::checkpoint) folder += 's';
  const std::string start = rank_prefix(run, attempt, rank) + folder;
  const std::string plain = start + "/" + std::string(path);
  return check_key(plain) ? plain : start + "-by-content/" + std::string(sha256);
}

bool is_run_name(std::string_view run) {
  return !run.empty() && run.size() <= 100 && run.front() != '.' && std::all_of(run.begin(), run.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t more = first < 0x80   ? 0
                             : first < 0xc2 ? 9
                             : first < 0xe0 ? 1
                             : first < 0xf0 ? 2
                             : first < 0xf5 ? 3
                                            : 9;
    if (i + more >= text.size()) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    const auto second = more > 0 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += 1 + more;
  }
  return true;
}

bool is_clean_path(std::string_view path) {
  return path.size() <= most_path && path.find('\0') == std::string_view::npos &&
         all_components(path, [](std::string_view part) { return !is_dots(part) && part.size() <= most_name; });
}

}  // namespace ferry::store
