#include "aws/provider.h"

namespace ferry::aws {
namespace {

/// AWS lets nobody have credentials for less than fifteen minutes; five leave time for several tries.
constexpr std::int64_t renew_early_ms = 5 * 60'000;
/// Between two early tries.
constexpr std::int64_t pause_ms = 30'000;

}  // namespace

Result<Credentials> Provider::get() {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = clock_.now_ms();
  const std::int64_t left = !kept_ ? 0 : kept_->expires_ms == 0 ? renew_early_ms + 1 : kept_->expires_ms - now;
  if (left > renew_early_ms || (left > 0 && now < next_look_ms_)) return *kept_;
  next_look_ms_ = now + pause_ms;
  auto found = find_();
  if (!found && left > 0) return *kept_;
  // Whether they are expired already is for AWS to say: it knows the time better than this computer.
  if (found) kept_ = *found;
  return found;
}

void Provider::refused(const Credentials& used) {
  const std::lock_guard lock(mutex_);
  if (kept_ == used) kept_.reset();
}

std::shared_ptr<Provider> fixed_provider(Credentials credentials) {
  return std::make_shared<Provider>([credentials = std::move(credentials)] { return credentials; }, os::system_clock());
}

}  // namespace ferry::aws
