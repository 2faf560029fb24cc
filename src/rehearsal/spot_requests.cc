// DescribeSpotInstanceRequests: what became of the requests that spot machines came from.
#include <algorithm>

#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/describe.h"
#include "rehearsal/spot.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr IdKind request_ids{"sir-", "InvalidSpotInstanceRequestID", "spot instance request ID"};

struct RequestStatus {
  std::string state, code, message;
};

RequestStatus status_of(const Instance& instance, std::int64_t now_ms) {
  const bool is_gone = instance.phase == Phase::shutting_down || instance.phase == Phase::terminated;
  const bool was_taken = instance.reason_code == "Server.SpotInstanceTermination";
  if (is_gone && was_taken)
    return {"closed", "instance-terminated-" + instance.taking.cause,
            "Your Spot Instance was terminated: " + instance.taking.cause + "."};
  if (is_gone && instance.reason_code.starts_with("Server."))
    return {"closed", "instance-terminated-no-capacity", "Your Spot Instance was terminated."};
  if (is_gone)
    return {"closed", "instance-terminated-by-user", "Spot Instance terminated due to user-initiated termination."};
  if (instance.taking.gone_ms != 0 && now_ms >= instance.taking.notice_ms)
    return {"active", "marked-for-termination", "Your Spot Instance is marked for termination."};
  return {"active", "fulfilled", "Your spot request is fulfilled."};
}

std::string price_of(const Instance& instance) {
  const auto* type = find_type(instance.type);
  if (instance.bid_micros == 0) return type ? type->on_demand : "";
  return fmt::format("{}.{:06}", instance.bid_micros / 1'000'000, instance.bid_micros % 1'000'000);
}

}  // namespace

Api<Xml> describe_spot_instance_requests(Call& call) {
  API_SET(filters, Filters::read(call.params, {"spot-instance-request-id", "instance-id", "state", "status-code",
                                               "type", "launched-availability-zone", "launch.instance-type",
                                               "launch.image-id", "product-description"}));
  std::map<std::string, const Instance*> all;
  for (const auto& [id, instance] : call.state.instances)
    if (!instance.spot_request_id.empty()) all[instance.spot_request_id] = &instance;
  const auto wanted = call.params.list("SpotInstanceRequestId");
  for (const auto& id : wanted)
    if (!all.contains(id))
      return refuse(std::string(request_ids.error) + ".NotFound",
                    fmt::format("The spot instance request ID '{}' does not exist", id));
  std::vector<std::string> keys;
  for (const auto& [id, instance] : all) {
    const auto status = status_of(*instance, call.now_ms);
    Facts facts;
    facts.add("spot-instance-request-id", id).add("instance-id", instance->id).add("state", status.state);
    facts.add("status-code", status.code).add("type", "one-time").add("launched-availability-zone", instance->zone);
    facts.add("launch.instance-type", instance->type).add("launch.image-id", instance->image_id);
    facts.add("product-description", "Linux/UNIX").add_tags(tags_of(call.state, id));
    const bool is_asked = wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end();
    if (is_asked && filters.match(facts)) keys.push_back(id);
  }
  API_SET(page, page_of(call.params, keys));
  Xml xml;
  xml.list("spotInstanceRequestSet", page.keys, [&](const std::string& id) {
    const Instance& instance = *all[id];
    const auto status = status_of(instance, call.now_ms);
    xml.text("spotInstanceRequestId", id).text("spotPrice", price_of(instance)).text("type", "one-time");
    xml.text("state", status.state);
    xml.node("status", [&] {
      xml.text("code", status.code)
          .text("updateTime", os::iso_time(std::max(instance.phase_ms, instance.taking.notice_ms), true))
          .text("message", status.message);
    });
    xml.node("launchSpecification", [&] {
      xml.text("imageId", instance.image_id).some("keyName", instance.key_name).text("instanceType", instance.type);
      xml.node("placement", [&] { xml.text("availabilityZone", instance.zone); });
      xml.text("subnetId", instance.subnet_id);
    });
    xml.text("instanceId", instance.id)
        .text("createTime", os::iso_time(instance.launched_ms, true))
        .text("productDescription", "Linux/UNIX")
        .text("launchedAvailabilityZone", instance.zone)
        .text("instanceInterruptionBehavior", "terminate");
    write_tags(xml, call.state, id);
  });
  return xml.some("nextToken", page.next_token);
}

/// What DescribeSpotPriceHistory tells of one type in one zone: with a market, each step from StartTime on, newest
/// first; without, the price that has been one for long.
std::vector<PricePoint> price_points(const InstanceType& type, const std::string& zone,
                                     const std::optional<Market>& market, std::int64_t from_ms, std::int64_t until_ms) {
  constexpr std::int64_t hour_ms = 3'600'000;
  constexpr std::size_t most_points = 2'100;  // more than a week of five minutes
  if (!market) return {{until_ms / hour_ms * hour_ms, spot_price(type, zone)}};
  std::vector<PricePoint> points;
  // The price that held when the time begins is told, too.
  for (auto at = until_ms / market->step_ms * market->step_ms; points.size() < most_points; at -= market->step_ms) {
    points.push_back({at, spot_price_at(type, zone, market, at)});
    if (at <= from_ms) break;
  }
  return points;
}

}  // namespace ferry::rehearsal
