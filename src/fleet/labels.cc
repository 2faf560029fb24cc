#include "fleet/labels.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/hash.h"
#include "base/text.h"
#include "base/version.h"
#include "os/env.h"

namespace ferry::fleet {

std::string launch_id(const ledger::Run& run) {
  const auto seed = fmt::format("{}|{}|{}|{}", run.name, run.created_ms, os::user_name(), os::host_name());
  return hex(sha256(seed)).substr(0, 16);
}

std::string owner_name() { return os::user_name() + "@" + os::host_name(); }

Result<std::string> ledger_id(const os::Path& data) {
  const auto file = data / "ledger-id";
  const auto known = [&]() -> Result<std::string> {
    TRY_SET(text, "read which ledger this is", os::read_file(file, 256));
    const auto id = trim(text);
    const bool is_one = id.size() == 16 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (is_one) return std::string(id);
    return fail(Kind::corrupt, file.string() + " does not hold the ledger's id", printable(id.substr(0, 40)),
                "remove it: ferry makes another");
  };
  if (os::exists(file)) return known();
  // Of several processes that come at once, one makes it.
  TRY("", os::make_dirs(data, 0700));
  const auto mine = data / ("ledger-id." + random_name(8));
  const auto id = hex(random_bytes(8));
  TRY("", os::write_file(mine, id + "\n", 0600));
  const int made = ::link(mine.c_str(), file.c_str());
  const int code = errno;
  ::unlink(mine.c_str());
  if (made < 0 && code != EEXIST) return fail_errno("make " + file.string(), code);
  return known();
}

cloud::Tags tags_of(const ledger::Run& run, const cloud::Tags& labels) {
  cloud::Tags tags = {{"ferry:run", run.name},
                      {launch_tag, launch_id(run)},
                      {owner_tag, owner_name()},
                      {"ferry:version", ferry_version()},
                      {"Name", "ferry " + run.name}};
  if (const auto id = text_at(run.task, "ledger"); !id.empty()) tags[ledger_tag] = id;
  for (const auto& [key, value] : labels) {
    if (key == "Name") tags[key] = value;
    tags.try_emplace(key, value);
  }
  return tags;
}

cloud::Tags tags_for_recovery(const ledger::Run& run, const std::string& host_key) {
  constexpr std::size_t longest = 256;  // of a tag's value: EC2 User Guide, "Tag restrictions"
  cloud::Tags tags;
  // Without the comment at its end.
  if (const auto words = split(trim(host_key), ' '); words.size() >= 2) tags[host_key_tag] = words[0] + " " + words[1];
  const auto outputs = dump_json(run.task.contains("outputs") ? run.task["outputs"] : Json::array());
  const bool is_plain = std::ranges::all_of(outputs, [](unsigned char c) { return c >= ' ' && c < 127; });
  if (outputs.size() <= longest && is_plain) tags[outputs_tag] = outputs;
  if (const auto seconds = int_at(run.task, "max_duration_s"); seconds > 0)
    tags[max_duration_tag] = std::to_string(seconds);
  if (ends_by_stop(run)) tags[ends_tag] = ends_stop;
  if (run.store.starts_with("s3://")) tags[store_tag] = run.store;  // at most 63 + 100 characters, and plain ones
  if (const auto attempt = int_at(run.task, "attempt"); attempt > 1) tags[attempt_tag] = std::to_string(attempt);
  return tags;
}

bool ends_by_stop(const ledger::Run& run) { return text_at(run.task, "ends") == ends_stop; }

std::string resource_name(const ledger::Run& run) { return resource_name(run.name, launch_id(run)); }

std::string resource_name(const std::string& run, const std::string& launch_id) {
  return "ferry-" + run + "-" + launch_id.substr(0, 8);
}

std::string client_token(const ledger::Run& run, int attempt) {
  return fmt::format("{}-{}-{}", run.name, launch_id(run), attempt);
}

}  // namespace ferry::fleet
