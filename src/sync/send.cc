#include "sync/send.h"

#include <algorithm>
#include <set>
#include <thread>

#include "base/text.h"
#include "sync/content.h"
#include "sync/manifest.h"

namespace ferry::sync {

namespace {

constexpr auto between_progress = std::chrono::milliseconds(50);
constexpr auto between_beats_in_wait = std::chrono::milliseconds(100);
constexpr unsigned most_readers = 4;
constexpr std::uint64_t a_turn = std::uint64_t{1} << 20;
constexpr std::uint64_t least_bulk = std::uint64_t{4} << 20;

std::string_view extension(std::string_view path) {
  const std::string_view name = split_last(path).second;
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot);
}

/// By the end of its name: its bytes are as good as random.
bool comes_packed(std::string_view ending) {
  static constexpr std::string_view all[] = {
      ".7z",  ".avif", ".bz2", ".flac", ".gif",     ".gz",  ".heic", ".jpeg", ".jpg",  ".m4a", ".mkv", ".mov", ".mp3",
      ".mp4", ".npz",  ".ogg", ".opus", ".parquet", ".png", ".tgz",  ".webm", ".webp", ".whl", ".xz",  ".zip", ".zst"};
  return std::binary_search(std::begin(all), std::end(all), ending);
}

}  // namespace

void sort_by_likeness(const std::vector<Entry>& entries, std::vector<Wanted>& wanted) {
  std::sort(wanted.begin(), wanted.end(), [&](const Wanted& a, const Wanted& b) {
    const auto one = extension(entries[a.index].path), other = extension(entries[b.index].path);
    const int packed = comes_packed(one) - comes_packed(other), order = packed != 0 ? packed : one.compare(other);
    return order != 0 ? order < 0 : a.index < b.index;
  });
  const auto size_of = [&](const Wanted& one) { return entries[one.index].size; };
  auto middle = wanted.begin();
  while (middle != wanted.end() && !comes_packed(extension(entries[middle->index].path))) ++middle;
  std::uint64_t all = 0, packed = 0;
  for (auto one = wanted.begin(); one != wanted.end(); ++one) (one < middle ? all : packed) += size_of(*one);
  all += packed;
  std::vector<Wanted> turns;
  turns.reserve(wanted.size());
  // Of the packed ones there have been as many bytes, of theirs, as of all of all.
  std::uint64_t done = 0, packed_done = 0;
  for (auto plain = wanted.begin(), other = middle; plain != middle || other != wanted.end();) {
    const bool is_behind = static_cast<double>(packed_done + a_turn) * static_cast<double>(all) <=
                           static_cast<double>(done) * static_cast<double>(packed);
    if (plain != middle && (other == wanted.end() || !is_behind)) {
      done += size_of(*plain);
      turns.push_back(std::move(*plain++));
      continue;
    }
    for (std::uint64_t turn = 0; other != wanted.end() && turn < a_turn; ++other) {
      turn += size_of(*other);
      packed_done += size_of(*other);
      done += size_of(*other);
      turns.push_back(std::move(*other));
    }
  }
  wanted = std::move(turns);
}

Sender::Sender(int in, int out, os::Path root, Tree tree, const Options& options)
    : readers(std::clamp(std::thread::hardware_concurrency(), 1U, most_readers)),
      root_path_(std::move(root)),
      tree_(std::move(tree)),
      options_(options),
      channel_(in, out, options.cancelled, options.silence) {
  channel_.await_first_word(options.first_word);
}

Result<Report> Sender::run() {
  auto done = converse();
  if (done) return done;
  Error error = channel_.last_words(std::move(done).error());
  if (in_file_) channel_.put_number(0);
  if (!peer_failed_ && error.kind != Kind::lost) channel_.tell(error);
  return tl::unexpected(std::move(error));
}

Result<Report> Sender::converse() {
  TRY("", channel_.greet());
  const bool hashed = std::all_of(tree_.entries.begin(), tree_.entries.end(), [](const Entry& entry) {
    return entry.type != Type::file || entry.unsettled || !entry.sha256.empty();
  });
  if (!hashed) TRY("", hash_tree(root_path_, tree_, {}));
  TRY_SET(root, "", Root::open(root_path_, tree_.grafts));
  root_ = std::move(root);
  TRY("", cut_ahead());
  left_out_ = std::move(tree_.left_out);
  notes_ = tree_.skipped;
  for (const std::string& glob : tree_.unmatched) notes_.push_back("nothing matches " + printable(glob));
  compare_lists();
  auto ahead = worth_going_ahead();
  letter_ = list_letter(ahead);
  TRY("", put_list());
  went_.resize(tree_.entries.size());
  if (letter_ == ListLetter::some) TRY("", go_ahead(ahead));
  if (letter_ == ListLetter::all) {
    for (const Wanted& one : ahead) went_[one.index] = true;
    TRY("", send_round(std::move(ahead)));
  }
  TRY("", converse_in_rounds());
  keep_list();
  show(true);
  return report();
}

/// Of what has changed in a large file, which the receiver may have in its old version.
Status Sender::cut_ahead() {
  if (options_.expects_nothing || tree_.revised.empty()) return {};
  const std::set<std::string_view> revised(tree_.revised.begin(), tree_.revised.end());
  std::vector<std::string> paths;
  for (const Entry& entry : tree_.entries) {
    const bool is_cut = entry.size >= least_difference && entry.size <= largest_cut;
    if (is_cut && revised.contains(entry.path)) paths.push_back(entry.path);
  }
  TRY_SET(own, "", root_->again());
  if (!paths.empty()) chunks_.emplace(std::move(own), paths);
  return {};
}

Status Sender::converse_in_rounds() {
  TRY("", channel_.flush());
  for (int round = 0; round < most_rounds; ++round) {
    TRY_SET(letter, "", next_word());
    if (letter == 'D') {
      TRY_SET(told, "", read_notes(channel_));
      receivers_notes_ = std::move(told);
      return {};
    }
    if (letter != 'W') break;
    TRY_SET(wanted, "", read_wants());
    if (round == 0 && letter_ == ListLetter::all) {
      count(wanted);
      continue;
    }
    TRY("", send_round(std::move(wanted)));
    TRY("", channel_.flush());
  }
  return fail(Kind::corrupt, "the receiver answered with something unknown");
}

Result<char> Sender::next_letter() {
  TRY_SET(letter, "", channel_.letter());
  if (letter != 'E') return letter;
  TRY_SET(theirs, "", channel_.error());
  peer_failed_ = true;
  return tl::unexpected(std::move(theirs));
}

Result<std::vector<Wanted>> Sender::read_wants() {
  const std::size_t have = tree_.entries.size();
  TRY_SET(count, "", channel_.number(have));
  std::vector<Wanted> wants;
  std::size_t next = 0;
  std::uint64_t chunks = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY_SET(number, "", channel_.number(std::uint64_t{have} * 4 + 3));
    next += number / 4;
    if (next >= have || tree_.entries[next].type != Type::file || tree_.entries[next].unsettled) {
      return fail(Kind::corrupt, "the receiver asked for a file that is not in the list");
    }
    TRY_SET(want, "", read_want(next++, static_cast<WantKind>(number % 4), chunks));
    // What was left out (its path is gone) may be wanted again; that it is left out, is said again.
    wants.push_back(std::move(want));
  }
  return wants;
}

Result<Wanted> Sender::read_want(std::size_t index, WantKind kind, std::uint64_t& chunks) {
  Wanted want{.index = index, .known = nullptr};
  if (kind == WantKind::whole) return want;
  want.known = std::make_unique<Known>();
  if (kind == WantKind::continued) {
    TRY_SET(size, "", channel_.number(max_file_size));
    TRY_SET(sha256, "", read_hash(channel_));
    want.known->beginning = size;
    want.known->beginning_sha256 = std::move(sha256);
    return want;
  }
  if (kind != WantKind::by_chunks) return fail(Kind::corrupt, "the receiver asked for a file in an unknown way");
  TRY_SET(count, "", channel_.number(most_chunks - chunks));
  chunks += count;
  for (std::uint64_t i = 0; i < count; ++i) {
    Chunk chunk;
    TRY_SET(length, "", channel_.number(largest_chunk));
    chunk.length = static_cast<std::uint32_t>(length);
    for (std::size_t have = 0; have < chunk.id.size();) {
      TRY_SET(part, "", channel_.some(chunk.id.size() - have));
      have += part.copy(chunk.id.data() + have, part.size());
    }
    want.known->chunks.push_back(chunk);
  }
  return want;
}

/// Sends what is wanted and says that this was all.
Status Sender::send_round(std::vector<Wanted> wanted) {
  std::uint64_t to_come = 0;
  for (const Wanted& one : wanted) {
    const std::uint64_t size = tree_.entries[one.index].size;
    to_come += size - (one.known ? std::min(size, one.known->beginning) : 0);
  }
  begin_round(wanted);
  if (to_come > least_bulk) TRY("", channel_.begin_bulk());
  TRY("", send_all(wanted));
  return end_round();
}

void Sender::begin_round(std::vector<Wanted>& wanted) {
  progress_.files_total += wanted.size();
  for (const Wanted& one : wanted) progress_.bytes_total += tree_.entries[one.index].size;
  sort_by_likeness(tree_.entries, wanted);
  show(true);
}

ReadAhead::Settings Sender::reading() {
  return {.threads = readers,
          .trusts_list = rounds_ == 0,
          .beginnings = &tree_.beginnings,
          .chunks = chunks_ ? &*chunks_ : nullptr,
          .while_reading = while_reading};
}

Status Sender::send_all(const std::vector<Wanted>& wanted) {
  ReadAhead ahead(*root_, tree_.entries, wanted, reading());
  TRY("", ahead.begin());
  channel_.stop_writing_when_peer_speaks(true);
  while (!ahead.done()) {
    auto piece = ahead.next(between_beats_in_wait);
    // Among the pieces of a file there is no room for a word, but what was said goes.
    TRY("", piece ? put_piece(ahead.current().index, *piece) : in_file_ ? channel_.flush() : channel_.beat());
    show(false);
  }
  show(true);
  return {};
}

Status Sender::end_round() {
  ++rounds_;
  if (!left_out_.empty()) {
    channel_.put("L");
    put_notes(channel_, left_out_);
  }
  channel_.put("Z");
  put_notes(channel_, notes_);
  std::move(notes_.begin(), notes_.end(), std::back_inserter(all_notes_));
  notes_.clear();
  TRY("", channel_.flush());
  channel_.stop_writing_when_peer_speaks(false);
  return {};
}

Status Sender::put_piece(std::size_t index, Piece& piece) {
  TRY("", channel_.check_cancelled());
  const Entry& entry = tree_.entries[index];
  const auto put = [&](PieceKind kind) { channel_.put_number(piece.length * 4 + static_cast<unsigned>(kind)); };
  switch (piece.is) {
    case Piece::Is::begin:
      begun_ = piece.marks;
      before_ = progress_;
      channel_.put("F");
      for (const std::uint64_t value : {std::uint64_t{index}, begun_.size, std::uint64_t{begun_.mode}}) {
        channel_.put_number(value);
      }
      put_mtime(channel_, begun_.mtime_ns);
      in_file_ = true;
      break;
    case Piece::Is::data:
      put(PieceKind::data);
      progress_.bytes_done += piece.length;
      return channel_.put_through(std::move(piece.bytes), piece.length);
    case Piece::Is::hole:
      put(PieceKind::hole);
      progress_.bytes_total -= piece.length;
      break;
    case Piece::Is::same:
      put(PieceKind::same);
      channel_.put_number(piece.offset);
      progress_.bytes_total -= piece.length;
      if (piece.length >= large_file) return channel_.flush();  // while the rest is on its way, it is copied there
      break;
    case Piece::Is::again:
      if (again_++ == 0) notes_.push_back("changed while it was read, sent again: " + printable(entry.path));
      end_pieces("a");
      progress_ = before_;
      break;
    case Piece::Is::whole:
      keep(index, piece);
      break;
    case Piece::Is::broken:
      end_pieces("v");
      progress_ = before_;
      leave_out(index, piece.error);
      break;
    case Piece::Is::absent:
      channel_.put("V");
      channel_.put_number(index);
      leave_out(index, piece.error);
      break;
    case Piece::Is::unlike:
      channel_.put("N");
      channel_.put_number(index);
      progress_.files_total--;
      progress_.bytes_total -= entry.size;
      again_ = 0;
      break;
  }
  return channel_.pump();
}

void Sender::end_pieces(std::string_view letter) {
  channel_.put_number(0);
  channel_.put(letter);
  in_file_ = false;
}

void Sender::keep(std::size_t index, const Piece& whole) {
  Entry& entry = tree_.entries[index];
  if (whole.restless) notes_.push_back("kept changing while it was read, left as last read: " + printable(entry.path));
  end_pieces("k");
  channel_.put_text(whole.sha256);
  progress_.files_done++;
  progress_.bytes_total += whole.length - entry.size;
  entry.size = whole.length;
  entry.mode = begun_.mode;
  entry.mtime_ns = begun_.mtime_ns;
  entry.sha256 = whole.sha256;
  again_ = 0;
}

void Sender::leave_out(std::size_t index, const Error& reason) {
  Entry& entry = tree_.entries[index];
  const bool vanished = reason.kind == Kind::not_found;
  notes_.push_back((vanished ? "vanished, left out: " : "could not be read, left out: ") + printable(entry.path) +
                   (vanished ? "" : " (" + reason.what + ")"));
  if (!vanished) left_out_.push_back(printable(entry.path) + ": " + reason.what);
  progress_.files_total--;
  progress_.bytes_total -= entry.size;
  gone_.emplace_back(index, std::move(entry.path));
  entry.path.clear();
  again_ = 0;
}

void Sender::show(bool always) {
  if (!options_.progress) return;
  const auto now = std::chrono::steady_clock::now();
  if (!always && now - shown_ < between_progress) return;
  shown_ = now;
  progress_.wire_bytes = channel_.bytes_sent();
  options_.progress(progress_);
}

Report Sender::report() {
  std::erase_if(tree_.entries, [](const Entry& entry) { return entry.path.empty() || entry.unsettled; });
  Report made{
      .files_moved = progress_.files_done, .bytes_moved = progress_.bytes_done, .wire_bytes = channel_.bytes_sent()};
  for (const Entry& entry : tree_.entries) {
    made.files += entry.type == Type::file ? 1 : 0;
    made.bytes += entry.size;
  }
  made.left_out = std::move(left_out_);
  made.notes = std::move(all_notes_);
  made.notes.insert(made.notes.end(), receivers_notes_.begin(), receivers_notes_.end());
  made.entries = std::move(tree_.entries);
  return made;
}

Status refuse_to_send(int in, int out, const Error& why, const Options& options) {
  Channel channel(in, out, options.cancelled, options.silence);
  TRY("", channel.greet());
  channel.tell(why);
  return tl::unexpected<Error>(why);
}

Result<Report> send_tree(int in, int out, const os::Path& root, Tree tree, const Options& options) {
  return Sender(in, out, root, std::move(tree), options).run();
}

}  // namespace ferry::sync
