#include "aws/ec2_xml.h"

#include <limits>
#include <pugixml.hpp>

#include "base/text.h"

namespace ferry::aws {
namespace {

/// A full page of 1,000 instances is about 5 MB.
constexpr std::size_t largest_answer = std::size_t{64} << 20;

/// A document whose root is `root`. pugixml expands no entities of a DOCTYPE, so size bounds the memory used.
struct Answer {
  pugi::xml_document document;
  pugi::xml_node root;
};

Status load(Answer& answer, std::string_view xml, const std::string& root) {
  const std::string advice = "check that AWS_ENDPOINT_URL (if set) names an AWS endpoint, and repeat";
  const std::string what = "AWS's answer is not a " + root;
  if (xml.size() > largest_answer) return fail(Kind::corrupt, what, "it is too large", advice);
  const auto parsed =
      answer.document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) return fail(Kind::corrupt, what, std::string("XML: ") + parsed.description(), advice);
  answer.root = answer.document.document_element();
  if (answer.root.name() != root) {
    return fail(Kind::corrupt, what,
                "it is <" + printable(std::string_view(answer.root.name()).substr(0, 80)) + ">", advice);
  }
  return {};
}

std::string text(const pugi::xml_node& parent, const char* name) {
  return std::string(trim(parent.child(name).text().get()));
}

int number(const pugi::xml_node& parent, const char* name, int otherwise) {
  const auto value = parse_int(text(parent, name));
  if (!value || *value < std::numeric_limits<int>::min() || *value > std::numeric_limits<int>::max())
    return otherwise;
  return static_cast<int>(*value);
}

std::map<std::string, std::string> tags_of(const pugi::xml_node& parent) {
  std::map<std::string, std::string> tags;
  for (const auto& item : parent.child("tagSet").children("item")) {
    tags[item.child("key").text().get()] = item.child("value").text().get();
  }
  return tags;
}

InstanceRecord instance_of(const pugi::xml_node& item) {
  InstanceRecord instance;
  instance.id = text(item, "instanceId");
  instance.type = text(item, "instanceType");
  instance.zone = text(item.child("placement"), "availabilityZone");
  instance.state = text(item.child("instanceState"), "name");
  instance.public_dns = text(item, "dnsName");
  instance.public_ip = text(item, "ipAddress");
  instance.private_ip = text(item, "privateIpAddress");
  instance.client_token = text(item, "clientToken");
  instance.key_name = text(item, "keyName");
  instance.lifecycle = text(item, "instanceLifecycle");
  instance.launched_ms = parse_iso_time(text(item, "launchTime"));
  instance.tags = tags_of(item);
  const auto reason = item.child("stateReason");
  instance.state_reason = text(reason, "message");
  // EC2's messages usually begin with their code already.
  if (const auto code = text(reason, "code"); !instance.state_reason.starts_with(code)) {
    instance.state_reason = code + ": " + instance.state_reason;
  }
  if (instance.state_reason.empty()) instance.state_reason = text(item, "reason");
  return instance;
}

/// Instances without an id are no instances: nothing could be done with them.
void add_instances(const pugi::xml_node& reservation, std::vector<InstanceRecord>& out) {
  for (const auto& item : reservation.child("instancesSet").children("item")) {
    auto instance = instance_of(item);
    if (!instance.id.empty()) out.push_back(std::move(instance));
  }
}

void add_rules(const pugi::xml_node& permission, std::vector<IngressRule>& out) {
  struct Place {
    const char *list, *member;
    IngressRule::Source source;
  };
  constexpr std::array<Place, 4> places = {
      {{"ipRanges", "cidrIp", IngressRule::Source::ipv4},
       {"ipv6Ranges", "cidrIpv6", IngressRule::Source::ipv6},
       {"groups", "groupId", IngressRule::Source::group},
       {"prefixListIds", "prefixListId", IngressRule::Source::prefix_list}}};
  for (const auto& place : places) {
    for (const auto& item : permission.child(place.list).children("item")) {
      out.push_back({.protocol = text(permission, "ipProtocol"),
                     .from_port = number(permission, "fromPort", -1),
                     .to_port = number(permission, "toPort", -1),
                     .source = place.source,
                     .value = text(item, place.member)});
    }
  }
}

}  // namespace

Result<InstancesPage> parse_describe_instances(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "DescribeInstancesResponse"));
  InstancesPage page;
  for (const auto& reservation : answer.root.child("reservationSet").children("item")) {
    add_instances(reservation, page.instances);
  }
  page.next_token = text(answer.root, "nextToken");
  return page;
}

Result<InstanceRecord> parse_run_instances(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "RunInstancesResponse"));
  std::vector<InstanceRecord> instances;
  add_instances(answer.root, instances);
  if (instances.empty()) {
    return fail(Kind::corrupt, "AWS's RunInstancesResponse names no instance", "",
                "`ferry ps` looks for what was rented");
  }
  return std::move(instances.front());
}

Result<std::vector<ImageRecord>> parse_describe_images(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "DescribeImagesResponse"));
  std::vector<ImageRecord> images;
  for (const auto& item : answer.root.child("imagesSet").children("item")) {
    ImageRecord image;
    image.id = text(item, "imageId");
    image.name = text(item, "name");
    image.architecture = text(item, "architecture");
    image.root_device = text(item, "rootDeviceName");
    image.creation_date = text(item, "creationDate");
    for (const auto& device : item.child("blockDeviceMapping").children("item")) {
      if (text(device, "deviceName") == image.root_device) {
        image.root_size_gib = number(device.child("ebs"), "volumeSize", 0);
      }
    }
    if (!image.id.empty()) images.push_back(std::move(image));
  }
  return images;
}

Result<SecurityGroupsPage> parse_describe_security_groups(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "DescribeSecurityGroupsResponse"));
  SecurityGroupsPage page;
  for (const auto& item : answer.root.child("securityGroupInfo").children("item")) {
    SecurityGroupRecord group;
    group.id = text(item, "groupId");
    group.name = text(item, "groupName");
    group.vpc_id = text(item, "vpcId");
    group.tags = tags_of(item);
    for (const auto& permission : item.child("ipPermissions").children("item"))
      add_rules(permission, group.ingress);
    if (!group.id.empty()) page.groups.push_back(std::move(group));
  }
  page.next_token = text(answer.root, "nextToken");
  return page;
}

Result<std::string> parse_create_security_group(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "CreateSecurityGroupResponse"));
  auto id = text(answer.root, "groupId");
  if (id.empty())
    return fail(Kind::corrupt, "AWS's CreateSecurityGroupResponse names no group", "", "repeat the command");
  return id;
}

Result<std::vector<std::string>> parse_describe_vpcs(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "DescribeVpcsResponse"));
  std::vector<std::string> ids;
  for (const auto& item : answer.root.child("vpcSet").children("item")) {
    if (auto id = text(item, "vpcId"); !id.empty()) ids.push_back(std::move(id));
  }
  return ids;
}

Result<CallerIdentity> parse_get_caller_identity(std::string_view xml) {
  Answer answer;
  TRY("", load(answer, xml, "GetCallerIdentityResponse"));
  const auto result = answer.root.child("GetCallerIdentityResult");
  return CallerIdentity{text(result, "Account"), text(result, "Arn"), text(result, "UserId")};
}

Result<Credentials> parse_assume_role(std::string_view xml, const std::string& action) {
  Answer answer;
  TRY("", load(answer, xml, action + "Response"));
  const auto given = answer.root.child((action + "Result").c_str()).child("Credentials");
  Credentials keys{
      text(given, "AccessKeyId"), text(given, "SecretAccessKey"), text(given, "SessionToken"), {}};
  keys.expires_ms = parse_iso_time(text(given, "Expiration"));
  if (keys.access_key_id.empty() || keys.secret_access_key.empty() || keys.session_token.empty()) {
    return fail(Kind::corrupt, "AWS's " + action + "Response has no credentials", "", "repeat the command");
  }
  return keys;
}

std::int64_t parse_iso_time(std::string_view text) {
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  if (text.size() < form.size()) return 0;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == 'd' ? !digit : text[i] != form[i]) return 0;
  }
  const auto part = [&](std::size_t at, std::size_t count) { return *parse_int(text.substr(at, count)); };
  using namespace std::chrono;
  const year_month_day date{year(static_cast<int>(part(0, 4))), month(static_cast<unsigned>(part(5, 2))),
                            day(static_cast<unsigned>(part(8, 2)))};
  if (!date.ok()) return 0;
  std::int64_t millis = 0;
  if (text.size() > form.size() && text[form.size()] == '.') {
    std::int64_t weight = 100;
    for (std::size_t i = form.size() + 1; i < text.size() && text[i] >= '0' && text[i] <= '9';
         ++i, weight /= 10) {
      millis += (text[i] - '0') * weight;
    }
  }
  const std::int64_t days = sys_days(date).time_since_epoch().count();
  return (((days * 24 + part(11, 2)) * 60 + part(14, 2)) * 60 + part(17, 2)) * 1000 + millis;
}

}  // namespace ferry::aws
