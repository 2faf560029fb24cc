#include "sync/intake.h"

#include <unistd.h>

#include <cerrno>

#include "sync/clone.h"
#include "sync/content.h"

namespace ferry::sync {

namespace {

constexpr std::uint64_t most_waiting = std::uint64_t{8} << 20;
// Small files are handed to the workers, and taken by each, several at once: the lock costs as much as the work.
constexpr std::uint64_t most_gathered = std::uint64_t{128} << 10;
constexpr std::size_t files_gathered = 32, files_taken = 16;
constexpr std::uint64_t cost_of_a_step = 512;  // of memory, besides its bytes, with its part of the file's
constexpr unsigned most_workers = 4;
constexpr auto between_looks = std::chrono::milliseconds(100);

Status write_at(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno("write");
    bytes.remove_prefix(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return {};
}

std::uint64_t memory_of(const Intake::Step& step) { return cost_of_a_step + (step.bytes ? step.length : 0); }

}  // namespace

struct Intake::File {
  explicit File(Arrival arrives) : arrival(std::move(arrives)) {}
  ~File() {
    if (!made.fd || (is_part && at >= least_part && !is_wrong)) return;
    ::unlinkat(made.folder, made.name.c_str(), 0);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  Arrival arrival;
  std::vector<Step> steps;  ///< to be done; with the intake's mutex
  bool is_scheduled = false;

  // Of the worker that works on it:
  Placer::NewFile made;
  bool is_part = false;     ///< it is made where parts stay
  bool is_checked = false;  ///< its content is the announced one
  bool is_wrong = false;    ///< what it should have been made from is not what it was thought to be
  Sha256 hash;
  std::uint64_t at = 0;
  bool ends_in_hole = false;
  os::Fd part, base;
};

/// What a thread needs for itself.
class Intake::Worker {
 public:
  Worker(Intake& intake, Root root, int number)
      : intake_(intake), root_(std::move(root)), placer_(root_, intake.placer_, number) {}

  Status take(File& file, Step& step) {
    if (!file.made.fd) TRY("", open(file));
    using Is = Step::Is;
    if (step.is == Is::keep) return keep(file, step.sha256);
    if (step.is == Is::drop) return drop(file);
    if (file.is_wrong) return {};
    file.ends_in_hole = step.is == Is::hole;
    const Entry& entry = file.arrival.entry;
    if (step.is == Is::stored) return stored(file);
    if (step.is == Is::data) return data(file, {step.bytes.get(), step.length});
    if (step.is == Is::hole) return hole(file, step.length);
    const auto done = same(file, step);
    return done ? Status() : fail(root_.shown(entry.path), done.error());
  }
  /// Since the last call.
  std::vector<Outcome> outcomes() { return std::exchange(outcomes_, {}); }

 private:
  Status open(File& file) {
    const Arrival& arrival = file.arrival;
    if (arrival.entry.size >= least_part) {
      if (auto part = intake_.parts_.make(arrival.listed_sha256)) {
        file.made = *std::move(part);
        file.is_part = true;
        return {};
      }
    }
    TRY_SET(made, "", placer_.new_file(arrival.entry));
    file.made = std::move(made);
    return {};
  }

  Status data(File& file, std::string_view bytes) {
    const auto written = write_at(file.made.fd.get(), bytes, file.at);
    if (!written) return fail(root_.shown(file.arrival.entry.path), written.error());
    file.hash.add(bytes);
    file.at += bytes.size();
    return {};
  }

  Status hole(File& file, std::uint64_t length) {
    file.at += length;
    add_zeros(file.hash, length, [this] { return intake_.stop_.load(); });
    return {};
  }

  /// What is hashed is what is written to the new file, or what is read from there: whatever is done to the base
  /// meanwhile, no other content passes for the announced one. A base that is gone, or too short, makes the file wrong
  /// and is no error.
  Status same(File& file, const Step& step) {
    const Arrival& arrival = file.arrival;
    const std::uint64_t of_part =
        step.offset < arrival.part_bytes ? std::min(step.length, arrival.part_bytes - step.offset) : 0;
    if (of_part > 0) {
      if (!file.part) file.part = intake_.parts_.open_part(arrival.base_part).value_or(os::Fd());
      TRY("", same(file, file.part, step.offset, of_part));
    }
    if (of_part == step.length || file.is_wrong) return {};
    if (!file.base && !arrival.base.empty()) file.base = root_.open_file(arrival.base).value_or(os::Fd());
    return same(file, file.base, step.offset + of_part - arrival.part_bytes, step.length - of_part);
  }
  Status same(File& file, const os::Fd& base, std::uint64_t from, std::uint64_t length) {
    file.is_wrong = !base;
    if (file.is_wrong) return {};
    if (length < large_file) return copy(file, base, from, length);
    if (file.at == 0 && from == 0 && share_content(base.get(), file.made.fd.get())) return shared(file, length);
    const auto marks = standing_of(base.get());
    file.is_wrong = !marks || marks->size < length || marks->size - length < from;
    if (file.is_wrong) return {};
    if (marks->allocated >= marks->size) return copy(file, base, from, length);
    return copy_with_holes(file, base, from, from + length);
  }

  /// The new file has the base's blocks, of which `length` bytes are wanted.
  Status shared(File& file, std::uint64_t length) {
    if (::ftruncate(file.made.fd.get(), static_cast<off_t>(length)) < 0) return fail_errno("write");
    return hash(file, {.fd = file.made.fd.get(), .length = length}, {});
  }

  Status copy(File& file, const os::Fd& base, std::uint64_t from, std::uint64_t length) {
    return hash(file, {.fd = base.get(), .from = from, .length = length},
                [fd = file.made.fd.get(), from, to = file.at](std::string_view bytes, std::uint64_t at) {
                  return write_at(fd, bytes, to + (at - from));
                });
  }

  /// lseek(2), SEEK_DATA and SEEK_HOLE; without them, all is data.
  Status copy_with_holes(File& file, const os::Fd& base, std::uint64_t from, std::uint64_t end) {
    while (from < end && !file.is_wrong && !intake_.stop_) {
      const off_t data = ::lseek(base.get(), static_cast<off_t>(from), SEEK_DATA);
      const std::uint64_t none = errno == ENXIO ? end : from;
      const std::uint64_t begin = data < 0 ? none : std::min(static_cast<std::uint64_t>(data), end);
      file.ends_in_hole = begin == end;
      TRY("", hole(file, begin - from));
      if (begin == end) break;
      const off_t hole = ::lseek(base.get(), static_cast<off_t>(begin), SEEK_HOLE);
      from = hole < 0 ? end : std::min(static_cast<std::uint64_t>(hole), end);
      TRY("", copy(file, base, begin, from - begin));
    }
    return {};
  }

  Status hash(File& file, Range range, const PartSink& sink) {
    if (range.length >= large_file && intake_.has_idle_cores()) range.threads = threads_for_large_file();
    std::atomic<bool> is_unreadable{true};
    const auto hashed = hash_range(range, file.hash, buffer_, [&](std::string_view bytes, std::uint64_t at) {
      auto taken = intake_.stop_ ? fail(Kind::cancelled, "stopped") : sink ? sink(bytes, at) : Status();
      if (!taken) is_unreadable = false;
      return taken;
    });
    if (intake_.stop_) return {};
    if (!hashed && !is_unreadable) return tl::unexpected<Error>(hashed.error());
    file.is_wrong = !hashed || *hashed < range.length;
    if (hashed) file.at += *hashed;
    return {};
  }

  /// The store has hashed it.
  Status stored(File& file) {
    const Entry& entry = file.arrival.entry;
    if (!store_) store_.emplace(ContentStore::open(intake_.content_store_));
    if (!*store_) {
      file.is_wrong = true;
      return {};
    }
    const auto taken = (*store_)->take(entry.sha256, entry.size, file.made.fd.get());
    if (!taken) return fail(root_.shown(entry.path), taken.error());
    file.is_wrong = !*taken;
    file.is_checked = *taken;
    file.at = entry.size;
    return {};
  }

  Status drop(File& file) {
    file.is_wrong = true;  // whatever there is of it
    return {};
  }

  Status keep(File& file, const std::string& announced) {
    const Arrival& arrival = file.arrival;
    if (file.ends_in_hole && ::ftruncate(file.made.fd.get(), static_cast<off_t>(file.at)) < 0)
      return fail_errno("write " + root_.shown(arrival.entry.path));
    Outcome outcome{.index = arrival.index, .entry = arrival.entry};
    outcome.entry.size = file.at;
    const std::string sha256 = file.is_checked ? announced : file.hash.finish();
    if (file.is_wrong || sha256 != announced) {
      file.is_wrong = true;
      if (!arrival.is_optional) {
        return fail(Kind::corrupt, "a file arrived damaged: " + root_.shown(arrival.entry.path),
                    "its SHA-256 is not the one the sender announced", "try again");
      }
    } else {
      outcome.entry.sha256 = sha256;
      if (sha256 == arrival.listed_sha256) TRY("", copies(file, outcome));
      TRY_SET(marks, "", placer_.place_file(file.made, outcome.entry));
      file.made.fd.reset();
      outcome.placed = true;
      outcome.mtime_ns = marks.mtime_ns;
      if (file.is_part) intake_.parts_.remove(arrival.listed_sha256);
    }
    outcomes_.push_back(std::move(outcome));
    return {};
  }

  Status copies(const File& file, Outcome& outcome) {
    const Arrival& arrival = file.arrival;
    for (std::size_t i = 0; i < arrival.copies.size() && !intake_.stop_; ++i) {
      const Entry& copy = arrival.copies[i];
      TRY_SET(made, "", placer_.new_file(copy));
      TRY(root_.shown(copy.path), clone_content(file.made.fd.get(), made.fd.get()));
      TRY_SET(marks, "", placer_.place_file(made, copy));
      outcome.copies.emplace_back(arrival.copy_indexes[i], marks.mtime_ns);
    }
    return {};
  }

  Intake& intake_;
  Root root_;
  Placer placer_;
  std::vector<Outcome> outcomes_;
  std::optional<Result<ContentStore>> store_;  ///< opened when first asked
  std::string buffer_;                         ///< of hash_range()
};

Intake::Intake(const Root& root, const Placer& placer, const Parts& parts, os::Path content_store)
    : root_(root),
      placer_(placer),
      parts_(parts),
      content_store_(std::move(content_store)),
      workers_(std::clamp(std::thread::hardware_concurrency(), 1U, most_workers)) {}

Status Intake::start() {
  for (unsigned i = 1; i <= workers_; ++i) {
    TRY_SET(own, "", root_.again());
    threads_.emplace_back([this, i, mine = std::move(own)]() mutable { work(static_cast<int>(i), std::move(mine)); });
  }
  return {};
}

Intake::~Intake() {
  {
    const std::lock_guard hold(mutex_);
    stop_ = true;
  }
  given_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Intake::Handle Intake::begin(Arrival arrival) { return std::make_shared<File>(std::move(arrival)); }

void Intake::give(const Handle& file, std::vector<Step>& steps) {
  bool takes_long = false;
  for (const Step& step : steps) {
    memory_gathered_ += memory_of(step);
    takes_long = takes_long || step.length >= large_file;
  }
  gathered_.push_back({file, std::exchange(steps, {})});
  if (takes_long || gathered_.size() >= files_gathered || memory_gathered_ >= most_gathered) hand_over();
}

void Intake::hand_over() {
  {
    const std::lock_guard hold(mutex_);
    for (Given& given : gathered_) {
      std::move(given.steps.begin(), given.steps.end(), std::back_inserter(given.file->steps));
      if (!std::exchange(given.file->is_scheduled, true)) ready_.push_back(std::move(given.file));
    }
  }
  held_ += std::exchange(memory_gathered_, 0);
  gathered_.clear();
  given_.notify_all();
}

void Intake::work(int number, Root root) {
  Worker worker(*this, std::move(root), number);
  std::vector<Given> taken;
  std::unique_lock hold(mutex_);
  while (true) {
    given_.wait(hold, [&] { return stop_ || !ready_.empty(); });
    if (stop_) return;
    ++busy_;
    for (std::size_t count = std::min(files_taken, ready_.size() / threads_.size() + 1); count > 0 && !ready_.empty();
         --count) {
      auto steps = std::exchange(ready_.front()->steps, {});
      taken.push_back({std::move(ready_.front()), std::move(steps)});
      ready_.pop_front();
    }
    hold.unlock();
    std::uint64_t memory = 0;
    for (Given& given : taken) {
      for (Step& step : given.steps) {
        memory += memory_of(step);
        auto done = stop_ ? Status() : worker.take(*given.file, step);
        if (!done) fail_with(std::move(done).error());
      }
      given.steps.clear();
    }
    auto outcomes = worker.outcomes();
    hold.lock();
    held_ -= memory;
    for (Given& given : taken) {
      given.file->is_scheduled = !given.file->steps.empty();  // more came meanwhile
      if (given.file->is_scheduled) ready_.push_front(std::move(given.file));
    }
    std::move(outcomes.begin(), outcomes.end(), std::back_inserter(outcomes_));
    has_news_ = has_news_ || !outcomes.empty();
    hold.unlock();
    taken.clear();
    hold.lock();
    --busy_;
    done_.notify_one();
  }
}

bool Intake::has_idle_cores() {
  const std::lock_guard hold(mutex_);
  return busy_ * 2 <= workers_;
}

void Intake::fail_with(Error error) {
  const std::lock_guard hold(mutex_);
  if (!error_) error_ = std::move(error);
  stop_ = has_news_ = true;
  given_.notify_all();
}

Status Intake::wait(bool all, const std::function<Status()>& beat) {
  if (all) hand_over();
  if (!all && held_ < most_waiting && !has_news_) return {};
  std::unique_lock hold(mutex_);
  const auto is_over = [&] { return error_ || (all ? ready_.empty() && busy_ == 0 : held_ < most_waiting); };
  while (!done_.wait_for(hold, between_looks, is_over)) {
    hold.unlock();
    TRY("", beat());
    hold.lock();
  }
  if (error_) return tl::unexpected<Error>(*error_);
  return {};
}

std::vector<Intake::Outcome> Intake::outcomes() {
  if (!has_news_) return {};
  const std::lock_guard hold(mutex_);
  has_news_ = error_.has_value();
  return std::exchange(outcomes_, {});
}

}  // namespace ferry::sync
