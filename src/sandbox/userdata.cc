#include "sandbox/userdata.h"

#include <yaml-cpp/yaml.h>

#include "base/text.h"

namespace ferry::sandbox {

namespace {

/// EC2 takes 16 KiB; this also bounds what the YAML parser is fed.
constexpr std::size_t longest_user_data = 64 << 10;
/// Deeper nesting has no meaning in cloud-config.
constexpr int deepest_flow = 32;

/// A wrong shape inside; caught at parse_user_data's wall.
struct Misshapen : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string text_of(const YAML::Node& node, const std::string& what) {
  if (!node.IsScalar()) throw Misshapen(what + " must be text");
  return node.Scalar();
}

/// Each item is one shell line, or a list of words.
std::vector<os::Argv> commands_of(const YAML::Node& node, const std::string& key) {
  if (!node.IsSequence()) throw Misshapen(key + " must be a list");
  std::vector<os::Argv> out;
  for (const auto& item : node) {
    os::Argv argv;
    if (item.IsSequence()) {
      for (const auto& word : item) argv.push_back(text_of(word, "a word of " + key));
    } else if (!item.IsNull()) {
      argv = {"/bin/sh", "-c", text_of(item, "a command of " + key)};
    }
    if (!argv.empty()) out.push_back(std::move(argv));
  }
  return out;
}

FileToWrite file_of(const YAML::Node& node) {
  if (!node.IsMap() || !node["path"]) throw Misshapen("write_files needs entries with a path");
  FileToWrite file;
  file.path = text_of(node["path"], "path");
  if (!file.path.starts_with('/')) throw Misshapen("write_files: " + file.path + " is not absolute");
  if (node["content"]) file.content = text_of(node["content"], "content");
  if (node["owner"]) file.owner = text_of(node["owner"], "owner");
  if (node["append"]) file.append = node["append"].as<bool>();
  if (node["permissions"]) {
    const std::string mode = text_of(node["permissions"], "permissions");
    if (mode.empty() || mode.size() > 5 || mode.find_first_not_of("01234567") != std::string::npos) {
      throw Misshapen("permissions must be octal: " + mode);
    }
    file.mode = static_cast<std::uint32_t>(std::stoul(mode, nullptr, 8)) & 07777;
  }
  const std::string encoding = node["encoding"] ? text_of(node["encoding"], "encoding") : "text/plain";
  if (encoding == "b64" || encoding == "base64") {
    auto decoded = from_base64(file.content);
    if (!decoded) throw Misshapen("content of " + file.path + " is not base64");
    file.content = std::move(*decoded);
  } else if (encoding != "text/plain") {
    throw Misshapen("encoding " + encoding + " is not done here (b64 and text/plain are)");
  }
  return file;
}

void take_key(UserData& out, const std::string& key, const YAML::Node& value) {
  if (key == "hostname") {
    out.hostname = text_of(value, key);
  } else if (key == "ssh_keys") {
    if (!value.IsMap()) throw Misshapen("ssh_keys must be a map");
    if (value["ed25519_private"]) out.host_key = text_of(value["ed25519_private"], "ed25519_private");
    if (value["ed25519_public"]) out.host_key_public = text_of(value["ed25519_public"], "ed25519_public");
  } else if (key == "ssh_authorized_keys") {
    if (!value.IsSequence()) throw Misshapen("ssh_authorized_keys must be a list");
    for (const auto& item : value) out.authorized_keys.push_back(text_of(item, "a key of ssh_authorized_keys"));
  } else if (key == "bootcmd") {
    out.boot_commands = commands_of(value, key);
  } else if (key == "runcmd") {
    out.run_commands = commands_of(value, key);
  } else if (key == "write_files") {
    if (!value.IsSequence()) throw Misshapen("write_files must be a list");
    for (const auto& item : value) out.files.push_back(file_of(item));
  } else {
    out.notes.push_back("cloud-config key \"" + printable(key) + "\" is not done on a rehearsal instance");
  }
}

/// Brackets inside brackets, counted roughly: the YAML parser would recurse once for each.
bool nests_too_deep(std::string_view text) {
  int depth = 0, indent_dashes = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && depth > 0) --depth;
    indent_dashes = c == '-' || c == '?' || c == ' ' ? indent_dashes + (c != ' ') : 0;
    if (depth > deepest_flow || indent_dashes > 2 * deepest_flow) return true;
  }
  return false;
}

UserData parse_cloud_config(std::string_view text) {
  UserData out;
  if (nests_too_deep(text)) throw Misshapen("nested too deep");
  const YAML::Node root = YAML::Load(std::string(text));
  if (root.IsNull()) return out;
  if (!root.IsMap()) throw Misshapen("must be a map of keys");
  for (const auto& entry : root) take_key(out, text_of(entry.first, "a key"), entry.second);
  return out;
}

}  // namespace

Result<UserData> parse_user_data(std::string_view bytes) try {
  UserData out;
  if (trim(bytes).empty()) return out;
  if (bytes.size() > longest_user_data) return fail(Kind::corrupt, "user-data longer than 64 KiB");
  if (bytes.starts_with("#!")) {
    out.script = bytes;
  } else if (bytes.starts_with("#cloud-config")) {
    return parse_cloud_config(bytes);
  } else if (bytes.starts_with("\x1f\x8b")) {
    out.notes.push_back("user-data is gzip, which is not done on a rehearsal instance");
  } else if (lower(bytes.substr(0, 1000)).find("mime-version:") != std::string::npos) {
    out.notes.push_back("user-data is MIME multipart, which is not done on a rehearsal instance");
  } else {
    out.notes.push_back("user-data begins neither with #! nor with #cloud-config: not run");
  }
  return out;
} catch (const std::exception& wrong) {  // yaml-cpp's and our own
  return fail(Kind::corrupt, "cloud-config in user-data", printable(wrong.what()));
}

}  // namespace ferry::sandbox
