#include "sync/secrets.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace ferry::sync {

namespace {

constexpr std::size_t looked_at = 1024;
/// The smallest is Ed25519's in PKCS #8; a chain of certificates may stand behind a key.
constexpr std::uint64_t least_key = 100, most_key = 32'768;

/// A line of PEM: "-----BEGIN", maybe the algorithm, "PRIVATE KEY", maybe " BLOCK" (OpenPGP), "-----".
bool has_pem_line(std::string_view text, bool anywhere) {
  constexpr std::string_view begin = "-----BEGIN ", key = "PRIVATE KEY";
  for (auto at = text.find(begin); at != text.npos; at = text.find(begin, at + 1)) {
    if (!anywhere && at > 0 && text[at - 1] != '\n' && text[at - 1] != '\r') continue;
    const auto rest = text.substr(at + begin.size(), 60);
    const auto end = rest.find("-----");
    if (end != rest.npos && rest.substr(0, end).find(key) != rest.npos) return true;
  }
  return false;
}

/// By its ending.
bool is_other_kind(std::string_view name) {
  static constexpr std::string_view never[] = {
      "bmp",   "bz2",  "c",   "cc",  "cfg", "cpp",  "css", "csv",   "cu",  "cuh",     "flac", "gif",
      "go",    "gz",   "h",   "h5",  "hpp", "html", "ini", "ipynb", "jl",  "jpeg",    "jpg",  "js",
      "jsonl", "lock", "md",  "mp3", "mp4", "npy",  "npz", "o",     "ogg", "parquet", "pb",   "pkl",
      "png",   "pt",   "pth", "py",  "pyc", "pyi",  "r",   "rs",    "rst", "sh",      "so",   "svg",
      "tif",   "toml", "ts",  "tsv", "wav", "webp", "xml", "yaml",  "yml"};
  const auto dot = name.rfind('.');
  if (dot == name.npos || dot == 0) return false;
  const auto ending = lower(name.substr(dot + 1));
  return std::ranges::binary_search(never, std::string_view(ending));
}

bool speaks_of_keys(std::string_view name) {
  const auto text = lower(name);
  for (const std::string_view word :
       {"key", "id_", ".pem", ".ppk", ".p8", "secret", "cred", "private", "cert", "account"}) {
    if (text.find(word) != text.npos) return true;
  }
  return false;
}

}  // namespace

std::string_view secret_by_name(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> known[] = {
      {".ssh", "ssh keys"},
      {".aws", "AWS credentials"},
      {".gnupg", "GnuPG keys"},
      {".kube", "Kubernetes credentials"},
      {".netrc", "passwords"},
      {"_netrc", "passwords"},
      {".git-credentials", "passwords"},
  };
  for (const auto& [secret, holds] : known) {
    if (name == secret) return holds;
  }
  return {};
}

KeySearch::KeySearch(const Listing& folder) {
  constexpr std::size_t many = 64;
  if (folder.items.size() <= many) return;
  std::size_t others = 0;
  for (const auto& item : folder.items) {
    others += is_other_kind(folder.name(item)) ? 0 : 1;
    if ((is_crowd_ = others > many)) return;
  }
}

bool KeySearch::opens(std::string_view name, std::uint64_t size, std::uint32_t mode) const {
  if (size < least_key || size > most_key || is_other_kind(name)) return false;
  return !is_crowd_ || (mode & 0077) == 0 || speaks_of_keys(name);
}

std::string_view private_key_in(std::string_view beginning) {
  const auto text = beginning.substr(0, looked_at);
  const auto first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (first == text.npos) return {};
  if (text.substr(first).starts_with("PuTTY-User-Key-File-")) return "a PuTTY key";
  if (has_pem_line(text, false)) return "a private key";
  // A cloud's service account: the key stands in JSON, on one line.
  if (text[first] == '{' && text.find("\"private_key\"") != text.npos && has_pem_line(text, true))
    return "a service account's key";
  return {};
}

std::string_view private_key_at(Root& root, std::string_view path) {
  const auto file = root.open_file(path);
  if (!file) return {};
  char buffer[looked_at];
  const auto got = ::pread(file->get(), buffer, sizeof buffer, 0);
  return got <= 0 ? std::string_view() : private_key_in({buffer, static_cast<std::size_t>(got)});
}

}  // namespace ferry::sync
