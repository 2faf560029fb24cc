#include "task/aws_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "task/field_reader.h"
#include "task/fields.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

/// "subnet-0abc123": a resource's id, eight or seventeen hexadecimal digits behind its prefix.
bool is_id(std::string_view text, std::string_view prefix) {
  const auto hexadecimal = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (!text.starts_with(prefix)) return false;
  const auto digits = text.substr(prefix.size());
  return digits.size() >= 8 && digits.size() <= 17 && std::ranges::all_of(digits, hexadecimal);
}

/// Whether `text` can be a name of AWS's, and never an option or several lines.
bool is_word(std::string_view text, std::size_t longest) {
  const auto plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
  return !text.empty() && text.size() <= longest && text.front() != '-' && std::ranges::all_of(text, plain);
}

tl::unexpected<Error> not_a(std::string_view what, std::string_view text, std::string_view example) {
  return fail(Kind::bad_input, fmt::format("'{}' is not {}", printable(text), what), {},
              fmt::format("it looks like {}", example));
}

Status set_id(std::string& into, std::string_view text, std::string_view prefix, std::string_view what) {
  if (!is_id(text, prefix)) return not_a(what, text, fmt::format("{}0123456789abcdef0", prefix));
  into = text;
  return {};
}

Status set_word(std::string& into, std::string_view text, std::string_view what, std::size_t longest = 255) {
  if (!is_word(text, longest)) return not_a(what, text, "a name");
  into = text;
  return {};
}

/// "203.0.113.0/24", or one address; written as AWS keeps it, without the bits that the range leaves open.
Status set_range(std::string& into, std::string_view text) {
  const auto halves = split(text, '/');
  const auto bytes = split(halves[0], '.');
  const auto number = [](const std::string& part, std::int64_t most) -> std::optional<std::uint32_t> {
    const auto value = part.size() <= 3 ? parse_int(part) : std::nullopt;
    if (!value || *value < 0 || *value > most || part.front() == '-') return std::nullopt;
    return static_cast<std::uint32_t>(*value);
  };
  const auto length = halves.size() == 1 ? std::optional(32U) : number(halves[1], 32);
  const auto wrong = [&] { return not_a("an IPv4 address range", text, "203.0.113.0/24 or 203.0.113.7"); };
  if (halves.size() > 2 || bytes.size() != 4 || !length) return wrong();
  std::uint32_t address = 0;
  for (const auto& part : bytes) {
    const auto byte = number(part, 255);
    if (!byte) return wrong();
    address = address << 8 | *byte;
  }
  if (*length == 0)
    return fail(Kind::bad_input, fmt::format("'{}' lets anybody knock at port 22", text),
                "ferry opens it to those who need it",
                "name your own range; or make a security group as you want it, and give it with "
                "security_group_id (--security-group)");
  address &= ~std::uint32_t{0} << (32 - *length);
  into = fmt::format("{}.{}.{}.{}/{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255, *length);
  return {};
}

}  // namespace

const std::vector<std::string>& AwsSettings::subnets_in(const std::string& region) const {
  static const std::vector<std::string> none;
  auto found = subnets.find(region);
  if (found == subnets.end()) found = subnets.find("");
  return found == subnets.end() ? none : found->second;
}

bool AwsSettings::excludes(const std::string& region) const { return !subnets.empty() && subnets_in(region).empty(); }

Status set_field(AwsSettings& settings, std::string_view field, std::string_view text, std::string_view region) {
  text = trim(text);
  if (field == "subnet_id") {
    std::string id;
    TRY("", set_id(id, text, "subnet-", "a subnet"));
    settings.subnets[std::string(region)].push_back(std::move(id));
    return {};
  }
  if (field == "security_group_id") return set_id(settings.security_group, text, "sg-", "a security group");
  if (field == "capacity_reservation_id")
    return set_id(settings.capacity_reservation, text, "cr-", "a capacity reservation");
  if (field == "key_name") return set_word(settings.key_name, text, "the name of a key pair");
  if (field == "login_user") return set_word(settings.login_user, text, "a user", 32);
  if (field == "key_file") return set_word(settings.key_file, text, "a private key's file", 4096);
  if (field == "placement_group") return set_word(settings.placement_group, text, "the name of a placement group");
  if (field == "instance_profile") return set_word(settings.instance_profile, text, "an instance profile", 2048);
  if (field == "ssh_proxy") return set_word(settings.ssh_proxy, text, "a jump host or a command", 4096);
  if (field == "ssh_from") return set_range(settings.ssh_from, text);
  return fail(Kind::bug, fmt::format("there is no setting '{}'", field));
}

void lay_over(AwsSettings& settings, const AwsSettings& above) {
  if (!above.subnets.empty()) settings.subnets = above.subnets;
  if (above.public_address) settings.public_address = above.public_address;
  for (const auto field :
       {&AwsSettings::security_group, &AwsSettings::ssh_from, &AwsSettings::ssh_proxy, &AwsSettings::placement_group,
        &AwsSettings::login_user, &AwsSettings::capacity_reservation, &AwsSettings::instance_profile}) {
    if (!(above.*field).empty()) settings.*field = above.*field;
  }
  // A key pair and its private half belong together.
  if (above.key_name.empty() && above.key_file.empty()) return;
  settings.key_name = above.key_name;
  settings.key_file = above.key_file;
}

Status AwsReader::read(const Entry& entry) {
  if (entry.value->type != Type::map) return wrong_type(entry, "a mapping");
  for (const auto& field : entry.value->entries) {
    if (field.value->type != Type::null) keep(read_field(field));
  }
  return {};
}

Status AwsReader::read_field(const Entry& field) {
  if (field.name == "subnet_id") return read_subnets(field);
  if (field.name == "public_address") {
    TRY_SET(wanted, "", bool_of(field));
    task_.aws.public_address = wanted;
    return {};
  }
  if (!is_field("aws", field.name)) return {};
  TRY_SET(text, "", text_of(field));
  if (const auto set = set_field(task_.aws, field.name, text); !set) return complain_in(field, set.error());
  return {};
}

/// `subnet-…`, a list of them, or either by region.
Status AwsReader::read_subnets(const Entry& entry) {
  if (entry.value->type != Type::map) return add_subnets(entry, {});
  for (const auto& region : entry.value->entries) {
    if (const auto known = parse_infra("aws/" + region.name); !known || known->region != region.name)
      return complain_at(region.at, fmt::format("'{}' does not look like a region", printable(region.name)), {},
                         "write us-east-1: subnet-…");
    TRY("", add_subnets(region, region.name));
  }
  return {};
}

Status AwsReader::add_subnets(const Entry& entry, std::string_view region) {
  const auto add = [&](const Entry& one) -> Status {
    TRY_SET(text, "", text_of(one));
    if (const auto set = set_field(task_.aws, "subnet_id", text, region); !set) return complain_in(one, set.error());
    return {};
  };
  if (entry.value->type != Type::list) return add(entry);
  for (const auto& item : entry.value->entries) TRY("", add({"subnet_id", item.at, item.value}));
  return {};
}

}  // namespace ferry::task
