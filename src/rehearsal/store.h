#pragma once
/// \file
/// The one durable copy of the rehearsal cloud's state: DIR/state.json, mode 0600.

#include "os/file.h"
#include "rehearsal/model.h"

namespace ferry::rehearsal {

class Store {
 public:
  explicit Store(const os::Path& dir) : file_(dir / "state.json") {}
  virtual ~Store() = default;
  /// What was saved last; a fresh cloud for `region` (saved at once) when there is nothing yet. Corrupt if
  /// the file is damaged.
  virtual Result<State> load(const std::string& region);
  /// On disk, or unchanged, when it returns.
  virtual Status save(const State& state);

 private:
  os::Path file_;
};

}  // namespace ferry::rehearsal
