#pragma once
/// \file
/// `ferry catalog update`: types, zones, prices and images as the user's own account sees them, kept in the
/// cache folder, over the built-in catalog; and what AWS's Spot Advisor says (spot_advisor.h).

#include "fleet/context.h"

namespace ferry::account {

struct CatalogUpdate {
  std::size_t types = 0, on_demand = 0, spot = 0;  ///< prices of the last two
  std::size_t images = 0;
  std::size_t bands = 0;  ///< types and regions of which AWS's Spot Advisor says how often they are taken back
  std::vector<std::string> regions;   ///< that were asked
  std::vector<std::string> problems;  ///< one line for what could not be had; the older facts stay
};

/// Prices carry the day they were asked for; those that were not had keep theirs, and the catalog its own
/// date when no on-demand price could be had. Asks every region that the account has enabled (`only` empty)
/// or those named, several at once. Progress is shown. Fails when nothing at all could be asked; then the
/// catalog stays as it was.
Result<CatalogUpdate> update_catalog(fleet::Context& context, const std::vector<std::string>& only);

}  // namespace ferry::account
