// ferry check, quota, policy, catalog: what an account allows and offers.

#include "account/account.h"
#include "account/catalog_update.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/task_options.h"
#include "cloud/cloud.h"
#include "fleet/labels.h"
#include "fleet/planning.h"
#include "watch/report.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

/// What check_account() finds, and about what it is not told of: the user's own settings, and the region
/// where none is set; a run then goes by price.
/// What the user's own limits leave.
void add_limits(Context& context, const Caps& caps, std::vector<account::Finding>& findings) {
  using Level = account::Finding::Level;
  if (!caps.any()) return;
  const auto use = context.ledger().use("aws");
  if (!use) return findings.push_back({Level::bad, "limits", use.error().what, use.error().advice});
  const auto add = [&](const char* name, const std::optional<Usd>& cap, Usd used) {
    if (!cap) return;
    const Usd left{std::max<std::int64_t>(0, cap->micros - used.micros)};
    const bool none = left.micros == 0;
    findings.push_back({none ? Level::note : Level::good, "limits",
                        fmt::format("{} of {} are left ({})", show(left), show(*cap), name),
                        none ? "nothing is rented until another run is over, or the limit is raised" : ""});
  };
  add("usd_per_day, today", caps.a_day, use->day);
  add("usd_per_month, this month", caps.a_month, use->month);
  add("usd_per_hour, at once", caps.an_hour, use->hour);
  if (!caps.machines) return;
  findings.push_back({use->machines < *caps.machines ? Level::good : Level::note, "limits",
                      fmt::format("{} of {} machines are rented, or about to be", use->machines, *caps.machines), ""});
}

std::vector<account::Finding> findings_of(Context& context, const std::string& region) {
  using Level = account::Finding::Level;
  std::vector<account::Finding> extra;
  const auto settings = personal_settings();
  if (!settings) {
    const auto& error = settings.error();
    extra.push_back(
        {Level::bad, "settings", error.what + (error.why.empty() ? "" : " (" + error.why + ")"), error.advice});
  }
  if (settings) add_limits(context, settings->limits, extra);
  std::string looked_at = region;
  const auto set = cloud::aws_region_from_environment(region);
  if (!set && set.error().kind == Kind::not_found && cloud::aws_region_from_environment("us-east-1")) {
    looked_at = "us-east-1";
    extra.push_back({Level::note, "region",
                     "none is set: a run goes where it is cheapest; what follows is of us-east-1",
                     "set AWS_REGION, or write infra: aws/REGION, to stay in one"});
  }
  auto all = account::check_account(context.run_context(), looked_at, settings.value_or(task::Settings()).aws);
  all.insert(all.begin(), extra.begin(), extra.end());
  return all;
}

Result<int> check(Context& context, const std::string& region) {
  using Level = account::Finding::Level;
  const auto findings = findings_of(context, region);
  bool bad = false;
  Json list = Json::array();
  for (const auto& one : findings) {
    bad = bad || one.level == Level::bad;
    const char* level = one.level == Level::good ? "good" : one.level == Level::note ? "note" : "bad";
    if (in_json()) {
      list.push_back({{"subject", one.subject}, {"level", level}, {"text", one.text}, {"advice", one.advice}});
      continue;
    }
    fmt::print("{} {:<13} {}\n",
               one.level == Level::good   ? "✓"
               : one.level == Level::note ? "!"
                                          : "✗",
               one.subject, printable(one.text));
    if (!one.advice.empty()) fmt::print("  {:<13} try: {}\n", "", printable(one.advice));
  }
  if (in_json()) reply("ferry.check/1", {{"good", !bad}, {"findings", list}});
  return bad ? 1 : 0;
}

const char* state_name(account::QuotaRequest::State state) {
  using State = account::QuotaRequest::State;
  return state == State::open ? "open" : state == State::granted ? "granted" : "refused";
}

Json request_json(const account::QuotaRequest& one) {
  const auto time = [](std::int64_t ms) { return ms > 0 ? Json(os::iso_time(ms)) : Json(); };
  return {{"id", one.id},
          {"code", one.code},
          {"vcpus", one.desired},
          {"status", one.status},
          {"state", state_name(one.state)},
          {"created", time(one.created_ms)},
          {"updated", time(one.updated_ms)}};
}

void print_requests(const Result<std::vector<account::QuotaRequest>>& requests) {
  if (!requests) {
    fmt::print(stderr, "! requests for more: {}\n", printable(requests.error().what));
    return;
  }
  if (requests->empty()) return;
  watch::Table table({"REQUESTED", ">VCPUS", "STATUS", "SINCE", "ID"});
  for (const auto& one : *requests)
    table.add({printable(one.code), std::to_string(one.desired), one.status,
               os::iso_time(one.state == account::QuotaRequest::State::open ? one.created_ms : one.updated_ms),
               one.id});
  fmt::print("\n{}", table.text());
}

Result<int> quota(Context& context, const std::string& region) {
  TRY_SET(quotas, "", account::vcpu_quotas(context.run_context(), region));
  const auto requests = account::quota_requests(context.run_context(), {"aws", region, "", "", ""});
  if (in_json()) {
    Json list = Json::array(), asked = Json::array();
    for (const auto& one : quotas) {
      list.push_back({{"code", one.code},
                      {"families", one.families},
                      {"market", one.spot ? "spot" : "on-demand"},
                      {"limit", one.limit ? Json(*one.limit) : Json()},
                      {"used", one.used}});
    }
    for (const auto& one : requests.value_or(std::vector<account::QuotaRequest>())) asked.push_back(request_json(one));
    reply("ferry.quota/1", {{"quotas", list}, {"requests", requests ? asked : Json()}});
    return 0;
  }
  watch::Table table({"CODE", "FAMILIES", "MARKET", ">VCPU LIMIT", ">IN USE"});
  for (const auto& one : quotas) {
    table.add({one.code, one.families, one.spot ? "spot" : "on-demand", one.limit ? std::to_string(*one.limit) : "?",
               std::to_string(one.used)});
  }
  fmt::print("{}", table.text());
  print_requests(requests);
  return 0;
}

struct QuotaWish {
  std::string region, code, wait;
  int vcpus = 0;
};

/// What was asked for before, and makes asking again needless: a request that is open, or one that was granted and is
/// enough.
bool is_asked_for(Context& context, const QuotaWish& wish) {
  const auto requests = account::quota_requests(context.run_context(), {"aws", wish.region, "", "", ""});
  if (!requests) return false;
  const auto newest = std::ranges::find(*requests, wish.code, &account::QuotaRequest::code);
  if (newest == requests->end()) return false;
  using State = account::QuotaRequest::State;
  return newest->state == State::open || (newest->state == State::granted && newest->desired >= wish.vcpus);
}

/// Asks for more; with --wait, until it is answered: repeated, it waits on.
Result<int> ask_for_more(Context& context, const QuotaWish& wish) {
  std::optional<Seconds> patience;
  if (!wish.wait.empty()) {
    TRY_SET(parsed, "--wait", parse_duration(wish.wait));
    patience = parsed;
  }
  auto request = account::request_quota(context.run_context(), wish.region, wish.code, wish.vcpus);
  // (Of a limit that is as high by now AWS says bad_input.)
  const bool may_be_there =
      !request && (request.error().kind == Kind::exists || request.error().kind == Kind::bad_input);
  const bool is_there = may_be_there && patience && is_asked_for(context, wish);
  if (!request && !is_there) return tl::unexpected<Error>(request.error());
  if (patience) request = account::await_quota(context.run_context(), wish.region, wish.code, *patience);
  if (!request) return tl::unexpected<Error>(request.error());
  const auto answer = fmt::format("{} {}: {} vCPUs asked for", request->status, request->id, request->desired);
  if (in_json()) {
    reply("ferry.quota.request/1",
          {{"code", wish.code}, {"vcpus", wish.vcpus}, {"answer", answer}, {"request", request_json(*request)}});
  } else {
    fmt::print("{}\n", answer);
  }
  return 0;
}

int print_policy(account::PolicyFor whom) {
  if (whom.owners.empty()) whom.owners = {fleet::owner_name()};
  if (whom.roles.empty() && whom.all) {
    const auto settings = personal_settings();
    if (!settings) return report(settings.error());
    if (!settings->aws.instance_profile.empty()) whom.roles = {settings->aws.instance_profile};
  }
  if (whom.store.empty()) {
    const auto settings = personal_settings();
    if (!settings) return report(settings.error());
    whom.store = settings->store.value_or("");
  }
  const auto text = account::iam_policy(whom);
  if (!text) return report(text.error());
  if (in_json()) {
    reply("ferry.policy/1", {{"policy", parse_json(*text).value_or(Json())}});
  } else {
    fmt::print("{}", *text);
  }
  if (whom.all && whom.roles.empty())
    fmt::print(stderr, "! no role for machines is named, so none may be passed on: --role NAME\n");
  return 0;
}

Result<int> update(Context& context, const std::vector<std::string>& regions) {
  TRY_SET(told, "", account::update_catalog(context.run_context(), regions));
  for (const auto& problem : told.problems) context.progress().warn("catalog", problem);
  const auto where = told.regions.size() == 1 ? told.regions.front() : fmt::format("{} regions", told.regions.size());
  if (in_json()) {
    reply("ferry.catalog.update/1", {{"regions", told.regions},
                                     {"on_demand_prices", told.on_demand},
                                     {"spot_prices", told.spot},
                                     {"interruption_bands", told.bands},
                                     {"problems", told.problems},
                                     {"catalog_date", fleet::catalog_in_force().date()}});
  } else if (told.on_demand > 0) {
    fmt::print("of today in {}: {} on-demand and {} spot prices; other prices keep their date\n", where, told.on_demand,
               told.spot);
  } else {
    fmt::print("no on-demand price could be read in {}: those of {} stay; of today: {} spot prices\n", where,
               fleet::catalog_in_force().date(), told.spot);
  }
  return 0;
}

}  // namespace

void add_account_commands(CLI::App& app, Program& program) {
  struct Options {
    std::string region;
    std::vector<std::string> regions;
  };
  auto options = std::make_shared<Options>();
  const auto choose = [&program](CLI::App* command, std::function<Result<int>(Context&)> act) {
    command->callback(
        [&program, act] { program.chosen = [&program, act] { return with_context(program.carried, act, true); }; });
  };

  auto* check_command = app.add_subcommand(
      "check", "Who am I on AWS, what may I do, what are my limits, what was left behind; 1 if something is wrong");
  check_command->add_option("--region", options->region, "Instead of your own region");
  choose(check_command, [options](Context& context) { return check(context, options->region); });

  auto* quota_command =
      app.add_subcommand("quota", "How many vCPUs the account may run, by family and market, and what was requested");
  quota_command->require_subcommand(0, 1);
  quota_command->add_option("--region", options->region, "Instead of your own region");
  quota_command->callback([&program, options, quota_command] {
    if (!quota_command->get_subcommands().empty()) return;
    program.chosen = [&program, options] {
      return with_context(
          program.carried, [options](Context& context) { return quota(context, options->region); }, true);
    };
  });
  auto* request = quota_command->add_subcommand("request", "Ask AWS for more: ferry quota request L-DB2E81BA 8");
  auto wish = std::make_shared<QuotaWish>();
  request->add_option("code", wish->code, "As `ferry quota` lists it")->required();
  request->add_option("vcpus", wish->vcpus, "The limit that you want")->required()->check(CLI::Range(1, 100000));
  request->add_option("--region", wish->region, "Instead of your own region");
  request
      ->add_option("--wait", wish->wait,
                   "Until AWS has answered, at most so long (3d); also of a request that is open already")
      ->type_name("TIME");
  choose(request, [wish](Context& context) { return ask_for_more(context, *wish); });

  auto whom = std::make_shared<account::PolicyFor>();
  auto* policy = app.add_subcommand("policy", "Print the smallest IAM policy that ferry needs");
  policy->add_flag("--interrupt", whom->interrupt, "With what ferry interrupt needs");
  policy->add_flag("--recover", whom->recover,
                   "With what recover: aws needs: AWS replaces a machine while this computer is away");
  policy->add_flag("--account", whom->account, "With what ferry account needs: to look at everything that costs");
  policy->add_flag("--buy", whom->buy, "With what ferry capacity buy needs: it spends thousands of dollars at once");
  policy->add_flag(
      "--all", whom->all,
      "With what only aws: settings and volumes: need: own key pairs, reservations, ssm, roles of machines");
  policy
      ->add_option("--owner", whom->owners,
                   "For whose machines: user@host of each of a person's computers (default: of this one)")
      ->type_name("USER@HOST")
      ->allow_extra_args(false);
  policy
      ->add_option("--role", whom->roles,
                   "A role that machines may get, by name or ARN; may be repeated (default: that of your settings)")
      ->type_name("ROLE")
      ->allow_extra_args(false);
  policy
      ->add_option("--store", whom->store,
                   "Runs store there (s3://BUCKET/PREFIX): with their own roles (default: that of your settings)")
      ->type_name("URI");
  policy->callback([&program, whom] { program.chosen = [whom] { return print_policy(*whom); }; });

  auto* catalog = app.add_subcommand("catalog", "Instance types and prices: how old they are, and fetching new ones");
  catalog->require_subcommand(0, 1);
  catalog->callback([&program, catalog] {
    if (!catalog->get_subcommands().empty()) return;
    program.chosen = [] {
      const auto& all = fleet::catalog_in_force();
      if (in_json()) {
        reply("ferry.catalog/1",
              {{"types", all.types().size()}, {"regions", all.regions()}, {"catalog_date", all.date()}});
        return 0;
      }
      fmt::print("{}, {}, of {}\n", watch::counted(all.types().size(), "instance type"),
                 watch::counted(all.regions().size(), "region"), all.date());
      return 0;
    };
  });
  auto* refresh = catalog->add_subcommand(
      "update",
      "Ask your account for types, zones and prices, and AWS how often it takes spot machines back; costs "
      "nothing");
  refresh->add_option("--region", options->regions, "Only this one; may be repeated")->allow_extra_args(false);
  choose(refresh, [options](Context& context) { return update(context, options->regions); });
}

}  // namespace ferry::cli
