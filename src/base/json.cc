#include "base/json.h"

#include <cmath>

#ifndef FERRY_LITTLE_JSON
template class nlohmann::basic_json<>;
#endif

namespace ferry {

Result<Json> parse_json(std::string_view text) try { return Json::parse(text); } catch (const Json::exception& error) {
  return fail(Kind::corrupt, "not valid JSON", error.what());
}

std::string dump_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json error_json(const Error& error) {
  Json told = {{"code", error.code}, {"kind", name(error.kind)}, {"message", error.what},
               {"why", error.why},   {"fix", error.advice},      {"retryable", may_work_later(error.kind)}};
  for (const auto& other : error.more) told["more"].push_back(error_json(other));
  return told;
}

std::string text_at(const Json& object, std::string_view key, std::string_view otherwise) {
  if (object.is_object()) {
    if (const auto at = object.find(key); at != object.end() && at->is_string()) return at->get<std::string>();
  }
  return std::string(otherwise);
}

std::int64_t int_at(const Json& object, std::string_view key, std::int64_t otherwise) {
  if (!object.is_object()) return otherwise;
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number()) return otherwise;
  if (at->is_number_integer()) return at->get<std::int64_t>();
  const double value = at->get<double>();
  return std::abs(value) < 9e18 ? static_cast<std::int64_t>(value) : otherwise;
}

}  // namespace ferry
