// ferry capacity: capacity blocks that AWS offers, and what the account has reserved. Spends nothing.

#include "account/capacity.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/price_words.h"
#include "fleet/planning.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

struct CapacityOptions {
  std::string gpu, from;
  int days = 0, hours = 0, machines = 1;
  std::vector<std::string> regions;
};

std::string minute(std::int64_t ms) { return ms > 0 ? os::iso_time(ms).substr(0, 16) + "Z" : "-"; }
Json time_json(std::int64_t ms) { return ms > 0 ? Json(os::iso_time(ms)) : Json(); }

Result<account::BlockWish> wish_of(const CapacityOptions& options) {
  account::BlockWish wish;
  wish.machines = options.machines;
  wish.hours = options.hours > 0 ? options.hours : std::max(1, options.days) * 24;
  wish.regions = options.regions;
  TRY("", account::check_block_hours(wish.hours));
  if (!options.from.empty()) {
    TRY_SET(from, "--from", account::parse_begin(options.from));
    wish.from_ms = from;
  }
  TRY_SET(rows, "", plan::gpu_table(fleet::catalog_in_force(), options.gpu, {}));
  for (const auto& row : rows) wish.types.push_back(row.type);
  constexpr std::size_t most_types = 8;
  if (wish.types.size() > most_types)
    return fail(Kind::bad_input, fmt::format("{} are {} instance types", printable(options.gpu), wish.types.size()), {},
                "say how many of which GPU: ferry capacity H100:8", mistake_code);
  return wish;
}

Json offers_json(const account::BlockOffers& found, const account::BlockWish& wish) {
  Json list = Json::array();
  for (const auto& one : found.offers)
    list.push_back({{"id", one.id},
                    {"instance_type", one.instance_type},
                    {"machines", one.count},
                    {"gpus", one.gpus},
                    {"region", one.region},
                    {"zone", one.zone},
                    {"start", time_json(one.start_ms)},
                    {"end", time_json(one.end_ms)},
                    {"hours", one.hours},
                    {"fee_usd", money(one.fee)},
                    {"per_gpu_hour_usd", one.gpus ? money(one.per_gpu_hour) : Json()}});
  return {{"types", wish.types},      {"machines", wish.machines},  {"hours", wish.hours},
          {"regions", found.regions}, {"problems", found.problems}, {"offers", list}};
}

Result<int> search(Context& context, const CapacityOptions& options) {
  auto wish = wish_of(options);
  if (!wish) return mistake(std::move(wish).error());
  TRY_SET(found, "", account::find_blocks(context.run_context(), *wish));
  for (const auto& line : found.problems) context.progress().warn("capacity", line);
  if (in_json()) {
    reply("ferry.capacity/1", offers_json(found, *wish));
    return 0;
  }
  if (found.offers.empty()) {
    fmt::print("no capacity block of {} h with {} × {} is offered now in {}\n", wish->hours, wish->machines,
               join(wish->types, " or "), join(found.regions, ", "));
    return 0;
  }
  watch::Table table({"TYPE", ">MACHINES", ">GPUS", "ZONE", "BEGINS", "ENDS", ">FEE", ">$/GPU-h", "OFFER"});
  for (const auto& one : found.offers)
    table.add({printable(one.instance_type), std::to_string(one.count), one.gpus ? std::to_string(one.gpus) : "?",
               printable(one.zone), minute(one.start_ms), minute(one.end_ms), show(one.fee),
               one.gpus ? show_hourly(one.per_gpu_hour) : "?", printable(one.id)});
  fmt::print(
      "{}paid when it is bought, and never given back; machines end from half an hour before its end. ferry "
      "buys none: aws ec2 purchase-capacity-block --capacity-block-offering-id OFFER --instance-platform "
      "Linux/UNIX --region REGION; then ferry run --capacity-reservation cr-… --wait TIME\n",
      table.text());
  return 0;
}

Result<int> list(Context& context, const CapacityOptions& options) {
  TRY_SET(found, "", account::find_reservations(context.run_context(), options.regions));
  for (const auto& line : found.problems) context.progress().warn("capacity", line);
  if (in_json()) {
    Json rows = Json::array();
    for (const auto& one : found.list)
      rows.push_back({{"id", one.id},
                      {"kind", one.is_block ? "block" : "reservation"},
                      {"instance_type", one.instance_type},
                      {"machines", one.total},
                      {"free", one.available},
                      {"region", one.region},
                      {"zone", one.zone},
                      {"state", one.state},
                      {"start", time_json(one.start_ms)},
                      {"end", time_json(one.end_ms)}});
    reply("ferry.capacity.ls/1", {{"reservations", rows}, {"problems", found.problems}});
    return 0;
  }
  watch::Table table({"RESERVATION", "KIND", "TYPE", ">MACHINES", ">FREE", "ZONE", "STATE", "BEGINS", "ENDS"});
  for (const auto& one : found.list)
    table.add({printable(one.id), one.is_block ? "block" : "reservation", printable(one.instance_type),
               std::to_string(one.total), std::to_string(one.available), printable(one.zone), printable(one.state),
               minute(one.start_ms), minute(one.end_ms)});
  fmt::print("{}", found.list.empty() ? "nothing is reserved\n" : table.text());
  return 0;
}

}  // namespace

void add_capacity_command(CLI::App& app, Program& program) {
  auto options = std::make_shared<CapacityOptions>();
  const auto act = [&program, options](Result<int> (*what)(Context&, const CapacityOptions&)) {
    program.chosen = [&program, options, what] {
      return with_context(
          program.carried, [options, what](Context& context) { return what(context, *options); }, true);
    };
  };
  auto* capacity = app.add_subcommand(
      "capacity",
      "Capacity Blocks that AWS offers (GPU machines for some days, paid ahead): ferry capacity H100:8 --days 2; "
      "buys nothing");
  capacity->require_subcommand(0, 1);
  capacity->add_option("gpu,--gpus", options->gpu, "A GPU with its count in one machine (H100:8), or an instance type")
      ->type_name("GPU");
  auto* days = capacity->add_option("--days", options->days, "For how long (1)")->check(CLI::Range(1, 182));
  capacity->add_option("--hours", options->hours, "The same in hours")->check(CLI::Range(1, 182 * 24))->excludes(days);
  capacity->add_option("--from", options->from, "Begins then or later: 2026-12-05")->type_name("DATE");
  capacity->add_option("--machines", options->machines, "How many (1)")->check(CLI::Range(1, 64));
  capacity->add_option("--region", options->regions, "Instead of your own region; may be repeated")
      ->allow_extra_args(false);
  capacity->callback([act, options, capacity] {
    if (!capacity->get_subcommands().empty()) return;
    if (options->gpu.empty()) throw CLI::RequiredError("gpu");
    act(search);
  });
  auto* ls = capacity->add_subcommand("ls", "Capacity that the account has reserved, blocks and others");
  ls->add_option("--region", options->regions, "Instead of your own region; may be repeated")->allow_extra_args(false);
  ls->callback([act] { act(list); });
}

}  // namespace ferry::cli
