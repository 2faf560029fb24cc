// What a sender sends before it has heard what the receiver lacks.
#include <algorithm>

#include "sync/send.h"

namespace ferry::sync {

namespace {

constexpr auto between_looks = std::chrono::milliseconds(100);
/// What is packed goes over even if it turns out to be there: on a slow line that is to take no more than seconds.
constexpr std::size_t most_held = std::size_t{48} << 20, most_held_at_a_guess = std::size_t{8} << 20;

bool ends_file(const Piece& piece) { return piece.is >= Piece::Is::whole && piece.is != Piece::Is::again; }

/// Null if it is not wanted. They are in the order of the list.
const Wanted* find(const std::vector<Wanted>& wants, std::size_t index) {
  const auto found = std::lower_bound(wants.begin(), wants.end(), index,
                                      [](const Wanted& one, std::size_t wanted) { return one.index < wanted; });
  return found != wants.end() && found->index == index ? &*found : nullptr;
}

}  // namespace

/// What the receiver is thought to lack: of each content one file, that with the first path, as it would ask for them;
/// none that is empty.
std::vector<Wanted> Sender::worth_going_ahead() const {
  const auto& entries = tree_.entries;
  std::vector<std::uint32_t> all;
  const std::size_t count = changes_ ? changes_->fresh.size() : entries.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t index = changes_ ? changes_->fresh[i] : i;
    if (entries[index].type == Type::file && !entries[index].unsettled && entries[index].size > 0)
      all.push_back(static_cast<std::uint32_t>(index));
  }
  std::sort(all.begin(), all.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto order = entries[a].sha256 <=> entries[b].sha256;
    return order != 0 ? order < 0 : a < b;
  });
  all.erase(std::unique(all.begin(), all.end(),
                        [&](std::uint32_t a, std::uint32_t b) {
                          return entries[a].sha256 == entries[b].sha256 && entries[a].size == entries[b].size;
                        }),
            all.end());
  std::sort(all.begin(), all.end());
  std::vector<Wanted> wanted;
  wanted.reserve(all.size());
  for (const std::uint32_t index : all) wanted.push_back({.index = index, .known = nullptr});
  return wanted;
}

Status Sender::go_ahead(const std::vector<Wanted>& expected) {
  std::vector<Wanted> all;
  all.reserve(expected.size());
  for (const Wanted& one : expected) all.push_back({.index = one.index, .known = nullptr});
  begin_round(all);
  TRY("", channel_.go_ahead(options_.expects_nothing ? most_held : most_held_at_a_guess));
  TRY_SET(wants, "", send_until_heard(all, expected));
  channel_.end_going_ahead();
  std::erase_if(wants, [&](const Wanted& one) { return went_[one.index]; });
  TRY("", send_all(wants));
  return end_round();
}

/// Sends them, and those that the receiver turns out to have no longer than until it says so. Returns its wants.
Result<std::vector<Wanted>> Sender::send_until_heard(const std::vector<Wanted>& all,
                                                     const std::vector<Wanted>& expected) {
  std::optional<std::vector<Wanted>> wants;
  bool are_as_expected = false;
  ReadAhead ahead(*root_, tree_.entries, all, reading());
  TRY("", ahead.begin());
  while (!ahead.done()) {
    TRY_SET(looks, "", channel_.may_be_near());
    if (wants && !are_as_expected && !in_file_ && !looks) break;
    auto piece = looks ? std::nullopt : ahead.next(between_looks);
    if (ahead.done()) break;
    const std::size_t index = ahead.current().index;
    if (piece) TRY("", put_piece(index, *piece));
    if (!piece && !in_file_) TRY("", channel_.beat());
    if (piece && ends_file(*piece)) went_[index] = true;
    show(false);
    if (channel_.has_word()) {
      if (wants) TRY("", next_letter());  // an error
      if (wants) return fail(Kind::corrupt, "the receiver asked twice");
      TRY_SET(heard, "", hear_wants());
      are_as_expected = letter_ == ListLetter::some &&
                        std::equal(heard.begin(), heard.end(), expected.begin(), expected.end(),
                                   [](const Wanted& a, const Wanted& b) { return a.index == b.index && !a.known; });
      const Wanted* current = find(heard, index);
      if (in_file_ && (current == nullptr || current->known)) {
        end_pieces("u");
        progress_ = before_;
      }
      count(heard);
      wants = std::move(heard);
    }
  }
  show(true);
  if (wants) return *std::move(wants);
  TRY("", channel_.flush());
  TRY_SET(heard, "", hear_wants());
  count(heard);
  return heard;
}

Result<std::vector<Wanted>> Sender::hear_wants() {
  TRY_SET(letter, "", next_word());
  if (letter != 'W') return fail(Kind::corrupt, "the receiver answered with something unknown");
  return read_wants();
}

/// Only what is wanted counts. A file that is on its way is wanted.
void Sender::count(const std::vector<Wanted>& wants) {
  const std::uint64_t under_way = in_file_ ? progress_.bytes_done - before_.bytes_done : 0;
  Progress now;
  for (const Wanted& one : wants) {
    const Entry& entry = tree_.entries[one.index];
    if (entry.path.empty()) continue;  // left out
    now.files_total++;
    now.bytes_total += entry.size;
    now.files_done += went_[one.index] ? 1 : 0;
    now.bytes_done += went_[one.index] ? entry.size : 0;
  }
  progress_ = before_ = now;
  progress_.bytes_done += under_way;
}

}  // namespace ferry::sync
