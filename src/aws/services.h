#pragma once
/// \file
/// The services ferry calls: where each is, and how it wants to be spoken to.

#include <span>
#include <string>
#include <string_view>

namespace ferry::aws {

struct Service {
  std::string_view id;       ///< as in AWS_ENDPOINT_URL_<ID> and in "services" sections: "service_quotas"
  std::string_view host;     ///< the first part of its host's name: "api.pricing"
  std::string_view signing;  ///< the name it is signed for, and the prefix of its permissions
  std::string_view version;  ///< of its API, where the protocol is the query one
};

/// All that ferry knows.
std::span<const Service> services();
/// By id; null for a service that is not among them.
const Service* find_service(std::string_view id);

/// Where calls of a region go: `region` itself, except for services that live in a few places only (iam,
/// pricing).
std::string home_region(std::string_view service, const std::string& region);
/// The first part of an ARN after "arn:" in that region: "aws", "aws-cn", "aws-us-gov".
std::string partition_of(std::string_view region);
/// AWS's own endpoint: "https://ec2.us-east-1.amazonaws.com".
std::string own_endpoint(std::string_view service, const std::string& region);

}  // namespace ferry::aws
