// The part of the receiver that takes file contents off the wire.

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "sync/content.h"
#include "sync/receive.h"

namespace ferry::sync {

namespace {

constexpr int most_retries = 16;
constexpr std::uint64_t worth_giving = std::uint64_t{256} << 10;
constexpr auto unknown_word = "the sender said something unknown";

}  // namespace

Status Receiver::beat() {
  show(false);
  return channel_.beat();
}

/// One round.
Status Receiver::take_files() {
  show(true);
  while (true) {
    TRY_SET(letter, "", next_letter());
    if (letter == 'F') {
      TRY("", take_file());
    } else if (letter == 'V') {
      TRY_SET(index, "", read_index());
      leave_out(index);
    } else if (letter == 'N') {
      TRY_SET(index, "", read_index());
      const auto plan = plans_.find(index);
      if (plan == plans_.end() || plan->second.beginning == 0) return fail(Kind::corrupt, unknown_word);
      fates_[index] = Fate::ask;
      plan->second.beginning = 0;
      --unanswered_;
    } else if (letter == 'Q') {
      channel_.put("P");
      TRY("", channel_.flush());
    } else if (letter == 'L') {
      TRY_SET(lines, "", read_notes(channel_));
      left_out_ = std::move(lines);
    } else if (letter == 'Z' && (unanswered_ == 0 || come_unasked_)) {
      TRY_SET(notes, "", read_notes(channel_));
      senders_notes_.insert(senders_notes_.end(), notes.begin(), notes.end());
      if (unanswered_ > 0) std::replace(fates_.begin(), fates_.end(), Fate::asked, Fate::ask);
      unanswered_ = 0;
      come_unasked_ = false;
      return collect(true);
    } else {
      return fail(Kind::corrupt, unknown_word);
    }
    TRY("", collect(false));
    show(false);
  }
}

/// Of a file that was asked for, or comes unasked.
Result<std::size_t> Receiver::read_index() {
  TRY_SET(index, "", channel_.number(entries_.size()));
  const bool comes = index < entries_.size() &&
                     (fates_[index] == Fate::asked ||
                      (come_unasked_ && entries_.type(index) == Type::file && !entries_.is_unsettled(index)));
  if (!comes) return fail(Kind::corrupt, "the sender sent a file that was not asked for");
  return index;
}

Status Receiver::take_file() {
  TRY_SET(index, "", read_index());
  const bool wanted = fates_[index] == Fate::asked;
  Intake::Arrival arrival = arrival_of(index, false);
  Entry& fresh = arrival.entry;
  TRY_SET(size, "", channel_.number(max_file_size));
  TRY_SET(mode, "", channel_.number(07777));
  TRY_SET(mtime_ns, "", read_mtime(channel_));
  fresh.size = size;
  fresh.mode = static_cast<std::uint32_t>(mode);
  fresh.mtime_ns = mtime_ns;
  const Progress before = progress_;
  const auto file = wanted ? Intake::begin(std::move(arrival)) : Intake::Handle();
  std::vector<Intake::Step> steps;
  TRY("", take_pieces(index, size, file, steps));

  TRY_SET(letter, "", next_letter());
  Intake::Step last{.is = letter == 'k' ? Intake::Step::Is::keep : Intake::Step::Is::drop};
  if (letter == 'k') {
    TRY_SET(sha256, "", read_hash(channel_));
    last.sha256 = std::move(sha256);
  }
  if (file) {
    steps.push_back(std::move(last));
    intake_->give(file, steps);
  }
  if (letter != 'k') progress_ = before;
  if (letter == 'a' && ++again_ < most_retries) return {};
  again_ = 0;
  if (letter == 'u' && come_unasked_) return {};
  if (letter == 'v') {
    leave_out(index);
  } else if (letter != 'k') {
    return fail(Kind::corrupt, unknown_word);
  } else if (wanted) {
    fates_[index] = Fate::taken;
    --unanswered_;
  }
  return {};
}

/// Gives what comes to the intake, and leaves its end in `steps`.
Status Receiver::take_pieces(std::size_t index, std::uint64_t announced, const Intake::Handle& file,
                             std::vector<Intake::Step>& steps) {
  const auto plan = plans_.find(index);
  const bool has_base = plan != plans_.end() && (!plan->second.base.empty() || !plan->second.base_part.empty());
  std::uint64_t size = 0, gathered = 0;
  while (true) {
    TRY_SET(number, "", channel_.number(max_file_size * 4 + 3));
    if (number == 0) return {};
    Intake::Step step{.length = number / 4};
    if (step.length > announced - size) {
      return fail(Kind::corrupt, "the sender sent more than it announced: " + root_->shown(entries_.path(index)));
    }
    TRY("", take_piece(static_cast<PieceKind>(number % 4), has_base, step));
    size += step.length;
    gathered += step.bytes ? step.length : 0;
    const bool takes_long = step.length >= large_file;
    if (!file) continue;
    if (!step.bytes) progress_.bytes_total -= step.length;
    steps.push_back(std::move(step));
    if (gathered >= worth_giving || takes_long) {
      intake_->give(file, steps);
      gathered = 0;
    }
    TRY("", intake_->wait(false, [this] { return beat(); }));
    TRY("", channel_.check_cancelled());
    show(false);
  }
}

Status Receiver::take_piece(PieceKind kind, bool has_base, Intake::Step& step) {
  if (kind == PieceKind::hole) {
    step.is = Intake::Step::Is::hole;
    return {};
  }
  if (kind == PieceKind::same && has_base) {
    step.is = Intake::Step::Is::same;
    TRY_SET(offset, "", channel_.number(max_file_size));
    step.offset = offset;
    return {};
  }
  if (kind != PieceKind::data || step.length > largest_piece) return fail(Kind::corrupt, unknown_word);
  step.bytes = make_buffer(step.length);
  for (std::uint64_t have = 0; have < step.length;) {
    TRY_SET(part, "", channel_.some_into(step.bytes.get() + have, step.length - have));
    have += part;
    progress_.bytes_done += part;
  }
  return {};
}

/// Notes what became of the files, as far as it is known; of `all` that came, after a wait.
Status Receiver::collect(bool all) {
  TRY("", intake_->wait(all, [this] { return beat(); }));
  for (const Intake::Outcome& outcome : intake_->outcomes()) take_outcome(outcome);
  return {};
}

void Receiver::take_outcome(const Intake::Outcome& outcome) {
  const std::size_t index = outcome.index;
  if (!outcome.placed) {
    ask_whole(index);
    ask_for_copies_of(index);
    return;
  }
  changed_ = true;
  if (fates_[index] == Fate::taken) {
    progress_.files_done++;
    progress_.bytes_total += outcome.entry.size - entries_.bytes(index);
  }
  entries_.set(index, outcome.entry);
  note_mtime(index, outcome.mtime_ns);
  fates_[index] = Fate::stays;
  for (const auto& [copy, mtime_ns] : outcome.copies) {
    note_mtime(copy, mtime_ns);
    fates_[copy] = Fate::stays;
  }
  ask_for_copies_of(index);
}

/// What could not be made of what is here.
void Receiver::ask_whole(std::size_t index) {
  progress_.files_total += fates_[index] == Fate::taken ? 0 : 1;
  progress_.bytes_total += entries_.bytes(index);
  fates_[index] = Fate::ask_whole;
}

/// Those that are not in place.
void Receiver::ask_for_copies_of(std::size_t index) {
  const auto plan = plans_.find(index);
  if (plan == plans_.end()) return;
  for (const std::size_t copy : plan->second.copies) {
    if (fates_[copy] == Fate::copy) ask_whole(copy);
  }
}

/// What an earlier sync brought in its place stays.
void Receiver::leave_out(std::size_t index) {
  Entry entry = entries_[index];
  again_ = 0;
  if (fates_[index] != Fate::asked) return;  // came unasked, and stands here
  fates_[index] = Fate::stays;
  --unanswered_;
  ask_for_copies_of(index);
  progress_.files_total--;
  progress_.bytes_total -= entry.size;
  entry.sha256.clear();
  entries_.set(index, entry);
  if (const auto earlier = before_.find(entry.path)) {
    now_.note(entry.path, *earlier);
  } else {
    now_.drop(entry.path);
  }
}

}  // namespace ferry::sync
