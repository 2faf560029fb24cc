#include "store/manifest.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <unordered_set>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace ferry::store {
namespace {

constexpr int format = 1;
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 56;
constexpr int most_count = 1'000'000;  // attempts, ranks
constexpr std::array<FileKind, 4> kinds = {FileKind::output, FileKind::checkpoint, FileKind::log, FileKind::record};

auto bad(const std::string& why, std::string_view what = {}) {
  return fail(Kind::corrupt, "the manifest of a stored run cannot be right",
              why + (what.empty() ? "" : ": " + short_line(what, 200)),
              "nothing was read from it; look at the store for who else writes there");
}

auto order_of(const ManifestEntry& entry) { return std::tie(entry.kind, entry.path); }

/// The whole number at `name`, where there is one from `least` to `most`.
template <class Number>
std::optional<Number> number(const Json& object, const char* name, Number least, Number most) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_number_integer()) return std::nullopt;
  if (at->is_number_unsigned()) {
    const auto value = at->get<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(most)) return std::nullopt;
    return static_cast<Number>(value) < least ? std::nullopt : std::optional<Number>(static_cast<Number>(value));
  }
  const auto value = at->get<std::int64_t>();  // negative: only signed numbers may be
  if constexpr (std::is_unsigned_v<Number>) return std::nullopt;
  return value < static_cast<std::int64_t>(least) ? std::nullopt : std::optional<Number>(static_cast<Number>(value));
}

std::optional<std::string> text(const Json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_string()) return std::nullopt;
  return at->get<std::string>();
}

std::string hash_of(const Json& without_hash) { return hex(sha256(dump_json(without_hash))); }

/// Bytes at `name`, or where they are not UTF-8 at `name`_base64. Empty where there are none.
Result<std::string> bytes_at(const Json& object, const std::string& name) {
  if (const auto plain = text(object, name.c_str())) return *plain;
  const auto coded = text(object, (name + "_base64").c_str());
  if (!coded) return std::string();
  const auto bytes = from_base64(*coded);
  if (!bytes || is_utf8(*bytes) || base64(*bytes) != *coded) return bad("a " + name + " is written wrongly", *coded);
  return *bytes;
}

void put_bytes(Json& object, const std::string& name, const std::string& bytes) {
  is_utf8(bytes) ? object[name] = bytes : object[name + "_base64"] = base64(bytes);
}

Status read_content(const Json& json, const std::string& run, ManifestEntry& entry) {
  const auto sha = text(json, "sha256"), key = text(json, "key");
  const auto bytes = number<std::uint64_t>(json, "bytes", 0, most_bytes);
  const auto mode = number<std::uint32_t>(json, "mode", 0, 0777);
  if (!sha || !is_sha256(*sha)) return bad("an entry has no SHA-256", entry.path);
  if (!bytes || !mode) return bad("an entry's size or mode cannot be", entry.path);
  if (!key || !check_key(*key) || !key->starts_with(run_prefix(run)))
    return bad("an entry's key is not the run's", entry.path);
  entry.bytes = *bytes;
  entry.sha256 = *sha;
  entry.mode = *mode;
  entry.key = *key;
  return {};
}

Result<ManifestEntry> read_entry(const Json& json, const std::string& run) {
  if (!json.is_object()) return bad("an entry is none");
  ManifestEntry entry;
  TRY_SET(path, "", bytes_at(json, "path"));
  TRY_SET(link, "", bytes_at(json, "link"));
  entry.path = std::move(path);
  entry.link = std::move(link);
  if (!is_clean_path(entry.path)) return bad("not a clean relative path", entry.path);
  if (json.size() != (entry.link.empty() ? 7U : 4U))
    return bad("an entry has other members than it should", entry.path);
  const auto kind = text(json, "kind");
  const auto at = std::find_if(kinds.begin(), kinds.end(), [&](FileKind one) { return kind && name(one) == *kind; });
  const auto mtime = number<std::int64_t>(json, "mtime_ns", INT64_MIN, INT64_MAX);
  if (at == kinds.end()) return bad("an entry is of no kind", entry.path);
  if (!mtime) return bad("an entry's time cannot be", entry.path);
  entry.kind = *at;
  entry.mtime_ns = *mtime;
  if (entry.link.empty()) {
    TRY("", read_content(json, run, entry));
  } else if (entry.link.size() > most_link || entry.link.find('\0') != std::string::npos) {
    return bad("a link that cannot be", entry.path);
  }
  return entry;
}

/// Where one path is a file and a folder, neither could be written.
Status check_folders(const std::vector<ManifestEntry>& entries) {
  for (const FileKind kind : kinds) {
    std::unordered_set<std::string_view> files;
    for (const ManifestEntry& entry : entries) {
      if (entry.kind == kind) files.insert(entry.path);
    }
    for (const ManifestEntry& entry : entries) {
      if (entry.kind != kind) continue;
      const std::string_view path = entry.path;
      for (auto slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
        if (files.contains(path.substr(0, slash))) return bad("a path is a file and a folder", path.substr(0, slash));
      }
    }
  }
  return {};
}

/// JSON of at most three levels and no more values than a manifest can have: memory is bounded, whatever the
/// text is.
Result<Json> bounded_json(std::string_view manifest) {
  std::size_t values = 0;
  bool refused = false;
  constexpr std::size_t most_values = most_entries * 16 + 100;
  const auto keep = [&](int depth, Json::parse_event_t, Json&) {
    refused = refused || depth > 3 || ++values > most_values;
    return !refused;
  };
  Json json = Json::parse(manifest.begin(), manifest.end(), keep, false);
  if (refused || json.is_discarded()) return bad("it is not the JSON of a manifest");
  return json;
}

}  // namespace

Result<std::string> manifest_text(Manifest manifest) {
  std::sort(manifest.entries.begin(), manifest.entries.end(),
            [](const auto& a, const auto& b) { return order_of(a) < order_of(b); });
  Json entries = Json::array();
  for (const ManifestEntry& entry : manifest.entries) {
    Json json = {{"kind", std::string(name(entry.kind))}, {"mtime_ns", entry.mtime_ns}};
    put_bytes(json, "path", entry.path);
    if (entry.link.empty()) {
      json["bytes"] = entry.bytes;
      json["sha256"] = entry.sha256;
      json["mode"] = entry.mode;
      json["key"] = entry.key;
    } else {
      put_bytes(json, "link", entry.link);
    }
    entries.push_back(std::move(json));
  }
  Json json = {{"format", format},
               {"run", manifest.run},
               {"attempt", manifest.attempt},
               {"rank", manifest.rank},
               {"made_ms", manifest.made_ms},
               {"complete", manifest.complete},
               {"entries", std::move(entries)}};
  json["sha256"] = hash_of(json);
  std::string out = dump_json(json);
  if (auto again = parse_manifest(out); !again) {
    Error error = std::move(again).error();
    error.kind = Kind::bad_input;
    return tl::unexpected(std::move(error));
  }
  return out;
}

Result<Manifest> parse_manifest(std::string_view manifest) {
  if (manifest.size() > most_manifest_bytes) return bad("it is larger than any manifest");
  TRY_SET(json, "", bounded_json(manifest));
  if (!json.is_object()) return bad("it is not the JSON of a manifest");
  const auto version = number<std::int64_t>(json, "format", 1, INT32_MAX);
  if (!version) return bad("it names no format");
  if (*version != format) {
    return fail(Kind::unsupported, "the manifest of a stored run has format " + std::to_string(*version),
                "this ferry reads format 1", "use the ferry that wrote it, or a later one");
  }
  const auto hash = text(json, "sha256");
  json.erase("sha256");
  if (!hash || hash_of(json) != *hash) return bad("its own hash is wrong: it was cut or changed");
  Manifest out;
  const auto run = text(json, "run");
  const auto attempt = number<int>(json, "attempt", 1, most_count), rank = number<int>(json, "rank", 0, most_count);
  const auto made = number<std::int64_t>(json, "made_ms", 0, INT64_MAX);
  const auto complete = json.find("complete"), entries = json.find("entries");
  if (json.size() != 7 || !run || !is_run_name(*run) || !attempt || !rank || !made || complete == json.end() ||
      !complete->is_boolean() || entries == json.end() || !entries->is_array() || entries->size() > most_entries) {
    return bad("its members are not those of a manifest");
  }
  out.run = *run;
  out.attempt = *attempt;
  out.rank = *rank;
  out.made_ms = *made;
  out.complete = complete->get<bool>();
  for (const Json& one : *entries) {
    TRY_SET(entry, "", read_entry(one, out.run));
    if (!out.entries.empty() && !(order_of(out.entries.back()) < order_of(entry)))
      return bad("entries out of order", entry.path);
    out.entries.push_back(std::move(entry));
  }
  TRY("", check_folders(out.entries));
  return out;
}

}  // namespace ferry::store
