#include "run/labels.h"

#include "base/hash.h"
#include "base/text.h"
#include "os/env.h"

namespace ferry::run {

std::string launch_id(const ledger::Run& run) {
  const auto seed = fmt::format("{}|{}|{}|{}", run.name, run.created_ms, os::user_name(), os::host_name());
  return hex(sha256(seed)).substr(0, 16);
}

cloud::Tags tags_of(const ledger::Run& run, const cloud::Tags& labels) {
  cloud::Tags tags = {{"ferry:run", run.name},
                      {launch_tag, launch_id(run)},
                      {"ferry:owner", os::user_name() + "@" + os::host_name()},
                      {"ferry:version", FERRY_VERSION},
                      {"Name", "ferry " + run.name}};
  for (const auto& [key, value] : labels) {
    if (key == "Name") tags[key] = value;
    tags.try_emplace(key, value);
  }
  return tags;
}

std::string resource_name(const ledger::Run& run) { return resource_name(run.name, launch_id(run)); }

std::string resource_name(const std::string& run, const std::string& launch_id) {
  return "ferry-" + run + "-" + launch_id.substr(0, 8);
}

std::string client_token(const ledger::Run& run, int attempt) {
  return fmt::format("{}-{}-{}", run.name, launch_id(run), attempt);
}

}  // namespace ferry::run
