#include "sync/globs.h"

#include "base/text.h"
#include "sync/pattern.h"

namespace ferry::sync {

namespace {

std::vector<std::string_view> components_of(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

}  // namespace

Result<Globs> Globs::parse(const std::vector<std::string>& globs) {
  Globs parsed;
  for (const std::string& written : globs) {
    const std::string shown = "\"" + printable(written) + "\"";
    if (written.empty() || written.find('\0') != std::string::npos) {
      return fail(Kind::bad_input, "not a path or glob: " + shown);
    }
    if (written[0] == '/') {
      return fail(Kind::bad_input, "absolute path among the outputs: " + shown,
                  "only files below the working folder can be chosen", "write it relative to the working folder");
    }
    Glob glob{.written = written, .components = {}, .folders_only = written.ends_with('/')};
    for (const std::string_view part : components_of(written)) {
      if (part == "..") {
        return fail(Kind::bad_input, "path that leaves the working folder: " + shown,
                    "only files below the working folder can be chosen", "remove the \"..\"");
      }
      if (part != ".") glob.components.emplace_back(part);
    }
    while (!glob.components.empty() && glob.components.back() == "**") {
      glob.components.pop_back();
      glob.folders_only = true;
    }
    parsed.globs_.push_back(std::move(glob));
  }
  return parsed;
}

Globs::Reach Globs::reach(const Glob& glob, const std::vector<std::string_view>& path, bool is_folder) {
  const auto& parts = glob.components;
  // Which positions in the pattern are reachable after the components so far; "**" may stand for none.
  std::vector<bool> now(parts.size() + 1, false);
  const auto arrive = [&](std::vector<bool>& at, std::size_t i) {
    at[i] = true;
    while (i < parts.size() && parts[i] == "**") at[++i] = true;
  };
  arrive(now, 0);
  for (std::size_t step = 0; step <= path.size(); ++step) {
    const bool whole = step == path.size();
    if (now[parts.size()] && (!whole || is_folder || !glob.folders_only)) return Reach::inside;
    if (whole) break;
    std::vector<bool> next(parts.size() + 1, false);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!now[i]) continue;
      if (parts[i] == "**") {
        arrive(next, i);
      } else if (parts[i] == path[step] || matches(parts[i], path[step], Slash::ordinary)) {
        arrive(next, i + 1);
      }
    }
    now = std::move(next);
  }
  const bool hope = std::find(now.begin(), now.end() - 1, true) != now.end() - 1;
  return hope && is_folder ? Reach::passing : Reach::outside;
}

Globs::Reach Globs::reach(std::string_view path, bool is_folder) {
  if (globs_.empty()) return Reach::inside;
  const auto parts = components_of(path);
  Reach best = Reach::outside;
  for (Glob& glob : globs_) {
    const Reach one = reach(glob, parts, is_folder);
    glob.matched = glob.matched || one == Reach::inside;
    best = std::max(best, one);
  }
  return best;
}

std::vector<std::string> Globs::unmatched() const {
  std::vector<std::string> names;
  for (const Glob& glob : globs_) {
    if (!glob.matched) names.push_back(glob.written);
  }
  return names;
}

}  // namespace ferry::sync
