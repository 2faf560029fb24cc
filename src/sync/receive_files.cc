// The part of the receiver that takes file contents off the wire.

#include <unistd.h>

#include <cerrno>

#include "base/hash.h"
#include "base/text.h"
#include "sync/receive.h"

namespace ferry::sync {

namespace {

constexpr std::uint64_t max_piece = std::uint64_t{1} << 20;
constexpr int most_retries = 16;
constexpr auto unknown_word = "the sender said something unknown";

Status write_piece(int fd, std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t done = ::write(fd, piece.data(), piece.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno("write");
    piece.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

}  // namespace

Status Receiver::take_files() {
  show(true);
  while (true) {
    TRY_SET(letter, "", next_letter());
    if (letter == 'F') {
      TRY_SET(kept, "", take_file());
      changed_ = changed_ || kept;
    } else if (letter == 'V') {
      TRY_SET(index, "", read_index());
      leave_out(index);
    } else if (letter == 'L' && left_out_.empty()) {
      TRY_SET(lines, "", read_notes(channel_));
      left_out_ = std::move(lines);
    } else if (letter == 'Z' && next_want_ == wants_.size()) {
      TRY_SET(notes, "", read_notes(channel_));
      senders_notes_ = std::move(notes);
      return {};
    } else {
      return fail(Kind::corrupt, unknown_word);
    }
    show(false);
  }
}

Result<std::size_t> Receiver::read_index() {
  TRY_SET(index, "", channel_.number(entries_.size()));
  if (next_want_ >= wants_.size() || wants_[next_want_] != index) {
    return fail(Kind::corrupt, "the sender sent a file that was not asked for");
  }
  return index;
}

/// True if it was kept.
Result<bool> Receiver::take_file() {
  TRY_SET(index, "", read_index());
  Entry fresh = entries_[index];
  TRY_SET(size, "", channel_.number(max_file_size));
  TRY_SET(mode, "", channel_.number(07777));
  TRY_SET(mtime_ns, "", read_mtime(channel_));
  fresh.size = size;
  fresh.mode = static_cast<std::uint32_t>(mode);
  fresh.mtime_ns = mtime_ns;
  TRY_SET(file, "", placer_->new_file());
  const std::uint64_t bytes_before = progress_.bytes_done;
  TRY("", take_pieces(file, fresh));

  TRY_SET(letter, "", next_letter());
  if (letter == 'k') {
    TRY_SET(sha256, "", read_hash(channel_));
    if (sha256 != fresh.sha256) {
      return fail(Kind::corrupt, "a file arrived damaged: " + root_->shown(fresh.path),
                  "its SHA-256 is not the one the sender announced", "try again");
    }
    TRY_SET(marks, "", placer_->place_file(file, fresh));
    mtimes_[index] = marks.mtime_ns;
    progress_.bytes_total += fresh.size - entries_[index].size;
    progress_.files_done++;
    entries_[index] = std::move(fresh);
    ++next_want_;
    again_ = 0;
    return true;
  }
  progress_.bytes_done = bytes_before;
  if (letter == 'a' && ++again_ < most_retries) return false;
  if (letter != 'v') return fail(Kind::corrupt, unknown_word);
  leave_out(index);
  return false;
}

/// What an earlier sync brought in its place stays.
void Receiver::leave_out(std::size_t index) {
  Entry& entry = entries_[index];
  entry.sha256.clear();
  if (const auto earlier = before_.find(entry.path)) {
    now_.note(entry.path, *earlier);
  } else {
    now_.drop(entry.path);
  }
  ++next_want_;
  again_ = 0;
}

/// Writes what comes into `file`; leaves its size and SHA-256 in `fresh`.
Status Receiver::take_pieces(const os::Fd& file, Entry& fresh) {
  const std::uint64_t announced = fresh.size;
  fresh.size = 0;
  Sha256 hash;
  while (true) {
    TRY_SET(length, "", channel_.number(max_piece));
    if (length == 0) break;
    if (length > announced - fresh.size) {
      return fail(Kind::corrupt, "the sender sent more than it announced: " + root_->shown(fresh.path));
    }
    for (std::uint64_t left = length; left > 0;) {
      TRY_SET(piece, "", channel_.some(left));
      TRY(root_->shown(fresh.path), write_piece(file.get(), piece));
      hash.add(piece);
      left -= piece.size();
      progress_.bytes_done += piece.size();
    }
    fresh.size += length;
    TRY("", channel_.check_cancelled());
    show(false);
  }
  fresh.sha256 = hash.finish();
  return {};
}

}  // namespace ferry::sync
