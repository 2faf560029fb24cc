#pragma once
/// \file
/// Where a run's outputs, checkpoints, log and record live durably, while and after it trains. A store holds
/// objects: bytes under a key (keys.h). An object is there whole or not at all; what was put is seen by
/// everybody who looks afterwards. Backends: a folder (folder.h) and S3 (room s3).
///
/// Errors: code branches on the kind, and on may_work_later(kind) for whether asking again helps. not_found:
/// there is no such object (or bucket). conflict: the condition does not hold, and nothing was changed.
/// corrupt: the bytes are not those that their SHA-256 promised, and nothing was put, or written. denied,
/// disk_full, bad_input (a key that is none), cancelled (the caller said so), lost, timeout and throttled as
/// everywhere. A backend has asked again itself, within its limits, before it says one of the last three.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/file.h"

namespace ferry::store {

/// What a file holds: all that must be known before it goes anywhere.
struct Content {
  std::string sha256;  ///< 64 hexadecimal digits, lower case
  std::uint64_t bytes = 0;
  /// CRC-64/NVME (base/crc.h) of the same bytes, where who hashed them computed it along: who reads them again sees by
  /// it, at a fraction of SHA-256's cost, that they have not changed.
  std::optional<std::uint64_t> crc64nvme = {};
  bool operator==(const Content& other) const { return sha256 == other.sha256 && bytes == other.bytes; }
};

/// What a store says of an object.
struct Object {
  std::string key;
  std::uint64_t bytes = 0;
  std::string version;      ///< opaque: another content has another one; "" where a listing cannot tell
  std::string sha256 = {};  ///< of the content; "" where the backend does not tell (listings, other tools' objects)
  std::int64_t modified_ms = 0;  ///< since 1970, by the store's clock
};

struct SmallObject {
  std::string bytes;
  Object object;
};

/// What must hold for a put or a removal to happen. The store judges it, in one step with the change: of two
/// that race, one is told `conflict`. Versions are those of contents: an object that was changed and changed
/// back has its old one, so a lease's body carries a nonce.
struct Condition {
  enum class Is { always, absent, unchanged } is = Is::always;
  std::string version = {};
};
inline Condition if_absent() { return {Condition::Is::absent, {}}; }
inline Condition if_still(std::string version) { return {Condition::Is::unchanged, std::move(version)}; }

/// Told about bytes that moved since the last call (from one thread at a time, several times a second, also
/// with 0). False: stop; the call fails `cancelled`, and what is complete of it helps the next one where the
/// backend resumes.
using Moved = std::function<bool(std::uint64_t bytes)>;

/// Whether what was fetched survives a power cut. no: whoever fetches many files flushes them all at once, which takes
/// milliseconds a file less.
enum class Flush { yes, no };

/// The largest object that get() and put() of bytes take.
inline constexpr std::size_t most_small = std::size_t{64} << 20;

/// Use one object from one thread at a time. Several stores may work on one place, from several computers.
class Store {
 public:
  virtual ~Store() = default;

  /// The file at `path` becomes the object `key`; answers its version. `content` is what the file held when
  /// it was hashed: a file that holds something else by now is `corrupt` and is not put. Never read into
  /// memory as a whole.
  virtual Result<std::string> put_file(const std::string& key, const os::Path& path, const Content& content,
                                       const Condition& condition = {}, const Moved& moved = {}) = 0;
  /// The same with bytes, at most most_small of them.
  virtual Result<std::string> put(const std::string& key, std::string_view bytes, const Condition& condition = {}) = 0;

  /// The object at `path`, complete and (unless told otherwise) flushed to disk, or not at all; its folder must exist,
  /// what stood at `path` is replaced. Fails corrupt when it is not `expected` (where that is given), nor what the
  /// store says of it. After lost, timeout, throttled and cancelled a backend may leave hidden files beside it
  /// (".ferry-part-…"), with which the next call for the same path goes on; after all else nothing is left.
  virtual Result<Object> get_file(const std::string& key, const os::Path& path,
                                  const std::optional<Content>& expected = {}, const Moved& moved = {},
                                  Flush flush = Flush::yes) = 0;
  /// The object in memory. Fails bad_input when it has more than `limit` bytes.
  virtual Result<SmallObject> get(const std::string& key, std::size_t limit = most_small) = 0;
  /// What is known of it without its bytes.
  virtual Result<Object> look(const std::string& key) = 0;

  /// Every object whose key begins with `prefix`, in the order of the keys' bytes, a page at a time as it is
  /// asked for. An error of `each` ends the listing and is answered.
  virtual Status list(const std::string& prefix, const std::function<Status(const Object&)>& each) = 0;

  /// Does nothing when it is not there and the condition is `always`; with `unchanged` that is a conflict. (`absent`
  /// is bad_input.)
  virtual Status remove(const std::string& key, const Condition& condition = {}) = 0;
  /// Every object whose key begins with `prefix`, which is at least one whole level ("runs/RUN/"). What is
  /// put meanwhile may stay.
  virtual Status remove_all(const std::string& prefix) = 0;

  /// The place as people write it: "s3://BUCKET/PREFIX", "/path".
  virtual std::string uri() const = 0;
};

}  // namespace ferry::store
