#include "sandbox/folder.h"

namespace ferry::sandbox {

namespace {

Json to_json(const Identity& process) { return Json{{"pid", process.pid}, {"start", process.start}}; }

Identity identity_from(const Json& json, const char* key) {
  const auto at = json.find(key);
  if (at == json.end()) return {};
  return {static_cast<pid_t>(int_at(*at, "pid")), static_cast<std::uint64_t>(int_at(*at, "start"))};
}

}  // namespace

ferry::Status write_record(const Folder& folder, const Record& record) {
  const Json json{{"state", name(record.state)},     {"instance_id", record.instance_id},
                  {"address", record.address},       {"port", record.port},
                  {"login_user", record.login_user}, {"mode", name(record.mode)},
                  {"host", to_json(record.host)},    {"init", to_json(record.init)},
                  {"ended", record.ended},           {"why", record.why}};
  return os::write_file(folder.record(), dump_json(json) + "\n", 0600);
}

Result<Record> read_record(const Folder& folder) {
  TRY_SET(text, "", os::read_file(folder.record(), 1 << 20));
  TRY_SET(json, folder.record().string(), parse_json(text));
  Record record;
  for (const State state : {State::booting, State::running}) {
    if (text_at(json, "state") == name(state)) record.state = state;
  }
  record.instance_id = text_at(json, "instance_id");
  record.address = text_at(json, "address");
  record.port = static_cast<int>(int_at(json, "port"));
  record.login_user = text_at(json, "login_user");
  record.mode = mode_named(text_at(json, "mode")).value_or(Mode::plain);
  record.host = identity_from(json, "host");
  record.init = identity_from(json, "init");
  record.ended = text_at(json, "ended");
  record.why = text_at(json, "why");
  return record;
}

}  // namespace ferry::sandbox
