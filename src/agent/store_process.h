#pragma once
/// \file
/// `ferry-agent store DIR`: the process beside the supervisor that keeps the run's store (store_keeper.h), so that
/// neither a slow store nor a crash in here touches the training. It has the least claim to the processor.
///
///   standard input   from the supervisor, a line each: {"notice": …} when the machine is taken back, and then it
///                    hurries (store_keeper.h); the job's status as JSON, once the job is done. At its end the
///                    supervisor is gone, and this process ends at once, wherever it is: what it does may be cut
///                    anywhere
///   standard output  StoreReport as JSON, a line each, whenever it changed
///
/// It ends by itself, with 0, when all is stored. Whatever goes wrong, it tries again.

#include <string>
#include <vector>

#include "agent/protocol.h"
#include "os/file.h"

namespace ferry::agent {

struct StoreReport {
  StoreStatus status;
  std::uint64_t moved = 0;  ///< bytes that went to the store since the process began
  bool looking = false;     ///< through the files: so long nothing moves
};
Json to_json(const StoreReport& report);
Result<StoreReport> store_report_from(const Json& json);

struct StoreProcessOptions {
  os::Path dir;  ///< the agent's folder of the run
  int in = 0, out = 1;
  std::string done;  ///< of who goes on as root: the line that came
  bool as_root = false;
  std::vector<std::string> with;  ///< "NAME=value": variables that sudo drops
};

/// Reads DIR/store.json and works until all is stored. Fails when that cannot be read.
Status run_store_process(const StoreProcessOptions& options);

}  // namespace ferry::agent
