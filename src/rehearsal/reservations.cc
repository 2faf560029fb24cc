#include "rehearsal/reservations.h"

#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

std::string arn(const CapacityReservation& reservation) {
  return fmt::format("arn:aws:ec2:{}:{}:capacity-reservation/{}", region_name, account_id, reservation.id);
}

void write_members(Xml& xml, const State& state, const CapacityReservation& it, std::int64_t now_ms) {
  const auto free = available(state, it);
  xml.text("capacityReservationId", it.id).text("ownerId", account_id).text("capacityReservationArn", arn(it));
  xml.text("availabilityZoneId", zone_id(it.zone))
      .text("instanceType", it.type)
      .text("instancePlatform", it.platform)
      .text("availabilityZone", it.zone)
      .text("tenancy", it.tenancy);
  xml.number("totalInstanceCount", it.count).number("availableInstanceCount", free);
  xml.flag("ebsOptimized", it.ebs_optimized)
      .flag("ephemeralStorage", false)
      .text("state", state_of(it, now_ms))
      .text("startDate", os::iso_time(it.start_ms, true));
  if (it.end_ms > 0) xml.text("endDate", os::iso_time(it.end_ms, true));
  xml.text("endDateType", it.end_ms > 0 ? "limited" : "unlimited")
      .text("instanceMatchCriteria", it.match)
      .text("createDate", os::iso_time(it.created_ms, true));
  write_tags(xml, state, it.id);
  std::vector<std::int64_t> used;
  if (free < it.count && free > 0) used.push_back(it.count - free);
  xml.list("capacityAllocationSet", used,
           [&](std::int64_t count) { xml.text("allocationType", "used").number("count", count); });
  xml.text("reservationType", it.block_id.empty() ? "default" : "capacity-block").some("capacityBlockId", it.block_id);
}

Api<std::string> read_zone(const Params& params) {
  const auto name = params.get("AvailabilityZone"), id = params.get("AvailabilityZoneId");
  if (name.empty() && id.empty()) return missing_parameter("AvailabilityZone");
  for (const auto& zone : zones())
    if ((name.empty() || name == zone) && (id.empty() || id == zone_id(zone))) return zone;
  return refuse("InvalidParameterValue", fmt::format("Invalid availability zone: [{}]", name.empty() ? id : name));
}

Api<std::monostate> read_end(const Call& call, CapacityReservation& order) {
  const auto kind = call.params.get("EndDateType", call.params.has("EndDate") ? "limited" : "unlimited");
  if (kind != "limited" && kind != "unlimited") return invalid_value(kind, "endDateType");
  if ((kind == "limited") != call.params.has("EndDate"))
    return refuse("InvalidParameterCombination",
                  "EndDate is needed if EndDateType is limited, and must be left out if it is unlimited.");
  API_SET(end, call.params.time("EndDate", 0));
  if (kind == "limited" && end <= call.now_ms)
    return invalid_value(call.params.get("EndDate"), "endDate", "It must be in the future.");
  order.end_ms = end;
  return std::monostate{};
}

Api<CapacityReservation> read_order(const Call& call) {
  CapacityReservation order;
  API_SET(type, call.params.required("InstanceType"));
  if (!find_type(type))
    return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for InstanceType.", type));
  API_SET(platform, call.params.required("InstancePlatform"));
  API_SET(zone, read_zone(call.params));
  if (!call.params.has("InstanceCount")) return missing_parameter("InstanceCount");
  API_SET(count, call.params.number("InstanceCount", 1));
  if (count < 1 || count > 1000) return invalid_value(std::to_string(count), "instanceCount");
  API_SET(optimized, call.params.flag("EbsOptimized", false));
  order.match = call.params.get("InstanceMatchCriteria", "open");
  if (order.match != "open" && order.match != "targeted") return invalid_value(order.match, "instanceMatchCriteria");
  order.tenancy = call.params.get("Tenancy", "default");
  if (order.tenancy != "default" && order.tenancy != "dedicated") return invalid_value(order.tenancy, "tenancy");
  API_TRY(read_end(call, order));
  order.type = type;
  order.platform = platform;
  order.zone = zone;
  order.count = count;
  order.ebs_optimized = optimized;
  order.client_token = call.params.get("ClientToken");
  order.created_ms = order.start_ms = call.now_ms;
  return order;
}

Facts facts_of(const Call& call, const CapacityReservation& it) {
  Facts facts;
  facts.add("instance-type", it.type)
      .add("owner-id", account_id)
      .add("instance-platform", it.platform)
      .add("availability-zone", it.zone)
      .add("tenancy", it.tenancy);
  facts.add("state", state_of(it, call.now_ms))
      .add("start-date", os::iso_time(it.start_ms, true))
      .add("end-date-type", it.end_ms > 0 ? "limited" : "unlimited")
      .add("instance-match-criteria", it.match);
  if (it.end_ms > 0) facts.add("end-date", os::iso_time(it.end_ms, true));
  return facts.add_tags(tags_of(call.state, it.id));
}

}  // namespace

tl::unexpected<ApiError> reservation_full() {
  return refuse("ReservationCapacityExceeded",
                "The requested reservation does not have sufficient compatible and available capacity for this "
                "request.");
}

std::string_view state_of(const CapacityReservation& reservation, std::int64_t now_ms) {
  if (reservation.cancelled) return "cancelled";
  if (reservation.end_ms > 0 && now_ms >= reservation.end_ms) return "expired";
  return now_ms < reservation.start_ms ? "scheduled" : "active";
}

std::int64_t available(const State& state, const CapacityReservation& reservation) {
  if (reservation.cancelled) return 0;
  const auto used = std::count_if(state.instances.begin(), state.instances.end(), [&](const auto& entry) {
    const Instance& instance = entry.second;
    return instance.capacity_reservation == reservation.id && instance.phase != Phase::terminated &&
           instance.phase != Phase::stopped;
  });
  return std::max<std::int64_t>(reservation.count - used, 0);
}

const CapacityReservation* open_reservation(const State& state, const Instance& instance, std::string_view zone,
                                            std::int64_t count, std::int64_t now_ms) {
  if (instance.capacity_preference == "none" || !instance.capacity_target.empty()) return nullptr;
  for (const auto& [id, it] : state.capacity_reservations)
    if (it.match == "open" && it.type == instance.type && it.zone == zone && it.tenancy == instance.tenancy &&
        it.platform == "Linux/UNIX" && state_of(it, now_ms) == "active" && available(state, it) >= count)
      return &it;
  return nullptr;
}

void write_capacity_reservation(Xml& xml, const State& state, const CapacityReservation& reservation,
                                std::int64_t now_ms) {
  xml.node("capacityReservation", [&] { write_members(xml, state, reservation, now_ms); });
}

Api<Xml> create_capacity_reservation(Call& call) {
  API_SET(order, read_order(call));
  API_SET(tags, read_tag_specifications(call.params, {"capacity-reservation"}, "TagSpecifications"));
  Xml xml;
  for (const auto& [id, old] : call.state.capacity_reservations) {
    if (order.client_token.empty() || old.client_token != order.client_token) continue;
    if (old.type != order.type || old.zone != order.zone || old.count != order.count)
      return refuse("IdempotentParameterMismatch",
                    "The parameters of the request don't match those of an earlier request with the same "
                    "client token");
    write_capacity_reservation(xml, call.state, old, call.now_ms);
    return xml;
  }
  if (call.faults.no_capacity(order.type, order.zone, true))
    return refuse("InsufficientInstanceCapacity", "Insufficient capacity.", 500);
  order.id = new_id("cr-");
  call.state.capacity_reservations[order.id] = order;
  set_tags(call.state, order.id, tags["capacity-reservation"]);
  write_capacity_reservation(xml, call.state, order, call.now_ms);
  return xml;
}

Api<Xml> cancel_capacity_reservation(Call& call) {
  API_SET(id, call.params.required("CapacityReservationId"));
  auto& all = call.state.capacity_reservations;
  API_TRY(check_ids({id}, reservation_ids, [&](const std::string& it) { return all.contains(it); }));
  if (!all[id].block_id.empty())
    return refuse("OperationNotPermitted", fmt::format("The Capacity Block '{}' can't be cancelled.", id));
  if (state_of(all[id], call.now_ms) != "active")
    return refuse("IncorrectState", fmt::format("The Capacity Reservation '{}' is not active.", id));
  all[id].cancelled = true;
  for (auto& [instance_id, instance] : call.state.instances)  // they go on, as ordinary ones
    if (instance.capacity_reservation == id) instance.capacity_reservation.clear();
  return Xml().flag("return", true);
}

Api<Xml> describe_capacity_reservations(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-type", "owner-id", "instance-platform", "availability-zone",
                                               "tenancy", "outpost-arn", "state", "start-date", "end-date",
                                               "end-date-type", "instance-match-criteria", "placement-group-arn"}));
  const auto wanted = call.params.list("CapacityReservationId");
  const auto& all = call.state.capacity_reservations;
  API_TRY(check_ids(wanted, reservation_ids, [&](const std::string& it) { return all.contains(it); }));
  std::vector<std::string> found;
  for (const auto& [id, it] : all)
    if (it.created_ms + call.faults.late_reservation_ms() <= call.now_ms &&
        (wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end()) &&
        filters.match(facts_of(call, it)))
      found.push_back(id);
  API_SET(page, page_of(call.params, found, 1));
  Xml xml;
  xml.list("capacityReservationSet", page.keys,
           [&](const std::string& id) { write_members(xml, call.state, all.at(id), call.now_ms); });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
