#include "aws/credentials.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr std::size_t file_limit = std::size_t{4} << 20;

const Settings* section(const Sections& sections, const std::string& name) {
  const auto at = sections.find(name);
  return at == sections.end() ? nullptr : &at->second;
}

/// In the config file every profile but "default" carries the word "profile" in its section's name.
const Settings* config_profile(const Sections& config, const std::string& profile) {
  const Settings* named = section(config, "profile " + profile);
  if (!named && profile == "default") named = section(config, "default");
  return named;
}

Result<Sections> load_sections(const os::Path& file) {
  if (!os::exists(file)) return Sections();
  TRY_SET(text, "", os::read_file(file, file_limit));
  return parse_sections(text, file.string());
}

/// "~/x" in a setting means the home folder, whether or not a shell has seen it.
os::Path expanded(const std::string& path, const os::Path& home) {
  return path.starts_with("~/") ? home / path.substr(2) : os::Path(path);
}

/// "[profile  x]" and "[profile "x"]" → "profile x"
std::string section_name(std::string_view line) {
  const auto words = split_words(line);
  return words ? join(*words, " ") : std::string(trim(line));
}

/// What to do about a profile that does not exist.
std::string instead_of(const std::string& profile, const std::vector<std::string>& there) {
  if (there.empty()) return "`aws configure` makes a profile";
  const auto near = nearest(profile, there);
  return (near ? "did you mean \"" + printable(*near) + "\"? " : "") + "There " + (there.size() == 1 ? "is " : "are ") +
         printable(join(there, ", "));
}

/// "us-east-1", "us-gov-west-1": words and a number at the end. Which of them there are, is for AWS to say.
bool looks_like_region(std::string_view text) {
  const auto parts = split(text, '-');
  const auto is_word = [](const std::string& part) {
    return part.size() >= 2 && std::ranges::all_of(part, [](char c) { return c >= 'a' && c <= 'z'; });
  };
  return parts.size() >= 3 && parts.size() <= 4 && parse_int(parts.back()) &&
         std::all_of(parts.begin(), parts.end() - 1, is_word);
}

std::string without_comment(std::string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if ((text[i] == '#' || text[i] == ';') && (text[i - 1] == ' ' || text[i - 1] == '\t')) {
      return std::string(trim(text.substr(0, i)));
    }
  }
  return std::string(trim(text));
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    const char next = i + 1 < line.size() ? line[i + 1] : '\0';
    if (quote == 0 && space) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    in_word = true;
    const bool escapes = c == '\\' && (quote == 0 || (quote == '"' && (next == '"' || next == '\\')));
    if (escapes && i + 1 == line.size()) return fail(Kind::bad_input, "nothing follows the last backslash");
    if (escapes) {
      word += line[++i];
    } else if (quote == c) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else {
      word += c;
    }
  }
  if (quote != 0) return fail(Kind::bad_input, std::string("the quote ") + quote + " is never closed");
  if (in_word) words.push_back(std::move(word));
  return words;
}

Result<Sections> parse_sections(std::string_view text, std::string_view file) {
  Sections out;
  Settings* current = nullptr;
  std::string parent;  // the setting whose indented lines follow
  int number = 0;
  const auto broken = [&](const char* why) {
    return fail(Kind::corrupt, std::string(file) + ":" + std::to_string(number) + ": not an AWS settings file", why,
                "correct this line, or move the file aside and run `aws configure`");
  };
  for (const auto& line : split(text, '\n')) {
    ++number;
    const std::string_view bare = trim(line);
    if (bare.empty() || bare[0] == '#' || bare[0] == ';') continue;
    if (bare[0] == '[') {
      const auto end = bare.find(']');
      if (end == std::string_view::npos) return broken("a section's name needs a closing ]");
      current = &out[section_name(bare.substr(1, end - 1))];
      parent.clear();
      continue;
    }
    const auto equals = bare.find('=');
    if (!current) return broken("a setting stands before the first [section]");
    const bool nested = (line[0] == ' ' || line[0] == '\t') && !parent.empty();
    if (equals == std::string_view::npos) {
      if (nested) continue;  // the continuation of a longer value; none that is read here has one
      return broken("expected name = value");
    }
    const std::string name = lower(trim(bare.substr(0, equals)));
    const std::string setting = without_comment(bare.substr(equals + 1));
    (*current)[nested ? parent + "." + name : name] = setting;
    if (!nested) parent = name;
  }
  return out;
}

Result<Config> Config::load(Surroundings surroundings) {
  Config config;
  const auto& env = surroundings.env;
  config.config_file_ = expanded(env("AWS_CONFIG_FILE").value_or("~/.aws/config"), surroundings.home);
  config.credentials_file_ =
      expanded(env("AWS_SHARED_CREDENTIALS_FILE").value_or("~/.aws/credentials"), surroundings.home);
  TRY_SET(config_sections, "", load_sections(config.config_file_));
  TRY_SET(shared_sections, "", load_sections(config.credentials_file_));
  config.config_ = std::move(config_sections);
  config.shared_ = std::move(shared_sections);
  std::string named = surroundings.profile;
  if (named.empty()) named = env("AWS_PROFILE").value_or(env("AWS_DEFAULT_PROFILE").value_or(""));
  if (!named.empty()) {
    if (!config.has_profile(named) && named != "default") {
      return fail(Kind::not_found, "there is no AWS profile \"" + printable(named) + "\"",
                  "neither " + config.config_file_.string() + " nor " + config.credentials_file_.string() + " has it",
                  instead_of(named, config.profiles()));
    }
    config.profile_ = named;
  }
  config.surroundings_ = std::move(surroundings);
  return config;
}

std::optional<std::string> setting_of(const Settings* settings, const std::string& name) {
  if (!settings) return std::nullopt;
  const auto at = settings->find(name);
  if (at == settings->end() || at->second.empty()) return std::nullopt;
  return at->second;
}

const Settings* Config::shared_section(const std::string& profile) const { return section(shared_, profile); }
const Settings* Config::config_section(const std::string& profile) const { return config_profile(config_, profile); }
const Settings* Config::sso_session(const std::string& name) const { return section(config_, "sso-session " + name); }

bool Config::has_profile(const std::string& profile) const {
  return shared_section(profile) || config_section(profile);
}

std::vector<std::string> Config::profiles() const {
  std::set<std::string> names;
  for (const auto& [name, settings] : shared_) names.insert(name);
  for (const auto& [name, settings] : config_) {
    if (name == "default") names.insert(name);
    if (name.starts_with("profile ")) names.insert(name.substr(8));
  }
  return {names.begin(), names.end()};
}

std::optional<std::string> Config::setting(const std::string& profile, const std::string& name) const {
  if (auto shared = setting_of(shared_section(profile), name)) return shared;
  return setting_of(config_section(profile), name);
}

Result<std::string> Config::region(const std::string& wanted) const {
  std::string region = wanted;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (region.empty()) region = surroundings_.env(name).value_or("");
  }
  if (region.empty()) region = setting(profile_, "region").value_or("");
  if (region.empty()) {
    return fail(Kind::not_found, "no AWS region is set",
                "neither the task, AWS_REGION nor profile " + profile_ + " names one",
                "write infra: aws/us-east-1, or set AWS_REGION");
  }
  // The region becomes part of a host's name, so nothing else may pass.
  const bool good = region.size() <= 40 && std::all_of(region.begin(), region.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                    });
  if (good && looks_like_region(region)) return region;
  const auto all_but_last = region.substr(0, region.size() - 1);
  if (good && region.back() >= 'a' && looks_like_region(all_but_last))
    return fail(Kind::bad_input, "\"" + region + "\" is a zone, not an AWS region", "",
                "write " + all_but_last + " where the region is set (AWS_REGION, or profile " + profile_ + ")");
  return fail(Kind::bad_input, "\"" + printable(region) + "\" is not an AWS region", "", "regions look like us-east-1");
}

std::string Config::endpoint_url(const std::string& service) const {
  const auto& env = surroundings_.env;
  const std::string ignored = lower(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
                                        .value_or(setting(profile_, "ignore_configured_endpoint_urls").value_or("")));
  if (ignored == "true") return {};
  std::string variable = "AWS_ENDPOINT_URL_";
  for (const char c : service) {
    variable += c == '-' || c == ' ' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  if (auto url = env(variable.c_str())) return *url;
  if (auto url = env("AWS_ENDPOINT_URL")) return *url;
  if (const auto services = setting(profile_, "services")) {
    if (auto url = setting_of(section(config_, "services " + *services), service + ".endpoint_url")) return *url;
  }
  return setting(profile_, "endpoint_url").value_or("");
}

int Config::max_attempts() const {
  const auto text = surroundings_.env("AWS_MAX_ATTEMPTS").value_or(setting(profile_, "max_attempts").value_or("3"));
  const auto attempts = parse_int(text).value_or(3);
  return static_cast<int>(std::clamp<std::int64_t>(attempts, 1, 20));
}

std::string Config::ca_bundle() const {
  if (auto bundle = env("AWS_CA_BUNDLE")) return *bundle;
  return expanded(setting(profile_, "ca_bundle").value_or(""), surroundings_.home).string();
}

}  // namespace ferry::aws
