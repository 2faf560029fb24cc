#include "aws/ec2_xml.h"

#include "aws/xml.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

InstanceRecord instance_of(const pugi::xml_node& item) {
  InstanceRecord instance;
  instance.id = xml_text(item, "instanceId");
  instance.type = xml_text(item, "instanceType");
  instance.zone = xml_text(item.child("placement"), "availabilityZone");
  instance.state = xml_text(item.child("instanceState"), "name");
  instance.public_dns = xml_text(item, "dnsName");
  instance.public_ip = xml_text(item, "ipAddress");
  instance.private_ip = xml_text(item, "privateIpAddress");
  instance.client_token = xml_text(item, "clientToken");
  instance.key_name = xml_text(item, "keyName");
  instance.lifecycle = xml_text(item, "instanceLifecycle");
  instance.launched_ms = parse_iso_time(xml_text(item, "launchTime"));
  instance.transition_ms = parse_transition_time(xml_text(item, "reason"));
  instance.tags = xml_tags(item);
  const auto reason = item.child("stateReason");
  instance.state_reason = xml_text(reason, "message");
  // EC2's messages usually begin with their code already.
  if (const auto code = xml_text(reason, "code"); !instance.state_reason.starts_with(code)) {
    instance.state_reason = code + ": " + instance.state_reason;
  }
  if (instance.state_reason.empty()) instance.state_reason = xml_text(item, "reason");
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
  constexpr std::array<Place, 4> places = {{{"ipRanges", "cidrIp", IngressRule::Source::ipv4},
                                            {"ipv6Ranges", "cidrIpv6", IngressRule::Source::ipv6},
                                            {"groups", "groupId", IngressRule::Source::group},
                                            {"prefixListIds", "prefixListId", IngressRule::Source::prefix_list}}};
  for (const auto& place : places) {
    for (const auto& item : permission.child(place.list).children("item")) {
      out.push_back({.protocol = xml_text(permission, "ipProtocol"),
                     .from_port = xml_number(permission, "fromPort", -1),
                     .to_port = xml_number(permission, "toPort", -1),
                     .source = place.source,
                     .value = xml_text(item, place.member)});
    }
  }
}

}  // namespace

Result<Page<InstanceRecord>> parse_describe_instances(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeInstancesResponse"));
  Page<InstanceRecord> page;
  for (const auto& reservation : answer.root.child("reservationSet").children("item")) {
    add_instances(reservation, page.items);
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

Result<InstanceRecord> parse_run_instances(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "RunInstancesResponse"));
  std::vector<InstanceRecord> instances;
  add_instances(answer.root, instances);
  if (instances.empty()) {
    return fail(Kind::corrupt, "AWS's RunInstancesResponse names no instance", "",
                "`ferry ps` looks for what was rented");
  }
  return std::move(instances.front());
}

Result<std::vector<ImageRecord>> parse_describe_images(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeImagesResponse"));
  std::vector<ImageRecord> images;
  for (const auto& item : answer.root.child("imagesSet").children("item")) {
    ImageRecord image;
    image.id = xml_text(item, "imageId");
    image.name = xml_text(item, "name");
    image.architecture = xml_text(item, "architecture");
    image.root_device = xml_text(item, "rootDeviceName");
    image.creation_date = xml_text(item, "creationDate");
    image.deprecation_time = xml_text(item, "deprecationTime");
    for (const auto& device : item.child("blockDeviceMapping").children("item")) {
      if (auto snapshot = xml_text(device.child("ebs"), "snapshotId"); !snapshot.empty())
        image.snapshots.push_back(std::move(snapshot));
      if (xml_text(device, "deviceName") == image.root_device) {
        image.root_size_gib = xml_number(device.child("ebs"), "volumeSize", 0);
      }
    }
    if (!image.id.empty()) images.push_back(std::move(image));
  }
  return images;
}

Result<Page<SecurityGroupRecord>> parse_describe_security_groups(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeSecurityGroupsResponse"));
  Page<SecurityGroupRecord> page;
  for (const auto& item : answer.root.child("securityGroupInfo").children("item")) {
    SecurityGroupRecord group;
    group.id = xml_text(item, "groupId");
    group.name = xml_text(item, "groupName");
    group.vpc_id = xml_text(item, "vpcId");
    group.tags = xml_tags(item);
    for (const auto& permission : item.child("ipPermissions").children("item")) add_rules(permission, group.ingress);
    if (!group.id.empty()) page.items.push_back(std::move(group));
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

Result<std::string> parse_create_security_group(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "CreateSecurityGroupResponse"));
  auto id = xml_text(answer.root, "groupId");
  if (id.empty())
    return fail(Kind::corrupt, "AWS's CreateSecurityGroupResponse names no group", "", "repeat the command");
  return id;
}

Result<CallerIdentity> parse_get_caller_identity(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "GetCallerIdentityResponse"));
  const auto result = answer.root.child("GetCallerIdentityResult");
  return CallerIdentity{xml_text(result, "Account"), xml_text(result, "Arn"), xml_text(result, "UserId")};
}

Result<Credentials> parse_assume_role(std::string_view xml, const std::string& action) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, action + "Response"));
  const auto given = answer.root.child((action + "Result").c_str()).child("Credentials");
  Credentials keys{
      xml_text(given, "AccessKeyId"), xml_text(given, "SecretAccessKey"), xml_text(given, "SessionToken"), {}};
  keys.expires_ms = parse_iso_time(xml_text(given, "Expiration"));
  if (keys.access_key_id.empty() || keys.secret_access_key.empty() || keys.session_token.empty()) {
    return fail(Kind::corrupt, "AWS's " + action + "Response has no credentials", "", "repeat the command");
  }
  return keys;
}

std::int64_t parse_transition_time(std::string_view reason) {
  const auto begin = reason.rfind('('), end = reason.rfind(" GMT)");
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return 0;
  std::string time(reason.substr(begin + 1, end - begin - 1));
  if (const auto space = time.find(' '); space != std::string::npos) time[space] = 'T';
  return parse_iso_time(time);
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
    for (std::size_t i = form.size() + 1; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, weight /= 10) {
      millis += (text[i] - '0') * weight;
    }
  }
  const std::int64_t days = sys_days(date).time_since_epoch().count();
  return (((days * 24 + part(11, 2)) * 60 + part(14, 2)) * 60 + part(17, 2)) * 1000 + millis;
}

}  // namespace ferry::aws
