// Every region is asked for what stands there.
#include <algorithm>

#include "account/charges.h"
#include "account/every_region.h"
#include "aws/ec2_catalog.h"
#include "aws/sts.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/labels.h"
#include "fleet/planning.h"

namespace ferry::account {
namespace {

struct Answer {
  Standing standing;
  std::vector<std::pair<std::string, Error>> problems;  // by kind
};

template <class Rows>
void keep(Answer& answer, const char* kind, Result<Rows> rows, Rows& into) {
  if (rows) {
    into = *std::move(rows);
  } else {
    answer.problems.emplace_back(kind, std::move(rows).error());
  }
}

Answer ask_what_stands(const cloud::AwsContext& aws_context, os::Clock& clock, const std::string& region) {
  const auto http = os::make_http_client();
  auto client = cloud::aws_client(aws_context, *http, clock, region);
  Answer answer;
  auto& found = answer.standing;
  found.region = region;
  keep(answer, "machines", aws::Ec2(client).describe_instances({}, {}), found.machines);
  keep(answer, "disks", aws::describe_volumes(client), found.disks);
  keep(answer, "snapshots", aws::describe_own_snapshots(client), found.snapshots);
  keep(answer, "images", aws::Ec2(client).describe_images({"self"}, {}, true), found.images);
  keep(answer, "addresses", aws::describe_addresses(client), found.addresses);
  keep(answer, "NAT gateways", aws::describe_nat_gateways(client), found.gateways);
  keep(answer, "VPC endpoints", aws::describe_vpc_endpoints(client), found.endpoints);
  keep(answer, "capacity reservations", aws::describe_capacity_reservations(client), found.reservations);
  keep(answer, "load balancers", aws::describe_load_balancers(client), found.balancers);
  keep(answer, "SageMaker endpoints", aws::list_sagemaker_endpoints(client), found.model_endpoints);
  keep(answer, "SageMaker notebooks", aws::list_sagemaker_notebooks(client), found.notebooks);
  return answer;
}

/// What this user's ferry made, ferry ends: the run with what it saved, or by what it finds by its tags.
void tell_own(fleet::Context& context, Charge& charge) {
  charge.is_own = charge.owner == fleet::owner_name();
  if (!charge.is_own || charge.run.empty()) return;
  const bool is_known = context.ledger.run(charge.run).has_value();
  charge.end_by = is_known ? "ferry down " + shell_quoted(charge.run) : "ferry down --all";
}

}  // namespace

Result<Charges> find_charges(fleet::Context& context, const std::vector<std::string>& only) {
  auto aws_context = cloud::aws_context_from_environment(only.empty() ? "" : only.front());
  // It is asked about all regions: that none is the user's own does not matter.
  if (!aws_context && aws_context.error().kind == Kind::not_found)
    aws_context = cloud::aws_context_from_environment("us-east-1");
  if (!aws_context) return tl::unexpected<Error>(aws_context.error());
  Charges charges;
  auto client = cloud::aws_client(*aws_context, context.http, context.clock);
  TRY_SET(identity, "", aws::get_caller_identity(client));
  charges.account = identity.account;
  auto regions = only;
  if (regions.empty()) {
    TRY_SET(all, "list the account's regions", aws::describe_regions(client));
    for (const auto& region : all) {
      if (region.enabled) regions.push_back(region.name);
    }
  }
  charges.regions = regions.size();
  context.progress.begin("account",
                         fmt::format("asking {} {}", regions.size(), regions.size() == 1 ? "region" : "regions"));
  auto answers = ask_every_region(context, regions, [&](const std::string& region) {
    return ask_what_stands(*aws_context, context.clock, region);
  });
  std::ranges::sort(answers, {}, [](const Answer& answer) { return answer.standing.region; });
  for (auto& answer : answers) {
    auto found = charges_of(answer.standing, fleet::catalog_in_force());
    for (auto& charge : found) tell_own(context, charge);
    std::ranges::move(found, std::back_inserter(charges.all));
    for (auto& [kind, error] : answer.problems) {
      auto unseen = std::ranges::find(charges.unseen, kind, &Unseen::kind);
      if (unseen == charges.unseen.end())
        unseen = charges.unseen.insert(charges.unseen.end(), Unseen{kind, {}, std::move(error)});
      unseen->regions.push_back(answer.standing.region);
    }
  }
  std::ranges::stable_sort(charges.all, [](const Charge& one, const Charge& other) {
    if (one.month.has_value() != other.month.has_value()) return !one.month;
    return one.month && *one.month > *other.month;
  });
  context.progress.done("account", fmt::format("{} things that cost", charges.all.size()));
  return charges;
}

}  // namespace ferry::account
