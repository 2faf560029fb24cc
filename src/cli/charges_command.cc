// ferry account: what stands in the account and costs money.
#include "account/charges.h"
#include "base/text.h"
#include "cli/command.h"
#include "fleet/planning.h"
#include "os/terminal.h"
#include "watch/report.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

/// "$734.38", "~$12.10" of one that moves, "?" of one that is not known.
std::string price_of(const account::Charge& charge) {
  if (!charge.month) return "?";
  return (charge.is_estimate ? "~" : "") + fmt::format("${:.2f}", static_cast<double>(charge.month->micros) / 1e6);
}

std::string whose(const account::Charge& charge) {
  if (charge.owner.empty()) return "";
  const auto run = charge.run.empty() ? "" : " " + printable(charge.run);
  return charge.is_own ? "ferry:" + run : fmt::format("ferry of {}:{}", printable(charge.owner), run);
}

Json told(const account::Charge& one) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(printable(text)); };
  return {{"kind", one.kind},
          {"id", printable(one.id)},
          {"region", one.region},
          {"about", printable(one.about)},
          {"since", one.since_ms > 0 ? watch::json_time(one.since_ms) : Json()},
          {"usd_month", one.month ? Json(static_cast<double>(one.month->micros) / 1e6) : Json()},
          {"estimate", one.is_estimate},
          {"run", or_null(one.run)},
          {"owner", or_null(one.owner)},
          {"own", one.is_own},
          {"end_by", one.end_by ? Json(printable(*one.end_by)) : Json()}};
}

Json told(const account::Charges& charges) {
  Json list = Json::array(), unseen = Json::array();
  for (const auto& one : charges.all) list.push_back(told(one));
  for (const auto& one : charges.unseen)
    unseen.push_back({{"kind", one.kind}, {"regions", one.regions}, {"why", one.error.what}});
  return {{"account", charges.account},
          {"regions", charges.regions},
          {"charges", std::move(list)},
          {"usd_month", static_cast<double>(charges.month().micros) / 1e6},
          {"unseen", std::move(unseen)}};
}

void show_all(const account::Charges& charges, std::int64_t now_ms) {
  watch::Table table({">A MONTH", "WHAT", "ID", "REGION", ">SINCE", "ABOUT", "WHOSE"}, {6, 4});
  for (const auto& one : charges.all) {
    table.add({price_of(one), one.kind, printable(one.id), one.region,
               one.since_ms > 0 ? watch::show_age(Millis(std::max<std::int64_t>(0, now_ms - one.since_ms))) : "",
               printable(one.about), whose(one)});
  }
  fmt::print("{}", table.text());
  fmt::print("\nto end one:\n");
  std::set<std::string> shown;
  for (const auto& one : charges.all) {
    if (one.end_by && shown.insert(*one.end_by).second) fmt::print("  {}\n", printable(*one.end_by));
  }
}

void show_sum(const account::Charges& charges) {
  Usd own;
  std::size_t owned = 0, unknown = 0;
  for (const auto& one : charges.all) {
    if (!one.month) ++unknown;
    if (!one.is_own) continue;
    ++owned;
    own = own + one.month.value_or(Usd{});
  }
  const auto dollars = [](Usd usd) { return fmt::format("${:.2f}", static_cast<double>(usd.micros) / 1e6); };
  fmt::print("\n{}{} a month in account {}, if all of it stays{}\n", unknown > 0 ? "at least " : "",
             dollars(charges.month()), charges.account,
             unknown > 0 ? fmt::format("; of {} the price is not known", unknown) : "");
  if (owned > 0) fmt::print("ferry's own: {} a month   end it: ferry down --all\n", dollars(own));
  fmt::print("list prices (~: about), of {}; not counted: discounts, traffic, S3, other services\n",
             fleet::catalog_in_force().date());
}

Result<int> show_account(Context& context, const std::vector<std::string>& regions) {
  TRY_SET(charges, "", account::find_charges(context.run_context(), regions));
  const int code = charges.unseen.empty() ? 0 : 1;
  if (in_json()) {
    reply("ferry.account/1", told(charges));
    return code;
  }
  if (charges.all.empty()) {
    fmt::print("nothing that costs money stands in account {}{}\n", charges.account,
               code == 0 ? "" : ", where it could be looked");
  } else {
    show_all(charges, context.run_context().clock.now_ms());
    show_sum(charges);
  }
  for (const auto& one : charges.unseen) {
    const auto where = one.regions.size() == 1 ? one.regions.front() : fmt::format("{} regions", one.regions.size());
    context.progress().warn(
        "account", fmt::format("{} were NOT looked at in {}: {}{}", one.kind, where, one.error.what,
                               one.error.kind == Kind::denied ? "; what allows it: ferry policy --account" : ""));
  }
  return code;
}

}  // namespace

void add_charges_command(CLI::App& app, Program& program) {
  auto regions = std::make_shared<std::vector<std::string>>();
  auto* command = app.add_subcommand(
      "account",
      "Everything in the AWS account that costs money, ferry's or not: its price a month, and how to end it");
  command->add_option("--region", *regions, "Only there; may be repeated (default: every region)")
      ->type_name("REGION")
      ->allow_extra_args(false);
  command->callback([&program, regions] {
    program.chosen = [&program, regions] {
      return with_context(
          program.carried, [regions](Context& context) { return show_account(context, *regions); }, true);
    };
  });
}

}  // namespace ferry::cli
