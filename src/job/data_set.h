#pragma once
/// \file
/// A folder of this computer becomes a data set of a store (store/data_set.h): once, by content. What is there already
/// does not go over again, whoever put it there; what broke off is gone on with by whoever comes next.

#include <functional>
#include <memory>
#include <string>

#include "fleet/context.h"
#include "store/data_set.h"
#include "sync/sync.h"

namespace ferry::job {

/// "1.2 of 40 GB · 850 MB/s · 45 s left"
std::string describe_pace(std::uint64_t done, std::uint64_t of, std::int64_t ms);

struct PutSet {
  store::DataSet set;
  std::uint64_t sent_files = 0, sent_bytes = 0;  ///< contents that went over now; 0: all of it was there
};

/// Puts what `tree` lists below `root` into the store that `open` opens, from several connections at once. Shows how
/// far it is. `name`: for people. Fails cancelled by the user (what went over stays), corrupt when a file is changed
/// meanwhile, bad_input for too many files, and as the store does.
Result<PutSet> put_set(fleet::Context& context, const std::function<Result<std::unique_ptr<store::Store>>()>& open,
                       const os::Path& root, sync::Tree tree, const std::string& name);

}  // namespace ferry::job
