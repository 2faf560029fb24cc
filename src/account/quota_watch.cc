#include "account/quota_watch.h"

#include <cmath>
#include <random>

#include "aws/quotas.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "os/env.h"

namespace ferry::account {
namespace {

/// "request 1f2e… for 8 vCPUs is PENDING since 2026-11-29T20:00:00Z"
std::string words_of(const QuotaRequest& request) {
  const bool is_open = request.state == QuotaRequest::State::open;
  return fmt::format("request {} for {} vCPUs is {} since {}", request.id, request.desired, request.status,
                     os::iso_time(is_open ? request.created_ms : request.updated_ms));
}

/// What asks for enough.
std::string command_for(const QuotaShortage& shortage) {
  const auto command = fmt::format("ferry quota request {} {} --region {}", shortage.code,
                                   shortage.used + shortage.needed, shortage.region);
  return shortage.is_rehearsal ? "(eval \"$(ferry rehearsal env)\"; " + command + ")" : command;
}

bool may_mend(const Error& error) { return may_work_later(error.kind) || error.kind == Kind::io; }

}  // namespace

QuotaRequest quota_request_of(const aws::QuotaRequestRecord& record) {
  constexpr double most = 1e9;
  QuotaRequest request;
  request.id = printable(record.id);
  request.code = record.code;
  request.status = printable(record.status);
  request.desired = static_cast<int>(std::clamp(std::floor(record.desired), 0.0, most));
  request.created_ms = record.created_ms;
  request.updated_ms = std::max(record.updated_ms, record.created_ms);
  const auto state = aws::state_of(record);
  request.state = state == aws::QuotaRequestState::open      ? QuotaRequest::State::open
                  : state == aws::QuotaRequestState::granted ? QuotaRequest::State::granted
                                                             : QuotaRequest::State::refused;
  return request;
}

std::optional<QuotaShortage> shortage_of(const plan::Offer& offer) {
  const bool spot = offer.market == plan::Market::spot;
  const auto* quota = aws::vcpu_quota_of(offer.type.name, spot);
  if (!quota) return std::nullopt;
  return QuotaShortage{.code = std::string(quota->code),
                       .families = std::string(quota->families),
                       .spot = spot,
                       .region = offer.region,
                       .limit = std::nullopt,
                       .used = 0,
                       .needed = offer.type.vcpus};
}

std::string quota_name(const QuotaShortage& shortage) {
  return fmt::format("{} in {} ({} {})", shortage.code, shortage.region, shortage.spot ? "spot" : "on-demand",
                     shortage.families);
}

Result<std::vector<QuotaRequest>> quota_requests(fleet::Context& context, const fleet::CloudLocation& location) {
  auto there = location;
  TRY_SET(aws_context, "", fleet::open_aws_context(context, there));
  auto client = cloud::aws_client(aws_context, context.http, context.clock);
  TRY_SET(records, "", aws::list_quota_requests(client, "ec2"));
  std::vector<QuotaRequest> requests;
  for (const auto& record : records) requests.push_back(quota_request_of(record));
  return requests;
}

QuotaNews news_of(const QuotaShortage& shortage, const std::vector<QuotaRequest>& requests, std::int64_t since_ms) {
  const auto name = quota_name(shortage);
  // Enough for it, but others use it: they end.
  if (shortage.limit && *shortage.limit >= shortage.needed)
    return {fmt::format("{}: {} of {} vCPUs are in use, and it waits for {} of them", name, shortage.used,
                        *shortage.limit, shortage.needed),
            false};
  const auto newest = std::ranges::find(requests, shortage.code, &QuotaRequest::code);
  if (newest == requests.end())
    return {fmt::format("{}: nobody has requested more yet: {}", name, command_for(shortage)), false};
  switch (newest->state) {
    case QuotaRequest::State::open:
      return {fmt::format("{}: {}{}", name, words_of(*newest),
                          newest->desired < shortage.needed
                              ? fmt::format(", and that is less than the {} that are needed", shortage.needed)
                              : ""),
              false};
    case QuotaRequest::State::granted:
      if (newest->desired >= shortage.needed) return {fmt::format("{}: {}", name, words_of(*newest)), false};
      return {
          fmt::format("{}: {}, and {} are needed: {}", name, words_of(*newest), shortage.needed, command_for(shortage)),
          false};
    case QuotaRequest::State::refused:
      break;
  }
  const bool is_new = newest->updated_ms >= since_ms;
  return {fmt::format("{}: {}{}", name, words_of(*newest),
                      is_new ? "" : "; nobody has requested more since: " + command_for(shortage)),
          is_new};
}

Patience::Patience() : rest_(os::env_duration("FERRY_WAIT_EVERY", Seconds(30))) {}

Millis Patience::next() {
  constexpr Millis longest{600'000};
  static thread_local std::minstd_rand random(std::random_device{}());
  const auto now = std::min(rest_, longest);
  rest_ = std::min(rest_ * 3 / 2, longest);
  return now * std::uniform_int_distribution(80, 120)(random) / 100;
}

Result<QuotaRequest> await_quota(fleet::Context& context, const std::string& region, const std::string& code,
                                 Seconds limit) {
  const auto end = context.clock.now_ms() + limit.count() * 1000;
  const fleet::CloudLocation location{"aws", region, "", "", ""};
  context.progress.begin("quota", code);
  std::string told;
  for (Patience patience;;) {
    const auto requests = quota_requests(context, location);
    if (!requests && !may_mend(requests.error())) return tl::unexpected<Error>(requests.error());
    std::string words = requests ? "" : requests.error().what + "; trying again";
    if (requests) {
      const auto newest = std::ranges::find(*requests, code, &QuotaRequest::code);
      if (newest == requests->end())
        return fail(Kind::not_found, "nobody has requested more of " + code, {}, "ferry quota request " + code + " N");
      words = words_of(*newest);
      if (newest->state == QuotaRequest::State::granted) {
        context.progress.done("quota", words);
        return *newest;
      }
      if (newest->state == QuotaRequest::State::refused)
        return fail(Kind::quota, words, "AWS did not grant it",
                    "AWS's console says why, and takes an answer to its case; or ask for less");
    }
    if (words != told) context.progress.note(words);
    told = words;
    const auto now = context.clock.now_ms();
    if (now >= end)
      return fail(Kind::timeout, fmt::format("{}; it is not answered after {}", words, show_duration(limit)), {},
                  "it stays open; the same command waits on");
    if (!context.sleep(std::clamp(patience.next(), Millis(1), Millis(end - now)), false))
      return fail(Kind::cancelled, "cancelled; the request stays open");
  }
}

}  // namespace ferry::account
