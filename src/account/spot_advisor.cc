#include "account/spot_advisor.h"

#include "aws/client.h"
#include "base/text.h"
#include "os/env.h"
#include "os/file.h"

namespace ferry::account {
namespace {

constexpr const char* address = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json";

os::Path kept_advisor() { return os::cache_dir() / "catalog" / "spot-advisor.json"; }

const Json& member(const Json& object, const char* name) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto at = object.find(name);
  return at == object.end() ? none : *at;
}

/// The labels of the bands, by their number.
std::map<std::int64_t, std::string> labels_of(const Json& ranges) {
  std::map<std::int64_t, std::string> labels;
  if (!ranges.is_array()) return labels;
  for (const auto& range : ranges) {
    auto label = text_at(range, "label");
    if (plan::parse_band(label)) labels[int_at(range, "index", -1)] = std::move(label);
  }
  return labels;
}

}  // namespace

std::optional<plan::InterruptionBand> SpotAdvisor::band(const std::string& region, const std::string& type) const {
  const auto types = by.find(region);
  if (types == by.end()) return std::nullopt;
  const auto label = types->second.find(type);
  return label == types->second.end() ? std::nullopt : plan::parse_band(label->second);
}

std::optional<std::string> spot_advisor_url(const cloud::AwsContext& aws_context) {
  if (auto named = os::env("FERRY_SPOT_ADVISOR_URL")) return named;
  const auto given = aws_context.service_endpoints.find("ec2");
  const auto& endpoint = given == aws_context.service_endpoints.end() ? aws_context.endpoint_url : given->second;
  const bool is_awss = endpoint.empty() || endpoint.ends_with(".amazonaws.com");
  return is_awss ? std::optional<std::string>(address) : std::nullopt;
}

Result<SpotAdvisor> fetch_spot_advisor(os::HttpClient& http, const std::string& url) {
  os::HttpRequest request;
  request.url = url;
  TRY_SET(answer, "", http.send(request));
  if (answer.status != 200)
    return fail(Kind::io, fmt::format("{} answers {}", printable(url), answer.status), "", "repeat the command later");
  TRY_SET(file, "", parse_json(answer.body));
  return parse_spot_advisor(file);
}

Result<SpotAdvisor> parse_spot_advisor(const Json& file) {
  const auto labels = labels_of(member(file, "ranges"));
  SpotAdvisor advisor;
  const auto& regions = member(file, "spot_advisor");
  if (regions.is_object()) {
    for (const auto& [region, systems] : regions.items()) {
      const auto& types = member(systems, "Linux");
      if (!types.is_object()) continue;
      for (const auto& [type, facts] : types.items()) {
        const auto label = labels.find(int_at(facts, "r", -1));
        if (label != labels.end()) advisor.by[region][type] = label->second;
      }
    }
  }
  if (advisor.by.empty())
    return fail(Kind::corrupt, "this is not AWS's Spot Advisor file", "it names no type with a band of interruptions",
                "check FERRY_SPOT_ADVISOR_URL, and repeat");
  return advisor;
}

Status store_spot_advisor(const SpotAdvisor& advisor) {
  TRY("", os::make_dirs(kept_advisor().parent_path()));
  return os::write_file(kept_advisor(), dump_json({{"date", advisor.date}, {"bands", advisor.by}}) + "\n");
}

SpotAdvisor kept_spot_advisor() {
  const auto text = os::read_file(kept_advisor(), 32 << 20);
  const auto json = text ? parse_json(*text) : Result<Json>(Json());
  if (!json) return {};
  SpotAdvisor advisor;
  advisor.date = printable(text_at(*json, "date"));
  const auto& regions = member(*json, "bands");
  if (advisor.date.empty() || !regions.is_object()) return {};
  for (const auto& [region, types] : regions.items()) {
    if (!types.is_object()) continue;
    for (const auto& [type, label] : types.items())
      if (label.is_string()) advisor.by[region][type] = label.get<std::string>();
  }
  return advisor;
}

}  // namespace ferry::account
