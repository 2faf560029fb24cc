// Files to S3: in one request, or in parts that several connections send at once.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/crc.h"
#include "base/hash.h"
#include "base/text.h"
#include "s3/errors.h"
#include "s3/journal.h"
#include "s3/objects.h"
#include "s3/xml.h"
#include "store/content.h"

namespace ferry::s3 {
namespace {

constexpr std::uint64_t most_parts = 10'000;
constexpr std::uint64_t least_part = std::uint64_t{5} << 20;  // S3's, but for the last part
constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
constexpr std::size_t hashed_at_once = std::size_t{128} << 10;
/// S3 puts the parts together while the answer waits.
constexpr Millis completion_silence{180'000};

std::uint64_t part_size(std::uint64_t bytes, std::uint64_t wanted) {
  const std::uint64_t needed = (bytes + most_parts - 1) / most_parts;
  return std::max({wanted, least_part, (needed + mebibyte - 1) / mebibyte * mebibyte});
}

Error changed(const os::Path& path) {
  return {Kind::corrupt,
          path.string() + " does not hold what it should",
          "it was changed while it was stored",
          "store it again when it is whole",
          {},
          {}};
}

std::vector<std::pair<std::string, std::string>> metadata(const store::Content& content, const std::string& nonce) {
  return {{"x-amz-meta-sha256", content.sha256}, {"x-amz-meta-ferry-nonce", nonce}};
}

Result<std::string> upload_whole(Line& line, const Upload& what, int fd) {
  // S3 holds the bytes against the same SHA-256; here it costs no transfer.
  TRY_SET(content, "", store::content_of(what.path));
  if (content != what.content) return tl::unexpected(changed(what.path));
  const std::string nonce = new_nonce();
  Call call{.action = "PutObject", .doing = "store " + printable(what.key), .method = "PUT", .key = what.key};
  call.headers = metadata(what.content, nonce);
  add_condition(call, what.condition);
  call.streams = {.file = fd, .offset = 0, .size = what.content.bytes, .take = {}, .moved = what.moved};
  call.sha256 = what.content.sha256;
  History history;
  auto answer = line.call(call, &history);
  if (answer) return unquoted(answer->header("etag"));
  Error error = conditional(std::move(answer).error(), what.condition);
  if (error.kind == Kind::conflict && history.uncertain) return settled(line, what.key, nonce, std::move(error));
  return tl::unexpected(std::move(error));
}

/// One multipart upload, from its beginning (here or in an earlier process) to its end.
class Multipart {
 public:
  Multipart(Line& line, const Upload& what, int fd)
      : session_(line.shared()),
        line_(line),
        what_(what),
        fd_(fd),
        size_(part_size(what.content.bytes, session_->limits().part)),
        count_(static_cast<int>((what.content.bytes + size_ - 1) / size_)),
        journal_(journal_path()),
        together_(what.moved),
        parts_(static_cast<std::size_t>(count_)) {}

  Result<std::string> run() {
    TRY("", start());
    Together::run(std::min(session_->limits().connections, count_), [this] { work(); });
    if (auto error = together_.error()) return give_up(*std::move(error));
    if (has_changed()) {
      remove_parts(id_);
      return tl::unexpected(changed(what_.path));
    }
    auto etag = complete();
    if (!etag) return give_up(std::move(etag).error());
    journal_.forget();
    return etag;
  }

 private:
  struct Piece {
    int number = 0;
    std::uint64_t offset = 0, size = 0;
    std::string sha256;
  };

  os::Path journal_path() const {
    const os::Path& folder = session_->limits().state_folder;
    const std::string name = hex(sha256(uri_of(session_->place()) + "\n" + what_.key)).substr(0, 32) + ".upload";
    return folder.empty() ? os::Path() : folder / name;
  }

  Call call_for(const char* action, const char* method, const std::string& query) const {
    return {
        .action = action, .doing = "store " + printable(what_.key), .method = method, .key = what_.key, .query = query};
  }
  std::string upload_query() const { return "uploadId=" + percent_encoded(id_); }

  /// Since it was hashed: seen by the cheaper sum where there is one.
  bool has_changed() {
    return what_.content.crc64nvme ? sum_ != *what_.content.crc64nvme : hex(whole_.finish()) != what_.content.sha256;
  }

  Status start() {
    const Json noted = journal_.load();
    const std::string earlier = text_at(noted, "upload");
    const bool same = !earlier.empty() && text_at(noted, "sha256") == what_.content.sha256 &&
                      int_at(noted, "bytes") == static_cast<std::int64_t>(what_.content.bytes) &&
                      int_at(noted, "part") == static_cast<std::int64_t>(size_);
    if (same) {
      id_ = earlier;
      nonce_ = text_at(noted, "nonce");
      auto listed = list_parts();
      if (listed || listed.error().code != "NoSuchUpload") return listed;
    } else if (!earlier.empty()) {
      remove_parts(earlier);
    }
    nonce_ = new_nonce();
    Call call = call_for("PutObject", "POST", "uploads=");
    call.headers = metadata(what_.content, nonce_);
    call.headers.emplace_back("x-amz-checksum-algorithm", "SHA256");
    TRY_SET(answer, "", line_.call(call));
    TRY_SET(id, "", parse_upload_id(answer.body));
    id_ = id;
    journal_.begin({{"key", what_.key},
                    {"upload", id_},
                    {"nonce", nonce_},
                    {"sha256", what_.content.sha256},
                    {"bytes", what_.content.bytes},
                    {"part", size_}});
    return {};
  }

  Status list_parts() {
    for (int marker = 0;;) {
      std::string query = upload_query();
      if (marker > 0) query += "&part-number-marker=" + std::to_string(marker);
      TRY_SET(answer, "", line_.call(call_for("ListMultipartUploadParts", "GET", query)));
      TRY_SET(page, "", parse_parts(answer.body));
      there_.merge(page.etags);
      if (page.next <= marker) return {};
      marker = page.next;
    }
  }

  void work() {
    Line line(session_);
    while (true) {
      auto piece = take();
      if (!piece) return together_.fail_with(std::move(piece).error());
      if (piece->number == 0) return;
      auto etag = send(line, *piece);
      if (!etag) return together_.fail_with(std::move(etag).error());
      const std::lock_guard lock(mutex_);
      if (!there_.contains(piece->number)) journal_.add(piece->number, piece->sha256 + " " + *etag);
      parts_[static_cast<std::size_t>(piece->number - 1)] = {piece->number, *etag, piece->sha256};
    }
  }

  /// The next part, with its SHA-256; number 0 when there is none. One after the other, so that the whole is
  /// summed up, too.
  Result<Piece> take() {
    const std::lock_guard lock(mutex_);
    Piece piece;
    if (next_ > count_ || together_.has_failed()) return piece;
    piece.number = next_++;
    piece.offset = size_ * static_cast<std::uint64_t>(piece.number - 1);
    piece.size = std::min(size_, what_.content.bytes - piece.offset);
    buffer_.resize(hashed_at_once);
    Sha256 part;
    for (std::uint64_t done = 0; done < piece.size;) {
      const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), piece.size - done));
      const auto got = ::pread(fd_, buffer_.data(), most, static_cast<off_t>(piece.offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read " + what_.path.string());
      if (got == 0) return tl::unexpected(changed(what_.path));
      const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
      if (what_.content.crc64nvme) {
        sum_ = crc(Sum::crc64nvme, bytes, sum_);
      } else {
        whole_.add(bytes);
      }
      part.add(bytes);
      done += static_cast<std::uint64_t>(got);
    }
    piece.sha256 = hex(part.finish());
    return piece;
  }

  Result<std::string> send(Line& line, const Piece& piece) {
    {
      const std::lock_guard lock(mutex_);
      const auto there = there_.find(piece.number);
      const auto noted = journal_.pieces().find(piece.number);
      if (there != there_.end() && noted != journal_.pieces().end() &&
          noted->second == piece.sha256 + " " + there->second) {
        return there->second;
      }
      there_.erase(piece.number);
    }
    Call call = call_for("PutObject", "PUT", "partNumber=" + std::to_string(piece.number) + "&" + upload_query());
    call.streams = {
        .file = fd_, .offset = piece.offset, .size = piece.size, .take = {}, .moved = [this](std::uint64_t bytes) {
          return together_.moved(bytes);
        }};
    call.sha256 = piece.sha256;
    TRY_SET(answer, "", line.call(call));
    std::string etag = unquoted(answer.header("etag"));
    if (etag.empty()) return fail(Kind::corrupt, call.doing + ": S3 took a part and gave it no ETag");
    return etag;
  }

  Result<std::string> complete() {
    Call call = call_for("PutObject", "POST", upload_query());
    call.headers = {{"Content-Type", "application/xml"}, {"x-amz-mp-object-size", std::to_string(what_.content.bytes)}};
    add_condition(call, what_.condition);
    call.body = complete_xml(parts_);
    call.silence = completion_silence;
    call.late_error = [](const os::HttpResponse& answer) { return parse_completed(answer.body).error_code; };
    History history;
    auto answer = line_.call(call, &history);
    if (answer) return parse_completed(answer->body).etag;
    const bool gone = answer.error().code == "NoSuchUpload";
    Error error = gone ? std::move(answer).error() : conditional(std::move(answer).error(), what_.condition);
    // What was completed is no upload any more.
    if (history.uncertain && (gone || error.kind == Kind::conflict)) {
      return settled(line_, what_.key, nonce_, std::move(error));
    }
    return tl::unexpected(std::move(error));
  }

  /// What may work later keeps its parts, where it is noted how to go on.
  tl::unexpected<Error> give_up(Error error) {
    const bool later = may_work_later(error.kind) || error.kind == Kind::cancelled || error.kind == Kind::denied;
    if (!later || journal_path().empty()) remove_parts(id_);
    return tl::unexpected(std::move(error));
  }

  void remove_parts(const std::string& id) {
    Call call = call_for("AbortMultipartUpload", "DELETE", "uploadId=" + percent_encoded(id));
    call.attempts = 2;  // what stays is swept by the bucket's own rule (bucket.h)
    // A part that was under way may come to be after the first.
    if (line_.call(call)) (void)line_.call(call);
    journal_.forget();
  }

  std::shared_ptr<Session> session_;
  Line& line_;
  const Upload& what_;
  int fd_;
  std::uint64_t size_;
  int count_;
  Journal journal_;
  Together together_;
  std::string id_, nonce_;
  std::map<int, std::string> there_;  ///< ETags of the parts that S3 had when this began, and that were not sent again

  std::mutex mutex_;  ///< of all that follows, and of journal_ and there_ while threads run
  int next_ = 1;
  Sha256 whole_;           ///< or
  std::uint64_t sum_ = 0;  ///< of what take() has read
  std::string buffer_;
  std::vector<UploadedPart> parts_;
};

}  // namespace

Result<std::string> upload(Line& line, const Upload& what) {
  TRY_SET(fd, "store " + what.path.string(), os::open_file(what.path, O_RDONLY));
  struct stat info;
  if (::fstat(fd.get(), &info) < 0) return fail_errno("store " + what.path.string());
  if (static_cast<std::uint64_t>(info.st_size) != what.content.bytes) return tl::unexpected(changed(what.path));
  if (what.content.bytes <= part_size(what.content.bytes, line.session().limits().part))
    return upload_whole(line, what, fd.get());
  auto etag = Multipart(line, what, fd.get()).run();
  // Somebody (a lifecycle rule, a user) removed the upload: once more from its beginning.
  if (!etag && etag.error().code == "NoSuchUpload") etag = Multipart(line, what, fd.get()).run();
  return etag;
}

}  // namespace ferry::s3
