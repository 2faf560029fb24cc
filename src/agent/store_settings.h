#pragma once
/// \file
/// What the store process (store_process.h) of a run must know: DIR/store.json, written by the supervisor. No
/// secret is in it.

#include <string>
#include <vector>

#include "agent/protocol.h"
#include "os/file.h"

namespace ferry::agent {

struct StoreSettings {
  StoreSpec spec;
  std::string run;
  int attempt = 1, rank = 0;
  std::string workdir;                 ///< absolute
  std::string sent;                    ///< the state file of the receive that brought the code
  std::int64_t began_ms = 0;           ///< when the job was started
  std::vector<std::string> elsewhere;  ///< where a run may have put its model that made nothing in its workdir
  bool operator==(const StoreSettings&) const = default;
};

Json to_json(const StoreSettings& settings);
/// Corrupt for what cannot be.
Result<StoreSettings> store_settings_from(const Json& json);

}  // namespace ferry::agent
