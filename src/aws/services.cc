#include "aws/services.h"

#include <algorithm>
#include <array>

namespace ferry::aws {
namespace {

constexpr std::array<Service, 15> all_services = {{
    {"auto_scaling", "autoscaling", "autoscaling", "2011-01-01"},
    {"ec2", "ec2", "ec2", "2016-11-15"},
    {"ec2_instance_connect", "ec2-instance-connect", "ec2-instance-connect", ""},
    {"elastic_load_balancing", "elasticloadbalancing", "elasticloadbalancing", "2012-06-01"},
    {"elastic_load_balancing_v2", "elasticloadbalancing", "elasticloadbalancing", "2015-12-01"},
    {"fis", "fis", "fis", ""},
    {"iam", "iam", "iam", "2010-05-08"},
    {"pricing", "api.pricing", "pricing", ""},
    {"s3", "s3", "s3", ""},
    {"sagemaker", "api.sagemaker", "sagemaker", ""},
    {"service_quotas", "servicequotas", "servicequotas", ""},
    {"ssm", "ssm", "ssm", ""},
    {"sso", "portal.sso", "sso", ""},
    {"sso_oidc", "oidc", "sso-oauth", ""},
    {"sts", "sts", "sts", "2011-06-15"},
}};

std::string domain_of(std::string_view region) {
  if (region.starts_with("cn-")) return "amazonaws.com.cn";
  if (region.starts_with("us-iso-")) return "c2s.ic.gov";
  if (region.starts_with("us-isob-")) return "sc2s.sgov.gov";
  return "amazonaws.com";
}

}  // namespace

std::span<const Service> services() { return all_services; }

const Service* find_service(std::string_view id) {
  const auto at =
      std::find_if(all_services.begin(), all_services.end(), [&](const Service& service) { return service.id == id; });
  return at == all_services.end() ? nullptr : &*at;
}

std::string home_region(std::string_view service, const std::string& region) {
  const bool china = region.starts_with("cn-");
  if (service == "pricing") return china ? "cn-northwest-1" : "us-east-1";
  if (service == "iam") return china ? "cn-north-1" : region.starts_with("us-gov-") ? "us-gov-west-1" : "us-east-1";
  return region;
}

std::string partition_of(std::string_view region) {
  if (region.starts_with("cn-")) return "aws-cn";
  return region.starts_with("us-gov-") ? "aws-us-gov" : "aws";
}

std::string own_endpoint(std::string_view service, const std::string& region) {
  const std::string home = home_region(service, region);
  const Service* known = find_service(service);
  const std::string host(known ? known->host : service);
  // IAM is one service for the world; its host's name has no region except in partitions of their own.
  if (service == "iam" && home == "us-east-1") return "https://iam.amazonaws.com";
  if (service == "iam" && home == "us-gov-west-1") return "https://iam.us-gov.amazonaws.com";
  return "https://" + host + "." + home + "." + domain_of(home);
}

}  // namespace ferry::aws
