#pragma once
/// \file
/// What IAM checks in every request: names, paths, tags, documents; and its pages.

#include <algorithm>
#include <string>
#include <vector>

#include "base/text.h"
#include "rehearsal/iam.h"

namespace ferry::rehearsal {

/// "RoleName" of the request: 1 to `most` of [\w+=,.@-]. ValidationError.
Api<std::string> iam_name(const Params& params, const std::string& param, std::size_t most = 128);
/// "Path", "/" where there is none. ValidationError.
Api<std::string> iam_path(const Params& params);
/// At most 1000 characters. ValidationError.
Api<std::string> iam_description(const Params& params);
/// A parameter that must be there. ValidationError.
Api<std::string> iam_required(const Params& params, const std::string& param);
inline constexpr std::size_t most_iam_tags = 50;
/// Tags.member.N; InvalidInput, LimitExceeded.
Api<Tags> iam_tags(const Params& params);
void write_iam_tags(Xml& xml, const Tags& tags);

/// A policy that says what may be done: MalformedPolicyDocument.
Api<std::monostate> check_identity_document(const std::string& text);
/// A policy that says who may take a role: MalformedPolicyDocument.
Api<std::monostate> check_trust_document(const std::string& text);
/// True if the service ("ec2.amazonaws.com") may take a role with this trust policy.
bool trusts_service(const std::string& trust, std::string_view service);
/// How long IAM says a document is: white space counts nothing.
std::size_t document_size(std::string_view text);

[[nodiscard]] tl::unexpected<ApiError> no_such_entity(std::string message);
[[nodiscard]] tl::unexpected<ApiError> entity_exists(std::string message);
[[nodiscard]] tl::unexpected<ApiError> delete_conflict(std::string_view must);
[[nodiscard]] tl::unexpected<ApiError> over_limit(std::string message);
/// "Value 'x' at 'roleName' failed to satisfy constraint: Member must …"
[[nodiscard]] tl::unexpected<ApiError> iam_invalid(const std::string& param, const std::string& value,
                                                   std::string_view must);

/// Equal but for capitals: IAM's names are not told apart by them.
inline bool same_iam_name(const std::string& a, const std::string& b) { return lower(a) == lower(b); }

/// <name><member>…</member>…</name>, then <IsTruncated> and <Marker>: the page that MaxItems and Marker ask for.
template <class T, class Write>
Api<Xml> iam_page(const Params& params, std::string_view name, const std::vector<T>& all, Write write) {
  API_SET(most, params.number("MaxItems", 100));
  if (most < 1 || most > 1000) return iam_invalid("MaxItems", std::to_string(most), "have value between 1 and 1000");
  API_SET(from, params.number("Marker", 0));
  const auto size = static_cast<std::int64_t>(all.size());
  if (from < 0 || from > size) return refuse("ValidationError", "Invalid Marker.");
  const auto end = std::min(from + most, size);
  Xml xml;
  xml.node(name, [&] {
    for (auto at = from; at < end; ++at) xml.node("member", [&] { write(xml, all[static_cast<std::size_t>(at)]); });
  });
  xml.flag("IsTruncated", end < size);
  if (end < size) xml.number("Marker", end);
  return xml;
}

}  // namespace ferry::rehearsal
