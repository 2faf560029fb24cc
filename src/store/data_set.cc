#include "store/data_set.h"

#include <algorithm>
#include <set>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "base/units.h"

namespace ferry::store {
namespace {

constexpr std::string_view pushing_prefix = "data/pushing/", files_end = ".files.json", set_end = ".json";
constexpr int set_format = 1;
constexpr std::int64_t gone_after_ms = std::int64_t{2} * 24 * 3600 * 1000;

std::string set_key(const std::string& id) { return std::string(sets_prefix) + id + std::string(set_end); }
std::string files_key(const std::string& id) { return std::string(sets_prefix) + id + std::string(files_end); }
std::string pushing_key(const std::string& id) { return std::string(pushing_prefix) + id; }

auto unreadable(const std::string& id, const std::string& why) {
  return fail(Kind::corrupt, "the data set " + printable(id) + " cannot be right", why,
              "push it again, and look at the store for who else writes there");
}

void sort_files(std::vector<ManifestEntry>& files) { std::ranges::sort(files, {}, &ManifestEntry::path); }

void put_bytes_as(Json& object, const char* name, const char* coded, const std::string& bytes) {
  is_utf8(bytes) ? object[name] = bytes : object[coded] = base64(bytes);
}
std::string bytes_as(const Json& object, const char* name, const char* coded) {
  const auto plain = text_at(object, name);
  return plain.empty() ? from_base64(text_at(object, coded)).value_or("") : plain;
}

Json file_json(const ManifestEntry& file) {
  Json json = {{"mtime_ns", file.mtime_ns}};
  put_bytes_as(json, "path", "path_base64", file.path);
  if (file.link.empty()) {
    json["bytes"] = file.bytes;
    json["sha256"] = file.sha256;
    json["mode"] = file.mode;
  } else {
    put_bytes_as(json, "link", "link_base64", file.link);
  }
  return json;
}

/// Nothing for what is none. Whoever writes it to a disk checks the paths beside each other (sync::Deposit).
std::optional<ManifestEntry> file_from(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  ManifestEntry file;
  file.path = bytes_as(json, "path", "path_base64");
  file.link = bytes_as(json, "link", "link_base64");
  file.mtime_ns = int_at(json, "mtime_ns");
  if (!is_clean_path(file.path) || file.link.size() > most_link || file.link.find('\0') != file.link.npos)
    return std::nullopt;
  if (!file.link.empty()) return file;
  const auto bytes = int_at(json, "bytes", -1), mode = int_at(json, "mode", -1);
  file.sha256 = text_at(json, "sha256");
  if (bytes < 0 || mode < 0 || mode > 0777 || !is_sha256(file.sha256)) return std::nullopt;
  file.bytes = static_cast<std::uint64_t>(bytes);
  file.mode = static_cast<std::uint32_t>(mode);
  file.key = content_key(file.sha256);
  return file;
}

std::optional<DataSet> set_from(const Json& json, const std::string& id) {
  if (!json.is_object() || int_at(json, "format") != set_format || text_at(json, "id") != id) return std::nullopt;
  DataSet set;
  set.id = id;
  set.name = short_line(text_at(json, "name"), 200);
  set.by = short_line(text_at(json, "by"), 200);
  set.files = static_cast<std::uint64_t>(std::max<std::int64_t>(0, int_at(json, "files")));
  set.bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, int_at(json, "bytes")));
  set.made_ms = int_at(json, "made_ms");
  return set;
}

/// The ids of what is called PREFIX ID END.
Result<std::vector<std::string>> ids_below(Store& store, std::string_view prefix, std::string_view end) {
  std::vector<std::string> ids;
  TRY("", store.list(std::string(prefix), [&](const Object& object) -> Status {
    std::string_view id = std::string_view(object.key).substr(prefix.size());
    if (!id.ends_with(end)) return {};
    id.remove_suffix(end.size());
    if (is_set_id(id)) ids.emplace_back(id);
    return {};
  }));
  return ids;
}

Status expect_nobody_pushing(Store& store, const std::vector<std::string>& ids, std::int64_t now_ms) {
  TRY_SET(pushing, "", ids_below(store, pushing_prefix, ""));
  for (const auto& id : pushing) {
    const auto note = store.get(pushing_key(id), 1 << 16);
    if (!note && note.error().kind == Kind::not_found) continue;
    if (!note) return tl::unexpected<Error>(note.error());
    const auto json = parse_json(note->bytes).value_or(Json());
    const auto since = json.is_object() ? int_at(json, "since_ms") : 0;
    if (now_ms - since > gone_after_ms || std::ranges::find(ids, id) != ids.end()) continue;
    return fail(Kind::conflict, "data are being put into the store: what is removed now could be what they need",
                short_line(json.is_object() ? text_at(json, "by") : "", 200),
                "wait until that is done; or, if nobody is at it any more: --force");
  }
  return {};
}

}  // namespace

std::string content_key(std::string_view sha256) { return std::string(contents_prefix) + std::string(sha256); }

bool is_set_id(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string set_id(std::vector<ManifestEntry> files) {
  sort_files(files);
  Sha256 hash;
  for (const auto& file : files) {
    // Each part says how long it is: no two lists are one text.
    hash.add(fmt::format("{}:{}{}:{}{:o} {} {}\n", file.path.size(), file.path, file.link.size(), file.link, file.mode,
                         file.bytes, file.sha256));
  }
  return hex(hash.finish()).substr(0, 32);
}

Result<std::vector<std::string>> stored_contents(Store& store) {
  std::vector<std::string> all;
  TRY("", store.list(std::string(contents_prefix), [&](const Object& object) -> Status {
    auto sha = object.key.substr(contents_prefix.size());
    if (is_sha256(sha)) all.push_back(std::move(sha));
    return {};
  }));
  std::ranges::sort(all);
  return all;
}

Result<DataSet> look_up_set(Store& store, const std::string& id) {
  TRY_SET(got, "", store.get(set_key(id), 1 << 16));
  const auto json = parse_json(got.bytes);
  const auto set = json ? set_from(*json, id) : std::nullopt;
  if (!set) return unreadable(id, "it does not say what it is");
  return *set;
}

Result<std::vector<DataSet>> list_sets(Store& store) {
  TRY_SET(ids, "", ids_below(store, sets_prefix, set_end));
  std::vector<DataSet> all;
  for (const auto& id : ids) {
    auto set = look_up_set(store, id);
    if (set)
      all.push_back(*std::move(set));
    else if (set.error().kind != Kind::not_found && set.error().kind != Kind::corrupt)
      return tl::unexpected<Error>(set.error());
  }
  std::ranges::stable_sort(all, std::greater<>(), &DataSet::made_ms);
  return all;
}

Result<std::vector<ManifestEntry>> files_of_set(Store& store, const std::string& id) {
  TRY_SET(got, "", store.get(files_key(id)));
  const auto json = parse_json(got.bytes);
  if (!json || !json->is_array() || json->size() > most_entries) return unreadable(id, "its files are no list");
  std::vector<ManifestEntry> files;
  for (const auto& one : *json) {
    auto file = file_from(one);
    if (!file) return unreadable(id, "a file in it is none");
    files.push_back(*std::move(file));
  }
  if (set_id(files) != id) return unreadable(id, "its files are others than its name says");
  return files;
}

Status begin_set(Store& store, const std::string& id, const std::string& by, std::int64_t now_ms) {
  TRY("", store.put(pushing_key(id), dump_json({{"by", by}, {"since_ms", now_ms}})));
  return {};
}

Status commit_set(Store& store, const DataSet& set, const std::vector<ManifestEntry>& files) {
  Json list = Json::array();
  for (const auto& file : files) list.push_back(file_json(file));
  const auto text = dump_json(list);
  if (text.size() > most_small || files.size() > most_entries)
    return fail(Kind::bad_input, fmt::format("a data set of {} files is too large", files.size()),
                fmt::format("the list of its files has {}; at most {} are taken", show_bytes(text.size()),
                            show_bytes(most_small)),
                "pack them (tar, WebDataset shards), or make two sets");
  TRY("", store.put(files_key(set.id), text));
  TRY("", store.put(set_key(set.id), dump_json({{"format", set_format},
                                                {"id", set.id},
                                                {"name", set.name},
                                                {"by", set.by},
                                                {"files", set.files},
                                                {"bytes", set.bytes},
                                                {"made_ms", set.made_ms}})));
  return store.remove(pushing_key(set.id));
}

Result<RemovedSets> remove_sets(Store& store, const std::vector<std::string>& ids, std::int64_t now_ms, bool force) {
  if (!force) TRY("", expect_nobody_pushing(store, ids, now_ms));
  TRY_SET(all, "", ids_below(store, sets_prefix, files_end));
  std::set<std::string> needed;
  for (const auto& id : all) {
    if (std::ranges::find(ids, id) != ids.end()) continue;
    // Of a set that is half removed nothing is needed.
    if (const auto there = store.look(set_key(id)); !there && there.error().kind == Kind::not_found) continue;
    TRY_SET(files, "", files_of_set(store, id));
    for (const auto& file : files) needed.insert(file.sha256);
  }
  for (const auto& id : ids) {
    TRY("", store.remove(set_key(id)));
    TRY("", store.remove(pushing_key(id)));
  }
  RemovedSets removed;
  std::vector<std::string> keys;
  TRY("", store.list(std::string(contents_prefix), [&](const Object& object) -> Status {
    if (needed.contains(object.key.substr(contents_prefix.size()))) return {};
    keys.push_back(object.key);
    removed.bytes += object.bytes;
    return {};
  }));
  for (const auto& key : keys) TRY("", store.remove(key));
  removed.contents = keys.size();
  for (const auto& id : ids) TRY("", store.remove(files_key(id)));
  return removed;
}

}  // namespace ferry::store
