#include "store/inventory.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"

namespace ferry::store {
namespace {

constexpr std::string_view runs_prefix = "runs/", manifest_name = "manifest.json";

/// "aN/rR/…" as its numbers and the rest; nothing for anything else.
struct Below {
  int attempt = 0, rank = 0;
  std::string_view rest;
};
std::optional<Below> below_rank(std::string_view path) {
  const auto first = path.find('/'), second = first == path.npos ? path.npos : path.find('/', first + 1);
  if (second == path.npos || path[0] != 'a' || path[first + 1] != 'r') return std::nullopt;
  const auto attempt = parse_int(path.substr(1, first - 1));
  const auto rank = parse_int(path.substr(first + 2, second - first - 2));
  constexpr std::int64_t most = 1'000'000;
  if (!attempt || !rank || *attempt < 1 || *rank < 0 || *attempt > most || *rank > most) return std::nullopt;
  return Below{static_cast<int>(*attempt), static_cast<int>(*rank), path.substr(second + 1)};
}

std::string kind_of(std::string_view path) {
  const auto below = below_rank(path);
  if (!below) return "";
  std::string folder(below->rest.substr(0, std::min(below->rest.find('/'), below->rest.size())));
  constexpr std::string_view by_content = "-by-content";
  if (folder.ends_with(by_content)) folder.resize(folder.size() - by_content.size());
  constexpr std::array<std::string_view, 4> folders = {"outputs", "checkpoints", "log", "record"};
  return std::ranges::find(folders, folder) == folders.end() ? "" : folder;
}

/// Counts an object that is below runs/NAME/ in.
void count(StoredRun& run, const Object& object) {
  const auto path = std::string_view(object.key).substr(run_prefix(run.name).size());
  ++run.objects;
  run.bytes += object.bytes;
  run.bytes_by_kind[kind_of(path)] += object.bytes;
  run.modified_ms = std::max(run.modified_ms, object.modified_ms);
  if (const auto below = below_rank(path); below && below->rest == manifest_name) run.manifests.push_back(object.key);
}

Result<Manifest> read_manifest(Store& store, const std::string& key) {
  TRY_SET(stored, "", store.get(key, most_manifest_bytes));
  TRY_SET(manifest, "the stored " + key, parse_manifest(stored.bytes));
  if (manifest_key(manifest.run, manifest.attempt, manifest.rank) != key)
    return fail(Kind::corrupt, "the stored " + key + " is of another run or place",
                fmt::format("it says run {}, attempt {}, rank {}", manifest.run, manifest.attempt, manifest.rank));
  return manifest;
}

}  // namespace

Result<std::vector<StoredRun>> stored_runs(Store& store) {
  std::vector<StoredRun> runs;
  TRY("", store.list(std::string(runs_prefix), [&](const Object& object) -> Status {
    const auto path = std::string_view(object.key).substr(runs_prefix.size());
    const std::string name(path.substr(0, std::min(path.find('/'), path.size())));
    if (!is_run_name(name) || name.size() == path.size()) return {};
    if (runs.empty() || runs.back().name != name) runs.push_back({.name = name});
    count(runs.back(), object);
    return {};
  }));
  std::ranges::sort(runs, {}, &StoredRun::name);  // keys have "a-1/" before "a/"
  return runs;
}

Result<StoredRun> stored_run(Store& store, const std::string& name) {
  if (!is_run_name(name)) return fail(Kind::bad_input, "no run's name: " + printable(name));
  StoredRun run{.name = name};
  TRY("", store.list(run_prefix(name), [&](const Object& object) -> Status {
    count(run, object);
    return {};
  }));
  if (run.objects == 0)
    return fail(Kind::not_found, "nothing of " + name + " is in " + store.uri(), {}, "see what is: ferry store ls");
  return run;
}

Result<std::vector<Manifest>> newest_manifests(Store& store, const StoredRun& run) {
  int newest = 0;
  std::map<int, std::string> keys;  // by rank
  for (const auto& key : run.manifests) {
    const auto below = below_rank(std::string_view(key).substr(run_prefix(run.name).size()));
    if (!below || below->attempt < newest) continue;
    if (below->attempt > newest) keys.clear();
    newest = below->attempt;
    keys[below->rank] = key;
  }
  std::vector<Manifest> manifests;
  for (const auto& [rank, key] : keys) {
    TRY_SET(manifest, "", read_manifest(store, key));
    manifests.push_back(std::move(manifest));
  }
  return manifests;
}

bool is_complete(const std::vector<Manifest>& manifests) {
  return !manifests.empty() && std::ranges::all_of(manifests, &Manifest::complete);
}

Result<std::vector<Object>> unnamed_objects(Store& store, const StoredRun& run) {
  std::set<std::string> named(run.manifests.begin(), run.manifests.end());
  for (const auto& key : {lease_key(run.name), record_key(run.name), history_key(run.name), sent_key(run.name)})
    named.insert(key);
  for (const auto& key : run.manifests) {
    TRY_SET(manifest, "", read_manifest(store, key));
    for (const auto& entry : manifest.entries) named.insert(entry.key);
  }
  std::vector<Object> unnamed;
  TRY("", store.list(run_prefix(run.name), [&](const Object& object) -> Status {
    if (!named.contains(object.key)) unnamed.push_back(object);
    return {};
  }));
  return unnamed;
}

Status remove_run(Store& store, const StoredRun& run) {
  for (const auto& key : run.manifests) TRY("", store.remove(key));
  return store.remove_all(run_prefix(run.name));
}

}  // namespace ferry::store
