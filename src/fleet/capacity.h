#pragma once
/// \file
/// Which offers had no capacity lately: a small file, shared by all ferry processes of this user.

#include <map>
#include <string>

#include "os/file.h"
#include "plan/plan.h"

namespace ferry::fleet {

class CapacityMemory {
 public:
  /// What the file has; a missing or damaged one is empty.
  CapacityMemory(os::Path file, std::int64_t now_ms);
  /// True for 15 minutes after the offer (its type, zone or region, and market) had none.
  bool is_short(const plan::Offer& offer) const;
  /// Notes it in the file. Failing to write is no error: it is a convenience.
  void note(const plan::Offer& offer, std::int64_t now_ms);

 private:
  os::Path file_;
  std::map<std::string, std::int64_t> short_since_ms_;
};

}  // namespace ferry::fleet
