#pragma once
/// \file
/// Waiting for a higher limit of the account: what was requested, what became of it, and whether there is anything left
/// to wait for. Reads only.

#include <optional>
#include <string>
#include <vector>

#include "fleet/machine.h"

namespace ferry::aws {
struct QuotaRequestRecord;
}

namespace ferry::account {

/// A limit on vCPUs that rules out what a run would rent.
struct QuotaShortage {
  std::string code, families;  ///< "L-DB2E81BA", "G and VT"
  bool spot = false;
  std::string region;
  std::optional<int> limit;   ///< nothing: it is not known
  int used = 0;               ///< by what runs there now
  int needed = 0;             ///< by the smallest machine that it rules out
  bool is_rehearsal = false;  ///< the rehearsal cloud's: what asks for more must be led there
};
/// The limit that stands in the way of such an offer, whose size is not known; nothing where there is none.
std::optional<QuotaShortage> shortage_of(const plan::Offer& offer);

/// "L-DB2E81BA in us-east-1 (on-demand G and VT)"
std::string quota_name(const QuotaShortage& shortage);

/// A request for more.
struct QuotaRequest {
  enum class State { open, granted, refused };
  std::string id, code;
  State state = State::open;
  std::string status;  ///< Service Quotas' own: "PENDING", "CASE_OPENED", "APPROVED", "DENIED", "CASE_CLOSED", …
  int desired = 0;     ///< vCPUs
  std::int64_t created_ms = 0, updated_ms = 0;
};
/// Of EC2's limits in a region, in the last 90 days, newest first. Fails as the call does; denied where the policy is
/// of an older ferry.
Result<std::vector<QuotaRequest>> quota_requests(fleet::Context& context, const fleet::CloudLocation& location);

/// How one who waits for a limit stands.
struct QuotaNews {
  std::string line;          ///< for people: which request is open, or that there is none and what asks for one
  bool is_hopeless = false;  ///< what was asked for was refused since, and nothing else would help
};
/// Pure. Of the requests only those for this limit count. What was refused before `since_ms` is told, and no reason to
/// give up: whoever began to wait knew of it.
QuotaNews news_of(const QuotaShortage& shortage, const std::vector<QuotaRequest>& requests, std::int64_t since_ms);

/// As Service Quotas answers.
QuotaRequest quota_request_of(const aws::QuotaRequestRecord& record);

/// Between two looks at what may take hours or days: half a minute first, then more and more seldom, ten minutes at
/// most, each a little more or less so that many who wait do not ask at once. FERRY_WAIT_EVERY: the first.
class Patience {
 public:
  Patience();
  Millis next();

 private:
  Millis rest_;
};

/// Looks now and then at the newest request for a limit until it is granted, which is what it gives. Fails quota when
/// it is refused, not_found when there is none, timeout when `limit` is over, cancelled; trouble that passes is waited
/// out. The request stays open whatever happens here. Progress says how it stands.
Result<QuotaRequest> await_quota(fleet::Context& context, const std::string& region, const std::string& code,
                                 Seconds limit);

}  // namespace ferry::account
