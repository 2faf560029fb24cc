#pragma once
/// \file
/// Text of unknown origin → a small tree in which every value knows its place. Inside this room only.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::task {

/// Both count from 1; columns count bytes.
struct Place {
  int line = 1;
  int column = 1;
};

struct Node;
using NodePtr = std::shared_ptr<const Node>;

/// One member of a map, or one item of a list (then without a name).
struct Entry {
  std::string name;
  Place at;  ///< of the name; of the value for an item
  NodePtr value;
};

/// An anchor and its aliases share one Node.
struct Node {
  enum class Type { null, text, list, map };
  Type type = Type::null;
  Place at;
  std::string text;            ///< as written, quotes and escapes undone: `yes` stays "yes", `1.50` stays "1.50"
  std::vector<Entry> entries;  ///< of lists and maps, in the order written; names in a map are unique
  int height = 1;              ///< levels below and including this one

  const Entry* find(std::string_view name) const;
};

/// "FILE:LINE:COLUMN"
std::string show(std::string_view file, Place at);

/// "FILE:LINE:COLUMN: what"
[[nodiscard]] tl::unexpected<Error> complain(std::string_view file, Place at, std::string_view what,
                                             std::string why = {}, std::string advice = {},
                                             Kind kind = Kind::bad_input);

/// The documents of a text. A first one that has a `name` and nothing else is their name.
struct Documents {
  std::string name;
  /// At least one; beside others, none is empty. Without a name of its own, a single one has the name above.
  std::vector<NodePtr> roots;
};

/// Reads at most 1 MiB of UTF-8, 64 levels deep. Aliases and merge keys (`<<`) are resolved. An empty file is one null
/// node. Every failure is Kind::bad_input with its place.
Result<Documents> read_documents(std::string_view text, std::string_view file);

/// The same of a text that must have one document; more are a failure.
Result<NodePtr> read_yaml(std::string_view text, std::string_view file);

}  // namespace ferry::task
