#include "agent/store_files.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "store/manifest.h"
#include "sync/globs.h"
#include "sync/outputs.h"
#include "sync/root.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t ns_in_ms = 1'000'000;
/// A file's time comes from the kernel's coarse clock, which lags by up to a tick (10 ms).
constexpr std::int64_t coarse_ms = 50;
/// Who was writing when it was killed wrote within so long before.
constexpr std::int64_t torn_ms = 1'000;

std::vector<std::string> named_outputs(const StoreSpec& spec) {
  return spec.outputs.empty() ? std::vector<std::string>{"outputs/"} : spec.outputs;
}

std::int64_t moment_ns(std::int64_t ms) { return std::max<std::int64_t>(0, ms - coarse_ms) * ns_in_ms; }

/// A full disk takes no notes of the hashes: they are there all the same.
Status hash(const StoreSettings& settings, sync::Tree& tree, const os::Path& notes) {
  auto hashed = sync::hash_tree(settings.workdir, tree, notes);
  const bool all = std::all_of(tree.entries.begin(), tree.entries.end(), [](const sync::Entry& entry) {
    return entry.type != sync::Type::file || entry.unsettled || !entry.sha256.empty();
  });
  return hashed || !all ? hashed : Status();
}

/// Turns the entries of a tree into files to be stored.
class Gatherer {
 public:
  Gatherer(const sync::Tree& tree, const os::Path& root, std::optional<sync::Globs> checkpoints, StoreFiles& into)
      : tree_(tree), root_(root), checkpoints_(std::move(checkpoints)), into_(into) {
    for (const StoreFile& one : into_.files) there_.insert(one.path);
    for (const auto& one : into_.links) there_.insert(one.path);
  }

  Status gather() {
    for (const sync::Entry& entry : tree_.entries) {
      if (entry.type == sync::Type::file) TRY("", add(entry.path, entry));
    }
    for (const sync::Entry& entry : tree_.entries) {
      if (entry.type == sync::Type::link) add_link(entry);
    }
    return {};
  }

 private:
  Status add(const std::string& path, const sync::Entry& entry) {
    if (!there_.insert(path).second) return {};
    if (entry.unsettled) {
      into_.unsettled.insert(path);
      return {};
    }
    if (into_.files.size() >= store::most_entries - 100'000)  // the log has pieces, too
      return fail(Kind::bad_input, "there are too many files to store", {}, "put them into an archive there");
    into_.files.push_back({.path = path,
                           .kind = kind_of(path),
                           .content = {hex(entry.sha256), entry.size},
                           .mode = entry.mode & 0777,
                           .mtime_ns = entry.mtime_ns,
                           .from = place_of(entry.path),
                           .as_sent = entry.as_sent});
    return {};
  }

  void add_link(const sync::Entry& link) {
    if (link.target.size() > store::most_link || !there_.insert(link.path).second) return;
    into_.links.push_back(
        {.path = link.path, .kind = kind_of(link.path), .mtime_ns = link.mtime_ns, .link = link.target.str()});
  }

  store::FileKind kind_of(const std::string& path) {
    const bool is_checkpoint = checkpoints_ && checkpoints_->reach(path, false) == sync::Globs::Reach::inside;
    return is_checkpoint ? store::FileKind::checkpoint : store::FileKind::output;
  }

  os::Path place_of(const std::string& path) const {
    for (std::string_view up = path; !up.empty(); up = sync::split_last(up).first) {
      const auto graft = tree_.grafts.find(up);
      if (graft == tree_.grafts.end()) continue;
      const std::string_view rest = std::string_view(path).substr(up.size());
      return graft->second == "/" ? std::string(rest) : graft->second + std::string(rest);
    }
    return root_ / path;
  }

  const sync::Tree& tree_;
  const os::Path& root_;
  std::optional<sync::Globs> checkpoints_;
  StoreFiles& into_;
  std::set<std::string> there_;
};

Status gather(const StoreSettings& settings, const sync::Tree& tree, StoreFiles& into) {
  std::optional<sync::Globs> checkpoints;
  if (!settings.spec.checkpoints.empty()) {
    TRY_SET(parsed, "", sync::Globs::parse(settings.spec.checkpoints));
    checkpoints = std::move(parsed);
  }
  const os::Path root = settings.workdir;
  TRY("", Gatherer(tree, root, std::move(checkpoints), into).gather());
  for (const auto& line : tree.left_out) {
    if (std::find(into.left_out.begin(), into.left_out.end(), line) == into.left_out.end())
      into.left_out.push_back(line);
  }
  return {};
}

/// Whether the run made something of all that the task calls its outputs.
Result<bool> made_its_outputs(const StoreSpec& spec, const sync::Tree& tree) {
  TRY_SET(made, "", sync::Globs::parse(named_outputs(spec)));
  for (const sync::Entry& entry : tree.entries) {
    if (!entry.as_sent && entry.type != sync::Type::folder) made.reach(entry.path, entry.type == sync::Type::link);
  }
  return made.unmatched().empty();
}

std::int64_t settle_ms_of(const StoreSettings& settings, const Look& look) {
  if (!look.last) return std::min<std::int64_t>(look.settle.count(), settings.spec.every_s * 1000);
  if (look.killed_ms == 0) return 0;
  return std::max<std::int64_t>(1, os::system_clock().now_ms() - look.killed_ms + torn_ms);
}

/// A store that is a folder of this machine is not what the run made.
void forget_the_store(const StoreSettings& settings, sync::Tree& tree) {
  if (!settings.spec.uri.starts_with('/')) return;
  std::error_code failed;
  const auto place = std::filesystem::weakly_canonical(settings.spec.uri, failed);
  const std::string store = std::string(sync::elsewhere_folder) + (failed ? settings.spec.uri : place.string()) + "/";
  std::erase_if(tree.entries, [&](const sync::Entry& entry) { return entry.path.starts_with(store); });
}

}  // namespace

bool StoreFiles::tells_what_vanished() const {
  return left_out.empty() && std::any_of(files.begin(), files.end(), [](const auto& one) { return !one.as_sent; });
}

Result<StoreFiles> look_for_files(const StoreSettings& settings, const Look& look) {
  const auto settle_ms = settle_ms_of(settings, look);
  sync::OutputsQuery query{.globs = named_outputs(settings.spec),
                           .sent = settings.sent,
                           .since_ns = moment_ns(settings.began_ms),
                           .settle_ns = settle_ms * ns_in_ms,
                           .open_up = look.open_up};
  query.globs.insert(query.globs.end(), settings.spec.checkpoints.begin(), settings.spec.checkpoints.end());
  TRY_SET(tree, "", sync::collect_outputs(settings.workdir, query));
  TRY("", hash(settings, tree, look.hashes));
  StoreFiles out;
  TRY("", gather(settings, tree, out));
  if (!look.last) return out;
  TRY_SET(made, "", made_its_outputs(settings.spec, tree));
  if (made) return out;
  query.globs.clear();
  if (look.run_began_ms > 0) {
    query.elsewhere = settings.elsewhere;
    query.elsewhere_since_ns = moment_ns(look.run_began_ms);
  }
  TRY_SET(all, "", sync::collect_outputs(settings.workdir, query));
  forget_the_store(settings, all);
  TRY("", hash(settings, all, look.hashes.string() + "-all"));
  TRY("", gather(settings, all, out));
  return out;
}

}  // namespace ferry::agent
