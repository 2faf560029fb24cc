#include "aws/pricing.h"

#include <map>

namespace ferry::aws {
namespace {

constexpr int products_a_page = 100;  // the service's own limit

/// A member of an object; null where there is none.
const Json& member(const Json& object, std::string_view name) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  const auto at = object.find(name);
  return at == object.end() ? nothing : *at;
}

/// The first price by the hour among the on-demand terms; zero where there is none.
Usd hourly_of(const Json& product) {
  for (const auto& term : member(member(product, "terms"), "OnDemand")) {
    for (const auto& dimension : member(term, "priceDimensions")) {
      if (text_at(dimension, "unit") != "Hrs") continue;
      const auto price = parse_usd(text_at(member(dimension, "pricePerUnit"), "USD"));
      if (price && price->micros > 0) return *price;
    }
  }
  return {};
}

/// Without a type when it is none of what is wanted. The service's filters say the same; an endpoint that
/// ignores them must not give us the price of a dedicated host.
PriceRecord price_of(const Json& product) {
  const Json& attributes = member(member(product, "product"), "attributes");
  const auto is = [&](const char* name, std::string_view wanted) {
    return text_at(attributes, name, wanted) == wanted;
  };
  PriceRecord price;
  price.hourly = hourly_of(product);
  price.region = text_at(attributes, "regionCode");
  const bool wanted = is("operatingSystem", "Linux") && is("tenancy", "Shared") && is("preInstalledSw", "NA") &&
                      is("capacitystatus", "Used") && is("marketoption", "OnDemand") && price.hourly.micros > 0;
  if (wanted) price.type = text_at(attributes, "instanceType");
  return price;
}

Json filter(const char* field, const std::string& value) {
  return {{"Type", "TERM_MATCH"}, {"Field", field}, {"Value", value}};
}

Json get_products(const std::string& region, const std::string& type, const std::string& token) {
  Json filters = {filter("operatingSystem", "Linux"), filter("tenancy", "Shared"), filter("preInstalledSw", "NA"),
                  filter("capacitystatus", "Used")};
  if (!region.empty()) filters.push_back(filter("regionCode", region));
  if (!type.empty()) filters.push_back(filter("instanceType", type));
  Json request = {{"ServiceCode", "AmazonEC2"},
                  {"FormatVersion", "aws_v1"},
                  {"MaxResults", products_a_page},
                  {"Filters", std::move(filters)}};
  if (!token.empty()) request["NextToken"] = token;
  return request;
}

}  // namespace

Result<Page<PriceRecord>> parse_get_products(const Json& answer) {
  const Json& list = member(answer, "PriceList");
  if (!list.is_array())
    return fail(Kind::corrupt, "AWS's GetProducts answer has no price list", "", "repeat the command");
  Page<PriceRecord> page;
  for (const auto& entry : list) {
    const auto product = entry.is_string() ? parse_json(entry.get_ref<const std::string&>()) : Result<Json>(entry);
    if (!product) return fail("AWS's GetProducts answer", product.error());
    auto price = price_of(*product);
    if (!price.type.empty() && !price.region.empty()) page.items.push_back(std::move(price));
  }
  page.next_token = text_at(answer, "NextToken");
  return page;
}

Result<std::vector<PriceRecord>> get_prices(Client& client, const std::string& region, const std::string& type) {
  TRY_SET(all, "", every_page<PriceRecord>("GetProducts", [&](const std::string& token) -> Result<Page<PriceRecord>> {
            TRY_SET(answer, "",
                    client.json("pricing", "AWSPriceListService", "GetProducts", get_products(region, type, token),
                                Repeat::freely));
            return parse_get_products(answer);
          }));
  std::map<std::pair<std::string, std::string>, PriceRecord> once;
  for (auto& price : all) once.try_emplace({price.type, price.region}, price);
  std::vector<PriceRecord> out;
  for (auto& [place, price] : once) out.push_back(std::move(price));
  return out;
}

}  // namespace ferry::aws
