#include "rehearsal/json_page.h"

#include <fmt/format.h>

#include "base/text.h"

namespace ferry::rehearsal {

Api<JsonPage> json_page(const Json& request, std::size_t count, const PageRefusals& refusals) {
  constexpr std::string_view mark = "from ";
  const auto limit = int_at(request, "MaxResults", 100);
  if (limit < 1 || limit > 100)
    return refuse(std::string(refusals.bad_size),
                  fmt::format("Value '{}' at 'maxResults' must be between 1 and 100", limit));
  JsonPage page;
  if (const auto token = text_at(request, "NextToken"); !token.empty()) {
    const auto text = from_base64(token);
    const auto from = text && text->starts_with(mark) ? parse_int(text->substr(mark.size())) : std::nullopt;
    if (!from || *from < 0 || static_cast<std::size_t>(*from) > count)
      return refuse(std::string(refusals.bad_token), "The NextToken is not valid.");
    page.first = static_cast<std::size_t>(*from);
  }
  page.last = std::min(count, page.first + static_cast<std::size_t>(limit));
  if (page.last < count) page.next_token = base64(fmt::format("{}{}", mark, page.last));
  return page;
}

}  // namespace ferry::rehearsal
