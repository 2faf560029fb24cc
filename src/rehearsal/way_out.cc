#include "rehearsal/way_out.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "os/env.h"

namespace ferry::rehearsal {
namespace {

/// Doors are sockets of the instance and processes of the host.
constexpr std::size_t most_named = 16;

/// pip's own names of what is passed on, and its variables.
constexpr std::pair<const char*, const char*> pip_keys[] = {{"index-url", "PIP_INDEX_URL"},
                                                            {"extra-index-url", "PIP_EXTRA_INDEX_URL"},
                                                            {"trusted-host", "PIP_TRUSTED_HOST"},
                                                            {"cert", "PIP_CERT"}};
constexpr const char* other_variables[] = {"UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX",
                                           "UV_INSECURE_HOST"};
constexpr const char* index_variables[] = {"PIP_INDEX_URL",      "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL",
                                           "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX",    "UV_INDEX"};
/// Files of certificates; those that show inside, too, are passed on.
constexpr const char* certificates[] = {"PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE",
                                        "GIT_SSL_CAINFO"};

/// What [global] and [install] say, the latter stronger; values of several lines become words.
void read_pip_file(std::string_view text, std::map<std::string, std::string>& into) {
  std::map<std::string, std::map<std::string, std::string>> sections;
  std::string section, key;
  for (const auto& line : split(text, '\n')) {
    const auto word = trim(line);
    if (word.empty() || word.starts_with('#') || word.starts_with(';')) continue;
    if (line[0] == ' ' || line[0] == '\t') {
      if (!key.empty()) sections[section][key] += " " + std::string(word);
      continue;
    }
    key.clear();
    if (word.starts_with('[')) {
      section = lower(word.substr(1, word.find(']') == word.npos ? word.npos : word.find(']') - 1));
    } else if (const auto equals = word.find_first_of("=:"); equals != word.npos) {
      key = lower(trim(word.substr(0, equals)));
      std::ranges::replace(key, '_', '-');
      sections[section][key] = trim(word.substr(equals + 1));
    }
  }
  for (const char* name : {"global", "install"}) {
    for (const auto& [pip_key, variable] : pip_keys) {
      const auto found = sections[name].find(pip_key);
      if (found != sections[name].end() && !trim(found->second).empty()) into[variable] = trim(found->second);
    }
  }
}

/// The host and port of a URL ("https://me:x@host/simple", uv's "name=https://…"); nothing for anything else.
std::optional<sandbox::Target> host_of(std::string_view url) {
  const auto scheme_end = url.find("://");
  if (scheme_end == url.npos) return std::nullopt;
  const bool is_https = lower(url.substr(0, scheme_end)).ends_with("https");
  url.remove_prefix(scheme_end + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  if (const auto at = url.rfind('@'); at != url.npos) url.remove_prefix(at + 1);
  return sandbox::target_from(url, is_https ? 443 : 80);
}

Status add_reach(const std::vector<std::string>& reach, sandbox::WayOut& way) {
  for (const auto& text : reach) {
    const auto target = sandbox::target_from(text);
    if (!target)
      return fail(Kind::bad_input, "not a place to reach: " + short_line(text, 100), "it takes a host and its port",
                  "write HOST:PORT, as in --reach localhost:8080");
    if (sandbox::is_loopback(target->host) && target->host.find(':') != std::string::npos)
      return fail(Kind::bad_input, "not a place to reach: " + short_line(text, 100),
                  "rehearsal machines have no such address", fmt::format("write localhost:{}", target->port));
    if (!way.names(*target)) way.named.push_back(*target);
  }
  if (way.named.size() > most_named)
    return fail(Kind::bad_input, fmt::format("more than {} places to reach are named", most_named));
  return {};
}

}  // namespace

Result<sandbox::WayOut> way_out_of(const Variables& variables, const std::vector<std::string>& pip_files,
                                   const std::vector<std::string>& reach) {
  sandbox::WayOut way{.is_open = true, .named = {}, .settings = {}};
  const auto either = [&](const char* low, const char* high) {
    const auto value = variables(low);
    return value ? *value : variables(high).value_or("");
  };
  const auto all = either("all_proxy", "ALL_PROXY");
  way.http_proxy = either("http_proxy", "HTTP_PROXY");
  way.https_proxy = either("https_proxy", "HTTPS_PROXY");
  if (way.http_proxy.empty()) way.http_proxy = all;
  if (way.https_proxy.empty()) way.https_proxy = all;
  way.no_proxy = either("no_proxy", "NO_PROXY");
  for (const auto& text : pip_files) read_pip_file(text, way.settings);
  for (const auto& [key, variable] : pip_keys) {
    if (const auto value = variables(variable)) way.settings[variable] = *value;
  }
  for (const char* variable : other_variables) {
    if (const auto value = variables(variable)) way.settings[variable] = *value;
  }
  for (const char* variable : certificates) {
    if (const auto value = variables(variable)) way.settings[variable] = *value;
    const auto found = way.settings.find(variable);
    if (found != way.settings.end() && !found->second.starts_with("/etc/ssl/") && !found->second.starts_with("/usr/"))
      way.settings.erase(found);
  }
  for (const char* variable : index_variables) {
    const auto found = way.settings.find(variable);
    if (found == way.settings.end()) continue;
    for (const auto& url : split(found->second, ' ')) {
      if (const auto target = host_of(url); target && !way.names(*target) && way.named.size() < most_named)
        way.named.push_back(*target);
    }
  }
  TRY("", add_reach(reach, way));
  return way;
}

Result<sandbox::WayOut> persons_way_out(const std::vector<std::string>& reach) {
  constexpr std::size_t most = 1 << 20;
  const Variables variables = [](const char* name) { return os::env(name); };
  const auto config = variables("PIP_CONFIG_FILE").value_or("");
  std::vector<std::string> texts;
  if (config != "/dev/null") {  // pip's way to say: none at all
    const auto xdg = variables("XDG_CONFIG_HOME").value_or((os::home_dir() / ".config").string());
    for (const os::Path& file : {os::Path("/etc/pip.conf"), os::home_dir() / ".pip/pip.conf",
                                 os::Path(xdg) / "pip/pip.conf", os::Path(config)})
      texts.push_back(file.empty() ? "" : os::read_file(file, most).value_or(""));
  }
  return way_out_of(variables, texts, reach);
}

std::string why_nowhere(const sandbox::WayOut& way, std::string_view routes, std::string_view ipv6_routes) {
  if (!way.http_proxy.empty() || !way.https_proxy.empty() || !way.named.empty()) return {};
  for (const auto& line : split(routes, '\n')) {
    const auto words = split(line, '\t');
    if (words.size() > 7 && trim(words[1]) == "00000000" && trim(words[7]) == "00000000") return {};
  }
  for (const auto& line : split(ipv6_routes, '\n')) {
    // The kernel's own "nowhere" is such a line, too, on lo.
    if (line.starts_with(std::string(32, '0') + " 00 ") && !trim(line).ends_with(" lo")) return {};
  }
  return "this computer has no way to the internet (no default route, no proxy)";
}

std::string why_nowhere(const sandbox::WayOut& way) {
  constexpr std::size_t most = 4 << 20;
  const auto routes = os::read_file("/proc/net/route", most);
  if (!routes) return {};  // nothing is known
  return why_nowhere(way, *routes, os::read_file("/proc/net/ipv6_route", most).value_or(""));
}

os::Path ways_out(const os::Path& dir) { return dir / "ways-out"; }
os::Path kept_folder(const os::Path& dir) { return dir / "kept"; }

Result<std::string> note_way_out(const os::Path& dir, const sandbox::WayOut& way) {
  if (!way.is_open) return std::string("closed");
  const auto text = dump_json(sandbox::to_json(way)) + "\n";
  const auto word = hex(sha256(text)).substr(0, 16);
  TRY("", os::make_dirs(dir, 0700));
  TRY("", os::make_dirs(ways_out(dir), 0700));
  TRY("note what rehearsal machines may reach", os::write_file(ways_out(dir) / (word + ".json"), text, 0600));
  return word;
}

sandbox::WayOut noted_way_out(const os::Path& dir, const std::string& word) {
  // Tags are whatever a client of the cloud wrote.
  if (word.size() != 16 || word.find_first_not_of("0123456789abcdef") != std::string::npos) return {};
  const auto text = os::read_file(ways_out(dir) / (word + ".json"), 1 << 20);
  if (!text) return {};
  const auto json = parse_json(*text);
  if (!json) return {};
  return sandbox::way_out_from(*json).value_or(sandbox::WayOut());
}

}  // namespace ferry::rehearsal
