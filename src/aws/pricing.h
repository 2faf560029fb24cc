#pragma once
/// \file
/// On-demand prices from AWS's price list. The service lives in a few regions only and knows the prices of
/// all; calls go to its home whatever the client's region.

#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/paging.h"
#include "base/units.h"

namespace ferry::aws {

struct PriceRecord {
  std::string type, region;
  Usd hourly;
};

/// Linux, shared tenancy, no software added, on demand, in US dollars an hour. Empty `region`: all regions
/// (hundreds of calls); empty `type`: all types (about ten calls for one region). A type without a price in
/// dollars is absent. Sorted by type, then region; each pair once.
Result<std::vector<PriceRecord>> get_prices(Client& client, const std::string& region, const std::string& type = {});

/// A page of GetProducts' answer: JSON whose list holds JSON as text. Bounded, never throws; corrupt for what
/// is not the answer. Products that are no plain on-demand instances are left out.
Result<Page<PriceRecord>> parse_get_products(const Json& answer);

}  // namespace ferry::aws
