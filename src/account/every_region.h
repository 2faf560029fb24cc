#pragma once
/// \file
/// The same questions to several regions at once. Internal to this room.

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "fleet/context.h"

namespace ferry::account {

/// `ask(region)` for each of them, eight at once, from threads that it must stand; the answers in no order. Meanwhile
/// the progress of the phase that has begun says how many have answered.
template <class Ask>
auto ask_every_region(fleet::Context& context, const std::vector<std::string>& regions, const Ask& ask) {
  constexpr std::size_t at_once = 8;
  std::mutex mutex;
  std::vector<decltype(ask(regions.front()))> answers;
  std::atomic<std::size_t> next = 0, done = 0;
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < std::min(at_once, regions.size()); ++i) {
    workers.emplace_back([&] {
      for (auto mine = next++; mine < regions.size(); mine = next++) {
        auto answer = ask(regions[mine]);
        const std::lock_guard lock(mutex);
        answers.push_back(std::move(answer));
        ++done;
      }
    });
  }
  while (done < regions.size()) {
    context.progress.update(fmt::format("{} of {} regions", done.load(), regions.size()));
    context.clock.sleep(Millis(50));
  }
  for (auto& worker : workers) worker.join();
  return answers;
}

}  // namespace ferry::account
