#pragma once
/// \file
/// Pages of the JSON services: MaxResults (1 to 100) and NextToken.

#include <string>
#include <string_view>

#include "base/json.h"
#include "rehearsal/api_error.h"

namespace ferry::rehearsal {

struct JsonPage {
  std::size_t first = 0, last = 0;  ///< [first, last) of the whole
  std::string next_token;           ///< empty on the last page
};
/// The codes of a service for a MaxResults out of range and for a token that it never gave.
struct PageRefusals {
  std::string_view bad_size, bad_token;
};
Api<JsonPage> json_page(const Json& request, std::size_t count, const PageRefusals& refusals);

}  // namespace ferry::rehearsal
