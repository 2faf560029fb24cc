// EC2's and STS's XML answers, and error answers of both protocols: whatever the bytes, a value or an error.

#include "aws/ec2_standing.h"
#include "aws/ec2_xml.h"
#include "aws/errors.h"
#include "aws/retry.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)aws::parse_describe_instances(bytes);
  (void)aws::parse_run_instances(bytes);
  (void)aws::parse_describe_images(bytes);
  (void)aws::parse_describe_security_groups(bytes);
  (void)aws::parse_create_security_group(bytes);
  (void)aws::parse_describe_volumes(bytes);
  (void)aws::parse_assume_role(bytes, "AssumeRole");
  (void)aws::parse_get_caller_identity(bytes);
  (void)aws::parse_iso_time(bytes);
  (void)aws::parse_http_date(bytes);
  os::HttpResponse response;
  response.status = 400;
  response.body = bytes;
  (void)aws::error_of(aws::fault_of(response), response.status, "ec2", "RunInstances");
  return 0;
}
