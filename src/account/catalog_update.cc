#include "account/catalog_update.h"

#include "account/asked_types.h"
#include "account/every_region.h"
#include "account/image_list.h"
#include "account/spot_advisor.h"
#include "aws/ec2_catalog.h"
#include "aws/pricing.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/planning.h"
#include "os/env.h"

namespace ferry::account {

namespace {

/// What one region said; what it did not say is in `problems`.
struct Region {
  std::string name;
  std::vector<aws::InstanceTypeRecord> types;
  std::vector<aws::OfferingRecord> offerings;
  std::vector<aws::SpotPriceRecord> spot;
  std::vector<aws::PriceRecord> prices;
  std::vector<ListedImage> images;
  std::vector<std::string> problems;
};

template <class Rows>
void keep(Region& region, const char* what, Result<Rows> answer, Rows& into) {
  if (answer) {
    into = std::move(*answer);
  } else {
    region.problems.push_back(region.name + ": " + what + ": " + answer.error().what);
  }
}

Region ask(const cloud::AwsContext& aws_context, os::Clock& clock, const std::string& name) {
  const auto http = os::make_http_client();
  auto here = aws_context;
  here.region = name;
  auto client = cloud::aws_client(here, *http, clock);
  Region region;
  region.name = name;
  keep(region, "types", aws::describe_instance_types(client), region.types);
  keep(region, "zones", aws::describe_instance_type_offerings(client), region.offerings);
  keep(region, "spot prices", aws::describe_spot_prices(client), region.spot);
  keep(region, "prices", aws::get_prices(client, name), region.prices);
  keep(region, "images", list_images(client), region.images);
  return region;
}

void add(plan::Catalog::Builder& builder, const Region& region, const plan::Catalog& known, const std::string& today,
         CatalogUpdate& told) {
  for (const auto& record : region.types) {
    auto type = record.bare_metal ? std::nullopt : type_of(record);
    if (!type) continue;
    // A name and memory that the built-in catalog has right are kept: EC2's differ for a few old families.
    if (const auto* old = known.find(type->name); old && !old->accelerator.empty()) {
      type->accelerator = old->accelerator;
      if (type->accelerator_memory_mib == 0) type->accelerator_memory_mib = old->accelerator_memory_mib;
    }
    type->last_seen = today;
    builder.add(std::move(*type));
    ++told.types;
  }
  for (const auto& one : region.prices) {
    builder.add(plan::Price{one.type, one.region, "", one.hourly, std::nullopt, today});
    ++told.on_demand;
  }
  for (const auto& one : region.offerings) builder.add(plan::Price{one.type, region.name, one.zone, {}, {}, ""});
  for (const auto& one : region.spot) {
    builder.add(plan::Price{one.type, region.name, one.zone, std::nullopt, one.hourly, today});
    ++told.spot;
  }
  told.images += region.images.size();
  told.regions.push_back(region.name);
  told.problems.insert(told.problems.end(), region.problems.begin(), region.problems.end());
}

Status store(const plan::Catalog& catalog) {
  const auto folder = os::cache_dir() / "catalog";
  TRY("", os::make_dirs(folder));
  const auto csv = catalog.to_csv();
  TRY("", os::write_file(folder / "instances.csv", csv.instances));
  TRY("", os::write_file(folder / "prices.csv", csv.prices));
  return os::write_file(folder / "date", csv.date + "\n");
}

/// What the advisor said before stays where it cannot be had.
void update_advisor(fleet::Context& context, const cloud::AwsContext& aws_context, const std::string& today,
                    CatalogUpdate& told) {
  const auto url = spot_advisor_url(aws_context);
  if (!url) return;
  auto advisor = fetch_spot_advisor(context.http, *url);
  Status kept;
  if (advisor) {
    advisor->date = today;
    kept = store_spot_advisor(*advisor);
  }
  if (!advisor || !kept) {
    const auto& error = advisor ? kept.error() : advisor.error();
    told.problems.push_back("how often spot machines are taken back: " + short_line(error.what));
    return;
  }
  for (const auto& [region, types] : advisor->by) told.bands += types.size();
}

}  // namespace

Result<CatalogUpdate> update_catalog(fleet::Context& context, const std::vector<std::string>& only) {
  TRY_SET(aws_context, "", cloud::aws_context_from_environment(only.empty() ? "" : only.front()));
  auto names = only;
  if (names.empty()) {
    auto client = cloud::aws_client(aws_context, context.http, context.clock);
    TRY_SET(regions, "list the account's regions", aws::describe_regions(client));
    for (const auto& region : regions) {
      if (region.enabled) names.push_back(region.name);
    }
  }
  context.progress.begin("catalog",
                         fmt::format("asking {} {}", names.size(), names.size() == 1 ? "region" : "regions"));
  auto answers =
      ask_every_region(context, names, [&](const std::string& name) { return ask(aws_context, context.clock, name); });
  std::ranges::sort(answers, {}, &Region::name);

  const auto& known = plan::Catalog::builtin();
  const auto today = os::iso_time(context.clock.now_ms()).substr(0, 10);
  plan::Catalog::Builder builder;
  builder.add(fleet::catalog_in_force());
  CatalogUpdate told;
  for (const auto& answer : answers) add(builder, answer, known, today, told);
  if (told.types == 0 && told.on_demand == 0 && told.spot == 0) {
    return fail(Kind::io, "the catalog could not be refreshed", told.problems.empty() ? "" : told.problems.front(),
                "`ferry check` tells what this account may ask");
  }
  TRY("store the catalog", store(builder.build(told.on_demand ? today : fleet::catalog_in_force().date())));
  std::vector<ListedImage> images;
  for (auto& answer : answers) std::ranges::move(answer.images, std::back_inserter(images));
  TRY("store the images", store_images(images, today));
  update_advisor(context, aws_context, today, told);
  context.progress.done(
      "catalog", fmt::format("{} {}, {} prices, {} images", told.regions.size(),
                             told.regions.size() == 1 ? "region" : "regions", told.on_demand + told.spot, told.images));
  return told;
}

}  // namespace ferry::account
