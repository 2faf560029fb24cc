#include "account/account.h"

#include <cmath>

#include "aws/ec2_catalog.h"
#include "aws/errors.h"
#include "aws/permissions.h"
#include "aws/provider.h"
#include "aws/quotas.h"
#include "aws/sts.h"
#include "base/store_place.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/access.h"
#include "fleet/images.h"
#include "fleet/labels.h"
#include "fleet/planning.h"
#include "fleet/untracked.h"
#include "os/env.h"
#include "os/process.h"

extern "C" {
extern const char ferry_embed_iam_policy_json[], ferry_embed_iam_policy_json_end[];
}

namespace ferry::account {

namespace {

using Level = Finding::Level;

struct Account {
  cloud::AwsContext aws_context;
  aws::Client client;
};

Result<Account> open_account(fleet::Context& context, const std::string& region) {
  TRY_SET(aws_context, "", cloud::aws_context_from_environment(region));
  auto client = cloud::aws_client(aws_context, context.http, context.clock);
  return Account{std::move(aws_context), std::move(client)};
}

/// True for AWS (VPC endpoints too) and for what runs on this computer: another endpoint might not know
/// DryRun, and do what was only to be tried.
bool knows_dry_run(const aws::Client& client) {
  const auto endpoint = aws::endpoint_of(client.config(), "ec2");
  return aws::is_loopback(endpoint) || endpoint.ends_with(".amazonaws.com") || endpoint.ends_with(".amazonaws.com.cn");
}

/// vCPUs in use now, by the code of the limit that they count against.
Result<std::map<std::string, int>> vcpus_in_use(aws::Client& client) {
  TRY_SET(running, "", aws::Ec2(client).describe_instances({}, {{"instance-state-name", {"pending", "running"}}}));
  std::map<std::string, int> used;
  for (const auto& instance : running) {
    const auto* type = fleet::catalog_in_force().find(instance.type);
    const auto* quota = aws::vcpu_quota_of(instance.type, instance.lifecycle == "spot");
    if (type && quota) used[std::string(quota->code)] += type->vcpus;
  }
  return used;
}

std::optional<int> limit_of(aws::Client& client, std::string_view code) {
  const auto quota = aws::get_service_quota(client, "ec2", std::string(code));
  return quota ? std::optional(static_cast<int>(std::floor(quota->value))) : std::nullopt;
}

/// What a permission that is missing takes away. Of what is done to things that exist already, none is ever
/// found missing by a trial.
std::string breaks(std::string_view action) {
  if (action == "RunInstances") return "nothing can be rented";
  if (action == "ImportKeyPair" || action == "CreateSecurityGroup") return "machines could not be reached by ssh";
  return "needed to see what there is";
}

void check_permissions(Account& account, cloud::Cloud& cloud, std::vector<Finding>& out) {
  if (!knows_dry_run(account.client)) {
    out.push_back({Level::note, "permissions", "not asked: this endpoint may not know DryRun", ""});
    return;
  }
  aws::TrialNames names;
  names.tags[fleet::owner_tag] = fleet::owner_name();
  if (const auto image = cloud.newest_image({"t3.micro", "x86_64", false, {}})) {
    names.image_id = image->id;
  } else {
    out.push_back({Level::bad, "images", image.error().what, image.error().advice});
  }
  if (const auto image = cloud.newest_image({"g5.xlarge", "x86_64", true, {}})) {
    const auto now = os::system_clock().now_ms();
    const auto words = fleet::support_words(image->supported_until, now);
    out.push_back({fleet::is_unsupported(image->supported_until, now) ? Level::note : Level::good, "images",
                   image->name + (words.empty() ? "" : ": " + words), ""});
  } else {
    // Trainings on CPUs do without.
    out.push_back({Level::note, "images", image.error().what, image.error().advice});
  }
  std::vector<std::string> allowed, unknown;
  for (const auto action : aws::trial_actions()) {
    const auto answer = aws::dry_run(account.client, action, names);
    const std::string name = "ec2:" + std::string(action);
    if (answer.permission == aws::Permission::allowed) allowed.push_back(std::string(action));
    if (answer.permission == aws::Permission::unknown) unknown.push_back(std::string(action));
    if (answer.permission == aws::Permission::denied)
      out.push_back({Level::bad, "permissions", name + " ✗  " + breaks(action),
                     "`ferry policy` prints all that ferry needs; have it attached to this identity"});
  }
  if (!allowed.empty()) out.push_back({Level::good, "permissions", join(allowed, " ✓  ") + " ✓", ""});
  if (!unknown.empty())
    out.push_back({Level::note, "permissions", join(unknown, ", ") + ": EC2 does not tell without a real machine", ""});
}

/// The user's own subnets, and the key pair that is to open machines in them.
void check_own_network(cloud::Cloud& cloud, const task::AwsSettings& settings, std::vector<Finding>& out) {
  const auto subnets = cloud.subnets(settings.subnets_in(cloud.region()));
  if (!subnets) {
    out.push_back({Level::bad, "network", subnets.error().what, subnets.error().advice});
    return;
  }
  std::vector<std::string> parts;
  for (const auto& subnet : *subnets)
    parts.push_back(
        fmt::format("{} in {} ({})", subnet.id, subnet.zone,
                    subnet.gives_public_address && settings.public_address != false ? "public" : "private"));
  const bool many =
      std::ranges::any_of(*subnets, [&](const auto& one) { return one.vpc_id != subnets->front().vpc_id; });
  out.push_back({many ? Level::bad : Level::good, "network", join(parts, ", "),
                 many ? "subnets of one region must be of one VPC" : ""});
}

void check_network(Account& account, std::vector<Finding>& out) {
  const auto vpcs = aws::describe_vpcs(account.client, {{"isDefault", {"true"}}});
  if (!vpcs) {
    out.push_back({Level::bad, "network", vpcs.error().what, vpcs.error().advice});
    return;
  }
  if (vpcs->empty()) {
    out.push_back({Level::bad, "network", "this account has no default VPC in " + account.aws_context.region,
                   "aws ec2 create-default-vpc --region " + account.aws_context.region});
    return;
  }
  const auto subnets = aws::describe_subnets(account.client, {{"vpc-id", {vpcs->front().id}}});
  std::set<std::string> zones;
  if (subnets) {
    for (const auto& subnet : *subnets) {
      if (subnet.gives_public_ip) zones.insert(subnet.zone);
    }
  }
  out.push_back({zones.empty() && subnets ? Level::bad : Level::good, "network",
                 fmt::format("default VPC {}, public subnets in {} zones", vpcs->front().id, zones.size()), ""});
}

void check_quotas(Account& account, std::vector<Finding>& out) {
  const auto used = vcpus_in_use(account.client);
  std::vector<std::string> parts;
  for (const auto& quota : aws::vcpu_quotas()) {
    const auto limit = limit_of(account.client, quota.code);
    if (!limit) continue;
    const int busy = used && used->contains(std::string(quota.code)) ? used->at(std::string(quota.code)) : 0;
    parts.push_back(fmt::format("{} {} {} vCPU{}", quota.families, quota.spot ? "spot" : "on-demand", *limit,
                                busy ? fmt::format(" ({} in use)", busy) : ""));
  }
  if (parts.empty()) {
    out.push_back({Level::note, "quotas", "not known here (servicequotas:GetServiceQuota tells nothing)", ""});
    return;
  }
  out.push_back({Level::good, "quotas", join(parts, " · "), ""});
}

void check_ssh(std::vector<Finding>& out) {
  const auto version = os::run_command({.argv = {"ssh", "-V"}}, {}, Millis(5'000));
  if (!version) {
    out.push_back({Level::bad, "ssh", "there is no ssh program here", "sudo apt-get install openssh-client"});
    return;
  }
  const auto words = std::string(trim(version->err.empty() ? version->out : version->err));
  out.push_back({Level::good, "ssh", printable(words.substr(0, words.find(','))), ""});
}

void check_orphans(fleet::Context& context, const std::vector<std::string>& regions, std::vector<Finding>& out) {
  const auto noted = context.ledger.unreleased();
  if (!noted) {
    out.push_back({Level::note, "orphans", "the ledger cannot be read", ""});
    return;
  }
  std::vector<std::string> orphans, leftovers;
  for (const auto& region : regions) {
    fleet::CloudLocation location{"aws", region, "", "", ""};
    const auto ours = [&]() -> Result<std::vector<cloud::Instance>> {
      TRY_SET(cloud, "", fleet::open_cloud(context, location));
      return cloud->find_by_tag(fleet::owner_tag, fleet::owner_name());
    }();
    if (!ours) {
      out.push_back({Level::note, "orphans", region + " could not be looked at: " + ours.error().what, ""});
      continue;
    }
    for (const auto& one : *ours) {
      const bool known = std::ranges::any_of(*noted, [&](const auto& it) { return it.id == one.id; });
      if (one.alive() && !known) orphans.push_back(one.id + " (" + one.type + ", " + region + ")");
    }
    // A policy of an older ferry does not show them; they cost nothing.
    const auto left = fleet::find_leftovers(context, location);
    for (const auto& one : left.value_or(std::vector<fleet::Leftover>()))
      leftovers.push_back(fleet::describe_leftover(one));
  }
  if (orphans.empty() && !leftovers.empty()) {
    out.push_back({Level::note, "orphans",
                   "no machine; left over, at no cost: " + join(leftovers, ", ") + "; ferry down --all removes them",
                   ""});
  } else if (orphans.empty()) {
    out.push_back({Level::good, "orphans", "none", ""});
  } else {
    out.push_back({Level::bad, "orphans", join(orphans, ", "), "ferry down --all ends them"});
  }
}

}  // namespace

std::vector<Finding> check_account(fleet::Context& context, const std::string& region,
                                   const task::AwsSettings& settings) {
  std::vector<Finding> out;
  const auto tell = [&](std::string subject, const Error& error) {
    const auto text = error.what + (error.why.empty() ? "" : " (" + error.why + ")");
    out.push_back({Level::bad, std::move(subject), text, error.advice});
  };
  check_ssh(out);
  if (const auto access = fleet::check_access(settings); !access) tell("ssh", access.error());
  auto account = open_account(context, region);
  if (!account) {
    tell(account.error().kind == Kind::bad_input ? "region" : "credentials", account.error());
    return out;
  }
  const auto caller = aws::get_caller_identity(account->client);
  if (!caller) {
    tell("credentials", caller.error());
    return out;
  }
  // STS and EC2 do not say the same of every session: EC2 is the one that rents.
  if (const auto asked = aws::describe_regions(account->client); !asked && aws::is_expired(asked.error())) {
    tell("credentials", asked.error());
    return out;
  }
  const auto credentials = account->aws_context.credentials->get();
  out.push_back(
      {Level::good, "credentials",
       fmt::format("{}, account {}, {}", credentials ? credentials->source : "", caller->account, caller->arn), ""});
  out.push_back({Level::good, "region", account->aws_context.region, ""});
  const auto cloud = cloud::make_ec2_cloud(account->aws_context, context.http, context.clock);
  check_permissions(*account, *cloud, out);
  check_quotas(*account, out);
  const bool own = !settings.subnets_in(account->aws_context.region).empty();
  own ? check_own_network(*cloud, settings, out) : check_network(*account, out);
  const auto regions = account_regions(context);
  check_orphans(context, regions.value_or(std::vector{account->aws_context.region}), out);
  return out;
}

Result<std::vector<std::string>> account_regions(fleet::Context& context) {
  TRY_SET(account, "", open_account(context, ""));
  std::vector<std::string> names = {account.aws_context.region};
  TRY_SET(regions, "", aws::describe_regions(account.client));
  for (const auto& region : regions) {
    if (region.enabled && region.name != names.front()) names.push_back(region.name);
  }
  return names;
}

Result<std::vector<Quota>> vcpu_quotas(fleet::Context& context, const std::string& region) {
  TRY_SET(account, "", open_account(context, region));
  TRY_SET(used, "", vcpus_in_use(account.client));
  std::vector<Quota> out;
  for (const auto& quota : aws::vcpu_quotas()) {
    const std::string code(quota.code);
    const auto known = aws::get_service_quota(account.client, "ec2", code);
    if (!known && known.error().kind != Kind::not_found && known.error().kind != Kind::denied)
      return tl::unexpected<Error>(known.error());
    Quota row{code, std::string(quota.families), quota.spot, std::nullopt, used.contains(code) ? used.at(code) : 0};
    if (known) row.limit = static_cast<int>(std::floor(known->value));
    out.push_back(std::move(row));
  }
  return out;
}

Result<QuotaRequest> request_quota(fleet::Context& context, const std::string& region, const std::string& code,
                                   int vcpus) {
  TRY_SET(account, "", open_account(context, region));
  TRY_SET(record, "", aws::request_service_quota_increase(account.client, "ec2", code, vcpus));
  auto request = quota_request_of(record);
  request.code = code;
  request.desired = vcpus;
  return request;
}

namespace {

/// Each limit once, with the smallest machine that it rules out.
void note_shortage(const plan::Offer& offer, std::optional<int> limit, int used, std::vector<QuotaShortage>& short_of) {
  auto shortage = shortage_of(offer);
  if (!shortage) return;
  shortage->limit = limit;
  shortage->used = used;
  const auto same = std::ranges::find_if(
      short_of, [&](const auto& one) { return one.code == shortage->code && one.region == shortage->region; });
  if (same == short_of.end())
    short_of.push_back(*std::move(shortage));
  else
    same->needed = std::min(same->needed, shortage->needed);
}

}  // namespace

Result<std::vector<plan::Offer>> within_quotas(fleet::Context& context, const fleet::CloudLocation& location,
                                               std::vector<plan::Offer> offers, std::vector<QuotaShortage>& short_of) {
  struct Room {
    std::optional<int> limit;
    int used = 0;
  };
  constexpr std::size_t most_regions = 4;  // further ones are found out about when it comes to them
  std::map<std::string, Account> accounts;
  std::map<std::string, std::map<std::string, int>> used;
  std::map<std::pair<std::string, std::string>, Room> rooms;
  std::vector<plan::Offer> fitting;
  std::optional<Error> first;
  for (auto& offer : offers) {
    const auto* quota = aws::vcpu_quota_of(offer.type.name, offer.market == plan::Market::spot);
    if (!accounts.contains(offer.region) && accounts.size() < most_regions) {
      auto here = location;
      here.region = offer.region;
      TRY_SET(account, "", open_account(context, here.region));
      used[offer.region] = vcpus_in_use(account.client).value_or(std::map<std::string, int>());
      accounts.emplace(offer.region, std::move(account));
    }
    const auto account = accounts.find(offer.region);
    if (!quota || account == accounts.end()) {
      fitting.push_back(std::move(offer));
      continue;
    }
    const std::string code(quota->code);
    const auto [room, fresh] = rooms.try_emplace({offer.region, code});
    if (fresh) room->second = {limit_of(account->second.client, code), used[offer.region][code]};
    const auto& [limit, busy] = room->second;
    if (!limit || offer.type.vcpus <= *limit - busy) {
      fitting.push_back(std::move(offer));
      continue;
    }
    note_shortage(offer, limit, busy, short_of);
    if (first) continue;
    first = Error{
        Kind::quota,
        fmt::format("your account may run {} vCPUs of \"{}\" {} in {}; {} needs {}", *limit, quota->families,
                    quota->spot ? "spot" : "on-demand", offer.region, offer.type.name, offer.type.vcpus),
        fmt::format("Service Quotas {} is {} there{}", code, *limit, busy ? fmt::format(", {} in use", busy) : ""),
        fmt::format("ferry quota request {} {} --region {}   (asks AWS for more), or another region or market: "
                    "--region '*', --spot, --on-demand",
                    code, busy + offer.type.vcpus, offer.region),
        {}};
  }
  if (fitting.empty() && first) return tl::unexpected<Error>(std::move(*first));
  if (first) context.progress.warn("plan", first->what + "; going on without such offers");
  return fitting;
}

Status may_launch(fleet::Context& context, const plan::Offer& offer, const cloud::Image& image,
                  const task::AwsSettings& settings) {
  TRY_SET(account, "", open_account(context, offer.region));
  if (!knows_dry_run(account.client)) return {};
  aws::TrialNames names;
  names.tags[fleet::owner_tag] = fleet::owner_name();  // the policy allows no other's
  names.image_id = image.id;
  names.instance_type = offer.type.name;
  names.instance_profile = settings.instance_profile;
  if (const auto& subnets = settings.subnets_in(offer.region); !subnets.empty()) names.subnet_id = subnets.front();
  // Not TerminateInstances: of a machine that does not exist nobody learns whether it may be ended.
  for (const char* action : {"RunInstances", "DescribeInstances", "ImportKeyPair", "CreateSecurityGroup"}) {
    auto answer = aws::dry_run(account.client, action, names);
    if (answer.permission != aws::Permission::denied || !answer.error) continue;
    answer.error->advice = "`ferry policy` prints all that ferry needs; have it attached to this identity";
    return fail("", std::move(*answer.error));
  }
  return {};
}

namespace {

/// "arn:aws:iam::*:role/NAME" of a role's name, its ARN, or the ARN of the instance profile that has its
/// name. Another account's role of that name cannot be passed on whatever a policy says.
Result<std::string> role_arn(const std::string& role) {
  constexpr std::string_view profile = ":instance-profile/";
  std::string arn = role.starts_with("arn:") ? role : "arn:aws:iam::*:role/" + role;
  if (const auto at = arn.find(profile); at != std::string::npos) arn.replace(at, profile.size(), ":role/");
  const auto name = arn.find(":role/");
  const bool names_one = !role.empty() && role.find_first_of("*?$ ") == std::string::npos &&
                         name != std::string::npos && name + 6 < arn.size();
  if (names_one) return arn;
  return fail(Kind::bad_input, "no role of IAM: '" + printable(role) + "'", {},
              "give the name of one role, or its ARN: arn:aws:iam::ACCOUNT:role/NAME");
}

/// Puts `values` in the place of the one word `place` in every list of strings.
void fill(nlohmann::ordered_json& json, std::string_view location, const std::vector<std::string>& values) {
  for (auto& part : json) {
    if (part.is_structured()) fill(part, location, values);
  }
  if (json.is_array() && json.size() == 1 && json[0] == location) json = values;
}

}  // namespace

Result<std::string> iam_policy(const PolicyFor& whom) {
  for (const auto& owner : whom.owners) {
    if (!owner.empty() && owner.find_first_of("*?$") == std::string::npos) continue;
    return fail(Kind::bad_input, "no owner of machines: '" + printable(owner) + "'",
                "an owner is one value of the tag ferry:owner", "give user@host as `ferry policy` prints it there");
  }
  std::vector<std::string> roles;
  for (const auto& role : whom.roles) {
    TRY_SET(arn, "", role_arn(role));
    roles.push_back(std::move(arn));
  }
  StorePlace store;
  if (!whom.store.empty()) {
    TRY_SET(place, "", parse_store_place(whom.store));
    store = std::move(place);
  }
  const std::string_view text(ferry_embed_iam_policy_json, ferry_embed_iam_policy_json_end);
  auto policy = nlohmann::ordered_json::parse(text);  // people know the order of a policy's fields
  auto& statements = policy["Statement"];
  for (auto one = statements.begin(); one != statements.end();) {
    const auto sid = one->at("Sid").get<std::string>();
    const bool is_about_roles = sid == "OptionalRolesOfMachines";
    const bool is_about_store = sid.starts_with("Store");
    const bool wanted = is_about_roles                 ? !roles.empty()
                        : is_about_store               ? !store.bucket.empty()
                        : sid.starts_with("Interrupt") ? whom.interrupt
                        : sid.starts_with("Recover")   ? whom.recover
                        : sid.starts_with("Account")   ? whom.account
                        : sid.starts_with("Buy")       ? whom.buy
                                                       : whom.all || !sid.starts_with("Optional");
    one = wanted ? one + 1 : statements.erase(one);
  }
  fill(policy, "@owners@", whom.owners);
  fill(policy, "@roles@", roles);
  const std::string bucket = "arn:aws:s3:::" + store.bucket, runs = store.prefix + "runs/*",
                    data = store.prefix + "data/*";
  fill(policy, "@buckets@", {bucket});
  fill(policy, "@objects@", {bucket + "/" + runs, bucket + "/" + data});
  fill(policy, "@prefixes@", {runs, data});
  return policy.dump(2) + "\n";
}

}  // namespace ferry::account
