#include "rehearsal/query.h"

#include <fmt/format.h>

#include <ctime>

#include "base/text.h"

namespace ferry::rehearsal {

tl::unexpected<ApiError> missing_parameter(std::string_view name) {
  return refuse("MissingParameter", fmt::format("The request must contain the parameter {}", name));
}

tl::unexpected<ApiError> invalid_value(std::string_view value, std::string_view name, std::string_view why) {
  return refuse("InvalidParameterValue",
                fmt::format("Value ({}) for parameter {} is invalid.{}{}", value, name, why.empty() ? "" : " ", why));
}

tl::unexpected<ApiError> other_network() {
  return refuse("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.");
}

tl::unexpected<ApiError> unknown_placement_group(std::string_view name) {
  return refuse("InvalidPlacementGroup.Unknown", fmt::format("The Placement Group '{}' is unknown.", name));
}

Params Params::parse(std::string_view form) {
  Params params;
  while (!form.empty() && params.values_.size() < 4096) {
    const auto end = form.find('&');
    const auto pair = form.substr(0, end);
    form.remove_prefix(end == form.npos ? form.size() : end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    const auto value = equals == pair.npos ? std::string_view() : pair.substr(equals + 1);
    params.values_[percent_decoded(pair.substr(0, equals), true)] = percent_decoded(value, true);
  }
  return params;
}

std::string Params::get(const std::string& name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(otherwise) : found->second;
}

Api<std::string> Params::required(const std::string& name) const {
  auto value = get(name);
  if (value.empty()) return missing_parameter(name);
  return value;
}

Api<bool> Params::flag(const std::string& name, bool otherwise) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return otherwise;
  const auto word = lower(found->second);
  if (word == "true" || word == "1") return true;
  if (word == "false" || word == "0") return false;
  return refuse("InvalidParameterValue",
                fmt::format("Invalid value '{}' for {}. Expected 'true' or 'false'.", found->second, name));
}

Api<std::int64_t> Params::number(const std::string& name, std::int64_t otherwise) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return otherwise;
  if (const auto value = parse_int(found->second)) return *value;
  return refuse("InvalidParameterValue",
                fmt::format("Invalid value '{}' for {}. Must be an integer.", found->second, name));
}

Api<std::int64_t> Params::time(const std::string& name, std::int64_t otherwise) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return otherwise;
  std::tm parts{};
  const char* rest = ::strptime(found->second.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest || (*rest != '.' && *rest != 'Z')) return invalid_value(found->second, name, "It is no time.");
  return static_cast<std::int64_t>(::timegm(&parts)) * 1000;
}

namespace {

/// The number after `prefix` ("Filter.") in `name`, and where it ends.
std::optional<std::pair<std::int64_t, std::size_t>> number_after(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const auto end = std::min(name.find('.', prefix.size()), name.size());
  const auto number = parse_int(name.substr(prefix.size(), end - prefix.size()));
  if (!number || *number < 0) return std::nullopt;
  return std::pair(*number, end);
}

}  // namespace

std::vector<std::string> Params::list(const std::string& name) const {
  const std::string prefix = name + ".";
  std::map<std::int64_t, std::string> found;
  for (auto at = values_.lower_bound(prefix); at != values_.end() && at->first.starts_with(prefix); ++at)
    if (const auto number = number_after(at->first, prefix); number && number->second == at->first.size())
      found[number->first] = at->second;
  std::vector<std::string> out;
  for (auto& [number, value] : found) out.push_back(std::move(value));
  return out;
}

std::vector<std::string> Params::items(const std::string& name) const {
  const std::string prefix = name + ".";
  std::map<std::int64_t, std::string> found;
  for (auto at = values_.lower_bound(prefix); at != values_.end() && at->first.starts_with(prefix); ++at)
    if (const auto number = number_after(at->first, prefix); number && number->second < at->first.size())
      found[number->first] = at->first.substr(0, number->second + 1);
  std::vector<std::string> out;
  for (auto& [number, value] : found) out.push_back(std::move(value));
  return out;
}

bool Params::any(std::string_view prefix) const {
  const auto at = values_.lower_bound(std::string(prefix));
  return at != values_.end() && at->first.starts_with(prefix);
}

}  // namespace ferry::rehearsal
