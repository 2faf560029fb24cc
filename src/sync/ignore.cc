#include "sync/ignore.h"

#include "sync/pattern.h"

namespace ferry::sync {

namespace {

/// Spaces at the end do not count unless a backslash stands before them.
std::string_view without_trailing_spaces(std::string_view line) {
  std::size_t end = line.size();
  bool in_spaces = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == ' ') {
      if (!in_spaces) end = i;
      in_spaces = true;
      continue;
    }
    in_spaces = false;
    if (line[i] == '\\') {
      if (++i >= line.size()) return line;
    }
  }
  return in_spaces ? line.substr(0, end) : line;
}

}  // namespace

IgnoreFile::IgnoreFile(std::string base, std::string_view text, std::string name, Of of)
    : base_(std::move(base)), name_(std::move(name)), of_(of) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    add(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

void IgnoreFile::add(std::string_view line) {
  if (line.empty() || line[0] == '#') return;
  if (line.back() == '\r') line.remove_suffix(1);
  line = without_trailing_spaces(line.substr(0, line.find('\0')));
  Rule rule;
  rule.written = line;
  if (line.starts_with('!')) {
    rule.negated = true;
    line.remove_prefix(1);
  }
  if (line.ends_with('/')) {
    rule.folders_only = true;
    line.remove_suffix(1);
  }
  rule.any_depth = line.find('/') == std::string_view::npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  rule.pattern = line;
  rule.literal = std::min(line.find_first_of("*?[\\"), line.size());
  rule.is_ending = line.starts_with('*') && line.find_first_of("*?[\\", 1) == std::string_view::npos;
  rules_.push_back(std::move(rule));
}

bool IgnoreFile::applies(const Rule& rule, std::string_view path) const {
  const std::string_view pattern = rule.pattern;
  if (rule.any_depth) {
    const std::string_view name = path.substr(path.rfind('/') + 1);
    if (rule.literal == pattern.size()) return name == pattern;
    if (rule.is_ending) return name.ends_with(pattern.substr(1));
    return matches(pattern, name, Slash::ordinary);
  }
  // The literal beginning is compared first and cut off, as git does: "a**" then starts with a double star.
  const std::string_view name = base_.empty() ? path : path.substr(base_.size() + 1);
  const std::string_view literal = pattern.substr(0, rule.literal);
  if (!name.starts_with(literal)) return false;
  return matches(pattern.substr(rule.literal), name.substr(rule.literal), Slash::separates);
}

IgnoreFile::Verdict IgnoreFile::verdict(std::string_view path, bool is_folder, std::string_view* line) const {
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (rule->folders_only && !is_folder) continue;
    if (!applies(*rule, path)) continue;
    if (line != nullptr) *line = rule->written;
    return rule->negated ? Verdict::kept : Verdict::ignored;
  }
  return Verdict::silent;
}

std::string IgnoreStack::from_root(std::string_view folder) const {
  if (above_.empty()) return std::string(folder);
  return folder.empty() ? above_ : above_ + "/" + std::string(folder);
}

void IgnoreStack::enter(std::string_view folder) {
  const std::string whole = from_root(folder);
  const auto inside = [&](const std::string& base) {
    return base.empty() || whole == base || (whole.starts_with(base) && whole[base.size()] == '/');
  };
  while (!files_.empty() && !inside(files_.back().file.base())) files_.pop_back();
}

void IgnoreStack::begin_repository(std::string_view folder) {
  files_.push_back({IgnoreFile(from_root(folder), {}), true});
}

Judgement IgnoreStack::judge(std::string_view path, bool is_folder) const {
  std::string whole;
  if (!above_.empty()) path = whole = from_root(path);
  bool git_speaks = true;
  for (auto level = files_.rbegin(); level != files_.rend(); ++level) {
    if (level->is_border) git_speaks = false;
    if (!git_speaks && level->file.of() == IgnoreFile::Of::git) continue;
    std::string_view line;
    const auto verdict = level->file.verdict(path, is_folder, &line);
    if (verdict != IgnoreFile::Verdict::silent) return {verdict == IgnoreFile::Verdict::ignored, &level->file, line};
  }
  return {};
}

bool IgnoreStack::insisted(std::string_view path, bool is_folder) const {
  const std::string whole = from_root(path);
  for (auto level = files_.rbegin(); level != files_.rend(); ++level) {
    if (level->file.of() != IgnoreFile::Of::ferry) continue;
    const auto verdict = level->file.verdict(whole, is_folder);
    if (verdict != IgnoreFile::Verdict::silent) return verdict == IgnoreFile::Verdict::kept;
  }
  return false;
}

}  // namespace ferry::sync
