#include "agent/backlog.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ferry::agent {
namespace {

/// Two streams in turns, a byte each, would take many times their size.
constexpr std::size_t most_pieces = 8192;

}  // namespace

void Backlog::add(LogStream stream, LogPhase phase, std::int64_t time_ms, std::string_view bytes,
                  std::string_view why) {
  auto& last = marker_.empty() ? head_ : tail_;
  (marker_.empty() ? head_bytes_ : tail_bytes_) += bytes.size();
  while (!bytes.empty()) {
    const bool is_crowded = head_.size() + tail_.size() >= most_pieces;
    const bool goes_on = !last.empty() && last.back().bytes.size() < max_record_bytes &&
                         (is_crowded || (last.back().stream == stream && last.back().phase == phase));
    if (!goes_on) last.push_back({stream, phase, time_ms, {}});
    auto& into = last.back().bytes;
    const auto part = bytes.substr(0, max_record_bytes - into.size());
    into += part;
    bytes.remove_prefix(part.size());
  }
  shrink(why);
}

void Backlog::cut_front(Pieces& pieces, std::size_t count) {
  while (count > 0) {
    auto& bytes = pieces.front().bytes;
    const auto part = std::min(count, bytes.size());
    bytes.erase(0, part);
    if (bytes.empty()) pieces.pop_front();
    count -= part;
  }
}

void Backlog::shrink(std::string_view why) {
  while (end() - begin_ > most) {
    const std::size_t over = end() - begin_ - most;
    if (begin_ < seen_) {
      const auto part = std::min<std::uint64_t>({over, seen_ - begin_, head_bytes_});
      cut_front(head_, part);
      head_bytes_ -= part;
      begin_ += part;
      continue;
    }
    if (marker_.empty()) split();
    const auto part = std::min(over, tail_bytes_);
    cut_front(tail_, part);
    tail_bytes_ -= part;
    gone_ += part;
    dropped_ += part;
    // Its own length is made room for in the next turn.
    marker_ = "\nferry: " + std::to_string(gone_) + " bytes of output were dropped here (" + std::string(why) + ")\n";
  }
}

void Backlog::split() {
  std::size_t kept = 0;
  auto at = head_.begin();
  while (at != head_.end() && kept + at->bytes.size() <= first) kept += (at++)->bytes.size();
  tail_.assign(std::move_iterator(at), std::move_iterator(head_.end()));
  head_.erase(at, head_.end());
  if (kept < first && !tail_.empty()) {
    auto& cut = tail_.front();
    head_.push_back({cut.stream, cut.phase, cut.time_ms, cut.bytes.substr(0, first - kept)});
    cut.bytes.erase(0, first - kept);
    kept = first;
  }
  tail_bytes_ = head_bytes_ - kept;
  head_bytes_ = kept;
}

Backlog::Piece Backlog::marker() const {
  const auto& next = tail_.empty() ? head_.back() : tail_.front();
  return {LogStream::err, next.phase, next.time_ms, marker_};
}

void Backlog::keep_marker() {
  head_.push_back(marker());
  head_.insert(head_.end(), std::move_iterator(tail_.begin()), std::move_iterator(tail_.end()));
  head_bytes_ += marker_.size() + tail_bytes_;
  tail_.clear();
  tail_bytes_ = 0;
  marker_.clear();
  gone_ = 0;
}

void Backlog::read(std::uint64_t& offset, std::size_t enough, std::string& out) {
  // Who is given the line itself, or what is behind it, has it for good.
  if (!marker_.empty() && offset >= begin_ + head_bytes_) keep_marker();
  auto at = begin_;
  for (const auto& piece : head_) {
    const auto behind = at + piece.bytes.size();
    if (behind > offset) {
      if (out.size() >= enough) break;
      append_log(out,
                 {offset, piece.stream, piece.phase, piece.time_ms, std::string_view(piece.bytes).substr(offset - at)});
      offset = behind;
    }
    at = behind;
  }
  seen_ = std::max(seen_, offset);
}

LogChunk Backlog::front() const {
  const auto piece = head_.empty() ? marker() : head_.front();
  return {begin_, piece.stream, piece.phase, piece.time_ms, piece.bytes};
}

void Backlog::pop_front() {
  if (head_.empty()) keep_marker();
  const auto size = head_.front().bytes.size();
  head_.pop_front();
  head_bytes_ -= size;
  begin_ += size;
}

}  // namespace ferry::agent
