#include "rehearsal/sigv4.h"

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/query.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

Status take_credential(std::string_view credential, SignatureClaim& claim) {
  const auto parts = split(credential, '/');
  if (parts.size() != 5 || parts[4] != "aws4_request")
    return fail(Kind::corrupt, "Credential must have exactly 5 slash-delimited elements and end with aws4_request");
  claim.key_id = parts[0];
  claim.day = parts[1];
  claim.region = parts[2];
  claim.service = parts[3];
  return {};
}

Status take_signed_headers(std::string_view list, SignatureClaim& claim) {
  for (auto& name : split(list, ';')) {
    if (name.empty() || lower(name) != name) return fail(Kind::corrupt, "SignedHeaders is malformed");
    claim.signed_headers.push_back(std::move(name));
  }
  return {};
}

std::string normalized(std::string_view path) {
  std::vector<std::string> kept;
  for (auto& part : split(path, '/')) {
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!part.empty() && part != ".") {
      kept.push_back(std::move(part));
    }
  }
  const bool is_folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
  std::string out = "/" + join(kept, "/");
  return is_folder && !kept.empty() ? out + "/" : out;
}

std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (!query.empty()) {
    for (const auto& part : split(query, '&')) {
      const auto equals = part.find('=');
      const auto name = percent_decoded(std::string_view(part).substr(0, equals));
      const auto value = equals == part.npos ? "" : percent_decoded(std::string_view(part).substr(equals + 1));
      if (name != "X-Amz-Signature" && !part.empty()) pairs.emplace_back(percent_encoded(name), percent_encoded(value));
    }
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

/// Surrounding white space gone, inner runs of it one space.
std::string collapsed(std::string_view value) {
  std::string out;
  for (const char c : trim(value)) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space)
      out += c;
    else if (!out.ends_with(' '))
      out += ' ';
  }
  return out;
}

std::string header_values(const HttpRequest& request, std::string_view name) {
  std::string out;
  bool first = true;
  for (const auto& [key, value] : request.headers) {
    if (key != name) continue;
    if (!std::exchange(first, false)) out += ',';
    out += collapsed(value);
  }
  return out;
}

bool same_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  return difference == 0;
}

/// The name of a header that AWS insists on and that the signature leaves out, or "".
std::string unsigned_header(const HttpRequest& request, const SignatureClaim& claim) {
  const auto covers = [&](std::string_view name) {
    return std::find(claim.signed_headers.begin(), claim.signed_headers.end(), name) != claim.signed_headers.end();
  };
  if (!covers("host")) return "Host";
  for (const auto& [name, value] : request.headers)
    if (name.starts_with("x-amz-") && !covers(name)) return name;
  return {};
}

/// In AWS's words.
std::string too_far(std::string_view text, std::int64_t time, std::int64_t now_ms, std::int64_t limit) {
  const auto basic = [](std::int64_t ms) {
    auto iso = os::iso_time(ms);
    std::erase_if(iso, [](char c) { return c == '-' || c == ':'; });
    return iso;
  };
  return now_ms > time ? fmt::format("Signature expired: {} is now earlier than {} ({} - {} min.)", text,
                                     basic(now_ms - limit), basic(now_ms), limit / 60'000)
                       : fmt::format("Signature not yet current: {} is still later than {} ({} + {} min.)", text,
                                     basic(now_ms + limit), basic(now_ms), limit / 60'000);
}

Result<SignatureClaim> claim_of(const HttpRequest& request) {
  if (const auto header = request.header("authorization"); !header.empty()) {
    TRY_SET(claim, "", parse_authorization(header));
    claim.time = request.header("x-amz-date");
    if (claim.time.empty())
      return fail(Kind::corrupt, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header");
    return claim;
  }
  return parse_presigned(request.query);
}

}  // namespace

Result<SignatureClaim> parse_authorization(std::string_view header) {
  if (!header.starts_with(algorithm)) return fail(Kind::corrupt, "Unsupported or missing signing algorithm");
  SignatureClaim claim;
  bool has_credential = false;
  for (const auto& part : split(header.substr(algorithm.size()), ',')) {
    const auto piece = trim(part);
    const auto equals = piece.find('=');
    if (equals == piece.npos) return fail(Kind::corrupt, "a parameter of the Authorization header has no equal-sign");
    const auto name = piece.substr(0, equals), value = piece.substr(equals + 1);
    if (name == "Credential") {
      TRY("", take_credential(value, claim));
      has_credential = true;
    } else if (name == "SignedHeaders") {
      TRY("", take_signed_headers(value, claim));
    } else if (name == "Signature") {
      claim.signature = value;
    }
  }
  if (!has_credential) return fail(Kind::corrupt, "Authorization header requires 'Credential' parameter");
  if (claim.signature.empty()) return fail(Kind::corrupt, "Authorization header requires 'Signature' parameter");
  if (claim.signed_headers.empty())
    return fail(Kind::corrupt, "Authorization header requires 'SignedHeaders' parameter");
  return claim;
}

Result<SignatureClaim> parse_presigned(std::string_view query) {
  const auto params = Params::parse(query);
  if (!params.any("X-Amz-")) return fail(Kind::not_found, "no signature");
  for (const char* name :
       {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Expires"})
    if (params.get(name).empty())
      return fail(Kind::corrupt, fmt::format("AWS query-string parameters must include '{}'", name));
  if (params.get("X-Amz-Algorithm") != algorithm) return fail(Kind::corrupt, "Unsupported signing algorithm");
  SignatureClaim claim;
  claim.presigned = true;
  TRY("", take_credential(params.get("X-Amz-Credential"), claim));
  TRY("", take_signed_headers(params.get("X-Amz-SignedHeaders"), claim));
  claim.signature = params.get("X-Amz-Signature");
  claim.time = params.get("X-Amz-Date");
  const auto expires = parse_int(params.get("X-Amz-Expires"));
  if (!expires || *expires < 0 || *expires > 604'800)
    return fail(Kind::corrupt, "X-Amz-Expires must be between 0 and 604800");
  claim.expires_s = *expires;
  return claim;
}

std::string claimed_key(const HttpRequest& request) {
  const auto claim = claim_of(request);
  return claim ? claim->key_id : std::string();
}

std::string canonical_request(const HttpRequest& request, const SignatureClaim& claim, PathRule rule) {
  const std::string path = rule == PathRule::normalized ? normalized(request.path) : request.path;
  std::string out = request.method + "\n" + percent_encoded(path, "/") + "\n" + canonical_query(request.query) + "\n";
  for (const auto& name : claim.signed_headers) out += name + ":" + header_values(request, name) + "\n";
  return out + "\n" + join(claim.signed_headers, ";") + "\n" + hex(sha256(request.body));
}

std::string string_to_sign(const SignatureClaim& claim, std::string_view canonical) {
  return fmt::format("{}\n{}\n{}/{}/{}/aws4_request\n{}", algorithm, claim.time, claim.day, claim.region, claim.service,
                     hex(sha256(canonical)));
}

std::string expected_signature(const AccessKey& key, const SignatureClaim& claim, std::string_view to_sign) {
  std::string secret = "AWS4" + key.secret;
  for (const std::string_view part : {std::string_view(claim.day), std::string_view(claim.region),
                                      std::string_view(claim.service), std::string_view("aws4_request")})
    secret = hmac_sha256(secret, part);
  return hex(hmac_sha256(secret, to_sign));
}

Result<std::int64_t> parse_amz_time(std::string_view text) {
  const auto digits = [&](std::size_t at, std::size_t count) {
    int value = 0;
    for (const char c : text.substr(at, count))
      value = c >= '0' && c <= '9' && value >= 0 ? value * 10 + (c - '0') : -1;
    return value;
  };
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return fail(Kind::corrupt, "not a basic ISO 8601 time");
  const int year = digits(0, 4), month = digits(4, 2), day = digits(6, 2);
  const int hour = digits(9, 2), minute = digits(11, 2), second = digits(13, 2);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (year < 1970 || month < 0 || day < 0 || !date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60)
    return fail(Kind::corrupt, "not a basic ISO 8601 time");
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((static_cast<std::int64_t>(days) * 24 + hour) * 60 + minute) * 60'000 + second * 1000;
}

SignatureCheck check_signature(const HttpRequest& request, const AccessKey& key, std::string_view region,
                               std::int64_t now_ms, Millis skew) {
  using enum SignatureVerdict;
  auto claimed = claim_of(request);
  if (!claimed) return {claimed.error().kind == Kind::not_found ? missing : incomplete, claimed.error().what, ""};
  const SignatureClaim& claim = *claimed;
  const auto time = parse_amz_time(claim.time);
  if (!time) return {incomplete, "Date must be in ISO-8601 'basic format'. Got '" + claim.time + "'.", claim.service};
  if (!claim.time.starts_with(claim.day))
    return {mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
            claim.service};
  const auto in_query = Params::parse(request.query).get("X-Amz-Security-Token");
  const std::string token(in_query.empty() ? request.header("x-amz-security-token") : in_query);
  if (claim.key_id != key.id || !same_in_constant_time(token, key.token))
    return {unknown_key, "The security token included in the request is invalid.", claim.service};
  if (claim.region != region)
    return {wrong_scope, fmt::format("Credential should be scoped to a valid region, not '{}'.", claim.region),
            claim.service};
  if (const auto name = unsigned_header(request, claim); !name.empty())
    return {mismatch, fmt::format("'{}' must be a 'SignedHeader' in the AWS Authorization.", name), claim.service};
  const auto wanted = expected_signature(key, claim, string_to_sign(claim, canonical_request(request, claim)));
  if (!same_in_constant_time(wanted, claim.signature))
    return {mismatch,
            "The request signature we calculated does not match the signature you provided. Check your AWS "
            "Secret "
            "Access Key and signing method. Consult the service documentation for details.",
            claim.service};
  const std::int64_t limit = claim.presigned ? claim.expires_s * 1000 : skew.count();
  if (now_ms - *time > limit || *time - now_ms > skew.count())
    return {expired, too_far(claim.time, *time, now_ms, now_ms > *time ? limit : skew.count()), claim.service};
  return {good, "", claim.service};
}

}  // namespace ferry::rehearsal
