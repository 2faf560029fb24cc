#pragma once
/// \file
/// Key pairs and capacity reservations of an account. All calls but one only read.

#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/ec2.h"
#include "aws/paging.h"
#include "base/units.h"

namespace ferry::aws {

struct KeyPairRecord {
  std::string name, type;  ///< type: "rsa" or "ed25519"
  std::string public_key;  ///< OpenSSH's one line; empty if EC2 does not tell
  std::map<std::string, std::string> tags;
};
/// Those of the names that exist here.
Result<std::vector<KeyPairRecord>> describe_key_pairs(Client& client, const std::vector<std::string>& names);

/// Those that match.
Result<std::vector<KeyPairRecord>> describe_key_pairs(Client& client, const Filter& filter);

/// Capacity that the account pays for whether it is used or not; a capacity block is paid beforehand and ends
/// by itself.
struct CapacityReservationRecord {
  std::string id, instance_type, zone;
  std::string state;  ///< "active", "scheduled", "expired", "cancelled", "failed" and others
  int total = 0, available = 0;
  bool is_block = false;
  std::int64_t start_ms = 0, end_ms = 0;  ///< since 1970; 0: none
  std::map<std::string, std::string> tags;
};
/// not_found if there is none of that id in the region.
Result<CapacityReservationRecord> describe_capacity_reservation(Client& client, const std::string& id);

/// What is looked for: `count` machines for so many hours (AWS sells 1 to 14 days, or whole weeks up to 26).
struct CapacityBlockQuery {
  std::string instance_type;
  int count = 1, hours = 24;
  std::int64_t from_ms = 0;  ///< that it does not begin before; 0: now
};
struct CapacityBlockOfferRecord {
  std::string id, instance_type, zone;
  int count = 0, hours = 0;
  std::int64_t start_ms = 0, end_ms = 0;  ///< since 1970
  Usd fee;                                ///< for all of it, before it begins; no offer in another currency is told
};
/// In the region. Free; the offers are AWS's own for a while, and nothing is kept. Fails with the
/// code Unsupported where the type is not sold so.
Result<std::vector<CapacityBlockOfferRecord>> describe_capacity_block_offerings(Client& client,
                                                                                const CapacityBlockQuery& query);

/// Pays for all of it at once; there is no way back. EC2 knows no ClientToken for this, so it is sent once: whatever
/// failed, it may have been bought, unless `is_surely_refused`, and its tags say so.
Result<CapacityReservationRecord> purchase_capacity_block(Client& client, const std::string& offering,
                                                          const std::map<std::string, std::string>& tags);
/// Whether EC2 answered that it did not do it. Not so of an answer that is lost, or says that EC2 itself failed.
bool is_surely_refused(const Error& error);

// The answers, parsed. Bounded, never throw; corrupt for what is not the answer.
Result<Page<KeyPairRecord>> parse_describe_key_pairs(std::string_view xml);
Result<Page<CapacityReservationRecord>> parse_describe_capacity_reservations(std::string_view xml);
Result<Page<CapacityBlockOfferRecord>> parse_describe_capacity_block_offerings(std::string_view xml);
Result<CapacityReservationRecord> parse_purchase_capacity_block(std::string_view xml);

}  // namespace ferry::aws
