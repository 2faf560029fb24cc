#include "rehearsal/s3_policy.h"

#include <algorithm>

#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/cidr.h"
#include "rehearsal/filters.h"

namespace ferry::rehearsal {
namespace {

tl::unexpected<S3Error> malformed_policy(std::string what) { return s3_refuse("MalformedPolicy", std::move(what)); }

/// A text, or a list of texts.
std::vector<std::string> texts_of(const Json& value) {
  std::vector<std::string> out;
  const auto add = [&](const Json& one) {
    out.push_back(one.is_string() ? one.get<std::string>() : dump_json(one));  // true, 5
  };
  if (value.is_array())
    for (const auto& one : value) add(one);
  else if (!value.is_null() && !value.is_object())
    add(value);
  return out;
}

std::vector<Json> statements_of(const Json& policy) {
  const auto found = policy.find("Statement");
  if (found == policy.end()) return {};
  if (found->is_object()) return {*found};
  return found->is_array() ? found->get<std::vector<Json>>() : std::vector<Json>{};
}

bool action_is_among(const Json& patterns, const std::string& action) {
  const auto all = texts_of(patterns);
  return std::any_of(all.begin(), all.end(),
                     [&](const std::string& pattern) { return wildcard_match(lower(pattern), lower(action)); });
}

/// `text` for wildcard_match(), where each character stands for itself.
std::string without_wildcards(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '*' || c == '?' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

/// A pattern with its variables replaced, for wildcard_match() or (`exact`) to be compared; nothing if one of them is
/// not known.
std::optional<std::string> replaced(const std::string& pattern, const PolicyQuestion& question, bool exact) {
  std::string out;
  std::size_t at = 0;
  while (true) {
    const auto begin = pattern.find("${", at);
    out += pattern.substr(at, begin == pattern.npos ? begin : begin - at);
    if (begin == pattern.npos) return out;
    const auto end = pattern.find('}', begin);
    if (end == pattern.npos) return std::nullopt;
    const auto word = pattern.substr(begin + 2, end - begin - 2);
    at = end + 1;
    if (word == "*" || word == "?" || word == "$") {
      out += exact || word == "$" ? word : "\\" + word;
      continue;
    }
    const auto known = question.keys.find(lower(word));
    if (known == question.keys.end()) return std::nullopt;
    out += exact ? known->second : without_wildcards(known->second);
  }
}

bool resource_is_among(const Json& patterns, const PolicyQuestion& question) {
  const auto all = texts_of(patterns);
  return std::any_of(all.begin(), all.end(), [&](const std::string& pattern) {
    const auto plain = replaced(pattern, question, false);
    return plain && wildcard_match(*plain, question.resource);
  });
}

bool names_principal(const Json& principals, const PolicyQuestion& question) {
  const auto root = fmt::format("arn:aws:iam::{}:root", account_id);
  const auto all = principals.is_object() ? texts_of(principals.value("AWS", Json())) : texts_of(principals);
  return std::any_of(all.begin(), all.end(), [&](const std::string& one) {
    return one == "*" || one == question.principal || (!one.empty() && one == question.role) || one == root ||
           one == account_id;
  });
}

/// How one operator compares a key's value with one of the policy's.
using Compare = bool (*)(const std::string& is, const std::string& wanted);

bool compare_numbers(const std::string& is, const std::string& wanted, bool (*holds)(std::int64_t, std::int64_t)) {
  const auto left = parse_int(is), right = parse_int(wanted);
  return left && right && holds(*left, *right);
}

bool compare_address(const std::string& is, const std::string& wanted) {
  const auto range = parse_cidr4(wanted.find('/') == wanted.npos ? wanted + "/32" : wanted),
             address = parse_cidr4(is + "/32");
  if (!range || !address) return false;
  return range->contains(*address);
}

struct Operator {
  Compare compare;
  bool negated = false;  // holds if none of the policy's values compares
};

const std::map<std::string, Operator>& operators() {
  static const Compare equal = [](const std::string& is, const std::string& wanted) { return is == wanted; };
  static const Compare alike = [](const std::string& is, const std::string& wanted) {
    return lower(is) == lower(wanted);
  };
  static const Compare like = [](const std::string& is, const std::string& wanted) {
    return wildcard_match(wanted, is);
  };
  static const std::map<std::string, Operator> all = {
      {"StringEquals", {equal}},
      {"StringNotEquals", {equal, true}},
      {"StringEqualsIgnoreCase", {alike}},
      {"StringNotEqualsIgnoreCase", {alike, true}},
      {"StringLike", {like}},
      {"StringNotLike", {like, true}},
      {"ArnEquals", {like}},
      {"ArnLike", {like}},
      {"ArnNotEquals", {like, true}},
      {"ArnNotLike", {like, true}},
      {"Bool", {alike}},
      {"NumericEquals", {[](const std::string& is, const std::string& wanted) {
         return compare_numbers(is, wanted, [](auto a, auto b) { return a == b; });
       }}},
      {"NumericNotEquals",
       {[](const std::string& is, const std::string& wanted) {
          return compare_numbers(is, wanted, [](auto a, auto b) { return a == b; });
        },
        true}},
      {"NumericLessThan", {[](const std::string& is, const std::string& wanted) {
         return compare_numbers(is, wanted, [](auto a, auto b) { return a < b; });
       }}},
      {"NumericLessThanEquals", {[](const std::string& is, const std::string& wanted) {
         return compare_numbers(is, wanted, [](auto a, auto b) { return a <= b; });
       }}},
      {"NumericGreaterThan", {[](const std::string& is, const std::string& wanted) {
         return compare_numbers(is, wanted, [](auto a, auto b) { return a > b; });
       }}},
      {"NumericGreaterThanEquals", {[](const std::string& is, const std::string& wanted) {
         return compare_numbers(is, wanted, [](auto a, auto b) { return a >= b; });
       }}},
      {"IpAddress", {compare_address}},
      {"NotIpAddress", {compare_address, true}},
  };
  return all;
}

constexpr std::string_view if_exists = "IfExists";

std::string bare_operator(std::string word) {
  for (const std::string_view prefix : {"ForAnyValue:", "ForAllValues:"})
    if (word.starts_with(prefix)) word.erase(0, prefix.size());  // each key has one value here
  if (word.ends_with(if_exists)) word.resize(word.size() - if_exists.size());
  return word;
}

bool condition_holds(const std::string& word, const std::string& key, const Json& wanted,
                     const PolicyQuestion& question) {
  const auto found = question.keys.find(lower(key));
  const bool is_there = found != question.keys.end();
  const auto values = texts_of(wanted);
  const auto bare = bare_operator(word);
  if (bare == "Null")
    return std::any_of(values.begin(), values.end(),
                       [&](const std::string& one) { return (lower(one) == "true") != is_there; });
  const auto known = operators().find(bare);
  if (known == operators().end()) return false;
  if (!is_there) return known->second.negated || word.ends_with(if_exists);
  const bool takes_patterns = bare.find("Like") != bare.npos || bare.starts_with("Arn");
  const bool any = std::any_of(values.begin(), values.end(), [&](const std::string& one) {
    const auto plain = replaced(one, question, !takes_patterns);
    return plain && known->second.compare(found->second, *plain);
  });
  return any != known->second.negated;
}

bool applies(const Json& statement, const PolicyQuestion& question, bool of_bucket) {
  if (of_bucket) {
    const bool named = statement.contains("NotPrincipal")
                           ? !names_principal(statement["NotPrincipal"], question)
                           : names_principal(statement.value("Principal", Json()), question);
    if (!named) return false;
  }
  const bool action = statement.contains("NotAction")
                          ? !action_is_among(statement["NotAction"], question.action)
                          : action_is_among(statement.value("Action", Json()), question.action);
  const bool resource = statement.contains("NotResource")
                            ? !resource_is_among(statement["NotResource"], question)
                            : resource_is_among(statement.value("Resource", Json()), question);
  if (!action || !resource) return false;
  const auto conditions = statement.value("Condition", Json::object());
  for (const auto& [word, keys] : conditions.items())
    for (const auto& [key, wanted] : keys.items())
      if (!condition_holds(word, key, wanted, question)) return false;
  return true;
}

S3Status check_statement(const Json& statement, std::string_view bucket) {
  if (!statement.is_object()) return malformed_policy("Policies must be valid JSON and the first byte must be '{'");
  const auto effect = text_at(statement, "Effect");
  if (effect != "Allow" && effect != "Deny") return malformed_policy("Invalid effect: " + effect);
  for (const auto& [member, value] : statement.items()) {
    static const std::set<std::string> known = {"Sid",       "Effect",   "Principal",   "NotPrincipal", "Action",
                                                "NotAction", "Resource", "NotResource", "Condition"};
    if (!known.contains(member)) return malformed_policy("Unknown field " + member);
  }
  const bool has_principal = statement.contains("Principal") || statement.contains("NotPrincipal");
  if (has_principal == bucket.empty())
    return malformed_policy(bucket.empty() ? "Policy document should not specify a principal."
                                           : "Missing required field Principal");
  const auto actions = texts_of(statement.value(statement.contains("NotAction") ? "NotAction" : "Action", Json()));
  if (actions.empty()) return malformed_policy("Missing required field Action");
  const auto resources =
      texts_of(statement.value(statement.contains("NotResource") ? "NotResource" : "Resource", Json()));
  if (resources.empty()) return malformed_policy("Missing required field Resource");
  if (!bucket.empty()) {
    for (const auto& action : actions)
      if (action != "*" && !lower(action).starts_with("s3:")) return malformed_policy("Policy has invalid action");
    const auto own = fmt::format("arn:aws:s3:::{}", bucket);
    for (const auto& resource : resources)
      if (resource != own && !resource.starts_with(own + "/") && resource != own + "*")
        return malformed_policy("Policy has invalid resource");
  }
  const auto conditions = statement.value("Condition", Json::object());
  if (!conditions.is_object()) return malformed_policy("Invalid Condition");
  for (const auto& [word, keys] : conditions.items()) {
    if (bare_operator(word) != "Null" && !operators().contains(bare_operator(word)))
      return malformed_policy("Invalid Condition type : " + word);
    if (!keys.is_object()) return malformed_policy("Invalid Condition");
  }
  return {};
}

}  // namespace

Ruling judge(const Json& policy, const PolicyQuestion& question, bool of_bucket) {
  auto ruling = Ruling::silent;
  for (const auto& statement : statements_of(policy)) {
    if (!applies(statement, question, of_bucket)) continue;
    if (text_at(statement, "Effect") == "Deny") return Ruling::denied;
    ruling = Ruling::allowed;
  }
  return ruling;
}

std::string_view why_not_allowed(const S3Rights& rights, const PolicyQuestion& question) {
  bool allowed = false;
  for (const auto& policy : rights.policies) {
    const auto ruling = judge(policy, question, false);
    if (ruling == Ruling::denied) return "with an explicit deny in an identity-based policy";
    allowed = allowed || ruling == Ruling::allowed;
  }
  const auto bound = rights.boundary ? judge(*rights.boundary, question, false) : Ruling::allowed;
  if (bound == Ruling::denied) return "with an explicit deny in a permissions boundary";
  if (!allowed) return "because no identity-based policy allows the action";
  return bound == Ruling::allowed ? "" : "because no permissions boundary allows the action";
}

S3Result<Json> parse_policy(std::string_view text, std::string_view bucket) {
  auto policy = parse_json(text);
  if (!policy || !policy->is_object())
    return malformed_policy("Policies must be valid JSON and the first byte must be '{'");
  const auto statements = statements_of(*policy);
  if (statements.empty()) return malformed_policy("Missing required field Statement");
  for (const auto& statement : statements) S3_TRY(check_statement(statement, bucket));
  return *std::move(policy);
}

}  // namespace ferry::rehearsal
