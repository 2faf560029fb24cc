#pragma once
/// \file
/// Answers that come in pages.

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace ferry::aws {

template <class T>
struct Page {
  std::vector<T> items;
  std::string next_token;  ///< empty on the last page
};

/// All items. `ask(token)` gives the page after `token` ("" for the first). Pages that never come to an end
/// are Kind::corrupt, not a hang.
template <class T, class Ask>
Result<std::vector<T>> every_page(const std::string& action, const Ask& ask) {
  // More pages than any account has things for.
  constexpr int most_pages = 1000;
  std::vector<T> all;
  std::string token;
  for (int pages = 0; pages < most_pages; ++pages) {
    Result<Page<T>> page = ask(token);
    if (!page) return fail("", std::move(page).error());
    std::move(page->items.begin(), page->items.end(), std::back_inserter(all));
    if (page->next_token.empty()) return all;
    if (page->next_token == token) break;
    token = std::move(page->next_token);
  }
  return fail(Kind::corrupt, "AWS's " + action + " never comes to an end", "too many pages, or the same one again",
              "check AWS_ENDPOINT_URL, and repeat");
}

}  // namespace ferry::aws
