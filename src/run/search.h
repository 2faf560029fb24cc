#pragma once
/// \file
/// Looks for what ferry made and no ledger here knows, in every place where something of the user may be. Internal to
/// this room.

#include <set>
#include <string>
#include <vector>

#include "fleet/untracked.h"

namespace ferry::run {

class Search {
 public:
  /// `phase` begins what is told; `owner`: whose (fleet::owner_tag).
  Search(fleet::Context& context, std::string phase, std::string owner = fleet::owner_name())
      : context_(context), phase_(std::move(phase)), owner_(std::move(owner)) {}

  /// Where to look: every place of the ledger, the rehearsal cloud if there is one, and every region of the
  /// environment's own AWS account. Tells first what will not be looked at. Fails as the ledger does.
  Status choose_locations();
  const std::vector<fleet::CloudLocation>& locations() const { return locations_; }

  /// Machines that are alive and in no ledger here, each once. A location that could not be looked at is told, and is
  /// none of locations() any more.
  std::vector<fleet::Untracked> machines();
  /// Key pairs, security groups and roles whose machine is gone, each once; of machines that machines() found, none.
  std::vector<fleet::Leftover> leftovers();

  /// Something could not be looked at; told.
  bool incomplete() const { return incomplete_; }

 private:
  Status add_account(const std::set<fleet::CloudLocation>& of_ledger, std::vector<fleet::CloudLocation>& all);

  fleet::Context& context_;
  std::string phase_, owner_;
  std::vector<fleet::CloudLocation> locations_;
  bool incomplete_ = false;
  std::set<std::string> launches_;  // of machines()
};

}  // namespace ferry::run
