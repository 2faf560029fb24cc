// How much effort compressing what is sent is worth, and what may go before the line is there.
#include <poll.h>

#include <algorithm>

#include "sync/channel.h"

namespace ferry::sync {

namespace {

// After so many bytes the effort is chosen anew; to a peer that is near it is the least at first.
constexpr std::size_t judged = std::size_t{8} << 20, judged_near = std::size_t{2} << 20;
constexpr std::size_t first_effort = 2, least_on_slow_line = 1;
constexpr double slow_line = 40e6, slow_line_near = 20e6;           // bytes a second
constexpr std::uint64_t taken_by_buffers = std::uint64_t{8} << 20;  // on a long line, however slow it is
constexpr auto near_answers_in = std::chrono::milliseconds(25);
// Who is there already, when files go ahead, is asked. To wait for a login in this way was tried: what is packed
// meanwhile is worth as much.
constexpr auto is_there_within = std::chrono::milliseconds(10);
constexpr std::size_t most_left = std::size_t{32} << 20;

}  // namespace

Status Channel::begin_bulk() {
  in_bulk_ = true;
  is_answered_ = false;
  put("Q");
  TRY("", flush());
  for (const auto end = Clock::now() + near_answers_in; !is_answered_ && Clock::now() < end;) {
    pollfd wanted{in_, POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (::poll(&wanted, 1, static_cast<int>(left.count()) + 1) > 0 && greeted_ && peer_spoke()) break;
  }
  is_near_ = is_answered_;
  packer_.set_effort(is_near_ ? 0 : first_effort);
  begin_to_judge();
  return {};
}

Status Channel::go_ahead(std::size_t most) {
  is_ahead_ = true;
  packer_.hold(most);
  TRY("", pack_pending());
  if (packer_.has_open_block()) packer_.close_block();
  in_bulk_ = true;
  packer_.set_effort(first_effort);
  begin_to_judge();
  looks_until_ = Clock::now() + is_there_within;
  return send_blocks(Until::none_is_ready);
}

Result<bool> Channel::may_be_near() {
  if (!looks_until_) return false;
  if (greeted_ && !std::exchange(has_asked_, true)) {
    put("Q");
    TRY("", pack_pending());
    if (packer_.has_open_block()) packer_.close_block();
    looks_until_ = Clock::now() + near_answers_in;
  }
  TRY("", send_blocks(Until::none_is_ready));
  is_near_ = is_answered_;
  if (is_near_) packer_.set_effort(0);
  if (is_near_ || Clock::now() >= *looks_until_) {
    looks_until_.reset();
    begin_to_judge();
    return false;
  }
  pollfd wanted[2] = {{in_, POLLIN, 0}, {out_, POLLOUT, 0}};
  if (!packer_.has_block()) wanted[1].fd = -1;
  (void)::poll(wanted, 2, 5);
  return true;
}

void Channel::end_going_ahead() {
  is_ahead_ = false;
  packer_.hold(0);
}

bool Channel::has_word() { return peer_spoke(); }

void Channel::begin_to_judge() {
  judged_in_ = judged_out_ = unshrunk_ = 0;
  working_ = writing_ = {};
  judged_at_ = Clock::now();
}

/// More effort while the line is what we wait for, less while the processor is, none for a while for what does not
/// shrink. On a slow line hardly any effort is never right: if it seems so, the line has only paused. On a fast one it
/// always is: whoever seems to wait for it waits for the other end's processor, which may be this one.
void Channel::judge(const Packer::Block& block, std::size_t sent) {
  if (!in_bulk_) return;
  unshrunk_in_a_row_ = sent < block.length ? 0 : unshrunk_in_a_row_ + block.length;
  if (block.did_not_shrink) packer_.leave_next(std::min(unshrunk_in_a_row_ / 8, most_left));
  judged_in_ += block.length;
  judged_out_ += sent;
  unshrunk_ += sent < block.length ? 0 : block.length;
  if (judged_in_ < (is_near_ ? judged_near : judged)) return;
  const auto took = Clock::now() - judged_at_;
  if (!greeted_ && is_ahead_) return;
  const double rate = static_cast<double>(judged_out_) / std::chrono::duration<double>(took).count();
  const bool is_fast =
      is_near_ ? rate >= slow_line_near || writing_ < took / 2 : rate >= slow_line && sent_ > taken_by_buffers;
  std::size_t effort = packer_.effort();
  if (is_fast) {
    effort = 0;
  } else if (unshrunk_ > judged_in_ / 2) {
    effort = std::max(effort, least_on_slow_line);
  } else if (writing_ > working_) {
    effort = std::min(effort + 1, efforts - 1);
  } else if (effort > least_on_slow_line) {
    --effort;
  }
  packer_.set_effort(effort);
  begin_to_judge();
}

}  // namespace ferry::sync
