#pragma once
/// \file
/// The parameters of an AWS Query request: flat names such as Filter.1.Value.2, numbered from 1.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rehearsal/api_error.h"

namespace ferry::rehearsal {

class Params {
 public:
  Params() = default;
  /// From application/x-www-form-urlencoded text. The last of several equal names wins. At most 4,096 names:
  /// later ones are ignored.
  static Params parse(std::string_view form);
  void set(const std::string& name, std::string value) { values_[name] = std::move(value); }

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string get(const std::string& name, std::string_view otherwise = {}) const;
  /// MissingParameter when absent or empty.
  Api<std::string> required(const std::string& name) const;
  /// "true" or "false" in any case, else InvalidParameterValue.
  Api<bool> flag(const std::string& name, bool otherwise) const;
  /// InvalidParameterValue when it is no integer.
  Api<std::int64_t> number(const std::string& name, std::int64_t otherwise) const;
  /// Milliseconds since 1970 of "2026-01-31T12:00:00Z" (with or without a fraction); InvalidParameterValue
  /// when it is no such time.
  Api<std::int64_t> time(const std::string& name, std::int64_t otherwise) const;
  /// The values of name.1, name.2, … in the order of their numbers.
  std::vector<std::string> list(const std::string& name) const;
  /// "name.1.", "name.2.", … for each number in use: what the members of a list of structures begin with.
  std::vector<std::string> items(const std::string& name) const;
  /// True if anything begins with `prefix`.
  bool any(std::string_view prefix) const;

  const std::map<std::string, std::string>& all() const { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace ferry::rehearsal
