#pragma once
/// \file
/// Signals during a transfer of files, whose other end may be silent. Internal to this room.

#include <atomic>
#include <thread>

#include "run/doors.h"
#include "sync/sync.h"

namespace ferry::run {

/// Gives a transfer ears: while it lives, options() lets the transfer fail `cancelled` once the person wants
/// it to end, and also when a signal could not be heard because the other end says nothing. After such an end
/// ask ends(): false means that it is to go on.
class Interrupter {
 public:
  /// `can_detach`: as for check_signals(). `ends`: whether what the person wants by now ends the transfer.
  /// `told` is called with how far it is.
  Interrupter(Doors& doors, bool can_detach, std::function<bool(Doors&)> ends,
              std::function<void(const sync::Progress&)> told = {});
  ~Interrupter();
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;

  sync::Options options();
  bool ends();

 private:
  void listen();

  Doors& doors_;
  bool can_detach_;
  std::function<bool(Doors&)> ends_;
  std::function<void(const sync::Progress&)> told_;
  std::atomic<bool> stop_ = false, over_ = false;
  std::thread listener_;
};

}  // namespace ferry::run
