#include "fleet/untracked.h"

#include <algorithm>

#include "aws/ec2_catalog.h"
#include "aws/ec2_xml.h"
#include "aws/services.h"
#include "base/hash.h"
#include "base/store_place.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/labels.h"
#include "fleet/planning.h"
#include "fleet/polling.h"
#include "fleet/stand_in.h"
#include "fleet/store_role.h"
#include "ssh/keys.h"

namespace ferry::fleet {

namespace {

/// Of a cloud::Instance or a cloud::Made.
template <class Tagged>
std::string tag_of(const Tagged& one, const char* key) {
  const auto found = one.tags.find(key);
  return found == one.tags.end() ? std::string() : found->second;
}

/// "", or ", of the ledger 0a1b…".
template <class Tagged>
std::string whose(const Tagged& one, bool is_ours) {
  const auto ledger = tag_of(one, ledger_tag);
  return is_ours ? "" : ", of " + (ledger.empty() ? "an unnamed ledger" : "the ledger " + printable(ledger));
}

/// So that two processes do not adopt a machine twice.
std::string untracked_token(const std::string& id) { return "stray-" + id; }

/// The names that ferry gives runs. They name folders, and this one comes from outside.
bool is_run_name(const std::string& name) {
  return !name.empty() && name.size() <= 100 && name[0] != '-' && name[0] != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
             std::string::npos;
}

constexpr std::int64_t a_year_s = 366LL * 86'400;

/// What describes a run to another ledger comes from the cloud: anybody who may tag machines of the account wrote it.
bool is_host_key(const std::string& line) {
  constexpr std::string_view begin = "ssh-ed25519 ";
  constexpr std::size_t most = 200;
  return line.starts_with(begin) && line.size() <= most &&
         line.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", begin.size()) ==
             line.npos;
}

/// Whether this ledger made the host key that the machine was given: the run's private folder has pinned it.
bool has_host_key_of(const Context& context, const cloud::Instance& one) {
  const auto run = tag_of(one, "ferry:run"), key = tag_of(one, host_key_tag);
  if (!is_run_name(run) || !is_host_key(key)) return false;
  const auto pinned = os::read_file(RunDir(context.data, run).known_hosts(), 64 << 10);
  return pinned && *pinned == ssh::known_hosts_line(run, key);
}

Json outputs_in(const cloud::Tags& tags) {
  const auto tag = tags.find(outputs_tag);
  const auto list = tag == tags.end() ? Result<Json>(Json::array()) : parse_json(tag->second);
  if (!list || !list->is_array() || !std::ranges::all_of(*list, [](const auto& one) { return one.is_string(); }))
    return Json::array();
  return *list;
}

}  // namespace

std::string describe_untracked(const Untracked& untracked) {
  const auto& one = untracked.instance;
  const auto run = tag_of(one, "ferry:run");
  return fmt::format("{} ({}{} in {}{}{})", printable(one.id), printable(one.type), one.is_off() ? ", stopped," : "",
                     untracked.location.region.empty() ? untracked.location.provider : untracked.location.region,
                     run.empty() ? "" : ", run " + printable(run), whose(one, untracked.is_ours));
}

Result<std::vector<Untracked>> find_untracked(Context& context, const CloudLocation& location,
                                              const std::string& owner) {
  auto reached = location;
  TRY_SET(cloud, "", open_cloud(context, reached));
  TRY("", confirm_account(*cloud, location));
  TRY_SET(found, "", cloud->find_by_tag(owner_tag, owner));
  TRY_SET(noted, "", context.ledger.unreleased());
  TRY_SET(runs, "", context.ledger.runs(false));
  TRY_SET(id, "", ledger_id(context.data));
  // Machines of older ferries do not say whose they are; a run that is noted here does. Where the ledger and its id
  // were lost, what was made for the machine is here.
  std::set<std::string> launches;
  for (const auto& run : runs) launches.insert(launch_id(run));
  std::vector<Untracked> machines;
  for (auto& one : found) {
    const bool known = std::ranges::any_of(noted, [&](const auto& it) { return it.id == one.id; });
    if (!one.alive() || known) continue;
    const bool ours =
        tag_of(one, ledger_tag) == id || launches.contains(tag_of(one, launch_tag)) || has_host_key_of(context, one);
    machines.push_back({reached, std::move(one), ours});
  }
  return machines;
}

Result<std::string> adopt_untracked(Context& context, const Untracked& untracked) {
  const auto& one = untracked.instance;
  const auto tagged = tag_of(one, "ferry:run"), launch = tag_of(one, launch_tag);
  TRY_SET(runs, "", context.ledger.runs(false));
  TRY_SET(id, "", ledger_id(context.data));
  ledger::Run run;
  run.name = is_run_name(tagged) ? tagged : "stray-" + random_name(4);
  const bool taken = std::ranges::any_of(runs, [&](const auto& it) { return it.name == run.name; });
  if (taken) run.name += "-" + random_name(4);
  run.task_name = run.name.substr(0, run.name.rfind('-'));
  run.infra = untracked.location.provider == "aws" ? "aws/" + untracked.location.region : untracked.location.provider;
  run.task = {{"run", ""}, {"setup", ""}, {"outputs", outputs_in(one.tags)}, {"ledger", id}};
  if (const auto key = tag_of(one, host_key_tag); is_host_key(key)) run.task["host_key"] = key;
  if (const auto seconds = parse_int(tag_of(one, max_duration_tag)); seconds && *seconds > 0 && *seconds <= a_year_s)
    run.task["max_duration_s"] = *seconds;
  if (tag_of(one, ends_tag) == ends_stop) run.task["ends"] = ends_stop;
  // What it stored is called by the name that it had.
  if (const auto attempt = parse_int(tag_of(one, attempt_tag));
      attempt && *attempt > 1 && *attempt <= ledger::most_attempts)
    run.task["attempt"] = *attempt;
  if (const auto place = parse_store_place(tag_of(one, store_tag)); place && !place->bucket.empty() && !taken)
    run.store = uri_of(*place);
  run.output_dir = (std::filesystem::current_path() / "runs" / run.name).string();
  run.workdir = std::filesystem::current_path().string();
  run.phase = ledger::Phase::training;  // it may hold what only it has
  run.error = "found again: " + one.id + " was in no ledger here";
  run.train_start_ms = one.launched_ms;

  ledger::Instance instance;
  instance.token = untracked_token(one.id);
  instance.run = run.name;
  instance.provider = untracked.location.provider;
  instance.region = untracked.location.region;
  instance.endpoint = untracked.location.endpoint;
  instance.account = untracked.location.account;
  instance.profile = untracked.location.profile;
  instance.id = one.id;
  instance.type = one.type;
  instance.zone = one.zone;
  instance.login_user = "ubuntu";
  instance.public_address = !one.address.empty();
  record_access(one, instance);
  instance.state = ledger::Rent::live;
  instance.launched_ms = one.launched_ms;

  std::vector<ledger::Resource> made;
  if (!tagged.empty() && launch.size() >= 8) {
    std::vector<std::string> kinds = {"key-pair", "security-group"};
    if (!tag_of(one, in_group_tag).empty()) kinds.insert(kinds.end(), {template_kind, group_kind});
    for (const auto& kind : kinds)
      made.push_back({run.name, instance.provider, instance.region, instance.endpoint, kind,
                      resource_name(tagged, launch), false, instance.account, instance.profile});
    if (const auto role = store_role_name(tagged, launch); tag_of(one, role_tag) == role)
      made.push_back({run.name, instance.provider, instance.region, instance.endpoint, "role", role, false,
                      instance.account, instance.profile});
  }
  TRY("", context.ledger.adopt(run, instance, made));
  return run.name;
}

std::string describe_leftover(const Leftover& leftover) {
  const auto& region = leftover.location.region;
  const auto name = printable(leftover.made.name), others = whose(leftover.made, leftover.is_ours);
  if (leftover.made.kind == "role") return "role " + name + others;
  auto kind = leftover.made.kind;
  std::ranges::replace(kind, '-', ' ');
  return fmt::format("{} {} in {}{}", kind, name, region.empty() ? leftover.location.provider : region, others);
}

Result<std::vector<Leftover>> find_leftovers(Context& context, const CloudLocation& location,
                                             const std::string& owner) {
  constexpr Seconds young{3600};  // a launch that goes from region to region
  auto reached = location;
  TRY_SET(cloud, "", open_cloud(context, reached));
  TRY("", confirm_account(*cloud, location));
  TRY_SET(made, "", cloud->find_made(owner_tag, owner));
  // Roles are of no region: they are looked for once. A test's own cloud has none.
  if (!context.cloud && location.provider != "ssh" && aws::home_region("iam", reached.region) == reached.region) {
    TRY_SET(roles, "", find_store_roles(context, reached, owner));
    std::move(roles.begin(), roles.end(), std::back_inserter(made));
  }
  // Only what is called as ferry calls it.
  std::erase_if(made, [](const auto& one) {
    const auto run = tag_of(one, "ferry:run"), launch = tag_of(one, launch_tag);
    const auto name = one.kind == "role" ? store_role_name(run, launch) : resource_name(run, launch);
    return !is_run_name(run) || launch.size() < 8 || one.name != name;
  });
  if (made.empty()) return std::vector<Leftover>();
  TRY_SET(machines, "", cloud->find_by_tag(owner_tag, owner));
  TRY_SET(noted, "", context.ledger.unreleased_resources());
  TRY_SET(id, "", ledger_id(context.data));
  std::vector<Leftover> found;
  for (auto& one : made) {
    const auto launch = tag_of(one, launch_tag);
    const bool is_used =
        std::ranges::any_of(machines, [&](const auto& it) { return it.alive() && tag_of(it, launch_tag) == launch; });
    const bool is_held = std::ranges::any_of(noted, [&](const auto& it) { return it.name == one.name; });
    // Whoever launches here holds its lock, whatever became of the ledger.
    const bool is_at_work = os::is_locked(RunDir(context.data, tag_of(one, "ferry:run")).owner_lock());
    const bool is_ours = tag_of(one, ledger_tag) == id;
    const auto age = context.clock.now_ms() - aws::parse_iso_time(tag_of(one, made_tag));
    const bool is_young = !is_ours && age < young.count() * 1000;
    if (!is_used && !is_held && !is_at_work && !is_young) found.push_back({reached, std::move(one), is_ours});
  }
  return found;
}

Status remove_leftover(Context& context, const Leftover& leftover) {
  auto location = leftover.location;
  const auto& name = leftover.made.name;
  if (leftover.made.kind == "role") return remove_store_role(context, location, name);
  TRY_SET(cloud, "", open_cloud(context, location));
  return patiently(context, [&] {
    if (is_of_stand_in(leftover.made.kind)) return cloud->delete_stand_in(name);
    return leftover.made.kind == "key-pair" ? cloud->delete_key(name) : cloud->delete_group(name);
  });
}

bool was_adopted(const ledger::Instance& instance) { return instance.token == untracked_token(instance.id); }

Result<std::set<CloudLocation>> locations_of_ledger(Context& context) {
  TRY_SET(runs, "", context.ledger.runs(false));
  std::set<CloudLocation> locations;
  for (const auto& run : runs) {
    TRY_SET(instances, "", context.ledger.instances(run.name));
    for (const auto& one : instances) {
      auto location = location_of(one);
      if (location.provider == "ssh") continue;
      // There is one rehearsal cloud, at another port each time it is started.
      if (location.provider == "rehearsal") location = {"rehearsal", "", "", "", ""};
      locations.insert(std::move(location));
    }
  }
  return locations;
}

Result<std::vector<CloudLocation>> locations_of_account(Context& context, const std::set<CloudLocation>& noted) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  if (const auto usual = cloud::aws_region_from_environment("")) add(*usual);
  for (const auto& location : noted) {
    if (location.provider == "aws") add(location.region);
  }
  add("us-east-1");  // which no account can do without
  for (const auto& region : catalog_in_force().regions()) add(region);
  CloudLocation first{"aws", names.front(), "", "", ""};
  TRY_SET(aws_context, "", open_aws_context(context, first));
  auto client = cloud::aws_client(aws_context, context.http, context.clock);
  TRY_SET(cloud, "", open_cloud(context, first));
  TRY_SET(caller, "see whose account this is", cloud->whoami());
  if (const auto regions = aws::describe_regions(client)) {
    names.clear();
    for (const auto& region : *regions) {
      if (region.enabled) add(region.name);
    }
  }
  std::vector<CloudLocation> locations;
  for (const auto& name : names) locations.push_back({"aws", name, first.endpoint, caller.account, first.profile});
  return locations;
}

}  // namespace ferry::fleet
