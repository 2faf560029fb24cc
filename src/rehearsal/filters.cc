#include "rehearsal/filters.h"

#include "base/text.h"

namespace ferry::rehearsal {

bool wildcard_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = pattern.npos, resume = 0;
  while (t < text.size()) {
    const bool literal = p + 1 < pattern.size() && pattern[p] == '\\';
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (literal && pattern[p + 1] == text[t]) {
      p += 2;
      ++t;
    } else if (!literal && p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Facts& Facts::add_tags(const Tags& tags) {
  for (const auto& [key, value] : tags) add("tag:" + key, value).add("tag-key", key).add("tag-value", value);
  return *this;
}

Api<Filters> Filters::read(const Params& params, std::initializer_list<std::string_view> known) {
  Filters out;
  for (const auto& item : params.items("Filter")) {
    Filter filter{params.get(item + "Name"), params.list(item + "Value")};
    const bool is_tag = filter.name.starts_with("tag:") || filter.name == "tag-key" || filter.name == "tag-value";
    if (!is_tag && std::find(known.begin(), known.end(), filter.name) == known.end())
      return refuse("InvalidParameterValue", fmt::format("The filter '{}' is invalid", filter.name));
    if (filter.values.empty())
      return refuse("InvalidParameterValue", fmt::format("The filter '{}' has no value", filter.name));
    if (filter.values.size() > 200)
      return refuse("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200");
    out.filters_.push_back(std::move(filter));
  }
  return out;
}

bool Filters::match(const Facts& facts) const {
  return std::all_of(filters_.begin(), filters_.end(), [&](const Filter& filter) {
    const auto [first, last] = facts.values().equal_range(filter.name);
    return std::any_of(first, last, [&](const auto& fact) {
      return std::any_of(filter.values.begin(), filter.values.end(),
                         [&](const std::string& pattern) { return wildcard_match(pattern, fact.second); });
    });
  });
}

bool is_id(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return (text.size() == 8 || text.size() == 17) && text.find_first_not_of("0123456789abcdef") == text.npos;
}

Api<std::monostate> check_ids(const std::vector<std::string>& ids, const IdKind& kind,
                              const std::function<bool(const std::string&)>& present) {
  std::vector<std::string> absent;
  for (const auto& id : ids) {
    if (!is_id(id, kind.prefix)) {
      const std::string malformed = kind.error == group_ids.error    ? "InvalidGroupId.Malformed"
                                    : kind.error == volume_ids.error ? "InvalidVolumeID.Malformed"
                                                                     : std::string(kind.error) + ".Malformed";
      return refuse(malformed, fmt::format("Invalid id: \"{}\" (expecting \"{}...\")", id, kind.prefix));
    }
    if (!present(id)) absent.push_back(id);
  }
  if (absent.empty()) return std::monostate{};
  const bool one = absent.size() == 1;
  return refuse(
      std::string(kind.error) + ".NotFound",
      fmt::format("The {}{} '{}' do{} not exist", kind.noun, one ? "" : "s", join(absent, ", "), one ? "es" : ""));
}

Api<Page> page_of(const Params& params, std::vector<std::string> all, std::int64_t least, std::int64_t most) {
  API_SET(limit, params.number("MaxResults", most));
  if (params.has("MaxResults") && (limit < least || limit > most))
    return refuse("InvalidParameterValue",
                  fmt::format("Value ( {} ) for parameter maxResults is invalid. Expecting a value {} than {}.", limit,
                              limit < least ? "greater" : "less", limit < least ? least : most));
  auto first = all.begin();
  if (const auto token = params.get("NextToken"); !token.empty()) {
    const auto after = from_base64(token);
    if (!after || !after->starts_with("after "))
      return refuse("InvalidNextToken", "The specified NextToken is not valid.");
    first = std::upper_bound(all.begin(), all.end(), after->substr(6));
  }
  Page page;
  const auto left = all.end() - first;
  const bool cut = left > limit && (params.has("MaxResults") || params.has("NextToken"));
  page.keys.assign(first, cut ? first + limit : all.end());
  if (cut) page.next_token = base64("after " + page.keys.back());
  return page;
}

}  // namespace ferry::rehearsal
