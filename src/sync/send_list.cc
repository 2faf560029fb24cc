// The sender's list: whole, or what is different in the one that it sent last.
#include <algorithm>

#include "base/hash.h"
#include "sync/manifest.h"
#include "sync/send.h"

namespace ferry::sync {

namespace {

constexpr std::uint64_t cost_of_a_file = 64;  // besides its bytes

}  // namespace

/// Compares the list with the one that was sent last, and notes what is new in it. Nothing if too much is.
class Sender::Comparison {
 public:
  Comparison(ListReader before, const std::vector<Entry>& entries) : before_(std::move(before)), entries_(entries) {}

  std::optional<Changes> run() {
    changes_.base = before_.name();
    step();
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      bytes_.clear();
      append_entry(bytes_, entries_[i]);
      name_.add(bytes_);
      while (has_known_ && known_.path < entries_[i].path) drop();
      const bool is_listed = has_known_ && known_.path == entries_[i].path;
      if (is_listed && before_.bytes() == bytes_) {
        keep();
        continue;
      }
      if (is_listed) drop();
      add(i, is_listed);
      if (added_all_ > entries_.size() / 2) return {};
    }
    close();
    changes_.name = name_.finish();
    return std::move(changes_);
  }

 private:
  void step() { has_known_ = before_.next(known_); }
  void keep() {
    if (dropped_ + added_ > 0) close();
    ++kept_;
    step();
  }
  void drop() {
    if (added_ > 0) close();
    ++dropped_;
    step();
  }
  void add(std::size_t index, bool is_listed) {
    ++added_;
    ++added_all_;
    fresh_ += bytes_;
    const Entry& entry = entries_[index];
    // Of a large file the receiver may have a beginning.
    const bool is_alone = !is_listed || entry.size < least_difference;
    if (entry.type == Type::file && !entry.unsettled && is_alone) changes_.fresh.push_back(index);
    changes_.are_all_fresh = changes_.are_all_fresh && is_alone;
  }
  /// A step is: so many are kept, then so many dropped, then so many new.
  void close() {
    if (kept_ + added_ == 0) return;  // what is dropped at the end need not be said
    for (const std::uint64_t count : {kept_, dropped_, added_}) append_number(changes_.steps, count);
    changes_.steps += fresh_;
    fresh_.clear();
    kept_ = dropped_ = added_ = 0;
  }

  ListReader before_;
  const std::vector<Entry>& entries_;
  Changes changes_;
  Entry known_;
  bool has_known_ = false;
  ListName name_;
  std::string bytes_, fresh_;
  std::uint64_t kept_ = 0, dropped_ = 0, added_ = 0, added_all_ = 0;
};

/// What is different in this list, if the receiver may know the one before.
void Sender::compare_lists() {
  if (options_.list_file.empty() || tree_.entries.size() < least_known_list) return;
  auto before = options_.expects_nothing ? std::nullopt : ListReader::open(options_.list_file);
  if (before) changes_ = Comparison(*std::move(before), tree_.entries).run();
  if (changes_) leave_out_known();
  if (!changes_ || changes_->name != changes_->base) write_list();
}

/// Contents that the list before has under another name: the receiver makes the file of that one.
void Sender::leave_out_known() {
  auto before = changes_->fresh.empty() ? std::nullopt : ListReader::open(options_.list_file);
  if (!before) return;
  auto& fresh = changes_->fresh;
  const auto& entries = tree_.entries;
  const auto is_less = [&](std::size_t index, const Digest& sha256) { return entries[index].sha256 < sha256; };
  std::sort(fresh.begin(), fresh.end(), [&](std::size_t a, std::size_t b) { return is_less(a, entries[b].sha256); });
  std::vector<bool> is_known(fresh.size());
  for (Entry known; before->next(known);) {
    if (known.type != Type::file) continue;
    auto at =
        static_cast<std::size_t>(std::lower_bound(fresh.begin(), fresh.end(), known.sha256, is_less) - fresh.begin());
    for (; at < fresh.size() && !is_known[at] && entries[fresh[at]].sha256 == known.sha256; ++at) is_known[at] = true;
  }
  std::size_t at = 0;
  std::erase_if(fresh, [&](std::size_t) { return is_known[at++]; });
  std::sort(fresh.begin(), fresh.end());
}

void Sender::write_list() {
  std::string bytes;
  ListName name;
  list_writer_ = std::make_unique<ListWriter>(options_.list_file);
  for (const Entry& entry : tree_.entries) {
    bytes.clear();
    append_entry(bytes, entry);
    name.add(bytes);
    list_writer_->add(bytes);
  }
  list_name_ = name.finish();
}

void Sender::keep_list() {
  if (list_writer_) list_writer_->commit(options_.list_file, list_name_);
  list_writer_.reset();
}

Sender::ListLetter Sender::list_letter(const std::vector<Wanted>& candidates) const {
  std::uint64_t cost = 0;
  for (const Wanted& one : candidates) cost += tree_.entries[one.index].size + cost_of_a_file;
  const bool is_little = cost <= options_.unasked_bytes && (!changes_ || changes_->are_all_fresh);
  if (is_little) return ListLetter::all;
  return changes_ || options_.expects_nothing || tree_.is_new ? ListLetter::some : ListLetter::waits;
}

Status Sender::put_list() {
  const char letter = static_cast<char>(letter_);
  channel_.put({&letter, 1});
  channel_.put_number(changes_ ? 1 : 0);
  if (changes_) {
    channel_.put_text(changes_->base);
    channel_.put_text(changes_->name);
    channel_.put_number(tree_.entries.size());
    channel_.put(changes_->steps);
    changes_->steps = {};
  } else {
    TRY("", put_manifest(channel_, tree_.entries));
  }
  std::vector<std::pair<std::size_t, std::uint64_t>> sparse;
  for (std::size_t i = 0; i < tree_.entries.size(); ++i) {
    const Entry& entry = tree_.entries[i];
    if (entry.type != Type::file || entry.unsettled || entry.size < least_sparse) continue;
    const auto now = root_->look(entry.path);
    if (now && now->allocated < now->size) sparse.emplace_back(i, now->allocated);
  }
  return put_sparse(channel_, sparse);
}

/// The receiver does not know the list before, or says something else.
Result<char> Sender::next_word() {
  TRY_SET(letter, "", next_letter());
  if (letter != 'M' || !changes_) return letter;
  if (in_file_) end_pieces("u");
  progress_ = before_ = {};
  changes_.reset();
  letter_ = ListLetter::waits;
  went_.assign(went_.size(), false);
  for (auto& [index, path] : gone_) tree_.entries[index].path = std::move(path);
  gone_.clear();
  write_list();
  TRY("", put_list());
  TRY("", channel_.flush());
  return next_letter();
}

}  // namespace ferry::sync
