// Capacity blocks: what is offered, and buying it.
#include "base/units.h"
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/reservations.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t most_in_a_block = 64, zones_offered = 2;

/// 1 to 14 days, or whole weeks up to 26.
bool is_length(std::int64_t hours) {
  const auto days = hours / 24;
  return hours > 0 && hours % 24 == 0 && (days <= 14 || (days % 7 == 0 && days <= 182));
}

std::string fee(const InstanceType& type, std::int64_t count, std::int64_t hours) {
  const auto cents = parse_usd(type.on_demand).value_or(Usd{}).micros * count * hours / 10'000;
  return fmt::format("{}.{:02}", cents / 100, cents % 100);
}

/// Offers are good for an hour, as long as nobody buys them.
void forget_old_offers(State& state, std::int64_t now_ms) {
  std::erase_if(state.block_offers, [&](const auto& entry) { return entry.second.offered_ms + hour_ms < now_ms; });
}

void write_offer(Xml& xml, const BlockOffer& offer) {
  xml.text("capacityBlockOfferingId", offer.id)
      .text("instanceType", offer.type)
      .text("availabilityZone", offer.zone)
      .number("instanceCount", offer.count);
  xml.text("startDate", os::iso_time(offer.start_ms, true))
      .text("endDate", os::iso_time(offer.end_ms(), true))
      .number("capacityBlockDurationHours", offer.hours);
  xml.text("upfrontFee", fee(*find_type(offer.type), offer.count, offer.hours))
      .text("currencyCode", "USD")
      .text("tenancy", "default")
      .number("capacityBlockDurationMinutes", offer.hours * 60);
}

void write_block(Xml& xml, const CapacityReservation& it, std::int64_t now_ms) {
  xml.text("capacityBlockId", it.block_id)
      .text("availabilityZone", it.zone)
      .text("availabilityZoneId", zone_id(it.zone))
      .texts("capacityReservationIdSet", std::array{it.id});
  xml.text("startDate", os::iso_time(it.start_ms, true))
      .text("endDate", os::iso_time(it.end_ms, true))
      .text("createDate", os::iso_time(it.created_ms, true))
      .text("state", state_of(it, now_ms));
}

}  // namespace

bool sold_in_blocks(std::string_view type_name) {
  constexpr std::array<std::string_view, 6> families = {"p4d.", "p4de.", "p5", "p6", "trn1.", "trn2"};
  return std::any_of(families.begin(), families.end(),
                     [&](std::string_view family) { return type_name.starts_with(family); });
}

Api<Xml> describe_capacity_block_offerings(Call& call) {
  API_SET(name, call.params.required("InstanceType"));
  API_SET(count, call.params.number("InstanceCount", 1));
  if (!call.params.has("CapacityDurationHours")) return missing_parameter("CapacityDurationHours");
  API_SET(hours, call.params.number("CapacityDurationHours", 24));
  API_SET(from, call.params.time("StartDateRange", call.now_ms));
  API_SET(until, call.params.time("EndDateRange", 0));
  const auto* type = find_type(name);
  if (!type) return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for InstanceType.", name));
  if (!sold_in_blocks(name))
    return refuse("Unsupported", fmt::format("Capacity Blocks are not offered for instance type '{}'.", name));
  if (count < 1 || count > most_in_a_block) return invalid_value(std::to_string(count), "instanceCount");
  if (!is_length(hours))
    return invalid_value(std::to_string(hours), "capacityDurationHours",
                         "It must be 1 to 14 days, or a number of weeks up to 26.");
  forget_old_offers(call.state, call.now_ms);
  std::vector<BlockOffer> offers;
  for (const auto& zone : zones()) {
    BlockOffer offer{.id = new_id("cb-"), .type = name, .zone = zone, .count = count, .hours = hours};
    offer.offered_ms = call.now_ms;
    offer.start_ms = std::max(from, call.now_ms);
    const bool in_time = until == 0 || offer.end_ms() <= until;
    if (!in_time || call.faults.no_capacity(name, zone, false)) continue;
    if (std::ssize(offers) == zones_offered) break;
    call.state.block_offers[offer.id] = offer;
    offers.push_back(offer);
  }
  Xml xml;
  return xml.list("capacityBlockOfferingSet", offers, [&](const BlockOffer& offer) { write_offer(xml, offer); });
}

Api<Xml> purchase_capacity_block(Call& call) {
  API_SET(id, call.params.required("CapacityBlockOfferingId"));
  API_SET(platform, call.params.required("InstancePlatform"));
  API_SET(tags, read_tag_specifications(call.params, {"capacity-reservation", "capacity-block"}));
  if (!is_id(id, "cb-"))
    return refuse("InvalidCapacityBlockOfferingIdMalformed",
                  fmt::format("The Capacity Block offering ID '{}' is malformed.", id));
  const auto found = call.state.block_offers.find(id);
  if (found == call.state.block_offers.end())
    return refuse("InvalidCapacityBlockOfferingIdNotFound",
                  fmt::format("The Capacity Block offering ID '{}' cannot be found.", id));
  const BlockOffer offer = found->second;
  call.state.block_offers.erase(found);
  CapacityReservation made;
  made.id = new_id("cr-");
  made.block_id = new_id("cb-");
  made.type = offer.type;
  made.zone = offer.zone;
  made.platform = platform;
  made.match = "targeted";
  made.count = offer.count;
  made.created_ms = call.now_ms;
  made.start_ms = offer.start_ms;
  made.end_ms = offer.end_ms();
  call.state.capacity_reservations[made.id] = made;
  set_tags(call.state, made.id, tags["capacity-reservation"]);
  Xml xml;
  write_capacity_reservation(xml, call.state, made, call.now_ms);
  return xml.list("capacityBlockSet", std::array{&made},
                  [&](const CapacityReservation* it) { write_block(xml, *it, call.now_ms); });
}

}  // namespace ferry::rehearsal
