#include "aws/credentials.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr std::size_t file_limit = std::size_t{4} << 20;

using Settings = std::map<std::string, std::string>;

const Settings* section(const Sections& sections, const std::string& name) {
  const auto at = sections.find(name);
  return at == sections.end() ? nullptr : &at->second;
}

std::optional<std::string> value(const Settings* settings, const std::string& name) {
  if (!settings) return std::nullopt;
  const auto at = settings->find(name);
  if (at == settings->end() || at->second.empty()) return std::nullopt;
  return at->second;
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

/// Both keys of a section, if it has either. Half a pair is an error.
Result<std::optional<Credentials>> key_pair(const Settings* settings, std::string source) {
  const auto id = value(settings, "aws_access_key_id");
  const auto secret = value(settings, "aws_secret_access_key");
  if (!id && !secret) return std::nullopt;
  if (!id || !secret) {
    return fail(Kind::bad_input,
                source + " has " +
                    (id ? "aws_access_key_id but no aws_secret_access_key"
                        : "aws_secret_access_key but no aws_access_key_id"),
                "a key has two halves", "add the missing half (`aws configure` writes both)");
  }
  return Credentials{*id, *secret, value(settings, "aws_session_token").value_or(""), std::move(source)};
}

std::string profile_source(const std::string& profile, const os::Path& file) {
  return "profile " + profile + " (" + file.string() + ")";
}

/// "[profile  x]" → "profile x"
std::string section_name(std::string_view line) {
  std::string out;
  for (const auto& word : split(line, ' ')) {
    const auto bare = trim(word);
    if (bare.empty()) continue;
    if (!out.empty()) out += ' ';
    out += bare;
  }
  return out;
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

Result<Sections> parse_sections(std::string_view text, std::string_view file) {
  Sections out;
  Settings* current = nullptr;
  std::string parent;  // the setting whose indented lines follow
  int number = 0;
  const auto broken = [&](const char* why) {
    return fail(Kind::bad_input,
                std::string(file) + ":" + std::to_string(number) + ": not an AWS settings file", why,
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

/// The sources of credentials, in the order people expect. A source answers nothing when it is not
/// configured. To add one (single sign-on, roles, a process, a container, the instance's own role), write it
/// here and put it into `in_order` at its place.
struct CredentialSources {
  using Source = Result<std::optional<Credentials>> (*)(const Config&);

  static Result<std::optional<Credentials>> environment(const Config& config) {
    if (!config.surroundings_.profile.empty()) return std::nullopt;
    Settings settings;
    for (const auto& [name, variable] : {std::pair{"aws_access_key_id", "AWS_ACCESS_KEY_ID"},
                                         std::pair{"aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"},
                                         std::pair{"aws_session_token", "AWS_SESSION_TOKEN"}}) {
      settings[name] = config.surroundings_.env(variable).value_or("");
    }
    return key_pair(&settings, "environment");
  }

  static Result<std::optional<Credentials>> shared_file(const Config& config) {
    return key_pair(section(config.shared_, config.profile_),
                    profile_source(config.profile_, config.credentials_file_));
  }

  static Result<std::optional<Credentials>> config_file(const Config& config) {
    return key_pair(config_profile(config.config_, config.profile_),
                    profile_source(config.profile_, config.config_file_));
  }

  static Result<std::optional<Credentials>> not_readable_yet(const Config& config) {
    for (const char* name :
         {"role_arn", "sso_session", "sso_start_url", "credential_process", "login_session"}) {
      if (!config.setting(name)) continue;
      return fail(Kind::unsupported,
                  "profile " + config.profile_ + " gets its credentials by " + name +
                      ", which this version cannot do itself",
                  config.config_file_.string(),
                  "eval \"$(aws configure export-credentials --profile " + config.profile_ +
                      " --format env)\" and run the command again");
    }
    return std::nullopt;
  }

  /// A profile that assumes a role may also name the keys it starts from; so the role is asked about first.
  static constexpr std::array<Source, 4> in_order = {environment, not_readable_yet, shared_file, config_file};
};

Result<Config> Config::load(Surroundings surroundings) {
  Config config;
  const auto& env = surroundings.env;
  config.config_file_ = env("AWS_CONFIG_FILE").value_or((surroundings.home / ".aws/config").string());
  config.credentials_file_ =
      env("AWS_SHARED_CREDENTIALS_FILE").value_or((surroundings.home / ".aws/credentials").string());
  TRY_SET(config_sections, "", load_sections(config.config_file_));
  TRY_SET(shared_sections, "", load_sections(config.credentials_file_));
  config.config_ = std::move(config_sections);
  config.shared_ = std::move(shared_sections);
  std::string named = surroundings.profile;
  if (named.empty()) named = env("AWS_PROFILE").value_or(env("AWS_DEFAULT_PROFILE").value_or(""));
  if (!named.empty()) {
    if (!section(config.shared_, named) && !config_profile(config.config_, named) && named != "default") {
      return fail(
          Kind::not_found, "there is no AWS profile \"" + named + "\"",
          "neither " + config.config_file_.string() + " nor " + config.credentials_file_.string() + " has it",
          "`aws configure list-profiles` shows those there are; set AWS_PROFILE to one of them");
    }
    config.profile_ = named;
  }
  config.surroundings_ = std::move(surroundings);
  return config;
}

std::optional<std::string> Config::setting(const char* name) const {
  return value(config_profile(config_, profile_), name);
}

Result<Credentials> Config::credentials() const {
  for (const auto source : CredentialSources::in_order) {
    TRY_SET(found, "", source(*this));
    if (found) return *std::move(found);
  }
  return fail(Kind::denied, "no AWS credentials found",
              "looked in the environment (AWS_ACCESS_KEY_ID), " + credentials_file_.string() + " and " +
                  config_file_.string() + " (profile " + profile_ + ")",
              "run `aws configure`, or set AWS_PROFILE; without an AWS account use --infra rehearsal");
}

Result<std::string> Config::region(const std::string& wanted) const {
  std::string region = wanted;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (region.empty()) region = surroundings_.env(name).value_or("");
  }
  if (region.empty())
    region = setting("region").value_or(value(section(shared_, profile_), "region").value_or(""));
  if (region.empty()) {
    return fail(Kind::bad_input, "no AWS region is set",
                "neither the task, AWS_REGION nor profile " + profile_ + " names one",
                "write infra: aws/us-east-1, or set AWS_REGION");
  }
  // The region becomes part of a host's name, so nothing else may pass.
  const bool good = region.size() <= 40 && std::all_of(region.begin(), region.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                    });
  if (!good) {
    return fail(Kind::bad_input, "\"" + printable(region) + "\" is not an AWS region", "",
                "regions look like us-east-1");
  }
  return region;
}

std::string Config::endpoint_url(const std::string& service) const {
  const auto& env = surroundings_.env;
  const std::string ignored = lower(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
                                        .value_or(setting("ignore_configured_endpoint_urls").value_or("")));
  if (ignored == "true") return {};
  std::string variable = "AWS_ENDPOINT_URL_";
  for (const char c : service) {
    variable += c == '-' || c == ' ' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  if (auto url = env(variable.c_str())) return *url;
  if (auto url = env("AWS_ENDPOINT_URL")) return *url;
  if (const auto services = setting("services")) {
    if (auto url = value(section(config_, "services " + *services), service + ".endpoint_url")) return *url;
  }
  return setting("endpoint_url").value_or("");
}

int Config::max_attempts() const {
  const auto text = surroundings_.env("AWS_MAX_ATTEMPTS").value_or(setting("max_attempts").value_or("3"));
  const auto attempts = parse_int(text).value_or(3);
  return static_cast<int>(std::clamp<std::int64_t>(attempts, 1, 20));
}

}  // namespace ferry::aws
