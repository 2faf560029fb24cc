#pragma once
/// \file
/// Single objects of S3, small and large, with the conditions of store.h. Keys are whole: with the place's
/// prefix.
///
/// A put carries a nonce in its metadata (x-amz-meta-ferry-nonce). When an answer was lost and the repeated
/// request is told that the condition does not hold, the nonce says whether it was the first one that changed
/// what is there.

#include <memory>
#include <optional>

#include "s3/session.h"
#include "store/store.h"

namespace ferry::s3 {

struct Head {
  std::string etag;    ///< without quotes
  std::string sha256;  ///< hexadecimal, as who put it said; "" where another tool did
  std::string nonce;
  std::uint64_t bytes = 0;
  std::int64_t modified_ms = 0;
};
/// From the headers of an answer about an object. Content-Range says the size where there is one.
Head head_of(const os::HttpResponse& answer);

Result<Head> head_object(Line& line, const std::string& key);
/// Answers the ETag.
Result<std::string> put_bytes(Line& line, const std::string& key, std::string_view bytes,
                              const store::Condition& condition);
/// At most `limit` bytes.
Result<std::pair<std::string, Head>> get_bytes(Line& line, const std::string& key, std::size_t limit);
Status remove_object(Line& line, const std::string& key, const store::Condition& condition);
/// A page of at most 1,000.
Status remove_objects(Line& line, const std::vector<std::string>& keys);

struct Upload {
  std::string key;
  os::Path path;
  store::Content content;
  store::Condition condition = {};
  store::Moved moved = {};
};
/// As one request where the file is no larger than a part (Limits::part), else in parts, several at once.
/// Every part is hashed as it is taken, and so is the whole: a file that is not `content` is never put.
/// Answers the ETag.
///
/// With Limits::state_folder what is done is noted: the next upload of the same content under the same key,
/// by whatever process, sends only what S3 lacks. Without, or when the content is another one, the parts are
/// removed.
///
/// What is asked one after the other goes over `line`, so that many small files need one connection; parts have
/// their own.
Result<std::string> upload(Line& line, const Upload& what);

struct Download {
  std::string key;
  os::Path path;
  std::optional<store::Content> expected = {};
  store::Moved moved = {};
  store::Flush flush = store::Flush::yes;
};
/// In pieces, several at once, all of one version; into a hidden file beside `path`, which is renamed when
/// its SHA-256 is the expected one (and the one in the object's metadata). What a broken download got stays
/// there, and the next one goes on with it.
Result<Head> download(Line& line, const Download& what);

/// A URL that whoever has it may use until `lasts` is over (at most 7 days, and not past the end of temporary
/// credentials): method "GET" or "PUT". A PUT by it is unconditional.
Result<std::string> presigned(Session& session, const std::string& method, const std::string& key, Seconds lasts);

// ---- for the files of this room

void add_condition(Call& call, const store::Condition& condition);
/// The error of a conditional change: `conflict` where S3 says in one of its ways that the condition does not
/// hold.
Error conditional(Error error, const store::Condition& condition);
/// After a refusal that an own earlier request may have caused: the ETag of what stands at `key` where it was
/// put with this nonce, else the refusal. Where that cannot be told, why.
Result<std::string> settled(Line& line, const std::string& key, const std::string& nonce, Error refusal);
std::string new_nonce();

/// Joins what several threads say, and stops all when one fails or the caller says so.
class Together {
 public:
  explicit Together(store::Moved moved) : moved_(std::move(moved)) {}
  bool moved(std::uint64_t bytes);
  void fail_with(Error error);  ///< the first one counts
  bool has_failed();
  std::optional<Error> error();
  /// Runs `work` in `count` threads (the last of them this one) and waits for all.
  static void run(int count, const std::function<void()>& work);

 private:
  std::mutex mutex_;
  store::Moved moved_;
  bool stopped_ = false;
  std::optional<Error> error_;
};

}  // namespace ferry::s3
