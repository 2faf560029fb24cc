#include "sync/blocks.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace ferry::sync {

namespace {

constexpr std::size_t area_size = largest_prefix + 5 * largest_block;
constexpr std::size_t plain_size = largest_prefix + largest_block;
constexpr std::size_t least_prefix = std::size_t{128} << 10;
constexpr unsigned most_packers = 4;
constexpr int window_log = 23;  // more than the largest prefix and block

/// Tables that cover prefix and block bring more than a higher level does, where files are like the ones before them.
struct Effort {
  int level, hash_log, chain_log;
};
constexpr std::array<Effort, efforts> all_efforts{
    {{1, 14, 0}, {1, 19, 0}, {1, 20, 0}, {3, 20, 20}, {6, 21, 20}, {8, 21, 20}}};

auto bad_block(const char* why) { return fail(Kind::corrupt, "what the other side sent cannot be decompressed", why); }

}  // namespace

void append_number(std::string& to, std::uint64_t value) {
  do {
    to += static_cast<char>((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>= 7;
  } while (value != 0);
}

std::size_t prefix_of(std::size_t before, std::size_t length) {
  return std::min({before, largest_prefix, std::max(least_prefix, 4 * length)});
}

class Packer::Context {
 public:
  Context() : zstd_(ZSTD_createCCtx()) {}
  ~Context() { ZSTD_freeCCtx(zstd_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void pack(Job& job) {
    const Effort& effort = all_efforts[job.effort];
    const std::size_t room = job.length - job.length / 64;  // in which it brings something
    job.packed = make_buffer(room);
    ZSTD_CCtx_reset(zstd_, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(zstd_, ZSTD_c_compressionLevel, effort.level);
    ZSTD_CCtx_setParameter(zstd_, ZSTD_c_hashLog, effort.hash_log);
    ZSTD_CCtx_setParameter(zstd_, ZSTD_c_chainLog, effort.chain_log);
    if (job.prefix > 0) ZSTD_CCtx_setParameter(zstd_, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_refPrefix(zstd_, job.plain - job.prefix, job.prefix);
    const std::size_t made = ZSTD_compress2(zstd_, job.packed.get(), room, job.plain, job.length);
    // An error is no harm: it goes as it is.
    if (ZSTD_isError(made) == 0)
      job.packed_length = made;
    else
      job.packed.reset();
  }

 private:
  ZSTD_CCtx* zstd_;
};

Packer::Packer(std::size_t effort) : effort_(effort) {}

Packer::~Packer() {
  {
    const std::lock_guard hold(mutex_);
    stop_ = true;
  }
  given_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

/// For a block of the present goal. False if first another must go.
bool Packer::make_room() {
  Area& now = area();
  if (!now.bytes) now.bytes = std::make_unique_for_overwrite<char[]>(area_size);
  if (now.used + goal_ <= area_size) return true;
  Area& next = areas_[1 - current_];
  {
    const std::lock_guard hold(mutex_);
    if (next.jobs > 0) return false;
  }
  if (!next.bytes) next.bytes = std::make_unique_for_overwrite<char[]>(area_size);
  next.used = std::min(now.used, largest_prefix);
  std::memcpy(next.bytes.get(), now.bytes.get() + now.used - next.used, next.used);
  current_ = 1 - current_;
  begin_ = next.used;
  return true;
}

bool Packer::is_full() {
  const std::lock_guard hold(mutex_);
  const std::size_t usual = threads_.size() + jobs_besides;
  return undone_ >= usual || (jobs_.size() >= usual && held_ >= most_held_);
}

/// What goes as it is, and may wait for long, is not to keep an area.
void Packer::detach(Job& job) const {
  if (job.packed_length > 0 || job.area == nullptr || most_held_ == 0) return;
  job.own = make_buffer(job.length);
  std::memcpy(job.own.get(), job.plain, job.length);
  job.plain = job.own.get();
}

/// It is packed, or goes as it is. With the mutex held.
void Packer::end(Job& job) {
  job.done = true;
  held_ += job.packed_length > 0 ? job.packed_length : job.length;
  const bool needs_area = job.packed_length == 0 && !job.own;
  if (job.area != nullptr && !needs_area) std::exchange(job.area, nullptr)->jobs--;
}

std::size_t Packer::add(std::string_view bytes) {
  if (is_full()) return 0;
  const bool is_alone = has_open_block() ? open_length_ > 0 : effort_ == 0;
  return is_alone ? add_alone(bytes) : add_to_area(bytes);
}

std::size_t Packer::add_to_area(std::string_view bytes) {
  if (area().used == begin_ && !make_room()) return 0;
  Area& now = area();
  const std::size_t taken = std::min(bytes.size(), begin_ + goal_ - now.used);
  bytes.copy(now.bytes.get() + now.used, taken);
  now.used += taken;
  if (now.used == begin_ + goal_) {
    start_threads();
    close_block();
    goal_ = std::min(goal_ * 2, largest_block);
  }
  return taken;
}

std::size_t Packer::add_alone(std::string_view bytes) {
  if (!open_) open_ = make_buffer(piece_size);
  const std::size_t taken = bytes.copy(open_.get() + open_length_, piece_size - open_length_);
  open_length_ += taken;
  if (open_length_ == piece_size) {
    start_threads();
    close_block();
  }
  return taken;
}

bool Packer::add_whole(Buffer& bytes, std::size_t length) {
  if (has_open_block()) {
    if (is_full()) return false;
    close_block();
  }
  if (is_full()) return false;
  start_threads();
  auto job = std::make_unique<Job>();
  job->own = std::move(bytes);
  job->plain = job->own.get();
  job->length = length;
  put(std::move(job));
  return true;
}

void Packer::close_block() {
  auto job = std::make_unique<Job>();
  if (open_length_ > 0) {
    job->own = std::move(open_);
    job->plain = job->own.get();
    job->length = std::exchange(open_length_, 0);
  } else {
    job->area = &area();
    job->plain = area().bytes.get() + begin_;
    job->length = area().used - begin_;
    job->is_alone = false;
    job->prefix = prefix_of(begin_, job->length);
    begin_ = area().used;
    const std::lock_guard hold(mutex_);
    area().jobs++;
  }
  job->effort = effort_;
  put(std::move(job));
}

void Packer::put(std::unique_ptr<Job> job) {
  job->as_it_is = left_as_they_are_ > 0;
  left_as_they_are_ -= std::min(left_as_they_are_, job->length);
  const bool by_thread = !job->as_it_is && !threads_.empty();
  if (!job->as_it_is && !by_thread) {
    if (!context_) context_ = std::make_unique<Context>();
    context_->pack(*job);
  }
  if (!by_thread) detach(*job);
  {
    const std::lock_guard hold(mutex_);
    if (by_thread) {
      to_pack_.push_back(job.get());
      ++undone_;
    } else {
      end(*job);
    }
    jobs_.push_back(std::move(job));
  }
  if (by_thread) given_.notify_one();
}

void Packer::start_threads() {
  if (!threads_.empty()) return;
  const unsigned count = std::clamp(std::thread::hardware_concurrency(), 1U, most_packers);
  for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
}

void Packer::work() {
  Context context;
  std::unique_lock hold(mutex_);
  while (true) {
    given_.wait(hold, [&] { return stop_ || !to_pack_.empty(); });
    if (stop_) return;
    Job& job = *to_pack_.front();
    to_pack_.pop_front();
    hold.unlock();
    context.pack(job);
    detach(job);
    hold.lock();
    --undone_;
    end(job);
    done_.notify_one();
  }
}

std::optional<Packer::Block> Packer::first(std::chrono::milliseconds limit) {
  std::unique_lock hold(mutex_);
  if (!done_.wait_for(hold, limit, [&] { return jobs_.front()->done; })) return {};
  const Job& job = *jobs_.front();
  const bool is_packed = job.packed_length > 0;
  Block block{.length = job.length, .did_not_shrink = !is_packed && !job.as_it_is};
  append_number(block.header, job.length * 4 + (is_packed ? 1 : 0) + (job.is_alone ? 2 : 0));
  if (is_packed) append_number(block.header, job.packed_length);
  block.body =
      is_packed ? std::string_view(job.packed.get(), job.packed_length) : std::string_view(job.plain, job.length);
  return block;
}

void Packer::drop_first() {
  const std::lock_guard hold(mutex_);
  const Job& job = *jobs_.front();
  held_ -= job.packed_length > 0 ? job.packed_length : job.length;
  if (job.area != nullptr) job.area->jobs--;
  jobs_.pop_front();
}

struct Unpacker::Zstd {
  ZSTD_DCtx* in = ZSTD_createDCtx();
  Zstd() = default;
  ~Zstd() { ZSTD_freeDCtx(in); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
};

Unpacker::Unpacker() : zstd_(std::make_unique<Zstd>()) {}
Unpacker::~Unpacker() = default;

/// Leaves `length_` 0 if there is not all of it.
Status Unpacker::take_header(std::string_view& bytes) {
  while (!bytes.empty()) {
    header_ += bytes.front();
    bytes.remove_prefix(1);
    std::uint64_t values[2] = {0, 0};
    int complete = 0, shift = 0;
    for (const char c : header_) {
      values[complete] |= std::uint64_t{static_cast<unsigned char>(c)} % 0x80 << shift;
      shift += 7;
      if (shift > 28) return bad_block("a block that is too long");
      if (static_cast<unsigned char>(c) >= 0x80) continue;
      ++complete;
      shift = 0;
    }
    if (complete == 0) continue;
    is_packed_ = values[0] % 2 != 0;
    is_alone_ = values[0] % 4 >= 2;
    if (is_packed_ && complete < 2) continue;
    length_ = values[0] / 4;
    packed_length_ = is_packed_ ? values[1] : length_;
    header_.clear();
    return begin_block();
  }
  return {};
}

Status Unpacker::begin_block() {
  if (length_ == 0 || length_ > largest_block || packed_length_ == 0 || packed_length_ > ZSTD_compressBound(length_))
    return bad_block("a block of an impossible length");
  have_ = 0;
  if (is_alone_ && !is_packed_) return {};
  if (!plain_) plain_ = std::make_unique_for_overwrite<char[]>(plain_size);
  if (is_packed_ && !packed_) packed_ = std::make_unique_for_overwrite<char[]>(ZSTD_compressBound(largest_block));
  if (used_ + length_ <= plain_size) return {};
  std::memmove(plain_.get(), plain_.get() + used_ - largest_prefix, largest_prefix);
  used_ = largest_prefix;
  return {};
}

Result<std::string_view> Unpacker::take(std::string_view& bytes) {
  if (length_ == 0) TRY("", take_header(bytes));
  if (length_ == 0) return std::string_view();
  if (const std::size_t next = plain_next(); next > 0) {
    const std::string_view plain = bytes.substr(0, next);
    bytes.remove_prefix(plain.size());
    skip_plain(plain.size());
    return plain;
  }
  char* plain = plain_.get() + used_;
  const std::size_t taken = bytes.copy((is_packed_ ? packed_.get() : plain) + have_, packed_length_ - have_);
  bytes.remove_prefix(taken);
  have_ += taken;
  if (have_ < packed_length_) return std::string_view();
  if (is_packed_) {
    const std::size_t prefix = is_alone_ ? 0 : prefix_of(used_, length_);
    ZSTD_DCtx_refPrefix(zstd_->in, plain - prefix, prefix);
    const std::size_t made = ZSTD_decompressDCtx(zstd_->in, plain, length_, packed_.get(), packed_length_);
    if (ZSTD_isError(made) != 0) return bad_block(ZSTD_getErrorName(made));
    if (made != length_) return bad_block("a block of another length than announced");
  }
  if (!is_alone_) used_ += length_;
  return std::string_view(plain, std::exchange(length_, 0));
}

void Unpacker::skip_plain(std::size_t bytes) {
  have_ += bytes;
  if (have_ == length_) length_ = have_ = 0;
}

}  // namespace ferry::sync
