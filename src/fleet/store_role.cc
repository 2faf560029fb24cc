#include "fleet/store_role.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "aws/errors.h"
#include "aws/iam.h"
#include "aws/services.h"
#include "aws/sts.h"
#include "base/store_place.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/interrupt.h"
#include "fleet/labels.h"
#include "fleet/polling.h"
#include "fleet/stand_in.h"
#include "store/keys.h"

namespace ferry::fleet {
namespace {

constexpr const char *role_kind = "role", *profile_kind = "instance-profile", *policy_name = "ferry-store";
constexpr const char* store_sid = "FerryStores";
constexpr const char* not_set_up = "StoreNotSetUp";  // Error::code
/// What IAM was told a moment ago may not be known to each of its servers.
constexpr Seconds settles_within{20};

Result<aws::Client> iam_client(Context& context, CloudLocation& location) {
  TRY_SET(access, "", open_aws_context(context, location));
  return cloud::aws_client(access, context.http, context.clock);
}

/// Asks again while IAM's answer is `of_the_past`, and while time alone may cure it.
template <class Call>
auto settled(Context& context, Kind of_the_past, const Call& call) -> decltype(call()) {
  const auto end = context.clock.steady_ms() + settles_within.count() * 1000;
  while (true) {
    auto done = patiently(context, call);
    const bool is_over = done || done.error().kind != of_the_past || context.clock.steady_ms() > end;
    if (is_over || !context.sleep(Millis(2000), false)) return done;
  }
}

/// Lets one read what the attempts of a run have stored, and nothing that ferry itself says of it. (Who may not list is
/// not told that an object is missing.)
Result<Json> statements_to_read(const std::string& uri, const std::string& run, const std::string& partition) {
  TRY_SET(place, "", parse_store_place(uri));
  if (!store::is_run_name(run)) return fail(Kind::bad_input, "no run's name: " + printable(run));
  const std::string bucket = "arn:" + partition + ":s3:::" + place.bucket;
  const std::string below = place.prefix + store::run_prefix(run) + "a*";
  const Json read = {{"Sid", "FerryReadsTheRunBefore"},
                     {"Effect", "Allow"},
                     {"Action", Json::array({"s3:GetObject"})},
                     {"Resource", Json::array({bucket + "/" + below})}};
  const Json list = {{"Sid", "FerryListsTheRunBefore"},
                     {"Effect", "Allow"},
                     {"Action", Json::array({"s3:ListBucket"})},
                     {"Resource", Json::array({bucket})},
                     {"Condition", {{"StringLike", {{"s3:prefix", Json::array({below})}}}}}};
  return Json::array({read, list});
}

/// Only machines may be it.
std::string trust_of(const std::string& region) {
  const std::string service = aws::partition_of(region) == "aws-cn" ? "ec2.amazonaws.com.cn" : "ec2.amazonaws.com";
  return dump_json(
      {{"Version", "2012-10-17"},
       {"Statement",
        Json::array({{{"Effect", "Allow"}, {"Principal", {{"Service", service}}}, {"Action", "sts:AssumeRole"}}})}});
}

/// Those of tags_of() that stay the same however often the role is made.
cloud::Tags role_tags(const ledger::Run& run) {
  auto tags = tags_of(run);
  tags.erase("ferry:version");
  return tags;
}

/// What the role is for: "stores in s3://a, reads s3://b and writes s3://c".
std::string purpose_of(const ledger::Run& run) {
  std::vector<std::string> parts;
  if (run.store.starts_with("s3://")) parts.push_back("stores in " + run.store);
  for (const auto& use : buckets_of(run)) parts.push_back((use.is_written ? "writes " : "reads ") + uri_of(use));
  return short_line(join(parts, ", "), 600);
}

/// What `ferry policy` and `ferry store setup` take.
std::string store_option(const ledger::Run& run) {
  return run.store.starts_with("s3://") ? shell_quoted(run.store) : "s3://BUCKET/PREFIX";
}

Error cannot_make(Error error, const ledger::Run& run) {
  if (error.kind != Kind::denied || error.code == not_set_up || aws::is_expired(error)) return error;
  error.why = "the machine " + purpose_of(run) + " by itself, as a role that is made for it" +
              (error.why.empty() ? "" : "; AWS says: " + error.why);
  error.advice = "`ferry policy --store " + store_option(run) +
                 "` prints what allows it; or name a role that an administrator made (aws: instance_profile: NAME), or "
                 "go on without " +
                 (run.store.empty() ? "the bucket" : "a store");
  return error;
}

class Maker {
 public:
  Maker(Context& context, const ledger::Run& run, CloudLocation location, aws::Client& client)
      : context_(context),
        run_(run),
        location_(std::move(location)),
        client_(client),
        name_(store_role_name(run.name, launch_id(run))),
        tags_(role_tags(run)) {}

  Result<std::string> make() {
    TRY_SET(policy, "", role_policy(run_, aws::partition_of(location_.region)));
    TRY_SET(boundary, "", find_boundary(policy));
    TRY("", make_role(boundary));
    TRY("", settled(context_, Kind::not_found,
                    [&] { return aws::put_role_policy(client_, name_, policy_name, dump_json(policy)); }));
    TRY("", noted(profile_kind, [&] { return aws::create_instance_profile(client_, name_, iam_path, tags_); }));
    TRY("",
        settled(context_, Kind::not_found, [&] { return aws::add_role_to_instance_profile(client_, name_, name_); }));
    return name_;
  }

 private:
  /// Its ARN; "" where the account has none. Where it may not be looked for there may be one.
  Result<std::string> find_boundary(const Json& wanted) {
    std::string account = location_.account;
    if (account.empty()) {
      TRY_SET(caller, "", patiently(context_, [&] { return aws::get_caller_identity(client_); }));
      account = caller.account;
    }
    const auto arn = aws::iam_arn(location_.region, account, "policy", iam_path, boundary_name);
    const auto there = patiently(context_, [&] { return aws::get_policy(client_, arn); });
    if (!there && there.error().kind == Kind::denied) return arn;
    if (!there && there.error().kind == Kind::not_found) return std::string();
    if (!there) return tl::unexpected(there.error());
    const auto text =
        patiently(context_, [&] { return aws::get_policy_version(client_, arn, there->default_version); });
    const auto document = text ? parse_json(*text) : tl::unexpected(text.error());
    // Where it cannot be read the machine will find out.
    if (document && !lets(*document, wanted)) {
      std::string setup = "ferry store setup " + store_option(run_);
      for (const auto& use : buckets_of(run_))
        setup += (use.is_written ? " --write-data " : " --data ") + shell_quoted(uri_of(use));
      return fail(Kind::denied, "the policy ferry-store of this account lets no machine do what this run's needs",
                  "the machine " + purpose_of(run_) + "; the policy bounds every role that is made for a machine",
                  "have an administrator run: " + setup, not_set_up);
    }
    return arn;
  }

  Status make_role(const std::string& boundary) {
    aws::RoleOrder order{.name = name_,
                         .path = iam_path,
                         .trust = trust_of(location_.region),
                         .boundary = boundary,
                         .description = "ferry run " + run_.name + " " + purpose_of(run_),
                         .tags = tags_};
    return noted(role_kind, [&] { return aws::create_role(client_, order); });
  }

  /// Notes what may be made, makes it, and takes the note back where it was refused.
  template <class Make>
  Status noted(const char* kind, const Make& make) {
    TRY_SET(before, "", context_.ledger.resources(run_.name));
    const bool is_noted = std::ranges::any_of(
        before, [&](const auto& one) { return one.kind == kind && one.name == name_ && !one.released; });
    TRY("", record(kind, false));
    const auto made = patiently(context_, make);
    if (made) return {};
    if (!is_noted && is_refusal_to_make(made.error())) TRY("", record(kind, true));
    return tl::unexpected(made.error());
  }

  /// Nothing was made, or what is there is somebody else's.
  static bool is_refusal_to_make(const Error& error) {
    return error.kind == Kind::denied || error.kind == Kind::not_found || error.kind == Kind::unsupported ||
           (error.kind == Kind::conflict && error.code.empty());
  }

  Status record(const char* kind, bool released) {
    return context_.ledger.record_resource({run_.name, location_.provider, location_.region, location_.endpoint, kind,
                                            name_, released, location_.account, location_.profile});
  }

  Context& context_;
  const ledger::Run& run_;
  CloudLocation location_;
  aws::Client& client_;
  std::string name_;
  cloud::Tags tags_;
};

/// Fails denied where today's credentials are another account's: what that does not know may be there.
Status remove_of_account(Context& context, const CloudLocation& location, const std::string& name) {
  auto reached = location;
  TRY_SET(cloud, "", open_cloud(context, reached));
  TRY("", patiently(context, [&] { return confirm_account(*cloud, location); }));
  return remove_store_role(context, location, name);
}

}  // namespace

std::string store_role_name(const std::string& run, const std::string& launch_id) {
  constexpr std::size_t longest = 64;
  const std::size_t beside = resource_name("", launch_id).size();
  return resource_name(run.substr(0, longest - beside), launch_id);  // the launch's id is of the whole name
}

Result<Json> store_policy(const std::string& uri, const std::string& run, const std::string& partition) {
  TRY_SET(place, "", parse_store_place(uri));
  if (place.bucket.empty()) return fail(Kind::bad_input, "nobody needs a policy for the folder " + place.folder);
  if (!run.empty() && !store::is_run_name(run)) return fail(Kind::bad_input, "no run's name: " + printable(run));
  const std::string bucket = "arn:" + partition + ":s3:::" + place.bucket;
  const std::string below = place.prefix + (run.empty() ? "runs/" : store::run_prefix(run)) + "*";
  // What ferry itself says of the run there (store/keys.h), which other computers go by, is beside its attempts.
  const std::string written = run.empty() ? below : place.prefix + store::run_prefix(run) + "a*";
  const Json objects = {
      {"Sid", store_sid},
      {"Effect", "Allow"},
      {"Action",
       {"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"}},
      {"Resource", Json::array({bucket + "/" + written})}};
  const Json list = {{"Sid", "FerryListsWhatIsStored"},
                     {"Effect", "Allow"},
                     {"Action", Json::array({"s3:ListBucket"})},
                     {"Resource", Json::array({bucket})},
                     {"Condition", {{"StringLike", {{"s3:prefix", Json::array({below})}}}}}};
  Json policy = {{"Version", "2012-10-17"}, {"Statement", Json::array({objects, list})}};
  // The data sets that runs share (store/data_set.h). Of one run, buckets_of() says whether it reads any.
  if (!run.empty()) return policy;
  const std::string data = place.prefix + "data/*";
  policy["Statement"][1]["Condition"]["StringLike"]["s3:prefix"].push_back(data);
  policy["Statement"].push_back({{"Sid", "FerryReadsDataSets"},
                                 {"Effect", "Allow"},
                                 {"Action", Json::array({"s3:GetObject"})},
                                 {"Resource", Json::array({bucket + "/" + data})}});
  return policy;
}

Result<Json> role_policy(const ledger::Run& run, const std::string& partition) {
  Json policy = {{"Version", "2012-10-17"}, {"Statement", Json::array()}};
  if (run.store.starts_with("s3://")) {
    TRY_SET(stores, "", store_policy(run.store, run.name, partition));
    policy = std::move(stores);
    if (const auto other = text_at(run.task, reads_run); !other.empty()) {
      TRY_SET(statements, "", statements_to_read(run.store, other, partition));
      for (auto& statement : statements) policy["Statement"].push_back(std::move(statement));
    }
  }
  if (run.task.contains(recovers_by_aws)) {
    TRY_SET(statements, "", stand_in_statements(run, partition));
    for (auto& statement : statements) policy["Statement"].push_back(std::move(statement));
  }
  for (const auto& use : buckets_of(run)) {
    for (auto& statement : bucket_statements(use, partition)) policy["Statement"].push_back(std::move(statement));
  }
  return policy;
}

Result<std::string> ensure_store_role(Context& context, const ledger::Run& run, const CloudLocation& location) {
  auto reached = location;
  TRY_SET(client, "", iam_client(context, reached));
  auto name = Maker(context, run, reached, client).make();
  if (!name) return fail("make the machine's role", cannot_make(std::move(name).error(), run));
  return name;
}

bool lets(const Json& policy, const Json& wanted) {
  if (!policy.is_object() || !policy.contains("Statement")) return false;
  const auto& allowed = policy["Statement"];
  // IAM's wildcards are those of a shell but for brackets, of which neither actions nor buckets have any.
  const auto has = [](const Json& statement, const char* member, const Json& what) {
    const auto at = statement.find(member);
    if (at == statement.end()) return false;
    const auto fits = [&](const Json& one) {
      return one.is_string() && ::fnmatch(one.get_ref<const std::string&>().c_str(),
                                          what.get_ref<const std::string&>().c_str(), FNM_NOESCAPE) == 0;
    };
    return at->is_array() ? std::ranges::any_of(*at, fits) : fits(*at);
  };
  const auto is_allowed = [&](const Json& action, const Json& resource) {
    const auto allows = [&](const Json& one) {
      return one.is_object() && text_at(one, "Effect") == "Allow" && has(one, "Action", action) &&
             has(one, "Resource", resource);
    };
    return allowed.is_array() ? std::ranges::any_of(allowed, allows) : allows(allowed);
  };
  return std::ranges::all_of(wanted["Statement"], [&](const Json& statement) {
    const auto& actions = statement["Action"];
    const auto asks = [&](const char* action) { return std::ranges::find(actions, Json(action)) != actions.end(); };
    std::vector<Json> needed;
    if (asks("s3:PutObject")) needed.emplace_back("s3:PutObject");
    // A mounted bucket in which nothing may be renamed fails the training; a store does without.
    for (const char* action : {"s3:DeleteObject", "s3:PutObjectAcl"}) {
      if (asks(action) && text_at(statement, "Sid") != store_sid) needed.emplace_back(action);
    }
    if (needed.empty() && asks("s3:GetObject")) needed.emplace_back("s3:GetObject");
    return std::ranges::all_of(statement["Resource"], [&](const Json& resource) {
      return std::ranges::all_of(needed, [&](const Json& action) { return is_allowed(action, resource); });
    });
  });
}

bool is_young_profile(const Error& error) {
  // EC2 has one code for every value that is wrong: only its sentence tells.
  return error.code == "InvalidParameterValue" && error.why.find("Invalid IAM Instance Profile") != std::string::npos;
}

Status remove_store_role(Context& context, const CloudLocation& location, const std::string& name) {
  auto reached = location;
  TRY_SET(client, "", iam_client(context, reached));
  TRY("", patiently(context, [&] { return aws::remove_role_from_instance_profile(client, name, name); }));
  TRY("", settled(context, Kind::conflict, [&] { return aws::delete_instance_profile(client, name); }));
  for (const char* policy : {policy_name, interrupt_policy_name})
    TRY("", patiently(context, [&] { return aws::delete_role_policy(client, name, policy); }));
  return settled(context, Kind::conflict, [&] { return aws::delete_role(client, name); });
}

bool is_of_store_role(const ledger::Resource& resource) {
  return resource.kind == role_kind || resource.kind == profile_kind;
}

Status release_store_roles(Context& context, std::vector<ledger::Resource>& resources) {
  const auto is_left = [](const ledger::Resource& one) { return is_of_store_role(one) && !one.released; };
  std::set<std::pair<CloudLocation, std::string>> roles;  // a run normally has one
  for (const auto& one : resources) {
    if (is_left(one)) roles.emplace(location_of(one), one.name);
  }
  for (const auto& [location, name] : roles) {
    if (const auto removed = remove_of_account(context, location, name); !removed) {
      context.progress.warn("release",
                            fmt::format("the role {} is left; it costs nothing: {}; to try again: ferry down "
                                        "--all",
                                        name, removed.error().what));
      continue;
    }
    for (auto& one : resources) {
      if (!is_left(one) || one.name != name || location_of(one) != location) continue;
      one.released = true;
      TRY("", context.ledger.record_resource(one));
    }
  }
  return {};
}

Result<std::vector<std::string>> remove_noted_store_roles(Context& context) {
  TRY_SET(noted, "", context.ledger.unreleased_resources());
  std::set<std::string> runs;
  for (const auto& one : noted) {
    if (is_of_store_role(one)) runs.insert(one.run);
  }
  std::vector<std::string> removed;
  for (const auto& name : runs) {
    TRY_SET(run, "", context.ledger.run(name));
    if (run.phase != ledger::Phase::released) continue;  // whoever ends it removes it
    TRY_SET(all, "", context.ledger.resources(name));
    std::erase_if(all, [](const auto& one) { return !is_of_store_role(one) || one.released; });
    TRY("", release_store_roles(context, all));
    for (const auto& one : all) {
      if (one.released && one.kind == role_kind) removed.push_back("role " + one.name);
    }
  }
  return removed;
}

Result<std::vector<cloud::Made>> find_store_roles(Context& context, const CloudLocation& location,
                                                  const std::string& owner) {
  auto reached = location;
  TRY_SET(client, "", iam_client(context, reached));
  std::vector<cloud::Made> found;
  const auto may_not = [](const Error& error) { return error.kind == Kind::denied || error.kind == Kind::unsupported; };
  const auto roles = aws::list_roles(client, iam_path);
  if (!roles && may_not(roles.error())) return found;
  if (!roles) return tl::unexpected(roles.error());
  for (const auto& one : *roles) {
    if (!one.name.starts_with("ferry-")) continue;
    const auto role = aws::get_role(client, one.name);
    if (!role && (may_not(role.error()) || role.error().kind == Kind::not_found)) continue;
    if (!role) return tl::unexpected(role.error());
    const auto tag = role->tags.find(owner_tag);
    if (tag == role->tags.end() || tag->second != owner) continue;
    found.push_back({role_kind, role->name, role->tags});
    found.back().tags[made_tag] = os::iso_time(role->made_ms);
  }
  return found;
}

}  // namespace ferry::fleet
