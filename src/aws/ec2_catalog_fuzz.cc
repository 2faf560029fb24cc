// Answers about types, places, prices and limits: whatever the bytes, a value or an error.

#include "aws/autoscaling.h"
#include "aws/ec2_account.h"
#include "aws/ec2_catalog.h"
#include "aws/pricing.h"
#include "aws/quotas.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)aws::parse_describe_instance_types(bytes);
  (void)aws::parse_describe_instance_type_offerings(bytes);
  (void)aws::parse_describe_spot_price_history(bytes);
  (void)aws::parse_get_spot_placement_scores(bytes);
  (void)aws::parse_describe_regions(bytes);
  (void)aws::parse_describe_availability_zones(bytes);
  (void)aws::parse_describe_vpcs(bytes);
  (void)aws::parse_describe_subnets(bytes);
  (void)aws::parse_describe_key_pairs(bytes);
  (void)aws::parse_describe_capacity_reservations(bytes);
  (void)aws::parse_describe_capacity_block_offerings(bytes);
  (void)aws::parse_describe_scaling_groups(bytes);
  (void)aws::parse_describe_launch_templates(bytes);
  (void)aws::parse_purchase_capacity_block(bytes);
  (void)aws::vcpu_quota_of(bytes, false);
  if (const auto json = parse_json(bytes)) {
    (void)aws::parse_get_products(*json);
    (void)aws::parse_get_service_quota(*json);
    (void)aws::parse_list_service_quotas(*json);
    (void)aws::parse_list_quota_requests(*json);
    (void)aws::parse_request_service_quota_increase(*json);
  }
  return 0;
}
