// What stands in a region, and what each costs: pure. Prices are AWS's lists of us-east-1 in 2025-10
// (aws.amazon.com/ebs/pricing, /vpc/pricing, /elasticloadbalancing/pricing, /privatelink/pricing), in other regions
// by base/bill.h's factor.
#include "account/charges.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/bill.h"
#include "base/text.h"
#include "fleet/labels.h"

namespace ferry::account {
namespace {

constexpr std::int64_t hours_a_month = 730;
constexpr Usd nat_gateway_hour{45'000};
constexpr Usd vpc_endpoint_hour{10'000};  // in each zone
constexpr Usd snapshot_gib_month{50'000}, archived_gib_month{12'500};
/// SageMaker's machines cost 15 to 40 per cent more than EC2's of the same name (aws.amazon.com/sagemaker/pricing).
constexpr std::int64_t sagemaker_percent = 140;

Usd month_of(Usd hour) { return {hour.micros * hours_a_month}; }

struct VolumePrice {
  std::string_view type;
  std::int64_t gib_month, iops_month;  // micro-dollars
};
constexpr std::array volume_prices = {VolumePrice{"gp2", 100'000, 0}, VolumePrice{"io1", 125'000, 65'000},
                                      VolumePrice{"st1", 45'000, 0}, VolumePrice{"sc1", 15'000, 0},
                                      VolumePrice{"standard", 50'000, 0}};  // besides what is paid a request

Usd month_of(const aws::VolumeRecord& disk, const std::string& region) {
  const auto priced = std::ranges::find(volume_prices, disk.type, &VolumePrice::type);
  if (priced == volume_prices.end())
    return disk_month({.type = disk.type, .gib = disk.gib, .iops = disk.iops, .mib_per_s = disk.mib_per_s}, region);
  return price_in(region, {disk.gib * priced->gib_month + disk.iops * priced->iops_month});
}

Usd balancer_hour(const std::string& type) {
  return type == "classic" ? Usd{25'000} : type == "gateway" ? Usd{12'500} : Usd{22'500};
}

std::string tag_of(const std::map<std::string, std::string>& tags, const std::string& key) {
  const auto at = tags.find(key);
  return at == tags.end() ? "" : at->second;
}

class Collector {
 public:
  Collector(const Standing& standing, const plan::Catalog& catalog) : from_(standing), catalog_(catalog) {}

  std::vector<Charge> all() {
    for (const auto& one : from_.machines) add(one);
    for (const auto& one : from_.disks) add(one);
    for (const auto& one : from_.snapshots) add(one);
    for (const auto& one : from_.addresses) add(one);
    for (const auto& one : from_.gateways) add(one);
    for (const auto& one : from_.endpoints) add(one);
    for (const auto& one : from_.reservations) add(one);
    for (const auto& one : from_.balancers) add(one);
    for (const auto& one : from_.model_endpoints) add(one);
    for (const auto& one : from_.notebooks) add(one);
    return std::move(all_);
  }

 private:
  Charge& put(std::string kind, const std::string& id, std::string about, std::optional<Usd> month) {
    Charge charge;
    charge.kind = std::move(kind);
    charge.id = id;
    charge.region = from_.region;
    charge.about = std::move(about);
    charge.month = month;
    all_.push_back(std::move(charge));
    return all_.back();
  }
  /// What its tags say: whose it is, and its name.
  static void tell_tags(Charge& charge, const std::map<std::string, std::string>& tags) {
    charge.owner = tag_of(tags, std::string(fleet::owner_tag));
    charge.run = tag_of(tags, "ferry:run");
    if (const auto name = tag_of(tags, "Name"); !name.empty() && name != charge.run)
      charge.about += ", \"" + name + '"';
  }
  /// A call of the aws program there.
  std::string call(const std::string& words, const std::string& option, const std::string& value) const {
    return "aws " + words + " --region " + from_.region + " " + option + " " + as_typed(value);
  }
  std::optional<Usd> machine_hour(const std::string& type) const { return catalog_.on_demand(type, from_.region); }

  /// A machine is charged for while it runs; its disks, which are of their own here, as long as they are.
  void add(const aws::InstanceRecord& one) {
    if (one.state != "running" && one.state != "pending") return;
    const bool is_spot = one.lifecycle == "spot";
    auto hour = is_spot ? catalog_.spot(one.type, from_.region, one.zone) : machine_hour(one.type);
    const bool has_own_address =
        std::ranges::any_of(from_.addresses, [&](const auto& address) { return address.ip == one.public_ip; });
    const bool pays_address = !one.public_ip.empty() && !has_own_address;
    if (hour && pays_address) hour = *hour + public_ipv4_hour;
    auto& charge = put("machine", one.id,
                       fmt::format("{} {}, {}{}", one.type, is_spot ? "spot" : "on demand", one.state,
                                   pays_address ? ", with a public address" : ""),
                       hour ? std::optional(month_of(*hour)) : std::nullopt);
    charge.is_estimate = is_spot && hour;
    charge.since_ms = one.launched_ms;
    charge.end_by = call("ec2 terminate-instances", "--instance-ids", one.id);
    tell_tags(charge, one.tags);
  }

  void add(const aws::VolumeRecord& one) {
    std::string of = "attached to nothing";
    if (!one.instance.empty()) {
      const auto machine = std::ranges::find(from_.machines, one.instance, &aws::InstanceRecord::id);
      const bool is_stopped =
          machine != from_.machines.end() && (machine->state == "stopped" || machine->state == "stopping");
      of = "of " + one.instance + (is_stopped ? ", which is stopped" : "");
    }
    auto& charge =
        put("disk", one.id, fmt::format("{} GiB {}, {}", one.gib, one.type, of), month_of(one, from_.region));
    charge.since_ms = one.created_ms;
    charge.end_by = one.instance.empty() ? call("ec2 delete-volume", "--volume-id", one.id)
                                         : call("ec2 terminate-instances", "--instance-ids", one.instance);
    tell_tags(charge, one.tags);
  }

  void add(const aws::SnapshotRecord& one) {
    const auto gib_month = price_in(from_.region, one.is_archived ? archived_gib_month : snapshot_gib_month);
    constexpr double gib = 1 << 30;
    const auto size = one.bytes >= 0 ? static_cast<double>(one.bytes) / gib : static_cast<double>(one.gib);
    auto& charge = put("snapshot", one.id,
                       fmt::format("of {} GiB{}{}", one.gib, one.is_archived ? ", archived" : "",
                                   one.description.empty() ? "" : ", " + one.description),
                       Usd{static_cast<std::int64_t>(size * static_cast<double>(gib_month.micros))});
    charge.is_estimate = true;  // what it shares with others is charged once
    charge.since_ms = one.created_ms;
    charge.end_by = call("ec2 delete-snapshot", "--snapshot-id", one.id);
    const auto image = std::ranges::find_if(from_.images, [&](const auto& each) {
      return std::ranges::find(each.snapshots, one.id) != each.snapshots.end();
    });
    if (image != from_.images.end()) {  // which must go first
      charge.about += fmt::format(", of the image {} \"{}\"", image->id, image->name);
      charge.end_by = call("ec2 deregister-image", "--image-id", image->id) + " && " + *charge.end_by;
    }
    tell_tags(charge, one.tags);
  }

  void add(const aws::AddressRecord& one) {
    const auto of = !one.instance.empty()    ? "of " + one.instance
                    : !one.interface.empty() ? "of " + one.interface
                                             : std::string("used by nothing");
    auto& charge = put("address", one.id, one.ip + ", " + of, month_of(public_ipv4_hour));
    charge.end_by = call("ec2 release-address", "--allocation-id", one.id);
    tell_tags(charge, one.tags);
  }

  void add(const aws::NatGatewayRecord& one) {
    if (one.state == "deleted" || one.state == "deleting" || one.state == "failed") return;
    auto& charge = put("NAT gateway", one.id, "in " + one.vpc + ", besides what goes through it",
                       month_of(price_in(from_.region, nat_gateway_hour)));
    charge.since_ms = one.created_ms;
    charge.end_by = call("ec2 delete-nat-gateway", "--nat-gateway-id", one.id);
    tell_tags(charge, one.tags);
  }

  void add(const aws::VpcEndpointRecord& one) {
    if (one.type == "Gateway" || one.state == "deleted" || one.state == "deleting") return;
    const int zones = std::max(1, one.zones);
    auto& charge =
        put("VPC endpoint", one.id, fmt::format("{}, in {} {}", one.service, zones, zones == 1 ? "zone" : "zones"),
            month_of(price_in(from_.region, {vpc_endpoint_hour.micros * zones})));
    charge.since_ms = one.created_ms;
    charge.end_by = call("ec2 delete-vpc-endpoints", "--vpc-endpoint-ids", one.id);
    tell_tags(charge, one.tags);
  }

  /// Of one that is used, the machines are charged for, and are among them; the rest of it as if it ran.
  void add(const aws::CapacityReservationRecord& one) {
    if (one.is_block && (one.state == "active" || one.state == "scheduled")) {
      auto& paid = put("capacity block", one.id,
                       fmt::format("{} {}, {}, paid when it was bought; ends {}", one.total, one.instance_type,
                                   one.state, os::iso_time(one.end_ms)),
                       Usd{});
      paid.since_ms = one.start_ms;
      tell_tags(paid, one.tags);
      return;
    }
    if (one.is_block || one.state != "active") return;
    if (one.available == 0) return;
    const auto hour = machine_hour(one.instance_type);
    auto& charge = put("capacity reservation", one.id,
                       fmt::format("{} of {} {} unused", one.available, one.total, one.instance_type),
                       hour ? std::optional(month_of({hour->micros * one.available})) : std::nullopt);
    charge.since_ms = one.start_ms;
    charge.end_by = call("ec2 cancel-capacity-reservation", "--capacity-reservation-id", one.id);
  }

  void add(const aws::LoadBalancerRecord& one) {
    auto& charge = put("load balancer", one.name, one.type + ", besides what goes through it",
                       month_of(price_in(from_.region, balancer_hour(one.type))));
    charge.since_ms = one.created_ms;
    charge.end_by = one.arn.empty() ? call("elb delete-load-balancer", "--load-balancer-name", one.name)
                                    : call("elbv2 delete-load-balancer", "--load-balancer-arn", one.arn);
  }

  /// "ml.g5.xlarge": about what EC2's costs.
  std::optional<Usd> sagemaker_month(const std::string& type) const {
    if (!type.starts_with("ml.")) return std::nullopt;
    const auto hour = machine_hour(type.substr(3));
    return hour ? std::optional(Usd{month_of(*hour).micros / 100 * sagemaker_percent}) : std::nullopt;
  }

  void add(const aws::SageMakerEndpoint& one) {
    if (one.machines.empty() || one.status == "Deleting" || one.status == "Failed") return;
    std::optional<Usd> month = Usd{};
    std::vector<std::string> parts;
    for (const auto& [type, count] : one.machines) {
      const auto each = sagemaker_month(type);
      month = month && each ? std::optional(Usd{month->micros + each->micros * count}) : std::nullopt;
      parts.push_back(fmt::format("{} {}", count, type.empty() ? "of an unknown type" : type));
    }
    auto& charge = put("SageMaker endpoint", one.name, join(parts, ", "), month);
    charge.is_estimate = true;
    charge.since_ms = one.created_ms;
    charge.end_by = call("sagemaker delete-endpoint", "--endpoint-name", one.name);
  }

  void add(const aws::SageMakerNotebook& one) {
    if (one.status != "InService" && one.status != "Pending" && one.status != "Updating") return;
    auto& charge = put("SageMaker notebook", one.name, one.type, sagemaker_month(one.type));
    charge.is_estimate = true;
    charge.since_ms = one.created_ms;
    charge.end_by = call("sagemaker stop-notebook-instance", "--notebook-instance-name", one.name);
  }

  const Standing& from_;
  const plan::Catalog& catalog_;
  std::vector<Charge> all_;
};

}  // namespace

std::vector<Charge> charges_of(const Standing& standing, const plan::Catalog& catalog) {
  return Collector(standing, catalog).all();
}

Usd Charges::month() const {
  Usd sum;
  for (const auto& one : all) sum = sum + one.month.value_or(Usd{});
  return sum;
}

}  // namespace ferry::account
