#pragma once
/// \file
/// `ferry-agent restore DIR`: what earlier attempts of a run have stored comes back to where its training left it,
/// from the store to this machine; or what another run has stored, as if it had been sent; or one of the store's data
/// sets.
///
///   standard input   RestoreOrder as JSON, one line; at its end whoever asked is gone, and so ends this (but with
///   --alone) standard output  RestoreReport as JSON, a line now and then, the last one with `done` or an error
///
/// Killed on the way, the next one goes on with what is there.

#include <functional>
#include <optional>

#include "agent/protocol.h"
#include "os/file.h"

namespace ferry::agent {

struct RestoreOrder {
  std::string run;
  int attempt = 1;  ///< whose files are wanted, or those of the newest before it that has stored some
  int rank = 0;
  std::string workdir;  ///< absolute
  /// Not empty: the files of exactly that attempt, whose manifest_text() has this SHA-256, and which is another run's:
  /// they count as sent (sync/outputs.h), and are no outputs of the run whose folder DIR is.
  std::string manifest;
  std::string set;  ///< not empty: the data set of the store that is to stand there (store/data_set.h) instead
  StoreSpec store;
};
Json to_json(const RestoreOrder& order);
/// bad_input for what cannot be.
Result<RestoreOrder> restore_order_from(const Json& json);

struct RestoreReport {
  int attempt = 0;  ///< whose files they are; 0: nothing is stored (yet)
  std::uint64_t files = 0, files_total = 0, bytes = 0, bytes_total = 0;
  bool done = false;
  std::optional<Error> error;
};
Json to_json(const RestoreReport& report);
/// Corrupt for a member of another type. What the error says is the machine's words.
Result<RestoreReport> restore_report_from(const Json& json);

/// Brings them, telling `tell` now and then until it says false. `dir`: the agent's folder of the run. What stood
/// elsewhere than in the workdir (sync::elsewhere_folder) stays where it is stored, unless it is another run's. Fails
/// as take_stored(), corrupt for a manifest that is none; not_found, or denied, where another run's files are not in
/// the store, conflict where they are others than those that are wanted.
Result<RestoreReport> restore(const RestoreOrder& order, const os::Path& dir,
                              const std::function<bool(const RestoreReport&)>& tell);

/// The program. An error was told by then. `alone`: whoever asked need not stay.
Status run_restore(const os::Path& dir, int in, int out, bool alone = false);

}  // namespace ferry::agent
