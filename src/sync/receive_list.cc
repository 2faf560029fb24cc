// The part of the receiver that takes the list: whole, or what is different in one that is kept here.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "sync/kept_tree.h"
#include "sync/receive.h"

namespace ferry::sync {

namespace {

constexpr std::size_t most_lists = 4;  // of other runs

auto not_a_list() { return fail(Kind::corrupt, "the sender began with something unknown"); }

}  // namespace

/// A list while it comes.
class Receiver::NewList {
 public:
  NewList(const ReceiveOptions& options) : builder_(options.most_list_bytes) {}
  void keep(std::unique_ptr<ListWriter> writer) { writer_ = std::move(writer); }

  Status add(Entry entry, std::string_view bytes) {
    name_.add(bytes);
    if (writer_) writer_->add(bytes);
    return builder_.add(std::move(entry));
  }
  Status add(Entry entry) {
    bytes_.clear();
    append_entry(bytes_, entry);
    return add(std::move(entry), bytes_);
  }
  std::string name() { return name_.finish(); }
  List take() { return builder_.take(); }
  std::unique_ptr<ListWriter> writer() { return std::move(writer_); }

 private:
  ListBuilder builder_;
  ListName name_;
  std::string bytes_;
  std::unique_ptr<ListWriter> writer_;
};

/// Where a list of that name is kept; empty: nowhere.
os::Path Receiver::list_place(std::string_view name) const {
  if (!options_.content_store.empty()) return options_.content_store.string() + ".lists/" + hex(name);
  return options_.state_file.empty() ? os::Path() : os::Path(options_.state_file.string() + ".list");
}

Status Receiver::read_list() {
  TRY_SET(letter, "", next_letter());
  if (letter != 'M' && letter != 'A' && letter != 'S') return not_a_list();
  come_unasked_ = letter != 'M';
  TRY_SET(is_by_changes, "", channel_.number(1));
  if (is_by_changes == 0) {
    TRY("", read_whole_list());
  } else {
    TRY_SET(is_made, "", read_changes());
    if (!is_made) TRY("", ask_for_whole_list());
  }
  fates_.resize(entries_.size(), Fate::stays);
  return {};
}

Status Receiver::read_whole_list() {
  TRY_SET(count, "", read_count(channel_, options_.most_entries));
  NewList list(options_);
  if (const auto place = list_place({}); count >= least_known_list && !place.empty())
    list.keep(std::make_unique<ListWriter>(place));
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY_SET(entry, "", read_entry(channel_));
    TRY("", list.add(std::move(entry)));
  }
  return take_list(list, list.name());
}

Status Receiver::take_list(NewList& list, std::string name) {
  entries_ = list.take();
  list_name_ = std::move(name);
  list_writer_ = list.writer();
  TRY_SET(sparse, "", read_sparse(channel_, entries_.size()));
  sparse_ = std::move(sparse);
  return {};
}

/// False, after all has been read, if it cannot be made.
Result<bool> Receiver::read_changes() {
  TRY_SET(base, "", read_hash(channel_));
  TRY_SET(name, "", read_hash(channel_));
  TRY_SET(count, "", read_count(channel_, options_.most_entries));
  auto known = list_place(base).empty() ? std::nullopt : ListReader::open(list_place(base));
  bool is_good = known && known->name() == base;
  NewList list(options_);
  if (is_good && name != base) list.keep(std::make_unique<ListWriter>(list_place(name)));
  Entry entry;
  for (std::uint64_t made = 0; made < count;) {
    TRY_SET(kept, "", channel_.number(count - made));
    TRY_SET(dropped, "", channel_.number(options_.most_entries));
    TRY_SET(added, "", channel_.number(count - made - kept));
    if (kept + added == 0) return fail(Kind::corrupt, "the sender sent a list without an end");
    for (std::uint64_t i = 0; i < kept && is_good; ++i) {
      is_good = known->next(entry) && list.add(std::move(entry), known->bytes());
      TRY("", channel_.beat());
    }
    for (std::uint64_t i = 0; i < dropped && is_good; ++i) is_good = known->next(entry);
    for (std::uint64_t i = 0; i < added; ++i) {
      TRY_SET(fresh, "", read_entry(channel_));
      is_good = is_good && list.add(std::move(fresh));
    }
    made += kept + added;
  }
  is_good = is_good && list.name() == name;
  if (is_good) TRY("", take_list(list, std::move(name)));
  list_base_ = std::move(base);
  if (!is_good) TRY("", read_sparse(channel_, count));
  return is_good;
}

/// What comes unasked until it does is of a list that is not known here.
Status Receiver::ask_for_whole_list() {
  channel_.put("M");
  TRY("", channel_.flush());
  while (true) {
    TRY_SET(letter, "", next_letter());
    if (letter == 'M') break;
    if (letter == 'F' && come_unasked_) {
      TRY("", skip_file());
    } else if (letter == 'V' && come_unasked_) {
      TRY("", channel_.number(options_.most_entries));
    } else if (letter == 'L' || letter == 'Z') {
      TRY("", read_notes(channel_));
    } else {
      return not_a_list();
    }
  }
  come_unasked_ = false;
  TRY_SET(is_by_changes, "", channel_.number(1));
  if (is_by_changes != 0) return not_a_list();
  return read_whole_list();
}

Status Receiver::skip_file() {
  TRY("", channel_.number(options_.most_entries));
  TRY("", channel_.number(max_file_size));
  TRY("", channel_.number(07777));
  TRY("", read_mtime(channel_));
  while (true) {
    TRY_SET(number, "", channel_.number(max_file_size * 4 + 3));
    if (number == 0) break;
    Intake::Step step{.length = number / 4};
    TRY("", take_piece(static_cast<PieceKind>(number % 4), false, step));
  }
  TRY_SET(letter, "", next_letter());
  if (letter == 'k') TRY("", read_hash(channel_));
  return {};
}

/// What an earlier run was sent by this list, or by the one that it was made of.
void Receiver::take_kept_tree() {
  const bool may_be = options_.mirror && !options_.content_store.empty() && !options_.state_file.empty();
  if (!may_be || entries_.size() < least_known_list) return;
  const auto take = [this](const std::string& name) {
    return !name.empty() && take_tree(options_.content_store, name, *root_, options_.state_file);
  };
  if (take(list_name_) || take(list_base_)) root_->forget();
}

/// For the next time.
void Receiver::keep_list() {
  const os::Path place = list_place(list_name_);
  if (place.empty()) return;
  if (list_writer_) list_writer_->commit(place, list_name_);
  list_writer_.reset();
  if (options_.content_store.empty()) return;
  if (!options_.state_file.empty() && entries_.size() >= least_known_list)
    note_list_name(options_.state_file, list_name_);
  (void)::utimensat(AT_FDCWD, place.c_str(), nullptr, 0);  // it was of use
  std::vector<std::pair<std::int64_t, os::Path>> all;
  for (const std::string& name : os::list_dir(place.parent_path()).value_or(std::vector<std::string>())) {
    struct stat info;
    const os::Path path = place.parent_path() / name;
    if (::lstat(path.c_str(), &info) == 0) all.emplace_back(-ns_of(info.st_mtim), path);
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = most_lists; i < all.size(); ++i) (void)::unlink(all[i].second.c_str());
}

}  // namespace ferry::sync
