#pragma once
/// \file
/// Credentials that outlive themselves: found once, shared by all clients, found anew before they expire.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "aws/credentials.h"
#include "base/error.h"
#include "os/clock.h"

namespace ferry::aws {

/// Safe from any thread: while one looks for credentials, the others wait for what it finds.
class Provider {
 public:
  using Find = std::function<Result<Credentials>()>;
  /// `clock` must outlive the provider.
  Provider(Find find, os::Clock& clock) : find_(std::move(find)), clock_(clock) {}

  /// Those at hand while they are good for five minutes more. After that new ones are looked for, and a
  /// failure to find any is no error as long as the old ones are still valid. Fails as `find` does.
  Result<Credentials> get();
  /// AWS refuses these as expired: the next get() looks for new ones. Does nothing about credentials that were
  /// replaced meanwhile.
  void refused(const Credentials& used);

 private:
  std::mutex mutex_;
  Find find_;
  os::Clock& clock_;
  std::optional<Credentials> kept_;
  std::int64_t next_look_ms_ = 0;
};

/// The same credentials for ever.
std::shared_ptr<Provider> fixed_provider(Credentials credentials);

}  // namespace ferry::aws
