#pragma once
/// \file
/// Filters and pages, which all Describe actions share.

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rehearsal/model.h"
#include "rehearsal/query.h"

namespace ferry::rehearsal {

/// `*` stands for any bytes, `?` for one, `\` makes the next one literal. Case counts.
bool wildcard_match(std::string_view pattern, std::string_view text);

/// A resource as filters see it: filter name → values ("instance-type" → "t3.micro"), a name several times
/// for several values.
class Facts {
 public:
  Facts& add(std::string name, std::string_view value) {
    values_.emplace(std::move(name), value);
    return *this;
  }
  Facts& add(std::string name, bool value) { return add(std::move(name), std::string_view(value ? "true" : "false")); }
  Facts& add(std::string name, const char* value) { return add(std::move(name), std::string_view(value)); }
  /// tag:KEY, tag-key and tag-value.
  Facts& add_tags(const Tags& tags);
  const std::multimap<std::string, std::string>& values() const { return values_; }

 private:
  std::multimap<std::string, std::string> values_;
};

struct Filter {
  std::string name;
  std::vector<std::string> values;
};

class Filters {
 public:
  /// Reads Filter.N. A name that is neither in `known` nor tag:… is InvalidParameterValue.
  static Api<Filters> read(const Params& params, std::initializer_list<std::string_view> known);
  /// True when for every filter one of its values matches one of the resource's.
  bool match(const Facts& facts) const;
  const std::vector<Filter>& all() const { return filters_; }

 private:
  std::vector<Filter> filters_;
};

/// What an absent resource with that id answers, e.g. {"InvalidInstanceID", "instance ID"}.
struct IdKind {
  std::string_view prefix;  ///< "i-"
  std::string_view error;   ///< "InvalidInstanceID"
  std::string_view noun;    ///< "instance ID": "The instance ID 'i-…' does not exist"
};
inline constexpr IdKind instance_ids{"i-", "InvalidInstanceID", "instance ID"};
inline constexpr IdKind group_ids{"sg-", "InvalidGroup", "security group"};
inline constexpr IdKind volume_ids{"vol-", "InvalidVolume", "volume"};
inline constexpr IdKind subnet_ids{"subnet-", "InvalidSubnetID", "subnet ID"};
inline constexpr IdKind vpc_ids{"vpc-", "InvalidVpcID", "vpc ID"};
inline constexpr IdKind reservation_ids{"cr-", "InvalidCapacityReservationId", "Capacity Reservation ID"};
inline constexpr IdKind interface_ids{"eni-", "InvalidNetworkInterfaceID", "networkInterface ID"};

/// `prefix` and 8 or 17 hexadecimal digits.
bool is_id(std::string_view text, std::string_view prefix);
/// Malformed when one of `ids` is no id of that kind, NotFound (naming all of them) when some are not in
/// `present`.
Api<std::monostate> check_ids(const std::vector<std::string>& ids, const IdKind& kind,
                              const std::function<bool(const std::string&)>& present);

/// One page of `all` (sorted keys) by MaxResults and NextToken. MaxResults must be within [least, most].
struct Page {
  std::vector<std::string> keys;
  std::string next_token;  ///< empty on the last page
};
Api<Page> page_of(const Params& params, std::vector<std::string> all, std::int64_t least = 5, std::int64_t most = 1000);

}  // namespace ferry::rehearsal
