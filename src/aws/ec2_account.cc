#include "aws/ec2_account.h"

#include <algorithm>
#include <array>

#include "aws/xml.h"

namespace ferry::aws {
namespace {

CapacityReservationRecord read_reservation(const pugi::xml_node& item) {
  CapacityReservationRecord one;
  one.id = xml_text(item, "capacityReservationId");
  one.instance_type = xml_text(item, "instanceType");
  one.zone = xml_text(item, "availabilityZone");
  one.state = xml_text(item, "state");
  one.total = std::max(0, xml_number(item, "totalInstanceCount", 0));
  one.available = std::max(0, xml_number(item, "availableInstanceCount", 0));
  one.is_block = xml_text(item, "reservationType") == "capacity-block";
  one.start_ms = parse_iso_time(xml_text(item, "startDate"));
  one.end_ms = parse_iso_time(xml_text(item, "endDate"));
  one.tags = xml_tags(item);
  return one;
}

}  // namespace

Result<Page<KeyPairRecord>> parse_describe_key_pairs(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeKeyPairsResponse"));
  Page<KeyPairRecord> page;
  for (const auto& item : answer.root.child("keySet").children("item")) {
    KeyPairRecord pair{xml_text(item, "keyName"), xml_text(item, "keyType"), xml_text(item, "publicKey"),
                       xml_tags(item)};
    if (!pair.name.empty()) page.items.push_back(std::move(pair));
  }
  return page;
}

Result<Page<CapacityReservationRecord>> parse_describe_capacity_reservations(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeCapacityReservationsResponse"));
  Page<CapacityReservationRecord> page;
  for (const auto& item : answer.root.child("capacityReservationSet").children("item")) {
    auto one = read_reservation(item);
    if (!one.id.empty()) page.items.push_back(std::move(one));
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

Result<Page<CapacityBlockOfferRecord>> parse_describe_capacity_block_offerings(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeCapacityBlockOfferingsResponse"));
  Page<CapacityBlockOfferRecord> page;
  for (const auto& item : answer.root.child("capacityBlockOfferingSet").children("item")) {
    CapacityBlockOfferRecord one;
    one.id = xml_text(item, "capacityBlockOfferingId");
    one.instance_type = xml_text(item, "instanceType");
    one.zone = xml_text(item, "availabilityZone");
    one.count = std::max(0, xml_number(item, "instanceCount", 0));
    one.hours = std::max(0, xml_number(item, "capacityBlockDurationHours", 0));
    one.start_ms = parse_iso_time(xml_text(item, "startDate"));
    one.end_ms = parse_iso_time(xml_text(item, "endDate"));
    const auto fee = parse_usd(xml_text(item, "upfrontFee"));
    const auto currency = xml_text(item, "currencyCode");
    if (one.id.empty() || !fee || (!currency.empty() && currency != "USD")) continue;
    one.fee = *fee;
    page.items.push_back(std::move(one));
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

Result<std::vector<CapacityBlockOfferRecord>> describe_capacity_block_offerings(Client& client,
                                                                                const CapacityBlockQuery& query) {
  constexpr const char* action = "DescribeCapacityBlockOfferings";
  Params params;
  params.add("InstanceType", query.instance_type)
      .add("InstanceCount", query.count)
      .add("CapacityDurationHours", query.hours);
  if (query.from_ms > 0) params.add("StartDateRange", os::iso_time(query.from_ms));
  return every_page<CapacityBlockOfferRecord>(action,
                                              [&](const std::string& token) -> Result<Page<CapacityBlockOfferRecord>> {
                                                Params more = params;
                                                if (!token.empty()) more.add("NextToken", token);
                                                TRY_SET(xml, "", client.query("ec2", action, more, Repeat::freely));
                                                return parse_describe_capacity_block_offerings(xml);
                                              });
}

Result<CapacityReservationRecord> parse_purchase_capacity_block(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "PurchaseCapacityBlockResponse"));
  auto bought = read_reservation(answer.root.child("capacityReservation"));
  if (bought.id.empty()) return fail(Kind::corrupt, "EC2 names no capacity reservation for what was bought");
  return bought;
}

Result<CapacityReservationRecord> purchase_capacity_block(Client& client, const std::string& offering,
                                                          const std::map<std::string, std::string>& tags) {
  Params params;
  params.add("CapacityBlockOfferingId", offering).add("InstancePlatform", "Linux/UNIX");
  params.tags("capacity-reservation", tags);
  TRY_SET(xml, "", client.query("ec2", "PurchaseCapacityBlock", params, Repeat::never));
  return parse_purchase_capacity_block(xml);
}

bool is_surely_refused(const Error& error) {
  constexpr std::array<Kind, 6> refusals = {Kind::denied,      Kind::bad_input, Kind::not_found,
                                            Kind::no_capacity, Kind::quota,     Kind::unsupported};
  return !error.code.empty() && std::ranges::find(refusals, error.kind) != refusals.end();
}

Result<std::vector<KeyPairRecord>> describe_key_pairs(Client& client, const std::vector<std::string>& names) {
  // A filter, since EC2 answers names that do not exist with an error.
  TRY_SET(pairs, "", describe_key_pairs(client, Filter{"key-name", names}));
  std::erase_if(pairs,
                [&](const auto& pair) { return std::find(names.begin(), names.end(), pair.name) == names.end(); });
  return pairs;
}

Result<std::vector<KeyPairRecord>> describe_key_pairs(Client& client, const Filter& filter) {
  Params params;
  params.add("IncludePublicKey", "true").filter(filter.name, filter.values);
  TRY_SET(xml, "", client.query("ec2", "DescribeKeyPairs", params, Repeat::freely));
  TRY_SET(page, "", parse_describe_key_pairs(xml));
  return std::move(page.items);
}

Result<CapacityReservationRecord> describe_capacity_reservation(Client& client, const std::string& id) {
  TRY_SET(
      xml, "",
      client.query("ec2", "DescribeCapacityReservations", Params().add("CapacityReservationId.1", id), Repeat::freely));
  TRY_SET(page, "", parse_describe_capacity_reservations(xml));
  for (auto& one : page.items) {
    if (one.id == id) return std::move(one);
  }
  return fail(Kind::not_found, "there is no capacity reservation " + id + " in " + client.config().region, "",
              "`aws ec2 describe-capacity-reservations` lists them; --region chooses another region");
}

}  // namespace ferry::aws
