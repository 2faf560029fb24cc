#include "rehearsal/iam_checks.h"

#include <set>

#include "rehearsal/s3_policy.h"

namespace ferry::rehearsal {
namespace {

/// "roleName" for "RoleName".
std::string member_name(std::string param) {
  if (!param.empty() && param[0] >= 'A' && param[0] <= 'Z') param[0] = static_cast<char>(param[0] - 'A' + 'a');
  return param;
}

bool is_word(char c, std::string_view more) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         more.find(c) != more.npos;
}

tl::unexpected<ApiError> bad_document(std::string what) { return refuse("MalformedPolicyDocument", std::move(what)); }

/// A text, or a list of texts; nothing else.
std::optional<std::vector<std::string>> texts(const Json& value) {
  if (value.is_string()) return std::vector{value.get<std::string>()};
  if (!value.is_array()) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& one : value) {
    if (!one.is_string()) return std::nullopt;
    out.push_back(one.get<std::string>());
  }
  return out;
}

std::vector<Json> statements(const Json& policy) {
  const auto found = policy.find("Statement");
  if (found == policy.end()) return {};
  return found->is_array() ? found->get<std::vector<Json>>() : std::vector<Json>{*found};
}

/// What documents of either kind have in common.
Api<Json> read_iam_document(const std::string& text) {
  auto policy = parse_json(text);
  if (!policy || !policy->is_object()) return bad_document("This policy contains invalid Json");
  for (const auto& [member, value] : policy->items())
    if (member != "Version" && member != "Id" && member != "Statement") return bad_document("Syntax errors in policy.");
  const auto version = policy->contains("Version") ? text_at(*policy, "Version") : "2012-10-17";
  if (version != "2012-10-17" && version != "2008-10-17")
    return bad_document("The policy must contain a valid version string");
  if (statements(*policy).empty()) return bad_document("Syntax errors in policy.");
  std::set<std::string> ids;
  for (const auto& statement : statements(*policy)) {
    if (!statement.is_object()) return bad_document("Syntax errors in policy.");
    const auto id = text_at(statement, "Sid");
    if (std::any_of(id.begin(), id.end(), [](char c) { return c == '_' || !is_word(c, ""); }))
      return bad_document(
          "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
          "[0-9A-Za-z]*");
    if (!id.empty() && !ids.insert(id).second)
      return bad_document("Statement IDs (SID) in a single policy must be unique.");
  }
  return *std::move(policy);
}

Api<std::monostate> check_trusting(const Json& statement) {
  for (const auto& [member, value] : statement.items()) {
    static const std::set<std::string> known = {"Sid", "Effect", "Principal", "Action", "Condition", "NotPrincipal"};
    if (!known.contains(member)) return bad_document("Has prohibited field " + member);
  }
  const auto effect = text_at(statement, "Effect");
  if (effect != "Allow" && effect != "Deny") return bad_document("Missing required field Effect");
  if (!statement.contains("Principal") && !statement.contains("NotPrincipal"))
    return bad_document("Missing required field Principal");
  const auto actions = texts(statement.value("Action", Json()));
  if (!actions || actions->empty()) return bad_document("Missing required field Action");
  for (const auto& action : *actions)
    if (!lower(action).starts_with("sts:"))
      return bad_document("AssumeRole policy may only specify STS AssumeRole actions.");
  const auto principal = statement.value(statement.contains("Principal") ? "Principal" : "NotPrincipal", Json());
  if (principal == Json("*")) return std::monostate{};
  if (!principal.is_object() || principal.empty())
    return bad_document("AssumeRolepolicy contained an invalid principal");
  for (const auto& [kind, whom] : principal.items()) {
    const auto named = texts(whom);
    if ((kind != "Service" && kind != "AWS" && kind != "Federated") || !named || named->empty())
      return bad_document("AssumeRolepolicy contained an invalid principal: \"" + kind + "\"");
    for (const auto& one : *named)
      if (kind == "Service" && one.find('.') == one.npos)
        return bad_document(fmt::format("Invalid principal in policy: \"SERVICE\":\"{}\"", one));
  }
  return std::monostate{};
}

Api<std::monostate> check_vendors(const Json& statement) {
  for (const char* member : {"Action", "NotAction"}) {
    if (!statement.contains(member)) continue;
    const auto actions = texts(statement[member]);
    if (!actions) return bad_document("Syntax errors in policy.");
    for (const auto& action : *actions)
      if (action != "*" && (action.find(':') == action.npos || action.starts_with(':')))
        return bad_document("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
  }
  for (const char* member : {"Resource", "NotResource"}) {
    if (!statement.contains(member)) continue;
    const auto resources = texts(statement[member]);
    if (!resources) return bad_document("Syntax errors in policy.");
    for (const auto& resource : *resources)
      if (resource != "*" && std::count(resource.begin(), resource.end(), ':') < 5)
        return bad_document(fmt::format("Resource {} must be in ARN format or \"*\".", resource));
  }
  return std::monostate{};
}

}  // namespace

tl::unexpected<ApiError> no_such_entity(std::string message) { return refuse("NoSuchEntity", std::move(message), 404); }

tl::unexpected<ApiError> entity_exists(std::string message) {
  return refuse("EntityAlreadyExists", std::move(message), 409);
}

tl::unexpected<ApiError> delete_conflict(std::string_view must) {
  return refuse("DeleteConflict", fmt::format("Cannot delete entity, must {}.", must), 409);
}

tl::unexpected<ApiError> over_limit(std::string message) { return refuse("LimitExceeded", std::move(message), 409); }

tl::unexpected<ApiError> iam_invalid(const std::string& param, const std::string& value, std::string_view must) {
  return refuse(
      "ValidationError",
      fmt::format("1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must {}", value,
                  member_name(param), must));
}

Api<std::string> iam_required(const Params& params, const std::string& param) {
  auto value = params.get(param);
  if (value.empty())
    return refuse(
        "ValidationError",
        fmt::format("1 validation error detected: Value at '{}' failed to satisfy constraint: Member must not "
                    "be null",
                    member_name(param)));
  return value;
}

Api<std::string> iam_name(const Params& params, const std::string& param, std::size_t most) {
  API_SET(name, iam_required(params, param));
  if (name.size() > most) return iam_invalid(param, name, fmt::format("have length less than or equal to {}", most));
  if (!std::all_of(name.begin(), name.end(), [](char c) { return is_word(c, "+=,.@-"); }))
    return iam_invalid(param, name, "satisfy regular expression pattern: [\\w+=,.@-]+");
  return name;
}

Api<std::string> iam_path(const Params& params) {
  auto path = params.get("Path", "/");
  if (path.size() > 512) return iam_invalid("Path", path, "have length less than or equal to 512");
  const bool framed = path == "/" || (path.size() > 2 && path.starts_with('/') && path.ends_with('/'));
  if (!framed || !std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 127; }))
    return refuse("ValidationError",
                  "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
                  "characters and/or / characters.");
  return path;
}

Api<std::string> iam_description(const Params& params) {
  auto text = params.get("Description");
  if (text.size() > 1000) return iam_invalid("Description", text, "have length less than or equal to 1000");
  return text;
}

Api<Tags> iam_tags(const Params& params) {
  Tags tags;
  std::set<std::string> seen;
  for (const auto& item : params.items("Tags.member")) {
    const auto key = params.get(item + "Key"), value = params.get(item + "Value");
    if (key.empty() || key.size() > 128 * 4) return iam_invalid("tags", key, "have length between 1 and 128");
    if (value.size() > 256 * 4) return iam_invalid("tags", value, "have length less than or equal to 256");
    if (lower(key).starts_with("aws:"))
      return refuse("InvalidInput", "Tag keys must not begin with aws:, which is reserved for AWS");
    if (!seen.insert(lower(key)).second)
      return refuse("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.");
    tags[key] = value;
  }
  if (tags.size() > most_iam_tags) return over_limit("The number of tags has reached the maximum limit.");
  return tags;
}

void write_iam_tags(Xml& xml, const Tags& tags) {
  if (tags.empty()) return;
  xml.node("Tags", [&] {
    for (const auto& [key, value] : tags)
      xml.node("member", [&, k = &key, v = &value] { xml.text("Key", *k).text("Value", *v); });
  });
}

Api<std::monostate> check_identity_document(const std::string& text) {
  API_SET(policy, read_iam_document(text));
  for (const auto& statement : statements(policy)) API_TRY(check_vendors(statement));
  const auto parsed = parse_policy(text, "");
  if (!parsed) return bad_document(parsed.error().message);
  return std::monostate{};
}

Api<std::monostate> check_trust_document(const std::string& text) {
  API_SET(policy, read_iam_document(text));
  for (const auto& statement : statements(policy)) API_TRY(check_trusting(statement));
  return std::monostate{};
}

bool trusts_service(const std::string& trust, std::string_view service) {
  const auto policy = parse_json(trust);
  if (!policy || !policy->is_object()) return false;
  bool trusts = false;
  for (const auto& statement : statements(*policy)) {
    const auto actions = texts(statement.value("Action", Json())).value_or(std::vector<std::string>());
    const bool takes = std::any_of(actions.begin(), actions.end(), [](const std::string& action) {
      return wildcard_match(lower(action), "sts:assumerole");
    });
    const auto principal = statement.value("Principal", Json());
    const auto named = principal.is_object()
                           ? texts(principal.value("Service", Json())).value_or(std::vector<std::string>())
                           : std::vector<std::string>();
    const bool everybody = principal == Json("*");
    if (!takes || (!everybody && std::find(named.begin(), named.end(), service) == named.end())) continue;
    if (text_at(statement, "Effect") == "Deny") return false;
    trusts = true;
  }
  return trusts;
}

std::size_t document_size(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return c != ' ' && c != '\n' && c != '\r' && c != '\t'; }));
}

}  // namespace ferry::rehearsal
