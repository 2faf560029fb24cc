#include "fleet/capacity.h"

#include "base/json.h"
#include "base/text.h"

namespace ferry::fleet {

namespace {

constexpr std::int64_t remembered_ms = 15 * 60 * 1000;
constexpr std::size_t file_limit = 1 << 20;

std::string key_of(const plan::Offer& offer) {
  const auto& where = offer.zone.empty() ? offer.region : offer.zone;
  return fmt::format("{} {} {}", offer.type.name, where, plan::name(offer.market));
}

}  // namespace

CapacityMemory::CapacityMemory(os::Path file, std::int64_t now_ms) : file_(std::move(file)) {
  const auto text = os::read_file(file_, file_limit);
  const auto json = text ? parse_json(*text) : Result<Json>(Json::object());
  if (!json || !json->is_object()) return;
  for (const auto& [key, since] : json->items()) {
    const auto at = since.is_number_integer() ? since.get<std::int64_t>() : 0;
    if (at <= now_ms && now_ms - at < remembered_ms) short_since_ms_[key] = at;
  }
}

bool CapacityMemory::is_short(const plan::Offer& offer) const { return short_since_ms_.contains(key_of(offer)); }

void CapacityMemory::note(const plan::Offer& offer, std::int64_t now_ms) {
  short_since_ms_[key_of(offer)] = now_ms;
  (void)os::write_file(file_, dump_json(Json(short_since_ms_)), 0600);
}

}  // namespace ferry::fleet
