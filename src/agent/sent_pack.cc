#include "agent/sent_pack.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "store/content.h"
#include "store/keys.h"

namespace ferry::agent {

namespace {

/// Bytes that may be no UTF-8: {"base64": …} then.
Json bytes_json(const std::string& bytes) {
  return store::is_utf8(bytes) ? Json(bytes) : Json{{"base64", base64(bytes)}};
}

std::string bytes_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  return found->is_object() ? from_base64(text_at(*found, "base64")).value_or("") : text_at(object, key);
}

Json entry_json(const sync::Entry& entry, const std::string& source) {
  Json json = {{"path", bytes_json(entry.path)}, {"mode", entry.mode}, {"mtime_ns", entry.mtime_ns}};
  json["type"] = entry.type == sync::Type::file ? "file" : entry.type == sync::Type::link ? "link" : "folder";
  if (entry.type == sync::Type::link) json["target"] = bytes_json(entry.target.str());
  if (entry.type != sync::Type::file) return json;
  json["size"] = entry.size;
  json["sha256"] = hex(entry.sha256);
  if (!source.empty()) json["source"] = bytes_json(source);
  return json;
}

constexpr std::string_view pack_greeting = "ferry sent 1 ";
constexpr std::size_t most_list = std::size_t{64} << 20, piece = std::size_t{1} << 20;

Error not_whole() { return {Kind::corrupt, "what was sent is not whole in the store", {}, {}, {}}; }

/// Whoever reads it here, or there, sees by its SHA-256 whether it is what was sent.
Status append(int to, const os::Path& file, std::uint64_t size) {
  TRY_SET(from, "", os::open_file(file, O_RDONLY));
  for (auto left = size; left > 0;) {
    TRY_SET(bytes, "read " + file.string(), os::read_some(from.get(), std::min<std::uint64_t>(piece, left)));
    if (bytes.empty()) return fail(Kind::conflict, "it has become shorter: " + printable(file.string()));
    TRY("", os::write_all(to, bytes));
    left -= bytes.size();
  }
  return {};
}

/// The next `size` bytes of the pack, as the file at `to`, if their SHA-256 is the one that the list says.
Status take_out(int from, const os::Path& to, const sync::Entry& entry) {
  const os::Path part = to.string() + ".part";
  TRY_SET(fd, "", os::open_file(part, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  Sha256 hash;
  for (auto left = entry.size; left > 0;) {
    TRY_SET(bytes, "read what was sent", os::read_some(from, std::min<std::uint64_t>(piece, left)));
    if (bytes.empty()) return tl::unexpected<Error>(not_whole());
    hash.add(bytes);
    TRY("", os::write_all(fd.get(), bytes));
    left -= bytes.size();
  }
  if (hash.finish() != entry.sha256)
    return fail(Kind::corrupt, "in the store another file stands for " + printable(entry.path));
  if (::rename(part.c_str(), to.c_str()) < 0) return fail_errno("rename " + part.string());
  return {};
}

}  // namespace

std::string sent_list(const sync::Tree& tree, const std::function<std::string(const sync::Entry&)>& source) {
  Json list = Json::array();
  for (const auto& entry : tree.entries) list.push_back(entry_json(entry, source(entry)));
  return dump_json(list);
}

Result<sync::Entry> sent_entry_from(const Json& json) {
  const auto type = json.is_object() ? text_at(json, "type") : "";
  sync::Entry entry{.path = type.empty() ? "" : bytes_at(json, "path")};
  const bool is_file = type == "file";
  if (!store::is_clean_path(entry.path) || (!is_file && type != "link" && type != "folder"))
    return fail(Kind::corrupt, "the list of what was sent cannot be read");
  entry.type = is_file ? sync::Type::file : type == "link" ? sync::Type::link : sync::Type::folder;
  entry.mode = static_cast<std::uint32_t>(int_at(json, "mode")) & 07777;
  entry.mtime_ns = int_at(json, "mtime_ns");
  entry.target = bytes_at(json, "target");
  entry.size = static_cast<std::uint64_t>(int_at(json, "size"));
  if (const auto sha256 = text_at(json, "sha256"); store::is_sha256(sha256)) entry.sha256 = store::raw_sha256(sha256);
  return entry;
}

std::string bytes_of_sent(const Json& entry, const char* key) { return bytes_at(entry, key); }

Status pack_sent(const sync::Tree& tree, const std::function<os::Path(const sync::Entry&)>& file_of,
                 const os::Path& pack) {
  const auto list = sent_list(tree, [](const sync::Entry&) { return std::string(); });
  TRY_SET(to, "", os::open_file(pack, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  TRY("", os::write_all(to.get(), fmt::format("{}{}\n{}", pack_greeting, list.size(), list)));
  std::set<sync::Digest> packed;
  for (const auto& entry : tree.entries) {
    if (entry.type != sync::Type::file || !packed.insert(entry.sha256).second) continue;
    TRY("", append(to.get(), file_of(entry), entry.size));
  }
  return {};
}

Result<sync::Tree> unpack_sent(const os::Path& pack, const os::Path& folder) {
  TRY_SET(from, "", os::open_file(pack, O_RDONLY));
  std::string first;
  while (first.size() < 40 && !first.ends_with('\n')) {
    TRY_SET(next, "read what was sent", os::read_exactly(from.get(), 1));
    first += next;
  }
  const auto size = first.starts_with(pack_greeting)
                        ? parse_int(trim(std::string_view(first).substr(pack_greeting.size())))
                        : std::nullopt;
  if (!size || *size < 0 || static_cast<std::uint64_t>(*size) > most_list)
    return fail(Kind::corrupt, "what the store has as what was sent is nothing that ferry wrote");
  const auto text = os::read_exactly(from.get(), static_cast<std::size_t>(*size));
  if (!text) return tl::unexpected<Error>(not_whole());
  TRY_SET(list, "read what was sent", parse_json(*text));
  if (!list.is_array()) return fail(Kind::corrupt, "the list of what was sent cannot be read");
  TRY("", os::make_dirs(folder, 0700));
  sync::Tree tree;
  std::set<sync::Digest> taken;
  std::uint64_t bytes = 0;
  for (const auto& one : list) {
    TRY_SET(entry, "", sent_entry_from(one));
    const bool is_file = entry.type == sync::Type::file;
    if (is_file && (entry.sha256.empty() || entry.size > most_packed || (bytes += entry.size) > 4 * most_packed))
      return fail(Kind::corrupt, "the list of what was sent cannot be read");
    if (is_file && taken.insert(entry.sha256).second) TRY("", take_out(from.get(), folder / hex(entry.sha256), entry));
    if (is_file) tree.grafts[entry.path] = (folder / hex(entry.sha256)).string();
    if (is_file) ++tree.files;
    tree.entries.push_back(std::move(entry));
  }
  tree.bytes = bytes;
  return tree;
}

}  // namespace ferry::agent
