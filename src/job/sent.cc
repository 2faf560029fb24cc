#include "job/sent.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "os/env.h"
#include "sync/globs.h"
#include "sync/outputs.h"

namespace ferry::job {

namespace {

using sync::Unsent;

constexpr std::size_t most_named = 6;          // in a line
constexpr std::size_t most_measured = 20'000;  // files and folders, in all

/// The size of what lies at a path. Looks at no more than `left` things.
struct Size {
  std::uint64_t bytes = 0;
  bool is_whole = true;
};
Size size_of(const os::Path& path, std::size_t& left) {
  Size size;
  std::error_code failed;
  const auto add = [&](const std::filesystem::directory_entry& one) {
    if (one.is_regular_file(failed) && !one.is_symlink(failed)) size.bytes += one.file_size(failed);
  };
  const std::filesystem::directory_entry top(path, failed);
  if (!top.is_directory(failed)) {
    if (top.is_regular_file(failed)) size.bytes = top.file_size(failed);
    return size;
  }
  std::filesystem::recursive_directory_iterator at(path, std::filesystem::directory_options::skip_permission_denied,
                                                   failed);
  for (; !failed && at != std::filesystem::recursive_directory_iterator(); at.increment(failed)) {
    if (left == 0) {
      size.is_whole = false;
      break;
    }
    --left;
    add(*at);
  }
  return size;
}

std::string show(const Size& size) { return (size.is_whole ? "" : "more than ") + show_bytes(size.bytes); }

std::string shown_path(const Unsent& one) { return printable(one.path) + (one.is_folder ? "/" : ""); }

/// "/data/" → "data": what a line of an ignore file names, where it names one thing.
std::string_view bare(std::string_view rule) {
  if (rule.starts_with('/')) rule.remove_prefix(1);
  if (rule.ends_with('/')) rule.remove_suffix(1);
  return rule;
}

/// What nobody misses on the other machine: made by tools, or left out by a file of its own that holds "*".
bool goes_without_saying(const Unsent& one) {
  static const std::set<std::string, std::less<>> folders = {
      "__pycache__", ".mypy_cache",  ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints", ".idea", ".vscode", ".venv",
      "venv",        "node_modules", ".tox",        ".cache"};
  const std::string_view path = one.path;
  const auto name = path.substr(path.rfind('/') + 1);
  if (name.ends_with(".pyc") || name.ends_with(".egg-info") || name == ".DS_Store" || name.ends_with(".swp"))
    return true;
  if (one.rule == "*" && one.by.ends_with("/.gitignore")) return true;
  return folders.contains(name) || sync::is_made_by_tools(path);
}

/// "a/ (2 B), b (1 MB), and 3 more", the largest first.
std::string list_of(std::vector<std::pair<Size, std::string>> things) {
  std::ranges::stable_sort(things, [](const auto& a, const auto& b) { return a.first.bytes > b.first.bytes; });
  std::string out;
  for (std::size_t i = 0; i < std::min(things.size(), most_named); ++i)
    out += fmt::format("{}{} ({})", i ? ", " : "", things[i].second, show(things[i].first));
  if (things.size() > most_named) out += fmt::format(", and {} more", things.size() - most_named);
  return out;
}

void tell_secrets(const sync::Tree& tree, std::vector<std::string>& lines) {
  std::string names, insist;
  std::size_t count = 0;
  for (const auto& one : tree.unsent) {
    if (one.why != Unsent::Why::secret) continue;
    if (++count == 1) insist = cure(one);
    if (count <= most_named) names += fmt::format("{}{} ({})", count > 1 ? ", " : "", shown_path(one), one.by);
  }
  if (count == 0) return;
  if (count > most_named) names += fmt::format(", and {} more", count - most_named);
  lines.push_back(fmt::format("stays here, for nobody else to use: {}. To send it all the same, {}", names, insist));
}

void tell_rules(const sync::Tree& tree, const os::Path& workdir, const std::vector<std::string>& outputs,
                std::size_t& left, std::vector<std::string>& lines) {
  std::map<std::string, std::vector<std::pair<Size, std::string>>> by_file;
  std::vector<std::string> request;
  for (const auto& one : tree.unsent) {
    if (one.why != Unsent::Why::rule || goes_without_saying(one) || is_output(outputs, one.path)) continue;
    auto name = shown_path(one);
    if (!one.rule.empty() && bare(one.rule) != one.path) name += " by " + printable(one.rule);
    if (!by_file.contains(one.by)) request.push_back(one.by);
    by_file[one.by].emplace_back(size_of(workdir / one.path, left), std::move(name));
  }
  for (const auto& file : request)
    lines.push_back("left out by " + printable(file) + ": " + list_of(std::move(by_file[file])));
}

void tell_links(const sync::Tree& tree, const os::Path& workdir, std::size_t& left, std::vector<std::string>& lines) {
  std::vector<std::pair<Size, std::string>> links;
  for (const auto& one : tree.unsent) {
    if (one.why != Unsent::Why::link) continue;
    std::error_code failed;
    const auto real = std::filesystem::canonical(workdir / one.path, failed);
    links.emplace_back(size_of(real, left), printable(one.path) + " -> " + printable(one.by));
  }
  if (links.empty()) return;
  const bool one = links.size() == 1;
  lines.push_back(fmt::format("{} out of the workdir, and only the link{} sent; --follow sends what {} to: {}",
                              one ? "this link leads" : "these links lead", one ? " is" : "s are",
                              one ? "it leads" : "they lead", list_of(std::move(links))));
}

/// Files that go, and folders of tools, which hold much and serve nobody there.
void tell_surprises(const sync::Tree& tree, std::vector<std::string>& lines) {
  constexpr std::uint64_t large = 10'000'000;
  std::map<std::string, std::uint64_t> folders;
  std::vector<std::string> passwords;
  std::set<std::string, std::less<>> environments;
  for (const auto& entry : tree.entries) {
    const auto slash = entry.path.rfind('/');
    const auto name = slash == std::string::npos ? entry.path : entry.path.substr(slash + 1);
    if (entry.type == sync::Type::file && (name == ".env" || name == ".envrc")) passwords.push_back(entry.path);
    if (slash != std::string::npos && (name == "pyvenv.cfg" || name == "conda-meta"))
      environments.insert(entry.path.substr(0, slash));
    if (entry.type == sync::Type::folder && (name == "node_modules" || name == "site-packages"))
      environments.insert(entry.path);
  }
  for (const auto& entry : tree.entries) {
    if (entry.type != sync::Type::file || environments.empty()) continue;
    // The outermost one counts all that is in it.
    for (auto end = entry.path.find('/'); end != std::string::npos; end = entry.path.find('/', end + 1)) {
      const auto folder = environments.find(std::string_view(entry.path).substr(0, end));
      if (folder == environments.end()) continue;
      folders[*folder] += entry.size;
      break;
    }
  }
  for (const auto& [folder, bytes] : folders) {
    if (bytes < large) continue;
    lines.push_back(
        fmt::format("{}/ goes over ({}): packages are installed there anew, from requirements.txt and "
                    "the like; add  /{}/  to .ferryignore",
                    printable(folder), show_bytes(bytes), printable(folder)));
  }
  if (passwords.empty()) return;
  for (auto& path : passwords) path = printable(path);
  if (passwords.size() > most_named) passwords.resize(most_named);
  lines.push_back(
      fmt::format("{} over, with what secrets are in {}: --secret NAME passes one without a file; or "
                  "add  {}  to .ferryignore",
                  join(passwords, ", ") + (passwords.size() == 1 ? " goes" : " go"),
                  passwords.size() == 1 ? "it" : "them", passwords.front().substr(passwords.front().rfind('/') + 1)));
}

}  // namespace

Result<sync::Tree> list_workdir(const os::Path& workdir, bool follow) {
  std::error_code failed;
  const auto real = std::filesystem::canonical(workdir, failed);
  const auto home = failed ? real : std::filesystem::canonical(os::home_dir(), failed);
  const bool is_root = real == "/";
  if (is_root || (!failed && std::mismatch(real.begin(), real.end(), home.begin(), home.end()).first == real.end())) {
    return fail(Kind::bad_input,
                "the workdir is " +
                    std::string(is_root        ? "the whole computer"
                                : real == home ? "your home folder"
                                               : "a folder that holds your home folder") +
                    ": " + real.string(),
                "all of it would be sent to the machine, your keys and mail with it",
                "put the code into a folder of its own (mkdir train), and run ferry there, or: --workdir FOLDER");
  }
  sync::Selection selection;
  selection.ignore_rules = true;
  selection.follow = follow;
  return sync::scan(workdir, selection);
}

std::vector<std::string> tell_sent(const sync::Tree& tree, const os::Path& workdir,
                                   const std::vector<std::string>& outputs) {
  std::vector<std::string> lines;
  std::size_t left = most_measured;
  tell_secrets(tree, lines);
  tell_rules(tree, workdir, outputs, left, lines);
  tell_links(tree, workdir, left, lines);
  tell_surprises(tree, lines);
  if (!tree.git_trouble.empty() && !tree.unsent.empty())
    lines.push_back("git could not say which files are tracked, so that rules leave out those, too: " +
                    tree.git_trouble);
  for (const auto& note : first_few(tree.skipped)) lines.push_back("not sent: " + note);
  return lines;
}

const sync::Unsent* unsent_at(const sync::Tree& tree, const std::string& path) {
  const auto at = std::ranges::lower_bound(tree.entries, path, {}, &sync::Entry::path);
  const bool goes = at != tree.entries.end() && at->path == path;
  for (const auto& one : tree.unsent) {
    const bool is_it = path == one.path || (path.starts_with(one.path) && path[one.path.size()] == '/');
    // Of a link, the link itself goes.
    if (is_it && (!goes || one.why == Unsent::Why::link)) return &one;
  }
  return nullptr;
}

std::string why(const sync::Unsent& unsent) {
  switch (unsent.why) {
    case Unsent::Why::link:
      return fmt::format("{} is a link to {}, outside the workdir", printable(unsent.path), printable(unsent.by));
    case Unsent::Why::secret:
      return fmt::format("{} holds {}, which stays here unless you insist", shown_path(unsent), unsent.by);
    default:
      return fmt::format("left out by {}: {}", printable(unsent.by),
                         printable(unsent.rule.empty() ? unsent.path : unsent.rule));
  }
}

std::string cure(const sync::Unsent& unsent) {
  if (unsent.why == Unsent::Why::link) return "--follow sends what the link leads to";
  // A deeper ignore file wins over a higher one, and a .ferryignore over what stands beside it.
  std::string folder, path = shown_path(unsent);
  const auto slash = unsent.by.rfind('/');
  if (unsent.why == Unsent::Why::rule && slash != std::string::npos &&
      path.starts_with(unsent.by.substr(0, slash + 1))) {
    folder = printable(unsent.by.substr(0, slash + 1));
    path = path.substr(slash + 1);
  }
  return fmt::format("add  !/{}  to {}.ferryignore", path, folder);
}

bool is_output(const std::vector<std::string>& outputs, const std::string& path) {
  auto globs = sync::Globs::parse(outputs.empty() ? std::vector<std::string>{"outputs/"} : outputs);
  return globs && globs->reach(path, true) == sync::Globs::Reach::inside;
}

}  // namespace ferry::job
