#include "aws/load_balancers.h"

#include "aws/ec2_xml.h"
#include "aws/xml.h"

namespace ferry::aws {
namespace {

/// `list`: the element that holds them.
Result<Page<LoadBalancerRecord>> parse(std::string_view xml, const char* list, bool is_classic) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeLoadBalancersResponse"));
  const auto result = answer.root.child("DescribeLoadBalancersResult");
  Page<LoadBalancerRecord> page;
  for (const auto& item : result.child(list).children("member")) {
    LoadBalancerRecord one;
    one.name = xml_text(item, "LoadBalancerName");
    one.arn = xml_text(item, "LoadBalancerArn");
    one.type = is_classic ? "classic" : xml_text(item, "Type");
    one.created_ms = parse_iso_time(xml_text(item, "CreatedTime"));
    if (!one.name.empty()) page.items.push_back(std::move(one));
  }
  page.next_token = xml_text(result, "NextMarker");
  return page;
}

}  // namespace

Result<Page<LoadBalancerRecord>> parse_load_balancers(std::string_view xml) {
  return parse(xml, "LoadBalancers", false);
}

Result<Page<LoadBalancerRecord>> parse_classic_load_balancers(std::string_view xml) {
  return parse(xml, "LoadBalancerDescriptions", true);
}

Result<std::vector<LoadBalancerRecord>> describe_load_balancers(Client& client) {
  const auto ask = [&client](const char* service, const auto& parse_page) {
    return every_page<LoadBalancerRecord>(
        "DescribeLoadBalancers", [&](const std::string& marker) -> Result<Page<LoadBalancerRecord>> {
          Params params;
          params.add("PageSize", 400).add_given("Marker", marker);
          TRY_SET(xml, "", client.query(service, "DescribeLoadBalancers", params, Repeat::freely));
          return parse_page(xml);
        });
  };
  TRY_SET(all, "", ask("elastic_load_balancing_v2", parse_load_balancers));
  TRY_SET(classic, "", ask("elastic_load_balancing", parse_classic_load_balancers));
  all.insert(all.end(), classic.begin(), classic.end());
  return all;
}

}  // namespace ferry::aws
