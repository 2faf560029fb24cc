#pragma once
/// \file
/// What laptop and `ferry-agent data` say to each other about data sets: an order on its standard input, events on its
/// standard output, each a line of JSON. No secret is in either.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace ferry::agent {

/// One data set of S3 and its place on the machine.
struct DataItem {
  std::string bucket;
  std::string key;            ///< of an object, or what is above some; "": the whole bucket
  std::string to;             ///< absolute
  bool may_be_empty = false;  ///< it is written to: nothing there is an empty folder
  bool only_looks = false;    ///< it is to be mounted: only whether and how it may be read is told
  bool operator==(const DataItem&) const = default;
};

struct DataOrder {
  std::vector<DataItem> items;
  std::string region, endpoint;  ///< of S3; "": the machine's own, and AWS's
  bool has_new_role = false;     ///< the machine's role was made a moment ago: S3 may not know it yet
  bool goes_back = false;        ///< what was written in the places after the order's own file goes back to S3
  bool operator==(const DataOrder&) const = default;
};
Json to_json(const DataOrder& order);
/// bad_input for places that are not absolute, and buckets that are none.
Result<DataOrder> data_order_from(const Json& json);

/// What is told of an order that is being carried out.
struct DataEvent {
  /// found: what item `item` has, before it is copied. moved: what is done of all. done: item `item` is there, or back.
  /// skipped: what `text` says was left out. failed: `error` ended it.
  enum class Is { found, moved, done, skipped, failed } is = Is::moved;
  std::uint64_t item = 0;
  std::uint64_t files = 0, bytes = 0;            ///< found, done: of the item; moved: since the order began
  std::uint64_t kept_files = 0, kept_bytes = 0;  ///< done: of these, what was there before; moved: besides
  std::string region;                            ///< found: of the bucket
  bool is_anonymous = false;                     ///< found: it is read without credentials
  bool is_file = false;                          ///< found: it is one object, which was named itself
  std::string text;
  std::optional<Error> error;
};
Json to_json(const DataEvent& event);
/// Corrupt for what is none. Texts are cut to one short line, and an error is believed as error_from() says.
Result<DataEvent> data_event_from(const Json& json);

}  // namespace ferry::agent
