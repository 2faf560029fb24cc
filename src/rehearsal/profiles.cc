// Machines' instance profiles: naming one at launch, and Associate-, Describe- and DisassociateIamInstanceProfile.
#include "rehearsal/profiles.h"

#include <algorithm>

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/tagging.h"
#include "rehearsal/way_out.h"

namespace ferry::rehearsal {
namespace {

constexpr IdKind association_ids{"iip-assoc-", "InvalidAssociationID", "association ID"};
constexpr std::string_view own_prefix = "ferry-";

bool is_profile_name(std::string_view name) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-";
  return !name.empty() && name.size() <= 128 && name.find_first_not_of(letters) == name.npos;
}

/// "/team/trainer" of "arn:aws:iam::ACCOUNT:instance-profile/team/trainer", of whichever account.
std::optional<std::string> path_in_arn(std::string_view arn) {
  const auto parts = split(arn, ':');
  constexpr std::string_view kind = "instance-profile";
  if (parts.size() != 6 || parts[0] != "arn" || parts[2] != "iam" || !parts[5].starts_with(kind)) return std::nullopt;
  const auto path = parts[5].substr(kind.size());
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 127; });
  const bool good =
      path.starts_with('/') && path.size() <= 640 && plain && is_profile_name(path.substr(path.rfind('/') + 1));
  return good ? std::optional(path) : std::nullopt;
}

const IamProfile* find_profile(const Iam& iam, const std::string& name) {
  const auto found = iam.profiles.find(name);
  return found == iam.profiles.end() ? nullptr : &found->second;
}

/// For a rehearsal: a profile as the person's account has it, with a role that may do nothing.
const IamProfile* make_profile(State& state, const std::string& path, const std::string& name, std::int64_t now_ms) {
  if (name.starts_with(own_prefix)) return nullptr;
  const std::map<std::string, std::string> tags = {{"ferry:made-for", "rehearsal"}};
  auto& role = state.iam.roles[name];
  if (role.name.empty())
    role = {.name = name,
            .path = path,
            .id = new_iam_id("AROA", 21),
            .description = "Made for a rehearsal that names it; may do nothing",
            .trust = R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow",)"
                     R"("Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]})",
            .tags = tags,
            .created_ms = now_ms};
  auto& profile = state.iam.profiles[name];
  profile = {.name = name,
             .path = path,
             .id = new_iam_id("AIPA", 21),
             .role = name,
             .tags = tags,
             .created_ms = now_ms,
             .changed_ms = 0};  // known at once, whatever faults say of those that somebody makes
  return &profile;
}

struct Wanted {
  std::string value, param;
  const IamProfile* profile = nullptr;
};

Api<Wanted> find_wanted(Call& call, bool rehearses) {
  Wanted wanted;
  const auto name = call.params.get("IamInstanceProfile.Name"), arn = call.params.get("IamInstanceProfile.Arn");
  if (!name.empty() && !arn.empty())
    return refuse("InvalidParameterCombination",
                  "The parameter 'iamInstanceProfile.name' may not be used in combination with "
                  "'iamInstanceProfile.arn'");
  if (!arn.empty()) {
    wanted = {arn, "iamInstanceProfile.arn", call.state.iam.profile_with_arn(arn)};
    const auto path = path_in_arn(arn);
    if (wanted.profile || !path || !rehearses) return wanted;
    const auto last = path->rfind('/') + 1;
    wanted.profile = find_profile(call.state.iam, path->substr(last));
    if (!wanted.profile)
      wanted.profile = make_profile(call.state, path->substr(0, last), path->substr(last), call.now_ms);
    return wanted;
  }
  wanted = {name, "iamInstanceProfile.name", find_profile(call.state.iam, name)};
  if (!wanted.profile && rehearses && is_profile_name(name))
    wanted.profile = make_profile(call.state, "/", name, call.now_ms);
  return wanted;
}

void associate(Instance& instance, const IamProfile& profile, std::int64_t now_ms) {
  instance.iam_profile = profile.arn();
  instance.iam_profile_id = profile.id;
  instance.iam_association_id = new_id("iip-assoc-");
  instance.iam_associated_ms = now_ms;
}

void write_association(Xml& xml, const Instance& instance, std::string_view state) {
  xml.text("associationId", instance.iam_association_id).text("instanceId", instance.id);
  xml.node("iamInstanceProfile", [&] { xml.text("arn", instance.iam_profile).text("id", instance.iam_profile_id); });
  xml.text("state", state).text("timestamp", os::iso_time(instance.iam_associated_ms, true));
}

bool is_over(const Instance& instance) {
  return instance.phase == Phase::terminated || instance.phase == Phase::shutting_down;
}

}  // namespace

Api<std::monostate> read_profile(Call& call, const Tags& tags, Instance& instance) {
  if (call.params.get("IamInstanceProfile.Name").empty() && call.params.get("IamInstanceProfile.Arn").empty())
    return std::monostate{};
  const bool rehearses = tags.contains(way_out_tag);
  API_SET(wanted, find_wanted(call, rehearses));
  const bool late = wanted.profile && call.now_ms - wanted.profile->changed_ms < call.faults.late_profile_ms();
  if (!wanted.profile || late)
    return invalid_value(
        wanted.value, wanted.param,
        wanted.param.ends_with("arn") ? "Invalid IAM Instance Profile ARN" : "Invalid IAM Instance Profile name");
  if (wanted.profile->role.empty())
    return refuse("InvalidParameterValue",
                  fmt::format("IAM Instance Profile \"{}\" has no associated IAM Roles", wanted.profile->arn()));
  associate(instance, *wanted.profile, call.now_ms);
  return std::monostate{};
}

Api<Xml> associate_iam_instance_profile(Call& call) {
  API_SET(id, call.params.required("InstanceId"));
  API_TRY(check_ids({id}, instance_ids, [&](const std::string& it) { return call.state.instances.contains(it); }));
  if (!call.params.any("IamInstanceProfile.")) return missing_parameter("IamInstanceProfile");
  Instance& instance = call.state.instances.at(id);
  if (is_over(instance))
    return refuse("IncorrectInstanceState",
                  fmt::format("The instance '{}' is not in a state from which it can be associated.", id));
  if (!instance.iam_profile.empty())
    return refuse("IncorrectState", fmt::format("There is an existing association for instance {}", id));
  API_TRY(read_profile(call, {}, instance));
  Xml xml;
  return xml.node("iamInstanceProfileAssociation", [&] { write_association(xml, instance, "associating"); });
}

Api<Xml> describe_iam_instance_profile_associations(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-id", "state"}));
  const auto ids = call.params.list("AssociationId");
  std::map<std::string, const Instance*> there;
  for (const auto& [id, instance] : call.state.instances)
    if (!instance.iam_profile.empty() && !is_over(instance)) there[instance.iam_association_id] = &instance;
  API_TRY(check_ids(ids, association_ids, [&](const std::string& id) { return there.contains(id); }));
  std::vector<std::string> found;
  for (const auto& [id, instance] : there) {
    Facts facts;
    facts.add("instance-id", instance->id).add("state", "associated");
    const bool asked = ids.empty() || std::find(ids.begin(), ids.end(), id) != ids.end();
    if (asked && filters.match(facts)) found.push_back(id);
  }
  API_SET(page, page_of(call.params, std::move(found)));
  Xml xml;
  xml.list("iamInstanceProfileAssociationSet", page.keys,
           [&](const std::string& id) { write_association(xml, *there.at(id), "associated"); });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> disassociate_iam_instance_profile(Call& call) {
  API_SET(id, call.params.required("AssociationId"));
  for (auto& [instance_id, instance] : call.state.instances) {
    if (instance.iam_association_id != id || instance.iam_profile.empty() || is_over(instance)) continue;
    Xml xml;
    xml.node("iamInstanceProfileAssociation", [&, it = &instance] { write_association(xml, *it, "disassociating"); });
    instance.iam_profile.clear();
    instance.iam_profile_id.clear();
    instance.iam_association_id.clear();
    return xml;
  }
  return refuse("InvalidAssociationID.NotFound", fmt::format("An invalid association-id of '{}' was given", id));
}

}  // namespace ferry::rehearsal
