#include "sync/send.h"

#include "base/text.h"
#include "sync/manifest.h"

namespace ferry::sync {

namespace {

constexpr int most_readings = 5;
constexpr auto between_progress = std::chrono::milliseconds(50);

}  // namespace

Sender::Sender(int in, int out, os::Path root, Tree tree, const Options& options)
    : root_path_(std::move(root)),
      tree_(std::move(tree)),
      options_(options),
      channel_(in, out, options.cancelled, options.silence) {}

Result<Report> Sender::run() {
  TRY("", channel_.greet());
  auto done = converse();
  if (done) return done;
  Error error = channel_.last_words(std::move(done).error());
  if (!peer_failed_ && error.kind != Kind::lost) channel_.tell(error);
  return tl::unexpected(std::move(error));
}

Result<Report> Sender::converse() {
  const bool hashed = std::all_of(tree_.entries.begin(), tree_.entries.end(), [](const Entry& entry) {
    return entry.type != Type::file || entry.unsettled || !entry.sha256.empty();
  });
  if (!hashed) TRY("", hash_tree(root_path_, tree_, {}));
  TRY_SET(root, "", Root::open(root_path_, tree_.grafts));
  root_ = std::move(root);
  left_out_ = std::move(tree_.left_out);
  notes_ = tree_.skipped;
  for (const std::string& glob : tree_.unmatched) notes_.push_back("nothing matches " + printable(glob));

  channel_.put("M");
  TRY("", put_manifest(channel_, tree_.entries));
  TRY("", channel_.flush());
  TRY_SET(wants, "", read_wants());
  channel_.stop_writing_when_peer_speaks();
  for (const std::size_t index : wants) {
    progress_.files_total++;
    progress_.bytes_total += tree_.entries[index].size;
  }
  show(true);
  for (const std::size_t index : wants) TRY("", send_file(index));
  if (!left_out_.empty()) {
    channel_.put("L");
    put_notes(channel_, left_out_);
  }
  channel_.put("Z");
  put_notes(channel_, notes_);
  TRY("", channel_.flush());

  TRY("", expect('D'));
  TRY_SET(told, "", read_notes(channel_));
  receivers_notes_ = std::move(told);
  show(true);
  return report();
}

Status Sender::expect(char wanted) {
  TRY_SET(letter, "", channel_.letter());
  if (letter == wanted) return {};
  if (letter != 'E') return fail(Kind::corrupt, "the receiver answered with something unknown");
  TRY_SET(theirs, "", channel_.error());
  peer_failed_ = true;
  return tl::unexpected(std::move(theirs));
}

Result<std::vector<std::size_t>> Sender::read_wants() {
  TRY("", expect('W'));
  const std::size_t have = tree_.entries.size();
  TRY_SET(count, "", channel_.number(have));
  std::vector<std::size_t> wants;
  std::size_t next = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY_SET(distance, "", channel_.number(have));
    next += distance;
    if (next >= have || tree_.entries[next].type != Type::file || tree_.entries[next].unsettled) {
      return fail(Kind::corrupt, "the receiver asked for a file that is not in the list");
    }
    wants.push_back(next++);
  }
  return wants;
}

Status Sender::send_file(std::size_t index) {
  const std::uint64_t bytes_before = progress_.bytes_done;
  const std::uint64_t listed = tree_.entries[index].size;
  for (int attempt = 1;; ++attempt) {
    TRY_SET(fate, "", send_once(index, attempt));
    TRY("", channel_.pump());
    if (fate == Fate::again) {
      progress_.bytes_done = bytes_before;
      continue;
    }
    if (fate == Fate::gone) progress_.bytes_done = bytes_before;
    progress_.bytes_total += progress_.bytes_done - bytes_before - listed;
    progress_.files_done += fate == Fate::kept ? 1 : 0;
    progress_.files_total -= fate == Fate::gone ? 1 : 0;
    show(false);
    return {};
  }
}

Result<Sender::Fate> Sender::send_once(std::size_t index, int attempt) {
  Entry& entry = tree_.entries[index];
  auto file = root_->open_file(entry.path);
  if (!file) return leave_out(index, "V", file.error());
  TRY_SET(marks, "", standing_of(file->get()));
  channel_.put("F");
  for (const std::uint64_t value : {std::uint64_t{index}, marks.size, std::uint64_t{marks.mode}}) {
    channel_.put_number(value);
  }
  put_mtime(channel_, marks.mtime_ns);

  Result<Hashed> read = Hashed{};
  TRY("", put_pieces(entry, file->get(), marks, read));
  if (!read) return leave_out(index, "v", read.error());

  // Other content under the marks it was listed with: someone writes between two ticks of the file clock.
  // Look again.
  const bool surprising =
      attempt == 1 && read->sha256 != entry.sha256 && marks.size == entry.size && marks.mtime_ns == entry.mtime_ns;
  const bool good = read->stable && !surprising;
  if (!good && attempt < most_readings) {
    if (attempt == 1) notes_.push_back("changed while it was read, sent again: " + printable(entry.path));
    channel_.put("a");
    return Fate::again;
  }
  if (!good) notes_.push_back("kept changing while it was read, left as last read: " + printable(entry.path));
  channel_.put("k");
  channel_.put_text(read->sha256);
  entry.size = read->size;
  entry.mode = marks.mode;
  entry.mtime_ns = marks.mtime_ns;
  entry.sha256 = read->sha256;
  return Fate::kept;
}

/// The outer Status is about the connection, `read` about the file.
Status Sender::put_pieces(const Entry& entry, int fd, const Standing& marks, Result<Hashed>& read) {
  Status sent;
  read = read_content(fd, marks, buffer_, [&](std::string_view piece) -> Status {
    channel_.put_number(piece.size());
    channel_.put(piece);
    sent = channel_.pump();
    if (sent) sent = channel_.check_cancelled();
    progress_.bytes_done += piece.size();
    show(false);
    if (while_reading) while_reading(entry.path);
    return sent;
  });
  channel_.put_number(0);
  return sent;
}

Result<Sender::Fate> Sender::leave_out(std::size_t index, std::string_view letter, const Error& reason) {
  Entry& entry = tree_.entries[index];
  channel_.put(letter);
  if (letter == "V") channel_.put_number(index);
  const bool vanished = reason.kind == Kind::not_found;
  notes_.push_back((vanished ? "vanished, left out: " : "could not be read, left out: ") + printable(entry.path) +
                   (vanished ? "" : " (" + reason.what + ")"));
  if (!vanished) left_out_.push_back(printable(entry.path) + ": " + reason.what);
  entry.path.clear();
  return Fate::gone;
}

void Sender::show(bool always) {
  if (!options_.progress) return;
  const auto now = std::chrono::steady_clock::now();
  if (!always && now - shown_ < between_progress) return;
  shown_ = now;
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
  made.notes = std::move(notes_);
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
