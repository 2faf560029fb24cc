#include "job/passed_on.h"

#include <filesystem>
#include <map>
#include <set>

#include "agent/stored_files.h"
#include "base/hash.h"
#include "base/text.h"
#include "job/mounts.h"

namespace ferry::job {

Result<Taken> leave_to_store(sync::Tree& tree, const os::Path& workdir, const PassedOn& passed_on) {
  auto stored = agent::files_of(passed_on.manifest);
  std::erase_if(stored, [](const auto& one) { return !one.link.empty(); });
  std::map<std::string_view, const sync::Entry*> in_tree;
  for (const auto& entry : tree.entries) {
    if (entry.type == sync::Type::file) in_tree[entry.path] = &entry;
  }
  std::error_code failed;
  const auto home = std::filesystem::canonical(passed_on.home, failed);
  if (failed) return Taken();
  sync::Tree at_home;
  for (const auto& one : stored) {
    const auto found = in_tree.find(one.path);
    if (found == in_tree.end() || found->second->size != one.bytes ||
        source_of(tree, workdir, one.path) != home / one.path)
      return Taken();
    at_home.entries.push_back(*found->second);
  }
  TRY("read what is home", sync::hash_tree(home, at_home, {}));
  std::map<std::string_view, std::string> hashes;
  for (const auto& entry : at_home.entries) hashes[entry.path] = hex(entry.sha256);
  Taken taken;
  std::set<std::string_view> paths;
  for (const auto& one : stored) {
    if (hashes[one.path] != one.sha256 || !paths.insert(one.path).second) return Taken();
    ++taken.files;
    taken.bytes += one.bytes;
  }
  std::erase_if(tree.entries, [&](const auto& entry) { return paths.contains(entry.path); });
  tree.files -= taken.files;
  tree.bytes -= taken.bytes;
  return taken;
}

}  // namespace ferry::job
