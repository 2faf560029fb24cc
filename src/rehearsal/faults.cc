#include "rehearsal/faults.h"

#include "base/text.h"
#include "rehearsal/cidr.h"
#include "rehearsal/doors.h"
#include "rehearsal/filters.h"
#include "rehearsal/refusals.h"

namespace ferry::rehearsal {
namespace {

/// Faults that Faults itself keeps, and the members each may have.
const std::map<std::string, std::vector<std::string>>& kinds() {
  static const std::map<std::string, std::vector<std::string>> all = {
      {"capacity", {"type", "zone", "count"}},
      {"throttle", {"action", "count"}},
      {"error", {"action", "code", "status", "message", "count"}},
      {"drop", {"action", "count"}},
      {"error-after", {"action", "code", "status", "message", "count"}},
      {"late-reservation", {"ms"}},
      {"slow-boot", {"type", "ms", "count"}},
      {"no-boot", {"type", "count"}},
      {"small-disk", {"type", "mib", "count"}},
      {"quota", {"bucket", "limit"}},
      {"quota-answer", {"status", "after_ms"}},
      {"permission", {"action", "count"}},
      {"expired-token", {"count"}},
      {"clock", {"ms"}},
      {"no-default-vpc", {}},
      {"caller", {"address"}},
      {"late-profile", {"ms"}},
      {"role-session", {"seconds"}},
      {"slow-down", {"action", "percent", "count"}},
      {"cut-upload", {"action", "bytes", "count"}},
      {"cut-answer", {"action", "bytes", "count"}},
      {"late-error", {"action", "code", "count"}},
      {"conflict", {"action", "count"}},
      {"latency", {"action", "ms", "count"}},
      {"plain-http", {}},
      {"interruptions", {"per_hour"}},
      {"market", {"seed", "step_ms"}},
      {"clear", {}},
  };
  return all;
}

bool fits(const Json& fault, std::string_view member, std::string_view value) {
  return wildcard_match(text_at(fault, member, "*"), value);
}

/// "RunInstances" and "ec2:RunInstances" both name the action.
bool is_about(const Json& fault, const Asked& asked) {
  return fits(fault, "action", asked.action) || fits(fault, "action", asked.name());
}

/// What is counted is kept for calls that act.
bool is_in_turn(const Json& fault, const Asked& asked) { return !asked.dry_run || !fault.contains("count"); }

bool is_quota_status(std::string_view status) {
  constexpr std::array<std::string_view, 6> all = {"APPROVED",    "DENIED",      "NOT_APPROVED",
                                                   "CASE_OPENED", "CASE_CLOSED", "INVALID_REQUEST"};
  return std::ranges::find(all, status) != all.end();
}

/// As IAM compares: without regard to case. The service may be left out.
bool takes_away(const Json& fault, const std::string& permission) {
  const auto pattern = lower(text_at(fault, "action", "*"));
  const auto full = lower(permission);
  return wildcard_match(pattern, full) || wildcard_match(pattern, full.substr(full.find(':') + 1));
}

/// Kinds of which the last one given holds: what tells two of them apart, or "" if only one can be.
const std::map<std::string, std::string>& replaced_kinds() {
  static const std::map<std::string, std::string> all = {
      {"quota", "bucket"},  {"quota-answer", ""},  {"clock", ""},        {"no-default-vpc", ""},
      {"caller", ""},       {"plain-http", ""},    {"late-profile", ""}, {"late-reservation", ""},
      {"role-session", ""}, {"interruptions", ""}, {"market", ""}};
  return all;
}

}  // namespace

Status Faults::add(const Json& fault) {
  const std::string kind = text_at(fault, "kind");
  const auto known = kinds().find(kind);
  if (known == kinds().end()) {
    std::vector<std::string> names = {"die", "interrupt", "no-sshd"};
    for (const auto& [name, members] : kinds()) names.push_back(name);
    return fail(Kind::bad_input, "no such fault: " + kind, "", "the kinds are " + join(names, ", "));
  }
  for (const auto& [member, value] : fault.items())
    if (member != "kind" && std::find(known->second.begin(), known->second.end(), member) == known->second.end())
      return fail(Kind::bad_input, "the fault " + kind + " has no member " + member, "",
                  "it has " + join(known->second, ", "));
  if (kind == "clear") {
    faults_.clear();
    return {};
  }
  if (kind == "caller" && !parse_cidr4(text_at(fault, "address") + "/32"))
    return fail(Kind::bad_input, "the fault caller needs an IPv4 address", "", "write caller address=203.0.113.9");
  if (kind == "quota-answer" && !is_quota_status(text_at(fault, "status")))
    return fail(Kind::bad_input, "the fault quota-answer has no such status: " + printable(text_at(fault, "status")),
                "", "write status=APPROVED, DENIED, NOT_APPROVED, CASE_OPENED or CASE_CLOSED");
  if (const auto replaced = replaced_kinds().find(kind); replaced != replaced_kinds().end())
    std::erase_if(faults_, [&](const Json& old) {
      return text_at(old, "kind") == kind && text_at(old, replaced->second) == text_at(fault, replaced->second);
    });
  faults_.push_back(fault);
  return {};
}

template <class Fits>
std::optional<Json> Faults::use(std::string_view kind, Fits fits_it, bool spend) {
  for (auto at = faults_.begin(); at != faults_.end(); ++at) {
    if (text_at(*at, "kind") != kind || !fits_it(*at)) continue;
    Json used = *at;
    const auto left = int_at(used, "count", -1);
    if (spend && left > 1) (*at)["count"] = left - 1;
    if (spend && (left == 1 || left == 0)) faults_.erase(at);
    if (left != 0) return used;
    return use(kind, fits_it, spend);
  }
  return std::nullopt;
}

std::optional<ApiError> Faults::refusal(const Asked& asked) {
  const auto in_turn = [&](const Json& fault) { return is_in_turn(fault, asked); };
  const auto about = [&](const Json& fault) { return in_turn(fault) && is_about(fault, asked); };
  if (use("expired-token", in_turn)) return expired_credentials(asked.service);
  if (use("throttle", about)) return throttled(asked.service);
  for (const auto& permission : asked.needs)
    if (use(
            "permission", [&](const Json& fault) { return takes_away(fault, permission); }, !asked.dry_run))
      return not_authorized(asked.service, permission);
  if (const auto fault = use("error", about))
    return ApiError{static_cast<int>(int_at(*fault, "status", 500)), text_at(*fault, "code", "InternalError"),
                    text_at(*fault, "message", "An internal error has occurred")};
  return std::nullopt;
}

std::optional<ApiError> Faults::late_refusal(const Asked& asked) {
  const auto fault =
      use("error-after", [&](const Json& one) { return is_in_turn(one, asked) && is_about(one, asked); });
  if (!fault) return std::nullopt;
  return ApiError{static_cast<int>(int_at(*fault, "status", 500)), text_at(*fault, "code", "InternalError"),
                  text_at(*fault, "message", "An internal error has occurred")};
}

bool Faults::drops(const Asked& asked) {
  return use("drop", [&](const Json& fault) { return is_in_turn(fault, asked) && is_about(fault, asked); }).has_value();
}

S3Trouble Faults::s3_trouble(const Asked& asked, bool conditional) {
  const auto about = [&](const Json& fault) { return is_about(fault, asked); };
  const auto bytes_of_fault = [&](const char* kind) -> std::optional<std::uint64_t> {
    const auto fault = use(kind, about);
    if (!fault) return std::nullopt;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, int_at(*fault, "bytes", 0)));
  };
  S3Trouble out;
  if (const auto fault = use("latency", about))
    out.latency = Millis(std::max<std::int64_t>(0, int_at(*fault, "ms", 1000)));
  out.plain_http = std::any_of(faults_.begin(), faults_.end(),
                               [](const Json& fault) { return text_at(fault, "kind") == "plain-http"; });
  out.refusal = refusal(asked);
  // At a rate, but without chance: of 100 requests so many, evenly.
  const auto in_turn = [&](const Json& fault) {
    if (!about(fault)) return false;
    const auto percent = std::clamp<std::int64_t>(int_at(fault, "percent", 100), 0, 100);
    const bool hit = (s3_requests_ + 1) * percent / 100 > s3_requests_ * percent / 100;
    ++s3_requests_;
    return hit;
  };
  if (!out.refusal && use("slow-down", in_turn)) out.refusal = throttled("s3");
  if (!out.refusal && conditional && use("conflict", about))
    out.refusal =
        ApiError{409, "ConditionalRequestConflict",
                 "The conditional request cannot succeed due to a conflicting operation against this resource."};
  if (out.refusal) return out;
  const auto answers_late = [&](const Json& fault) {
    return about(fault) && (asked.action == "CompleteMultipartUpload" || asked.action == "CopyObject" ||
                            asked.action == "UploadPartCopy");
  };
  if (const auto fault = use("late-error", answers_late))
    out.late =
        ApiError{200, text_at(*fault, "code", "InternalError"), "We encountered an internal error. Please try again."};
  out.cut_upload = bytes_of_fault("cut-upload");
  out.cut_answer = bytes_of_fault("cut-answer");
  out.drop = drops(asked);
  return out;
}

bool Faults::no_capacity(const std::string& type, const std::string& zone, bool spend) {
  return use(
             "capacity", [&](const Json& fault) { return fits(fault, "type", type) && fits(fault, "zone", zone); },
             spend)
      .has_value();
}

Faults::Boot Faults::boot(const std::string& type) {
  const auto about = [&](const Json& fault) { return fits(fault, "type", type); };
  Boot boot;
  if (const auto fault = use("slow-boot", about)) boot.extra_ms = int_at(*fault, "ms", 5000);
  boot.never = use("no-boot", about).has_value();
  if (const auto fault = use("small-disk", about)) boot.disk_mib = int_at(*fault, "mib", 16);
  return boot;
}

Faults Faults::for_dry_run() const {
  Faults out = *this;
  std::erase_if(out.faults_, [](const Json& fault) {
    const auto kind = text_at(fault, "kind");
    return kind == "capacity" || kind == "slow-boot" || kind == "no-boot" || kind == "small-disk";
  });
  return out;
}

std::optional<std::int64_t> Faults::quota(const std::string& bucket) const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "quota" && text_at(fault, "bucket") == bucket) return int_at(fault, "limit", 0);
  return std::nullopt;
}

std::optional<Faults::QuotaAnswer> Faults::quota_answer() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "quota-answer")
      return QuotaAnswer{text_at(fault, "status"), int_at(fault, "after_ms", 0)};
  return std::nullopt;
}

std::int64_t Faults::clock_ms() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "clock") return int_at(fault, "ms", 0);
  return 0;
}

std::string Faults::caller() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "caller") return text_at(fault, "address");
  return usual_caller;
}

std::int64_t Faults::late_profile_ms() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "late-profile") return int_at(fault, "ms", 10'000);
  return 0;
}

std::int64_t Faults::late_reservation_ms() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "late-reservation") return int_at(fault, "ms", 10'000);
  return 0;
}

std::int64_t Faults::session_ms(std::int64_t otherwise) const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "role-session") return std::max<std::int64_t>(int_at(fault, "seconds"), 1) * 1000;
  return otherwise;
}

std::int64_t Faults::interruptions_per_hour() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "interruptions")
      return std::clamp<std::int64_t>(int_at(fault, "per_hour", 1), 0, 3'600'000);
  return 0;
}

std::optional<Market> Faults::market() const {
  for (const auto& fault : faults_)
    if (text_at(fault, "kind") == "market")
      return Market{int_at(fault, "seed", 1), std::max<std::int64_t>(1, int_at(fault, "step_ms", 300'000))};
  return std::nullopt;
}

bool Faults::no_default_vpc() const {
  return std::any_of(faults_.begin(), faults_.end(),
                     [](const Json& fault) { return text_at(fault, "kind") == "no-default-vpc"; });
}

}  // namespace ferry::rehearsal
