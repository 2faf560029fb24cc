// The price list: GetProducts for EC2, from the rehearsal's own table of prices.
#include "base/hash.h"
#include "base/text.h"
#include "rehearsal/actions.h"
#include "rehearsal/json_page.h"

extern "C" const char ferry_embed_prices_csv[], ferry_embed_prices_csv_end[];

namespace ferry::rehearsal {
namespace {

struct PricedRegion {
  std::string_view code, location, usage_prefix;
};
constexpr std::array<PricedRegion, 15> priced_regions = {{
    {"ap-northeast-1", "Asia Pacific (Tokyo)", "APN1-"},
    {"ap-northeast-2", "Asia Pacific (Seoul)", "APN2-"},
    {"ap-south-1", "Asia Pacific (Mumbai)", "APS3-"},
    {"ap-southeast-1", "Asia Pacific (Singapore)", "APS1-"},
    {"ap-southeast-2", "Asia Pacific (Sydney)", "APS2-"},
    {"ca-central-1", "Canada (Central)", "CAN1-"},
    {"eu-central-1", "EU (Frankfurt)", "EUC1-"},
    {"eu-north-1", "EU (Stockholm)", "EUN1-"},
    {"eu-west-1", "EU (Ireland)", "EU-"},
    {"eu-west-2", "EU (London)", "EUW2-"},
    {"sa-east-1", "South America (Sao Paulo)", "SAE1-"},
    {"us-east-1", "US East (N. Virginia)", ""},
    {"us-east-2", "US East (Ohio)", "USE2-"},
    {"us-west-1", "US West (N. California)", "USW1-"},
    {"us-west-2", "US West (Oregon)", "USW2-"},
}};

/// How a machine's hour is used: each is a product of its own in AWS's list.
struct Capacity {
  std::string_view status, usage;
  bool is_free;
};
constexpr std::array<Capacity, 3> capacities = {{{"Used", "BoxUsage", false},
                                                 {"AllocatedCapacityReservation", "Reservation", true},
                                                 {"UnusedCapacityReservation", "UnusedBox", false}}};

struct ListedPrice {
  const InstanceType* type;
  const PricedRegion* region;
  std::string usd;
};

const std::vector<ListedPrice>& listed_prices() {
  static const std::vector<ListedPrice> all = [] {
    std::vector<ListedPrice> out;
    for (const auto& row : parse_csv({ferry_embed_prices_csv, ferry_embed_prices_csv_end})) {
      if (row.size() < 3 || row[2].empty()) continue;
      const auto* type = find_type(row[0]);
      const auto region = std::find_if(priced_regions.begin(), priced_regions.end(),
                                       [&](const PricedRegion& it) { return it.code == row[1]; });
      if (type && region != priced_regions.end()) out.push_back({type, &*region, row[2]});
    }
    return out;
  }();
  return all;
}

std::string_view family_title(const InstanceType& type) {
  const auto family = type.family();
  if (family.starts_with("inf") || family.starts_with("trn") || family.starts_with("dl"))
    return "Machine Learning ASIC Instances";
  if (type.accelerators > 0) return "GPU instance";
  return family.starts_with("c")   ? "Compute optimized"
         : family.starts_with("r") ? "Memory optimized"
                                   : "General purpose";
}

Json attributes_of(const ListedPrice& price, const Capacity& capacity) {
  const InstanceType& type = *price.type;
  const PricedRegion& region = *price.region;
  Json out = {
      {"capacitystatus", capacity.status},
      {"currentGeneration", "Yes"},
      {"instanceFamily", family_title(type)},
      {"instanceType", type.name},
      {"licenseModel", "No License required"},
      {"location", region.location},
      {"locationType", "AWS Region"},
      {"marketoption", "OnDemand"},
      {"memory", fmt::format("{} GiB", static_cast<double>(type.memory_mib) / 1024)},
      {"networkPerformance", type.network},
      {"operatingSystem", "Linux"},
      {"operation", "RunInstances"},
      {"preInstalledSw", "NA"},
      {"processorArchitecture", "64-bit"},
      {"regionCode", region.code},
      {"servicecode", "AmazonEC2"},
      {"servicename", "Amazon Elastic Compute Cloud"},
      {"storage", type.nvme_gb > 0 ? fmt::format("1 x {} NVMe SSD", type.nvme_gb) : "EBS only"},
      {"tenancy", "Shared"},
      {"usagetype", fmt::format("{}{}:{}", region.usage_prefix, capacity.usage, type.name)},
      {"vcpu", std::to_string(type.vcpus)},
  };
  if (type.accelerators > 0) out["gpu"] = std::to_string(type.accelerators);
  return out;
}

/// "1.14" as AWS writes it: "1.1400000000".
std::string ten_decimals(std::string usd) {
  if (usd.find('.') == usd.npos) usd += '.';
  usd.append(10 - std::min<std::size_t>(10, usd.size() - usd.find('.') - 1), '0');
  return usd;
}

std::string product_json(const ListedPrice& price, const Capacity& capacity, const Json& attributes) {
  constexpr std::string_view on_demand_term = "JRTCKXETXF", hourly_rate = "6YS6EN2CT7";
  constexpr std::string_view published = "2025-10-01T00:00:00Z";
  std::string sku = hex(sha256(text_at(attributes, "usagetype") + text_at(attributes, "regionCode")));
  sku.resize(16);
  for (char& c : sku) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const auto usd = ten_decimals(capacity.is_free ? "0" : price.usd);
  const auto term = fmt::format("{}.{}", sku, on_demand_term);
  const auto rate = fmt::format("{}.{}", term, hourly_rate);
  const Json dimension = {
      {"rateCode", rate},
      {"unit", "Hrs"},
      {"beginRange", "0"},
      {"endRange", "Inf"},
      {"appliesTo", Json::array()},
      {"description", fmt::format("${} per {} Linux {} Instance Hour", capacity.is_free ? "0.00" : price.usd,
                                  capacity.usage == "BoxUsage" ? "On Demand" : capacity.usage, price.type->name)},
      {"pricePerUnit", {{"USD", usd}}}};
  const Json offer = {{"sku", sku},
                      {"offerTermCode", on_demand_term},
                      {"effectiveDate", published},
                      {"priceDimensions", {{rate, dimension}}},
                      {"termAttributes", Json::object()}};
  return dump_json({{"product", {{"sku", sku}, {"productFamily", "Compute Instance"}, {"attributes", attributes}}},
                    {"serviceCode", "AmazonEC2"},
                    {"terms", {{"OnDemand", {{term, offer}}}}},
                    {"version", "20251001000000"},
                    {"publicationDate", published}});
}

struct PriceFilter {
  std::string type, field, value;
  /// True when it cannot match; spares making most products only to drop them.
  bool rules_out(const ListedPrice& price, const Capacity& capacity) const {
    if (type != "TERM_MATCH" && type != "EQUALS") return false;
    return (field == "instanceType" && price.type->name != value) ||
           (field == "regionCode" && price.region->code != value) ||
           (field == "capacitystatus" && capacity.status != value);
  }
  bool match(const Json& attributes) const {
    const auto found = field == "productFamily" ? std::string("Compute Instance")
                       : field == "ServiceCode" ? std::string("AmazonEC2")
                                                : text_at(attributes, field);
    const auto listed = [&] {
      const auto values = split(value, ',');
      return std::find(values.begin(), values.end(), found) != values.end();
    };
    if (found.empty()) return false;
    if (type == "CONTAINS") return found.find(value) != found.npos;
    if (type == "ANY_OF") return listed();
    if (type == "NONE_OF") return !listed();
    return found == value;
  }
};

Api<std::vector<PriceFilter>> read_price_filters(const Json& request) {
  constexpr std::array<std::string_view, 5> types = {"TERM_MATCH", "EQUALS", "CONTAINS", "ANY_OF", "NONE_OF"};
  const auto wrong = [] { return refuse("InvalidParameterException", "Input Parameters are invalid"); };
  std::vector<PriceFilter> out;
  const auto list = request.find("Filters");
  if (list == request.end()) return out;
  if (!list->is_array() || list->size() > 50) return wrong();
  for (const auto& item : *list) {
    PriceFilter filter{text_at(item, "Type"), text_at(item, "Field"), text_at(item, "Value")};
    if (std::find(types.begin(), types.end(), filter.type) == types.end() || filter.field.empty() ||
        filter.value.empty())
      return wrong();
    out.push_back(std::move(filter));
  }
  return out;
}

Api<Json> get_products(JsonCall& call) {
  const auto service = text_at(call.request, "ServiceCode");
  if (service.empty() || text_at(call.request, "FormatVersion", "aws_v1") != "aws_v1")
    return refuse("InvalidParameterException", "Input Parameters are invalid");
  if (service != "AmazonEC2")
    return refuse("NotFoundException", fmt::format("The service code {} has no products", service));
  API_SET(filters, read_price_filters(call.request));
  struct Found {
    const ListedPrice* price;
    const Capacity* capacity;
    Json attributes;
  };
  std::vector<Found> found;
  for (const auto& price : listed_prices())
    for (const auto& capacity : capacities) {
      if (std::any_of(filters.begin(), filters.end(),
                      [&](const PriceFilter& filter) { return filter.rules_out(price, capacity); }))
        continue;
      auto attributes = attributes_of(price, capacity);
      if (std::all_of(filters.begin(), filters.end(),
                      [&](const PriceFilter& filter) { return filter.match(attributes); }))
        found.push_back({&price, &capacity, std::move(attributes)});
    }
  API_SET(page, json_page(call.request, found.size(), {"InvalidParameterException", "InvalidNextTokenException"}));
  Json answer = {{"FormatVersion", "aws_v1"}, {"PriceList", Json::array()}};
  for (auto at = page.first; at < page.last; ++at)
    answer["PriceList"].push_back(product_json(*found[at].price, *found[at].capacity, found[at].attributes));
  if (!page.next_token.empty()) answer["NextToken"] = page.next_token;
  return answer;
}

}  // namespace

Api<Json> run_pricing(JsonCall& call) {
  if (call.operation == "GetProducts") return get_products(call);
  return refuse("UnknownOperationException", "");
}

}  // namespace ferry::rehearsal
