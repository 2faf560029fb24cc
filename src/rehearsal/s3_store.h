#pragma once
/// \file
/// What the rehearsal's S3 keeps, below DIR/s3: index.db (SQLite: buckets, objects, uploads, parts; 20,000
/// small objects are listed in order without touching a file, and one transaction is what makes a write
/// visible, conditions included), data/XX/ID (the bytes of an object or a part, written once, never changed)
/// and incoming/ID (what is being written).
///
/// An object is there from the moment its row is committed, and then its file is complete, verified and
/// renamed into place. Killed at any line, the next start finds files without a row (removed) or nothing.
/// Nothing is flushed to the disk: after a power cut, rows whose file is not as long as it was are removed at
/// the next start. The limit is this computer's disk.

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "os/fd.h"
#include "os/file.h"
#include "rehearsal/s3_checksum.h"
#include "rehearsal/s3_database.h"
#include "rehearsal/s3_error.h"
#include "rehearsal/s3_payload.h"

namespace ferry::rehearsal {

struct S3Bucket {
  std::string name, region;
  std::int64_t created_ms = 0;
  Json settings = Json::object();  ///< "policy", "lifecycle", …: the text that was put
};

struct S3Object {
  std::string key, id, etag;  ///< etag: without quotes
  std::uint64_t size = 0;
  std::int64_t modified_ms = 0;
  Json head = Json::object();  ///< what its answers' headers say (s3_object.h)
};

struct S3Upload {
  std::string id, bucket, key;
  std::int64_t initiated_ms = 0;
  Json head = Json::object();
};

struct S3Part {
  int number = 0;
  std::string id, etag;
  std::uint64_t size = 0;
  std::int64_t modified_ms = 0;
  Json checksums = Json::object();  ///< "CRC32": base64
};

/// What a listing asks for, and a page of it.
struct S3ListQuery {
  std::string bucket, prefix, delimiter;
  std::string after;  ///< keys and common prefixes beyond this one only
  std::size_t most = 1000;
};
struct S3Page {
  std::vector<S3Object> objects;
  std::vector<std::string> prefixes;
  bool truncated = false;
  std::string last;  ///< the last key or prefix of the page
};

class S3Store;

/// Bytes on the disk that nothing refers to yet. Removed with this object, unless the store takes them.
class S3Blob {
 public:
  S3Blob(S3Blob&& from) noexcept
      : file_(std::exchange(from.file_, os::Path())),
        id_(std::move(from.id_)),
        size_(from.size_),
        sums_(std::move(from.sums_)) {}
  S3Blob& operator=(S3Blob&&) = delete;
  ~S3Blob();
  const std::string& id() const { return id_; }
  std::uint64_t size() const { return size_; }
  /// Raw; only of the kinds that were asked for, and MD5.
  const std::string& sum(Checksum kind) const { return sums_.at(kind); }

 private:
  friend class S3Store;
  explicit S3Blob(os::Path file) : file_(std::move(file)) {}
  os::Path file_;  // in incoming/
  std::string id_;
  std::uint64_t size_ = 0;
  std::map<Checksum, std::string> sums_;
};

/// Safe from any thread. What SQLite refuses is thrown as S3Database::Failed; files that fail are
/// InternalError.
class S3Store {
 public:
  /// Opens or makes it, and removes what a killed server left half-made.
  static Result<std::unique_ptr<S3Store>> open(const os::Path& dir);

  std::optional<S3Bucket> bucket(const std::string& name);
  std::vector<S3Bucket> buckets();
  /// False if the name is taken.
  bool add_bucket(const S3Bucket& bucket);
  /// Nothing removes the setting.
  void set(const std::string& bucket, const std::string& setting, const std::optional<std::string>& text);
  /// False, and nothing done, if there are objects. Uploads go with it.
  bool remove_bucket(const std::string& name);

  std::optional<S3Object> object(const std::string& bucket, const std::string& key);
  struct Opened {
    S3Object object;
    os::Fd file;
  };
  /// The object with its bytes, as they are at this moment, whoever overwrites it meanwhile. Nothing: no such
  /// key.
  S3Result<std::optional<Opened>> open_object(const std::string& bucket, const std::string& key);
  S3Page list(const S3ListQuery& query);

  /// Asked under the store's lock, right before the change: what is there (nullptr: nothing). An error stops
  /// it.
  using Decide = std::function<S3Status(const S3Object* there)>;
  /// `object` with the blob's bytes, in place of what was there. NoSuchBucket if the bucket went meanwhile.
  S3Status put_object(const std::string& bucket, S3Object object, S3Blob blob, const Decide& decide);
  S3Status remove_object(const std::string& bucket, const std::string& key, const Decide& decide);
  /// Its head alone is another (tags). NoSuchKey if it went.
  S3Status set_head(const std::string& bucket, const std::string& key, const std::function<void(Json&)>& change);

  void add_upload(const S3Upload& upload);
  std::optional<S3Upload> upload(const std::string& id);
  /// Of a bucket, by key, then by when they began.
  std::vector<S3Upload> uploads(const std::string& bucket);
  /// In place of an earlier one of that number. NoSuchUpload if it was completed or aborted meanwhile.
  S3Status put_part(const std::string& upload, S3Part part, S3Blob blob);
  std::vector<S3Part> parts(const std::string& upload);
  /// The upload becomes the object; all its parts go. NoSuchUpload if another was quicker.
  S3Status complete(const S3Upload& upload, S3Object object, S3Blob blob, const Decide& decide);
  /// False if there is none.
  bool abort(const std::string& upload);

  /// A payload, written down and summed up (MD5, and `kinds`) as it comes; a SHA-256 that it is held against
  /// already is not computed twice.
  S3Result<S3Blob> receive(S3Payload& payload, const std::set<Checksum>& kinds);
  /// The same of `count` bytes of a file from `offset` on.
  S3Result<S3Blob> copy(const os::Fd& file, std::uint64_t offset, std::uint64_t count, const std::set<Checksum>& kinds);
  /// `count` bytes of a file from `offset` on, as a file of their own that has no name.
  S3Result<os::Fd> excerpt(const os::Fd& file, std::uint64_t offset, std::uint64_t count);
  /// Parts of an upload, one behind the other; no sums. NoSuchUpload if one of them went meanwhile.
  S3Result<S3Blob> assemble(const S3Upload& upload, const std::vector<S3Part>& parts);

 private:
  S3Store(os::Path dir);
  void sweep();
  os::Path data_file(const std::string& id) const;
  S3Result<S3Blob> begin_blob(os::Fd& file);
  S3Status take(S3Blob& blob);
  void remove_data(const std::vector<std::string>& ids);
  std::vector<std::string> ids_of_parts(const std::string& upload);
  void write_row(const std::string& bucket, const S3Object& object);

  const os::Path dir_;
  std::mutex mutex_;
  S3Database database_;
};

}  // namespace ferry::rehearsal
