#pragma once
/// \file
/// A place for runs to store in, made once: `ferry store setup`.

#include <optional>
#include <string>
#include <vector>

#include "fleet/buckets.h"
#include "fleet/machine.h"

namespace ferry::account {

/// What is to be made, in whose account. Of a folder only `uri` is said.
struct StoreOrder {
  std::string uri;
  std::string account, region;
  std::string provider = "aws";  ///< or "rehearsal"
  /// Buckets with data sets that machines may read, or write as well.
  std::vector<fleet::BucketUse> data = {};
};
/// With uri "" a bucket of ferry's own: "s3://ferry-ACCOUNT-REGION". Asks who one is, and makes nothing. Fails
/// bad_input for no place of a store, denied without credentials.
Result<StoreOrder> order_store(fleet::Context& context, const std::string& uri, const std::string& region,
                               const std::string& provider);

struct StoreMade {
  bool is_new = false;             ///< the bucket, or the folder, was not there before
  std::optional<Error> unbounded;  ///< why the policy that bounds machines' roles is not as it should be
};
/// Makes what is missing: the bucket (s3/bucket.h), then the policy (fleet/store_role.h: boundary_name) that allows
/// roles no more than what is below this store, in these data sets, and in what it allowed before. Killed on the way,
/// the next one goes on. Fails as ensure_bucket().
Result<StoreMade> make_store(fleet::Context& context, const StoreOrder& order);

/// `document`, a policy, with the statements of store_policy() for `uri`, and those for the data, where it lacks them;
/// "" where it lacks none. Fails corrupt for what is no policy.
Result<std::string> widened(const std::string& document, const std::string& uri, const std::string& partition,
                            const std::vector<fleet::BucketUse>& data = {});

}  // namespace ferry::account
