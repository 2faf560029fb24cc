#include "rehearsal/s3_lifecycle.h"

#include <algorithm>
#include <ctime>
#include <pugixml.hpp>

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

constexpr std::int64_t day_ms = 86'400'000;
constexpr std::size_t most_rules = 1000;

S3Result<std::int64_t> positive_days(const pugi::xml_node& node) {
  const auto days = parse_int(node.child_value());
  if (!days || *days <= 0)
    return s3_refuse("InvalidArgument",
                     fmt::format("'{}' for {} action must be a positive integer", node.name(), node.parent().name()));
  return *days;
}

S3Result<std::int64_t> midnight_of(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%d", &parts);
  if (!rest || (*rest != '\0' && !std::string_view(rest).starts_with("T00:00:00")))
    return s3_refuse("InvalidArgument", "'Date' must be at midnight GMT");
  return static_cast<std::int64_t>(::timegm(&parts)) * 1000;
}

S3Status read_filter(const pugi::xml_node& filter, LifecycleRule& rule) {
  const auto scope = filter.child("And") ? filter.child("And") : filter;
  if (const auto prefix = scope.child("Prefix")) rule.prefix = prefix.child_value();
  for (const auto& tag : scope.children("Tag")) rule.tags[tag.child_value("Key")] = tag.child_value("Value");
  for (const auto& [element, place] :
       {std::pair("ObjectSizeGreaterThan", &rule.larger_than), std::pair("ObjectSizeLessThan", &rule.smaller_than)}) {
    const auto node = scope.child(element);
    if (!node) continue;
    const auto bytes = parse_int(node.child_value());
    if (!bytes || *bytes < 0) return malformed_xml();
    *place = static_cast<std::uint64_t>(*bytes);
    if (place == &rule.larger_than) rule.has_larger = true;
  }
  return {};
}

S3Result<LifecycleRule> read_rule(const pugi::xml_node& node) {
  LifecycleRule rule;
  rule.id = node.child_value("ID");
  if (rule.id.size() > 255) return s3_refuse("InvalidArgument", "ID length should not exceed allowed limit of 255");
  const std::string_view status = node.child_value("Status");
  if (status != "Enabled" && status != "Disabled") return malformed_xml();
  rule.enabled = status == "Enabled";
  if (!node.child("Filter") && !node.child("Prefix")) return malformed_xml();
  if (const auto prefix = node.child("Prefix")) rule.prefix = prefix.child_value();
  S3_TRY(read_filter(node.child("Filter"), rule));
  if (const auto days = node.child("Expiration").child("Days")) {
    S3_SET(count, positive_days(days));
    rule.expire_days = count;
  }
  if (const auto date = node.child("Expiration").child("Date")) {
    S3_SET(midnight, midnight_of(date.child_value()));
    rule.expire_at_ms = midnight;
  }
  if (const auto abort = node.child("AbortIncompleteMultipartUpload")) {
    S3_SET(count, positive_days(abort.child("DaysAfterInitiation")));
    rule.abort_days = count;
    if (!rule.tags.empty() || rule.has_larger || rule.smaller_than > 0)
      return s3_refuse("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags.");
  }
  constexpr std::array actions = {"Expiration", "AbortIncompleteMultipartUpload", "Transition",
                                  "NoncurrentVersionExpiration", "NoncurrentVersionTransition"};
  if (std::none_of(actions.begin(), actions.end(),
                   [&](const char* action) { return static_cast<bool>(node.child(action)); }))
    return s3_refuse("InvalidRequest", "At least one action needs to be specified in a rule");
  return rule;
}

/// The midnight after so many days.
std::int64_t end_of_days(std::int64_t from_ms, std::int64_t days) {
  return (from_ms + days * day_ms + day_ms - 1) / day_ms * day_ms;
}

}  // namespace

S3Result<std::vector<LifecycleRule>> parse_lifecycle(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size()) ||
      std::string_view(document.document_element().name()) != "LifecycleConfiguration")
    return malformed_xml();
  std::vector<LifecycleRule> rules;
  std::set<std::string> ids;
  for (const auto& node : document.document_element().children("Rule")) {
    if (rules.size() == most_rules) return malformed_xml();
    S3_SET(rule, read_rule(node));
    if (!rule.id.empty() && !ids.insert(rule.id).second)
      return s3_refuse("InvalidArgument",
                       fmt::format("Rule ID must be unique. Found same ID for more than one rule: {}", rule.id));
    rules.push_back(std::move(rule));
  }
  if (rules.empty()) return malformed_xml();
  return rules;
}

bool has_expired(const LifecycleRule& rule, const S3Object& object, std::int64_t now_ms) {
  if (!rule.enabled || !object.key.starts_with(rule.prefix)) return false;
  if (rule.has_larger && object.size <= rule.larger_than) return false;
  if (rule.smaller_than > 0 && object.size >= rule.smaller_than) return false;
  const auto tags = object.head.value("tags", Json::object());
  for (const auto& [key, value] : rule.tags.items())
    if (text_at(tags, key, "\n") != value.get<std::string>()) return false;  // no tag's value has a line's end
  if (rule.expire_days > 0 && now_ms >= end_of_days(object.modified_ms, rule.expire_days)) return true;
  return rule.expire_at_ms > 0 && now_ms >= rule.expire_at_ms;
}

bool has_expired(const LifecycleRule& rule, const S3Upload& upload, std::int64_t now_ms) {
  return rule.enabled && rule.abort_days > 0 && upload.key.starts_with(rule.prefix) &&
         now_ms >= end_of_days(upload.initiated_ms, rule.abort_days);
}

void carry_out_lifecycle(S3Store& store, std::int64_t now_ms) {
  for (const auto& bucket : store.buckets()) {
    const auto rules = parse_lifecycle(text_at(bucket.settings, "lifecycle"));
    if (!rules) continue;
    for (const auto& upload : store.uploads(bucket.name))
      if (std::any_of(rules->begin(), rules->end(),
                      [&](const auto& rule) { return has_expired(rule, upload, now_ms); }))
        store.abort(upload.id);
    S3ListQuery query{.bucket = bucket.name};
    for (S3Page page{.truncated = true}; page.truncated; query.after = page.last) {
      page = store.list(query);
      for (const auto& object : page.objects) {
        if (std::none_of(rules->begin(), rules->end(),
                         [&](const auto& rule) { return has_expired(rule, object, now_ms); }))
          continue;
        // Unless it was overwritten meanwhile.
        (void)store.remove_object(bucket.name, object.key, [&](const S3Object* there) -> S3Status {
          return there && there->id == object.id ? S3Status{} : no_such_key(object.key);
        });
      }
    }
  }
}

}  // namespace ferry::rehearsal
