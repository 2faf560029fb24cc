// The part of the collector that settles links: which stay, and which bring what they point to.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/hash.h"
#include "sync/collector.h"

namespace ferry::sync {

namespace {

constexpr const char* holds_itself = "that folder holds the link itself";

/// Where the text of a link in `folder` leads, by its words alone; nothing if out of the tree.
std::optional<std::string> by_words(std::string_view folder, std::string_view target) {
  if (target.starts_with('/')) return std::nullopt;
  auto parts = folder.empty() ? std::vector<std::string>{} : split(folder, '/');
  for (auto& part : split(target, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(std::move(part));
    } else if (parts.empty()) {
      return std::nullopt;
    } else {
      parts.pop_back();
    }
  }
  return join(parts, "/");
}

/// A bucket that ferry mounted (job/buckets.h): what is written there is in it.
bool is_bucket(std::string_view real) {
  const auto own = real.find("/.ferry/runs/");
  if (own == real.npos) return false;
  const auto parts = split(real.substr(own), '/');  // "", ".ferry", "runs", RUN, "buckets", INDEX
  return parts.size() == 6 && parts[4] == "buckets";
}

/// A volume of the task's (job/volumes.h), all of it: what is on it stays there.
bool is_volume(std::string_view real) {
  constexpr std::string_view mounted = "/mnt/ferry-volumes/", rehearsed = "/srv/rehearsal-volumes/";
  if (real.starts_with(mounted)) return real.find('/', mounted.size()) == real.npos;
  const auto at = real.find(rehearsed);
  if (at == real.npos) return false;
  const auto slash = real.find('/', at + rehearsed.size());
  return slash != real.npos && real.substr(slash) == "/data";
}

/// In the data sets that ferry itself brought to the machine (job/data.h): of those, only what is of this run comes.
bool is_data(std::string_view real) {
  const auto own = real.find("/.ferry/runs/");
  if (own != real.npos) return real.find("/scratch/data/", own) != real.npos || is_bucket(real);
  return is_below(real, "/mnt/ferry-scratch/data") || is_below(real, "/opt/dlami/nvme/ferry/data");
}

}  // namespace

bool is_the_systems(std::string_view path) {
  if (is_below(path, "/dev/shm")) return false;
  static constexpr std::string_view places[] = {"/etc", "/proc",  "/dev",   "/sys",  "/usr",  "/bin",        "/sbin",
                                                "/lib", "/lib32", "/lib64", "/boot", "/snap", "/run/secrets"};
  return path == "/" ||
         std::any_of(std::begin(places), std::end(places), [&](auto place) { return is_below(path, place); });
}

std::string relative(std::string_view folder, std::string_view target) {
  auto from = folder.empty() ? std::vector<std::string>{} : split(folder, '/');
  auto to = target.empty() ? std::vector<std::string>{} : split(target, '/');
  std::size_t same = 0;
  while (same < from.size() && same < to.size() && from[same] == to[same]) ++same;
  std::string path;
  for (std::size_t i = same; i < from.size(); ++i) path = joined(path, "..");
  for (std::size_t i = same; i < to.size(); ++i) path = joined(path, to[i]);
  return path.empty() ? "." : path;
}

void Collector::keep_link(const std::string& path, std::string target, const std::string& why) {
  Entry entry{.path = path, .type = Type::link, .mode = 0777};
  const auto text = root_.read_link(path);
  if (const auto before = text && is_in_root(path) ? sent_.find(path) : std::nullopt)
    entry.as_sent = before->type == Type::link && before->sha256 == sha256(*text);
  if (all_made_ && entry.as_sent) {
    selected_.erase(path);
    return;
  }
  if (const auto marks = root_.look(path)) entry.mtime_ns = marks->mtime_ns;
  if (!why.empty())
    skipped_.add(fmt::format("only the link comes home, not what it points to: {} -> {}: {}", printable(path),
                             printable(target), why));
  entry.target = target;
  tree_.entries.push_back(std::move(entry));
}

bool Collector::is_in_root(std::string_view path) const {
  return std::none_of(tree_.grafts.begin(), tree_.grafts.end(),
                      [&](const auto& graft) { return is_below(path, graft.first); });
}

std::string Collector::real_place(std::string_view path) const {
  const Base* best = &bases_.front();
  for (const Base& base : bases_) {
    if (base.path.size() > best->path.size() && is_below(path, base.path)) best = &base;
  }
  const auto rest = best->path.empty() ? path : path.substr(std::min(path.size(), best->path.size() + 1));
  return best->real == "/" ? "/" + std::string(rest) : joined(best->real, rest);
}

Status Collector::settle_link(const std::string& path) {
  auto read = root_.read_link(path);
  if (!read) return {};  // gone meanwhile
  std::string target = *std::move(read);
  const auto folder = split_last(path).first;
  const std::string here = real_place(path);
  const bool any = globs_.reach(path, true) == Globs::Reach::inside;
  // By descriptor: the place may be longer than a path may be.
  const auto at = root_.place(path);
  if (!at) return {};
  struct stat info;
  const bool stands = ::fstatat(at->folder, at->name.c_str(), &info, 0) == 0;
  const int code = stands ? 0 : errno;
  const std::string real = stands ? resolved(*at) : std::string();
  if (!stands || real.empty()) {
    if (code == EACCES && !is_the_systems(target)) {
      note_unreadable(path, fail_errno("follow the link", code).value());
    } else if (any || code == ELOOP) {
      keep_link(path, target,
                code == ELOOP    ? "it leads round in a circle"
                : code == ENOENT ? "that does not exist"
                                 : "it cannot be followed");
    }
    return {};
  }
  const bool is_folder = S_ISDIR(info.st_mode);
  const auto reach = globs_.reach(path, is_folder);
  if (reach == Globs::Reach::outside) return {};
  if (reach == Globs::Reach::inside) {
    if (const auto words = by_words(folder, target); words && selected_.contains(*words)) {
      keep_link(path, target, is_below(path, *words) ? holds_itself : "");
      return {};
    }
    if (const auto home = place_in_tree(real)) {
      keep_link(path, relative(folder, *home), is_below(path, *home) ? holds_itself : "");
      return {};
    }
  }
  if (is_bucket(real) || is_volume(real)) {
    selected_.erase(path);
    return {};
  }
  if (const char* why = why_not_followed(info, real, here)) {
    if (reach != Globs::Reach::inside) return {};
    is_data(real) ? void(selected_.erase(path)) : keep_link(path, target, why);
    return {};
  }
  return follow(path, target, real, info, reach);
}

std::string Collector::resolved(const Root::Place& at) {
  const os::Fd fd(::openat(at.folder, at.name.c_str(), O_PATH | O_CLOEXEC));
  std::string real(PATH_MAX, '\0');
  const auto link = "/proc/self/fd/" + std::to_string(fd.get());
  const auto got = fd ? ::readlink(link.c_str(), real.data(), real.size()) : -1;
  if (got <= 0 || real[0] != '/') return {};
  real.resize(static_cast<std::size_t>(got));
  return real;
}

std::optional<std::string> Collector::place_in_tree(const std::string& real) const {
  for (const Base& base : bases_) {
    if (!is_below(real, base.real)) continue;
    const auto rest = base.real == "/" ? real.substr(1) : real.substr(std::min(real.size(), base.real.size() + 1));
    auto path = joined(base.path, rest);
    if (selected_.contains(path)) return path;
  }
  return std::nullopt;
}

const char* Collector::why_not_followed(const struct stat& info, const std::string& real,
                                        const std::string& here) const {
  if (is_the_systems(real)) return "that is the system's";
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) return "that is neither a file nor a folder";
  if (S_ISDIR(info.st_mode) && is_below(here, real)) return holds_itself;
  if (S_ISREG(info.st_mode) && changed_ns(info) < query_.since_ns) return "that was there before the run";
  return nullptr;
}

std::int64_t Collector::changed_ns(const struct stat& info) { return ns_of(info.st_ctim); }

Status Collector::follow(const std::string& path, const std::string& target, const std::string& real,
                         const struct stat& info, Globs::Reach reach) {
  root_.graft(path, real);
  tree_.grafts[path] = real;
  Entry entry{.path = path, .type = S_ISDIR(info.st_mode) ? Type::folder : Type::file, .mode = info.st_mode & 07777};
  entry.mtime_ns = ns_of(info.st_mtim);
  if (entry.type == Type::file) {
    entry.size = static_cast<std::uint64_t>(info.st_size);
    entry.unsettled = !is_settled(entry.mtime_ns, changed_ns(info), info.st_ino);
    if (entry.unsettled) entry.size = 0;
    return entry.unsettled || is_readable(path) ? add(std::move(entry)) : Status();
  }
  const std::size_t entries = tree_.entries.size(), links = links_.size(), passing = passing_.size();
  const bool nothing_left = left_out_.empty();
  bases_.push_back({real, path});
  grafted_ = path;
  if (reach == Globs::Reach::inside) {
    TRY("", add(std::move(entry)));
  } else {
    passing_.push_back(std::move(entry));
  }
  const auto walked = walk(path);
  grafted_.clear();
  TRY("", walked);
  const bool brought = links_.size() > links ||
                       std::any_of(tree_.entries.begin() + static_cast<std::ptrdiff_t>(entries), tree_.entries.end(),
                                   [](const Entry& one) { return one.type == Type::file; });
  if (!brought && nothing_left == left_out_.empty() && changed_ns(info) < query_.since_ns) {
    tree_.entries.resize(entries);
    passing_.resize(passing);
    bases_.pop_back();
    tree_.grafts.erase(path);
    root_.remove_graft(path);
    older_.clear();
    is_data(real) ? void(selected_.erase(path)) : keep_link(path, target, "nothing in it is of this run");
    return {};
  }
  if (!older_.empty()) {
    skipped_.add(fmt::format("not brought with {}: {} of {} that {} there before the run, as {}", printable(path),
                             older_.size() == 1 ? "1 file" : std::to_string(older_.size()) + " files", printable(real),
                             older_.size() == 1 ? "was" : "were", printable(older_.front())));
    older_.clear();
  }
  return {};
}

}  // namespace ferry::sync
