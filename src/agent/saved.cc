#include "agent/saved.h"

namespace ferry::agent {

Status save(const os::Path& file, const Saved& saved) {
  Json json{{"run", saved.run},
            {"status", to_json(saved.status)},
            {"linger_s", saved.retention_s},
            {"power_off", saved.power_off},
            {"released", saved.released},
            {"marker", saved.marker},
            {"boot", saved.boot}};
  if (saved.group) json["group"] = to_json(*saved.group);
  if (saved.store) json["store_settings"] = to_json(*saved.store);
  return os::write_file(file, dump_json(json) + "\n", 0600);
}

Result<std::optional<Saved>> load(const os::Path& file) {
  const auto text = os::read_file(file, std::size_t{8} << 20);
  if (!text) {
    if (text.error().kind == Kind::not_found) return std::nullopt;
    return fail("read the agent's state", text.error());
  }
  TRY_SET(json, file.string(), parse_json(*text));
  if (!json.is_object() || !json.contains("status"))
    return fail(Kind::corrupt, file.string() + " is no state of an agent");
  TRY_SET(status, file.string(), status_from(json["status"]));
  Saved saved;
  saved.status = std::move(status);
  saved.run = text_at(json, "run");
  saved.marker = text_at(json, "marker");
  saved.boot = text_at(json, "boot");
  saved.retention_s = int_at(json, "linger_s");
  saved.power_off = json.value("power_off", Json(true)) != Json(false);
  if (const auto group = json.find("group"); group != json.end()) {
    TRY_SET(spec, file.string(), group_spec_from(*group));
    saved.group = std::move(spec);
  }
  if (const auto store = json.find("store_settings"); store != json.end()) {
    TRY_SET(settings, file.string(), store_settings_from(*store));
    saved.store = std::move(settings);
  }
  saved.released = json.value("released", Json(false)) == Json(true);
  return saved;
}

}  // namespace ferry::agent
