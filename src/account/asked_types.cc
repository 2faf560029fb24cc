#include "account/asked_types.h"

#include "aws/pricing.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/planning.h"
#include "os/env.h"

namespace ferry::account {

namespace {

/// "x9.large", "p6-b300.48xlarge", "u-6tb1.metal": what EC2's types look like.
bool looks_like_a_type(std::string_view word) {
  const auto dot = word.find('.');
  const auto is_plain = [](std::string_view part) {
    return !part.empty() && std::ranges::all_of(part, [](unsigned char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
  };
  return word.size() <= 64 && dot != word.npos && is_plain(word.substr(0, dot)) && is_plain(word.substr(dot + 1));
}

/// As the catalog names it: the memory tells A100 from A100-80GB.
std::string catalog_name(const aws::AcceleratorRecord& record) {
  if (record.name == "A100" && record.memory_mib > 60'000) return "A100-80GB";
  return record.name;
}

Result<cloud::AwsContext> world_of(const task::Resources& candidate,
                                   const std::function<Result<cloud::AwsContext>()>& rehearsal) {
  const auto infra = candidate.infra.value_or(task::Infra{});
  if (infra.provider == task::Provider::rehearsal) return rehearsal();
  const auto own = cloud::aws_region_from_environment(infra.region);
  return cloud::aws_context_from_environment(own.value_or("us-east-1"));
}

std::string describe_type(const plan::InstanceType& type) {
  return fmt::format(
      "{}{} vCPU, {} GiB, {}",
      type.accelerator_count ? fmt::format("{} ×{}, ", printable(type.accelerator), type.accelerator_count) : "",
      type.vcpus, (type.memory_mib + 512) / 1024, type.arch);
}

/// One type, in one region. `told`: the line about it.
Result<plan::Catalog> ask(aws::Client& client, const std::string& name, const std::string& today, std::string& told) {
  const auto& region = client.config().region;
  auto records = aws::describe_instance_types(client, {name});
  if (!records) return tl::unexpected<Error>(records.error());
  const auto record = std::ranges::find(*records, name, &aws::InstanceTypeRecord::name);
  auto type = record == records->end() ? std::nullopt : type_of(*record);
  if (!type)
    return fail(Kind::not_found, "EC2 does not know it in " + region, "types differ by region",
                "ferry gpus lists what is known, with regions");
  type->last_seen = today;
  plan::Catalog::Builder builder;
  builder.add(*type);
  const auto zones = aws::describe_instance_type_offerings(client, {name});
  for (const auto& one : zones.value_or(std::vector<aws::OfferingRecord>()))
    builder.add(plan::Price{one.type, region, one.zone, {}, {}, ""});
  std::optional<Usd> hourly;
  const auto prices = aws::get_prices(client, region, name);
  for (const auto& one : prices.value_or(std::vector<aws::PriceRecord>())) {
    if (one.type != name || one.region != region) continue;
    hourly = one.hourly;
    builder.add(plan::Price{name, region, "", one.hourly, std::nullopt, today});
  }
  const auto spot = aws::describe_spot_prices(client, {name});
  for (const auto& one : spot.value_or(std::vector<aws::SpotPriceRecord>()))
    builder.add(plan::Price{name, region, one.zone, std::nullopt, one.hourly, today});
  told = fmt::format("{} is not in ferry's catalog; EC2 says: {}, {}; {}", name, describe_type(*type),
                     zones && zones->empty() ? "in no zone of " + region : "in " + region,
                     hourly    ? show_hourly(*hourly) + "/h"
                     : !prices ? "its price is unknown (" + printable(prices.error().what) + ")"
                               : "its price is unknown: AWS's price list does not name it");
  return builder.build(today);
}

}  // namespace

std::optional<plan::InstanceType> type_of(const aws::InstanceTypeRecord& record) {
  plan::InstanceType type;
  type.name = record.name;
  type.vcpus = record.vcpus;
  type.memory_mib = record.memory_mib;
  type.network = record.network;
  type.local_nvme_gb = static_cast<int>(record.local_disk_gb);
  for (const auto& arch : record.architectures) {
    if (arch == "x86_64" || arch == "arm64") type.arch = arch;
  }
  if (type.arch.empty() || type.vcpus < 1 || type.memory_mib < 1) return std::nullopt;
  if (!record.accelerators.empty() && !record.accelerators.front().name.empty()) {
    const auto& first = record.accelerators.front();
    type.accelerator = catalog_name(first);
    type.accelerator_count = std::max(1, first.count);
    type.accelerator_memory_mib = first.memory_mib;
  }
  return type;
}

AskedTypes ask_about_types(const task::Task& task, os::HttpClient& http, os::Clock& clock,
                           const std::function<Result<cloud::AwsContext>()>& rehearsal) {
  AskedTypes out;
  const auto today = os::iso_time(clock.now_ms()).substr(0, 10);
  for (const auto& candidate : task.all_candidates()) {
    const auto name = lower(trim(candidate.instance_type));
    const bool own = candidate.infra && candidate.infra->provider == task::Provider::ssh;
    if (own || !looks_like_a_type(name) || fleet::catalog_in_force().find(name)) continue;
    const auto aws_context = world_of(candidate, rehearsal);
    if (!aws_context) {
      out.why = "the catalog does not list it, and EC2 could not be asked: " + aws_context.error().what;
      continue;
    }
    auto client = cloud::aws_client(*aws_context, http, clock);
    std::string line;
    const auto found = ask(client, name, today, line);
    if (found) {
      fleet::learn(*found, !candidate.infra || candidate.infra->provider == task::Provider::aws);
      out.told.push_back(line);
      continue;
    }
    const auto& error = found.error();
    const bool unknown = error.kind == Kind::not_found || error.code == "InvalidInstanceType";
    out.why = unknown ? "EC2 does not know it in " + aws_context->region
                      : "the catalog does not list it, and EC2 could not be asked: " + error.what;
  }
  return out;
}

}  // namespace ferry::account
