// The part of the receiver that says which contents it lacks: what can be made of what is here need not come.

#include <algorithm>

#include "base/hash.h"
#include "sync/receive.h"

namespace ferry::sync {

/// Decides what happens with each that is missing.
void Receiver::plan(const std::vector<std::uint32_t>& missing) {
  for (const std::uint32_t index : missing) {
    fates_[index] = entries_.bytes(index) == 0 ? Fate::made : Fate::ask;
  }
  find_here(find_copies(missing));
  find_stored(missing);
  for (const std::uint32_t index : missing) {
    if (fates_[index] != Fate::ask) continue;
    find_base(index);
    progress_.files_total++;
    progress_.bytes_total += entries_.bytes(index);
  }
}

/// Of those with the same content the first comes, and the others are its copies. Returns the first of each, in the
/// order of their contents.
std::vector<std::uint32_t> Receiver::find_copies(const std::vector<std::uint32_t>& missing) {
  std::vector<std::uint32_t> all;
  for (const std::uint32_t index : missing) {
    if (fates_[index] == Fate::ask) all.push_back(index);
  }
  std::sort(all.begin(), all.end(), [this](std::uint32_t a, std::uint32_t b) {
    const auto order = entries_.sha256(a) <=> entries_.sha256(b);
    return order != 0 ? order < 0 : a < b;
  });
  std::size_t first = 0;
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (entries_.sha256(all[i]) != entries_.sha256(all[first])) {
      first = i;
    } else if (entries_.bytes(all[i]) == entries_.bytes(all[first])) {
      fates_[all[i]] = Fate::copy;
      plans_[all[first]].copies.push_back(all[i]);
    }
  }
  std::erase_if(all, [this](std::uint32_t index) { return fates_[index] != Fate::ask; });
  return all;
}

/// Whether a file is to come under this path, with this content: then it is not there, whatever the state says, which
/// has noted what a sync was about to place.
bool Receiver::is_to_come(std::string_view path, const Digest& sha256) const {
  const std::size_t index = entries_.find(path);
  return index < entries_.size() && entries_.type(index) == Type::file && fates_[index] != Fate::stays &&
         entries_.sha256(index) == sha256;
}

/// Contents that an earlier sync brought under another name, and which still are there.
void Receiver::find_here(const std::vector<std::uint32_t>& wanted) {
  (void)before_.each([&](std::string_view path, const Record& record) -> Status {
    if (record.type != Type::file) return {};
    const auto found =
        std::lower_bound(wanted.begin(), wanted.end(), record.sha256,
                         [this](std::uint32_t index, const Digest& sha256) { return entries_.sha256(index) < sha256; });
    if (found == wanted.end() || entries_.sha256(*found) != record.sha256 || fates_[*found] != Fate::ask) return {};
    if (is_to_come(path, record.sha256)) return {};
    const auto now = root_->look(path);
    if (!now || (record.inode != 0 && !is_same_file(record, *now)) || now->size != entries_.bytes(*found)) return {};
    plans_[*found].base = path;
    fates_[*found] = Fate::made;
    return {};
  });
}

/// Contents that the machine has of other runs.
void Receiver::find_stored(const std::vector<std::uint32_t>& missing) {
  if (options_.content_store.empty() || missing.empty()) return;
  const auto store = ContentStore::open(options_.content_store);
  if (!store) {
    notes_.push_back("contents of other runs cannot be used: " + store.error().what);
    return;
  }
  for (const std::uint32_t index : missing) {
    if (fates_[index] != Fate::ask || !store->holds(entries_.sha256(index), entries_.bytes(index))) continue;
    plans_[index].is_stored = true;
    fates_[index] = Fate::made;
  }
}

/// What is here of it, in an older version or in part.
void Receiver::find_base(std::size_t index) {
  if (entries_.bytes(index) < least_difference) return;
  const Entry entry = entries_[index];
  std::string part = parts_.find(std::string(std::string_view(entry.sha256)));
  const bool has_part = !part.empty();
  if (has_part) plans_[index].base_part = std::move(part);
  const auto now = root_->look(entry.path);
  if (!now || now->is != Standing::Is::file || now->size < least_difference) return;
  Plan& plan = plans_[index];
  plan.base = entry.path;
  const auto known = before_.hash_of(entry.path, *now);
  if (has_part || !known || now->size >= entry.size) return;
  plan.beginning = now->size;
  plan.beginning_sha256 = std::string_view(*known);
}

Intake::Arrival Receiver::arrival_of(std::size_t index, bool is_made_here) const {
  Intake::Arrival arrival{.index = index, .entry = entries_[index]};
  arrival.listed_sha256 = std::string_view(arrival.entry.sha256);
  arrival.is_optional = is_made_here || rounds_ == 1;  // in the first round the sender need not have hashed it again
  const auto plan = plans_.find(index);
  if (plan == plans_.end()) return arrival;
  for (const std::size_t copy : plan->second.copies) {
    if (fates_[copy] != Fate::copy) continue;
    arrival.copies.push_back(entries_[copy]);
    arrival.copy_indexes.push_back(copy);
  }
  arrival.base = plan->second.base;
  arrival.base_part = plan->second.base_part;
  arrival.part_bytes = plan->second.part_bytes;
  arrival.is_optional = arrival.is_optional || !arrival.base.empty() || !arrival.base_part.empty();
  return arrival;
}

Status Receiver::make_here() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (fates_[i] != Fate::made) continue;
    auto arrival = arrival_of(i, true);
    std::vector<Intake::Step> steps;
    const auto plan = plans_.find(i);
    if (plan != plans_.end() && plan->second.is_stored) {
      steps.push_back({.is = Intake::Step::Is::stored, .length = arrival.entry.size});
    } else if (arrival.entry.size > 0) {
      steps.push_back({.is = Intake::Step::Is::same, .length = arrival.entry.size});
    }
    steps.push_back({.is = Intake::Step::Is::keep, .sha256 = arrival.listed_sha256});
    intake_->give(Intake::begin(std::move(arrival)), steps);
    TRY("", collect(false));
  }
  return {};
}

bool Receiver::may_ask_again() const {
  return std::any_of(fates_.begin(), fates_.end(),
                     [](Fate fate) { return fate == Fate::ask || fate == Fate::ask_whole; });
}

/// Asks for what is to be asked for. What has much in common with something here, and is no continuation of it, waits
/// for the next round, if there is anything else: until that has come, there is time to read it.
Status Receiver::ask() {
  const bool is_first = ++rounds_ == 1;
  std::vector<std::size_t> asked, later;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (fates_[i] != Fate::ask && fates_[i] != Fate::ask_whole) continue;
    const auto plan = plans_.find(i);
    const bool has_base = plan != plans_.end() && (!plan->second.base.empty() || !plan->second.base_part.empty());
    if (fates_[i] == Fate::ask_whole && has_base) {
      plan->second.base = plan->second.base_part = {};
      plan->second.beginning = plan->second.part_bytes = 0;
    }
    const bool is_read_first = is_first && has_base && plan->second.beginning == 0;
    (is_read_first ? later : asked).push_back(i);
  }
  if (asked.empty()) asked = std::move(later);
  std::unordered_map<std::size_t, std::vector<Chunk>> chunks;
  std::uint64_t chunks_left = most_chunks;
  for (const std::size_t index : asked) {
    const auto plan = plans_.find(index);
    if (plan == plans_.end() || plan->second.beginning > 0) continue;
    TRY_SET(of_base, "", chunks_of(plan->second, chunks_left));
    if (!of_base.empty()) chunks[index] = std::move(of_base);
  }
  return put_wants(asked, chunks);
}

Status Receiver::put_wants(const std::vector<std::size_t>& asked,
                           const std::unordered_map<std::size_t, std::vector<Chunk>>& chunks) {
  channel_.put("W");
  channel_.put_number(asked.size());
  std::size_t next = 0;
  for (const std::size_t index : asked) {
    const auto put = [&](WantKind kind) { channel_.put_number((index - next) * 4 + static_cast<unsigned>(kind)); };
    const auto plan = plans_.find(index);
    if (plan != plans_.end() && plan->second.beginning > 0) {
      put(WantKind::continued);
      channel_.put_number(plan->second.beginning);
      channel_.put_text(plan->second.beginning_sha256);
    } else if (const auto known = chunks.find(index); known != chunks.end()) {
      put(WantKind::by_chunks);
      channel_.put_number(known->second.size());
      for (const Chunk& chunk : known->second) {
        channel_.put_number(chunk.length);
        channel_.put({chunk.id.data(), chunk.id.size()});
      }
    } else {
      put(WantKind::whole);
    }
    TRY("", channel_.pump());
    fates_[index] = Fate::asked;
    next = index + 1;
  }
  unanswered_ += asked.size();
  return channel_.flush();
}

/// Of the part, and then of the base: none of what it has not, or cannot be read, or has more chunks than are `left`.
Result<std::vector<Chunk>> Receiver::chunks_of(Plan& plan, std::uint64_t& left) {
  std::vector<Chunk> all;
  plan.part_bytes = 0;
  for (const bool is_part : {true, false}) {
    const std::string& name = is_part ? plan.base_part : plan.base;
    if (name.empty()) continue;
    const auto file = is_part ? parts_.open_part(name) : root_->open_file(name);
    const auto marks = file ? standing_of(file->get()) : tl::unexpected<Error>(file.error());
    if (!marks || marks->size > largest_cut) continue;
    Status told;
    const auto found = sync::chunks_of(file->get(), marks->size, [&] { return told = channel_.beat(); });
    TRY("", std::move(told));
    if (!found || found->size() > left) continue;
    left -= found->size();
    for (const Chunk& chunk : *found) {
      all.push_back(chunk);
      plan.part_bytes += is_part ? chunk.length : 0;
    }
  }
  return all;
}

}  // namespace ferry::sync
