#include "agent/store_settings.h"

#include "store/keys.h"

namespace ferry::agent {

Json to_json(const StoreSettings& settings) {
  return Json{{"store", to_json(settings.spec)}, {"run", settings.run},
              {"attempt", settings.attempt},     {"rank", settings.rank},
              {"workdir", settings.workdir},     {"sent", settings.sent},
              {"began_ms", settings.began_ms},   {"elsewhere", settings.elsewhere}};
}

Result<StoreSettings> store_settings_from(const Json& json) {
  const auto wrong = [] { return fail(Kind::corrupt, "that does not say what is to be stored"); };
  if (!json.is_object() || !json.contains("store")) return wrong();
  StoreSettings out;
  TRY_SET(spec, "", store_spec_from(json["store"]));
  out.spec = std::move(spec);
  out.run = text_at(json, "run");
  out.attempt = static_cast<int>(int_at(json, "attempt"));
  out.rank = static_cast<int>(int_at(json, "rank", -1));
  out.workdir = text_at(json, "workdir");
  out.sent = text_at(json, "sent");
  out.began_ms = int_at(json, "began_ms");
  for (const Json& one : json.value("elsewhere", Json::array())) {
    if (!one.is_string()) return wrong();
    out.elsewhere.push_back(one.get<std::string>());
  }
  if (out.spec.uri.empty() || !store::is_run_name(out.run) || out.attempt < 1 || out.rank < 0 ||
      !out.workdir.starts_with('/'))
    return wrong();
  return out;
}

}  // namespace ferry::agent
