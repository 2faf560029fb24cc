#pragma once
/// \file
/// Where a lease stands: one small text that several computers see.

#include <memory>
#include <string>

#include "cloud/cloud.h"
#include "store/store.h"

namespace ferry::run {

class Register {
 public:
  struct Value {
    std::string text;
    std::string version;  ///< another one for each text; "": there is none
  };
  virtual ~Register() = default;
  /// Nothing written yet is an empty value. Fails as the place does.
  virtual Result<Value> read() = 0;
  /// The new version. Where is_conditional(), conflict unless `expected` is its version still.
  virtual Result<std::string> write(const std::string& text, const std::string& expected) = 0;
  /// Whether reading, judging and writing can be one step.
  virtual bool is_conditional() const = 0;
};

/// An object of a run's store.
std::unique_ptr<Register> store_register(std::unique_ptr<store::Store> store, const std::string& run);

/// The tag fleet::lease_tag of a machine; until there is one, the ledger that rented it has it. EC2 has no condition for
/// it. Fails not_found when the machine is gone, denied
/// where tags may not be changed.
std::unique_ptr<Register> tag_register(std::unique_ptr<cloud::Cloud> cloud, std::string instance_id);

}  // namespace ferry::run
