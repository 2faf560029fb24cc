// What was sent, for the attempts after the first: in the run's folder, and, packed, in its store.
#include <algorithm>

#include "agent/sent_pack.h"
#include "base/hash.h"
#include "base/text.h"
#include "job/mounts.h"
#include "run/kept.h"

namespace ferry::run {

namespace {

os::Path sent_dir(const fleet::RunDir& run_dir) { return run_dir.path / "sent"; }
os::Path list_of(const fleet::RunDir& run_dir) { return sent_dir(run_dir) / "list.json"; }
os::Path copy_of(const fleet::RunDir& run_dir, const sync::Digest& sha256) { return sent_dir(run_dir) / hex(sha256); }

}  // namespace

Status keep_sent(const fleet::RunDir& run_dir, const os::Path& root, const sync::Tree& tree) {
  if (os::exists(list_of(run_dir))) return {};
  TRY("", os::make_dirs(sent_dir(run_dir), 0700));
  // A disk is not filled for this.
  auto room = std::min(most_kept, os::free_space(run_dir.path) / 4);
  for (const auto& entry : tree.entries) {
    if (entry.type != sync::Type::file || entry.size > std::min(most_kept_file, room)) continue;
    std::error_code failed;
    std::filesystem::copy_file(job::source_of(tree, root, entry.path), copy_of(run_dir, entry.sha256),
                               std::filesystem::copy_options::skip_existing, failed);
    if (!failed) room -= entry.size;
  }
  const auto source = [&](const sync::Entry& entry) {
    const auto from = job::source_of(tree, root, entry.path);
    return from == root / entry.path ? "" : from.string();
  };
  return os::write_file(list_of(run_dir), agent::sent_list(tree, source), 0600);
}

Result<sync::Tree> sent_again(const fleet::RunDir& run_dir, const os::Path& root) {
  const auto text = os::read_file(list_of(run_dir));
  if (!text) return tl::unexpected<Error>(text.error());
  TRY_SET(list, "read what was sent", parse_json(*text));
  sync::Tree tree;
  for (const auto& one : list) {
    TRY_SET(entry, "", agent::sent_entry_from(one));
    if (entry.type == sync::Type::file) {
      const auto copy = copy_of(run_dir, entry.sha256);
      const auto source = agent::bytes_of_sent(one, "source");
      if (os::exists(copy))
        tree.grafts[entry.path] = copy.string();
      else if (!source.empty())
        tree.grafts[entry.path] = source;
    }
    tree.entries.push_back(std::move(entry));
  }
  auto found = tree;
  TRY("read what was sent", sync::hash_tree(root, found, sent_dir(run_dir) / "hashes"));
  std::map<std::string_view, const sync::Entry*> by_path;
  for (const auto& entry : found.entries) by_path[entry.path] = &entry;
  for (const auto& entry : tree.entries) {
    if (entry.type != sync::Type::file) continue;
    const auto now = by_path.find(entry.path);
    if (now == by_path.end() || now->second->sha256 != entry.sha256)
      return fail(Kind::conflict, "the workdir is not what it was when the run began: " + printable(entry.path));
  }
  tree.files = found.files;
  tree.bytes = found.bytes;
  return tree;
}

Status pack_sent(const fleet::RunDir& run_dir, const os::Path& root, const sync::Tree& tree, const os::Path& pack) {
  const auto file_of = [&](const sync::Entry& entry) -> os::Path {
    const auto copy = copy_of(run_dir, entry.sha256);
    return os::exists(copy) ? copy : os::Path(job::source_of(tree, root, entry.path));
  };
  return agent::pack_sent(tree, file_of, pack);
}

Status unpack_sent(const fleet::RunDir& run_dir, const os::Path& pack) {
  TRY_SET(tree, "", agent::unpack_sent(pack, sent_dir(run_dir)));
  return os::write_file(list_of(run_dir), agent::sent_list(tree, [](const sync::Entry&) { return std::string(); }),
                        0600);
}

void forget_sent(const fleet::RunDir& run_dir) { (void)os::remove_all(sent_dir(run_dir)); }

}  // namespace ferry::run
