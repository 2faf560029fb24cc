#include "s3/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "s3/journal.h"
#include "s3/objects.h"
#include "s3/sum_said.h"
#include "store/content.h"
#include "store/keys.h"

namespace ferry::s3 {
namespace {

constexpr int most_rounds = 3;
constexpr std::size_t most_lines = 10;

/// The modification time that says which object a file is.
struct timespec stamp_of(const Listed& object) {
  std::uint64_t sum = 14695981039346656037U;  // FNV-1a
  for (const char c : object.etag) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return {.tv_sec = static_cast<time_t>(object.modified_ms / 1000), .tv_nsec = static_cast<long>(sum % 1'000'000'000U)};
}

bool is_there(const os::Path& path, const Listed& object) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0 || !S_ISREG(info.st_mode)) return false;
  const auto stamp = stamp_of(object);
  return static_cast<std::uint64_t>(info.st_size) == object.bytes && info.st_mtim.tv_sec == stamp.tv_sec &&
         info.st_mtim.tv_nsec == stamp.tv_nsec;
}

/// Flushes nothing: a machine that loses its power fetches again.
Status put_in_place(int fd, const os::Path& temp, const os::Path& path, const Listed& object) {
  const struct timespec times[2] = {stamp_of(object), stamp_of(object)};
  if (::futimens(fd, times) < 0) return fail_errno("write " + temp.string());
  if (::rename(temp.c_str(), path.c_str()) < 0) return fail_errno("write " + path.string());
  return {};
}

Status write_at(int fd, std::string_view bytes, std::uint64_t at, const os::Path& path) {
  while (!bytes.empty()) {
    const auto done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno("write " + path.string());
    at += static_cast<std::uint64_t>(done);
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

tl::unexpected<Error> damaged(const Listed& object, const char* why) {
  return fail(Kind::corrupt, "what came of " + printable(object.key) + " is not what S3 has of it", why,
              "try again; if that goes on, the machine's memory or network is bad");
}

/// An MD5, unless the object is encrypted by keys of KMS or of somebody's own.
bool is_md5(const std::string& etag, const os::HttpResponse& answer) {
  const auto how = answer.header("x-amz-server-side-encryption");
  return etag.size() == 32 && etag.find_first_not_of("0123456789abcdef") == etag.npos &&
         (how.empty() || how == "AES256") && answer.header("x-amz-server-side-encryption-customer-algorithm").empty();
}

/// A large object under way. Its mutex guards all of it.
struct Pieces {
  std::mutex mutex;
  bool has_begun = false, is_given_up = false;
  bool is_noted = false;  ///< as given up
  os::Path temp;
  os::Fd fd;
  Journal journal{""};
  std::optional<Sum> sum;
  std::uint64_t expected = 0, count = 0, left = 0;
};

struct File {
  Listed object;
  os::Path path;
  std::unique_ptr<Pieces> pieces = {};  ///< of a large one
};

struct Work {
  std::size_t file = 0;
  std::uint64_t piece = 0;
};

class Copy {
 public:
  Copy(std::shared_ptr<Session> session, const CopyOrder& order)
      : session_(std::move(session)),
        order_(order),
        piece_(session_->limits().part),
        together_(
            [this](std::uint64_t bytes) { return !order_.moved || order_.moved(bytes, files_done_.exchange(0)); }) {}

  Result<Copied> run(const Found& found) {
    plan(found);
    if (order_.kept) order_.kept(copied_.kept_bytes, copied_.kept_files);
    TRY("", check_space());
    TRY("", make_folders());
    for (int round = 1; !files_.empty(); ++round) {
      fetch_all();
      if (auto error = together_.error()) return tl::unexpected(*std::move(error));
      TRY("", look_again(round));
    }
    if (!together_.moved(0)) return store::stopped("copy from S3");
    return std::move(copied_);
  }

 private:
  /// Sorts out what is there, and what can be no file.
  void plan(const Found& found) {
    for (const auto& object : found.objects) {
      const auto name = found.is_file ? std::string() : object.key.substr(found.base.size());
      const auto slash = name.rfind('/');
      if (!found.is_file && !store::is_clean_path(name)) {
        skip(object, "that is no path of a file");
      } else if (slash != name.npos) {
        folders_.insert(name.substr(0, slash));
      }
    }
    for (const auto& object : found.objects) {
      const auto name = found.is_file ? std::string() : object.key.substr(found.base.size());
      if (!found.is_file && !store::is_clean_path(name)) continue;
      if (is_folder(name)) {
        skip(object, "it is a folder, too");
        continue;
      }
      auto path = found.is_file ? order_.to : order_.to / name;
      ++copied_.files;
      copied_.bytes += object.bytes;
      if (is_there(path, object)) {
        ++copied_.kept_files;
        copied_.kept_bytes += object.bytes;
      } else {
        files_.push_back({object, std::move(path)});
      }
    }
    if (found.is_file) folders_.insert("");
  }

  bool is_folder(const std::string& name) const {
    if (folders_.contains(name)) return true;
    const auto after = folders_.lower_bound(name + "/");
    return after != folders_.end() && after->starts_with(name + "/");
  }

  void skip(const Listed& object, const char* why) {
    if (copied_.skipped.size() < most_lines)
      copied_.skipped.push_back("not copied: " + short_line(object.key, 200) + ": " + why);
  }

  Status check_space() const {
    std::uint64_t needed = 0;
    for (const auto& file : files_) {
      struct stat info;
      const bool begun = ::stat(store::part_of(file.path).c_str(), &info) == 0;
      const auto has = begun ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
      needed += file.object.bytes - std::min(has, file.object.bytes);
    }
    const auto free = os::free_space(order_.to);
    if (needed <= free) return {};
    return fail(Kind::disk_full, "the data do not fit on the machine's disk",
                show_bytes(needed) + " are to be copied, " + show_bytes(free) + " are free at " + order_.to.string());
  }

  Status make_folders() const {
    if (files_.empty() && copied_.files > 0) return {};
    for (const auto& folder : folders_) {
      const auto path = order_.to / folder;
      TRY("", os::make_dirs(folder.empty() ? order_.to.parent_path() : path));
    }
    if (!folders_.contains("")) TRY("", os::make_dirs(order_.to));
    return {};
  }

  /// Large ones first: what is left at the end is small.
  void fetch_all() {
    work_.clear();
    next_ = 0;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      if (files_[i].object.bytes <= piece_) continue;
      files_[i].pieces = std::make_unique<Pieces>();
      const auto count = (files_[i].object.bytes + piece_ - 1) / piece_;
      for (std::uint64_t piece = 0; piece < count; ++piece) work_.push_back({i, piece});
    }
    for (std::size_t i = 0; i < files_.size(); ++i) {
      if (!files_[i].pieces) work_.push_back({i, 0});
    }
    const auto threads = std::min<std::size_t>(work_.size(), static_cast<std::size_t>(std::max(order_.connections, 1)));
    Together::run(static_cast<int>(threads), [this] { fetch_some(); });
  }

  void fetch_some() {
    Line line(session_);
    std::string buffer;
    while (!together_.has_failed()) {
      const auto at = next_.fetch_add(1);
      if (at >= work_.size()) return;
      File& file = files_[work_[at].file];
      auto done = file.pieces ? fetch_piece(line, file, work_[at].piece) : fetch_small(line, file, buffer);
      if (done) continue;
      const auto& error = done.error();
      const bool has_changed = error.code == "PreconditionFailed" || error.code == "NoSuchKey" ||
                               error.code == "NotFound" || error.code == "InvalidRange" || error.kind == Kind::corrupt;
      if (!has_changed) return together_.fail_with(std::move(done).error());
      give_up(work_[at].file, std::move(done).error());
    }
  }

  /// It has another content by now, or what came of it is damaged: once more when the others are there.
  void give_up(std::size_t file, Error why) {
    if (const auto& pieces = files_[file].pieces) {
      const std::lock_guard lock(pieces->mutex);
      pieces->is_given_up = true;
      if (std::exchange(pieces->is_noted, true)) return;
      ::unlink(pieces->temp.c_str());
      pieces->journal.forget();
    }
    const std::lock_guard lock(mutex_);
    given_up_.emplace_back(file, std::move(why));
  }

  /// Takes those that were given up as they are now.
  Status look_again(int round) {
    std::vector<File> again;
    Line line(session_);
    for (auto& [index, why] : std::exchange(given_up_, {})) {
      auto& object = files_[index].object;
      if (round == most_rounds && why.kind == Kind::corrupt) return tl::unexpected(std::move(why));
      TRY_SET(head, "it was removed or changed while it was copied", head_object(line, object.key));
      if (round == most_rounds)
        return fail(Kind::conflict, "it is changed again and again while it is copied: " + printable(object.key), {},
                    "copy it when nobody writes it");
      copied_.bytes += head.bytes - object.bytes;
      object = {object.key, head.etag, head.bytes, head.modified_ms};
      again.push_back({object, files_[index].path});
    }
    files_ = std::move(again);
    return {};
  }

  Call call_for(const Listed& object) {
    Call call{.action = "GetObject", .doing = "copy " + printable(object.key), .key = object.key};
    call.headers.emplace_back("If-Match", "\"" + object.etag + "\"");
    call.streams.moved = [this](std::uint64_t) { return together_.moved(0); };
    return call;
  }

  Status fetch_small(Line& line, File& file, std::string& buffer) {
    const Listed& object = file.object;
    buffer.clear();
    if (object.bytes > 0) {
      Call call = call_for(object);
      call.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
      call.begin = [&]() -> Status {
        buffer.clear();
        return {};
      };
      call.streams.take = [&](std::string_view bytes) -> Status {
        if (buffer.size() + bytes.size() > object.bytes) return damaged(object, "it is longer");
        buffer += bytes;
        return {};
      };
      TRY_SET(answer, "", line.call(call));
      if (buffer.size() != object.bytes) return damaged(object, "it is shorter");
      if (const auto said = sum_said(answer)) {
        if (crc(said->sum, buffer) != said->value) return damaged(object, "its checksum is another");
      } else if (is_md5(object.etag, answer) && hex(md5(buffer)) != object.etag) {
        return damaged(object, "its MD5 is another");
      }
    }
    const auto temp = store::part_of(file.path);
    TRY_SET(fd, "", os::open_file(temp, O_WRONLY | O_CREAT | O_TRUNC));
    TRY("", write_at(fd.get(), buffer, 0, temp));
    TRY("", put_in_place(fd.get(), temp, file.path, object));
    count_done(object.bytes, 1);
    return {};
  }

  void count_done(std::uint64_t bytes, std::uint64_t files) {
    files_done_ += files;
    (void)together_.moved(bytes);
  }

  Status fetch_piece(Line& line, File& file, std::uint64_t number) {
    Pieces& pieces = *file.pieces;
    const std::uint64_t from = number * piece_, size = std::min(piece_, file.object.bytes - from);
    {
      const std::lock_guard lock(pieces.mutex);
      if (pieces.is_given_up) return {};
      if (!std::exchange(pieces.has_begun, true)) {
        auto begun = begin_pieces(line, file);
        pieces.is_given_up = !begun;
        if (!begun) return begun;
      }
      if (pieces.journal.pieces().contains(static_cast<int>(number))) {
        count_done(size, 0);
        return {};
      }
    }
    Call call = call_for(file.object);
    call.headers.emplace_back("Range", "bytes=" + std::to_string(from) + "-" + std::to_string(from + size - 1));
    std::uint64_t at = from, sum = 0;
    call.begin = [&]() -> Status {
      at = from;
      sum = 0;
      return {};
    };
    call.streams.take = [&](std::string_view bytes) -> Status {
      if (at + bytes.size() > from + size) return damaged(file.object, "a piece is longer");
      TRY("", write_at(pieces.fd.get(), bytes, at, pieces.temp));
      if (pieces.sum) sum = crc(*pieces.sum, bytes, sum);
      at += bytes.size();
      return {};
    };
    TRY_SET(answer, "", line.call(call));
    if (answer.status != 206 || at != from + size) return damaged(file.object, "S3 sent another piece");
    {
      const std::lock_guard lock(pieces.mutex);
      if (pieces.is_given_up) return {};
      pieces.journal.add(static_cast<int>(number), pieces.sum ? std::to_string(sum) : "-");
      if (--pieces.left == 0) TRY("", end_pieces(file));
    }
    count_done(size, 0);
    return {};
  }

  /// Under the lock: asks for the checksum, and looks what an earlier copy left.
  Status begin_pieces(Line& line, File& file) {
    Pieces& pieces = *file.pieces;
    Call call = call_for(file.object);
    call.method = "HEAD";
    call.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
    TRY_SET(answer, "", line.call(call));
    std::string sum_name;
    if (const auto said = sum_said(answer)) {
      pieces.sum = said->sum;
      pieces.expected = said->value;
      sum_name = std::to_string(static_cast<int>(said->sum));
    }
    pieces.temp = store::part_of(file.path);
    pieces.journal = Journal(pieces.temp.string() + ".pieces");
    TRY_SET(fd, "", os::open_file(pieces.temp, O_RDWR | O_CREAT));
    pieces.fd = std::move(fd);
    const Json now = {{"etag", file.object.etag}, {"bytes", file.object.bytes}, {"piece", piece_}, {"sum", sum_name}};
    if (pieces.journal.load() != now) {
      if (::ftruncate(pieces.fd.get(), 0) < 0) return fail_errno("write " + pieces.temp.string());
      pieces.journal.begin(now);
    }
    pieces.count = (file.object.bytes + piece_ - 1) / piece_;
    pieces.left = pieces.count - std::min<std::uint64_t>(pieces.count, pieces.journal.pieces().size());
    return pieces.left == 0 ? end_pieces(file) : Status();
  }

  /// Under the lock.
  Status end_pieces(File& file) {
    Pieces& pieces = *file.pieces;
    struct stat info;
    if (::fstat(pieces.fd.get(), &info) < 0 || static_cast<std::uint64_t>(info.st_size) != file.object.bytes)
      return damaged(file.object, "its size is another");
    if (pieces.sum) {
      std::uint64_t whole = 0;
      for (std::uint64_t i = 0; i < pieces.count; ++i) {
        const auto noted = pieces.journal.pieces().find(static_cast<int>(i));
        std::uint64_t sum = 0;
        if (noted != pieces.journal.pieces().end())
          (void)std::from_chars(noted->second.data(), noted->second.data() + noted->second.size(), sum);
        const auto size = std::min(piece_, file.object.bytes - i * piece_);
        whole = i == 0 ? sum : joined_crc(*pieces.sum, whole, sum, size);
      }
      if (whole != pieces.expected) return damaged(file.object, "its checksum is another");
    }
    TRY("", put_in_place(pieces.fd.get(), pieces.temp, file.path, file.object));
    pieces.fd.reset();
    const auto noted = pieces.temp.string() + ".pieces";
    ::unlink(noted.c_str());  // what it says is still asked for
    ++files_done_;
    return {};
  }

  std::shared_ptr<Session> session_;
  const CopyOrder& order_;
  std::uint64_t piece_;
  std::atomic<std::uint64_t> files_done_{0};
  Together together_;
  Copied copied_;
  std::set<std::string> folders_;  ///< below the target
  std::vector<File> files_;        ///< to be fetched
  std::vector<Work> work_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;
  std::vector<std::pair<std::size_t, Error>> given_up_;
};

}  // namespace

Result<Copied> copy_down(const std::shared_ptr<Session>& session, const Found& found, const CopyOrder& order) {
  return Copy(session, order).run(found);
}

}  // namespace ferry::s3
