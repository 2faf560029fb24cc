// The files: written in incoming/, renamed into data/ when they are whole.
#include "rehearsal/s3_store.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t piece = 256 << 10;
constexpr const char* schema =
    "CREATE TABLE IF NOT EXISTS buckets(name BLOB PRIMARY KEY, region, created, settings) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS objects(bucket BLOB, key BLOB, id, etag, size, modified, head, PRIMARY "
    "KEY(bucket,key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS uploads(id BLOB PRIMARY KEY, bucket BLOB, key BLOB, initiated, head) WITHOUT "
    "ROWID;"
    "CREATE TABLE IF NOT EXISTS parts(upload BLOB, number, id, etag, size, modified, checksums, PRIMARY "
    "KEY(upload,number)) WITHOUT ROWID;";

tl::unexpected<S3Error> disk_trouble(const Error& error) {
  return internal_error(error.what + (error.why.empty() ? "" : ": " + error.why));
}

std::vector<Summing> summings(const std::set<Checksum>& kinds) {
  std::vector<Summing> out;
  out.emplace_back(Checksum::md5);
  for (const auto kind : kinds)
    if (kind != Checksum::md5) out.emplace_back(kind);
  return out;
}

}  // namespace

S3Blob::~S3Blob() {
  std::error_code ignored;
  if (!file_.empty()) std::filesystem::remove(file_, ignored);
}

Result<std::unique_ptr<S3Store>> S3Store::open(const os::Path& dir) {
  TRY("", os::make_dirs(dir, 0700));
  TRY("", os::make_dirs(dir / "data", 0700));
  TRY("", os::remove_all(dir / "incoming"));
  TRY("", os::make_dirs(dir / "incoming", 0700));
  try {
    std::unique_ptr<S3Store> store(new S3Store(dir));
    store->sweep();
    return store;
  } catch (const std::exception& failed) {  // SQLite's and the file system's
    return fail(Kind::io, "the rehearsal cloud's S3 cannot be used", failed.what(),
                "what it keeps is in " + dir.string());
  }
}

S3Store::S3Store(os::Path dir) : dir_(std::move(dir)), database_(dir_ / "index.db", schema) {}

os::Path S3Store::data_file(const std::string& id) const { return dir_ / "data" / id.substr(0, 2) / id; }

void S3Store::sweep() {
  std::map<std::string, std::uint64_t> wanted;
  for (const char* table : {"SELECT id,size FROM objects", "SELECT id,size FROM parts"})
    database_.rows(table, {}, [&](const auto& row) {
      wanted.emplace(row.text(0), static_cast<std::uint64_t>(row.number(1)));
      return true;
    });
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_ / "data")) {
    if (entry.is_directory()) continue;
    const auto found = wanted.find(entry.path().filename().string());
    if (found == wanted.end() || entry.file_size(ignored) != found->second)
      std::filesystem::remove(entry.path(), ignored);
    else
      wanted.erase(found);
  }
  // What is left has no file, or had a shorter one: this computer lost power.
  for (const auto& [id, size] : wanted) {
    database_.run("DELETE FROM objects WHERE id=?1", {id});
    database_.run("DELETE FROM parts WHERE id=?1", {id});
  }
}

S3Result<S3Blob> S3Store::begin_blob(os::Fd& file) {
  auto id = hex(random_bytes(16));
  S3Blob blob(dir_ / "incoming" / id);
  blob.id_ = std::move(id);
  auto opened = os::open_file(blob.file_, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!opened) return disk_trouble(opened.error());
  file = *std::move(opened);
  return blob;
}

S3Status S3Store::take(S3Blob& blob) {
  const auto to = data_file(blob.id_);
  if (const auto made = os::make_dirs(to.parent_path(), 0700); !made) return disk_trouble(made.error());
  std::error_code failed;
  std::filesystem::rename(blob.file_, to, failed);
  if (failed) return internal_error(failed.message());
  blob.file_.clear();
  return {};
}

void S3Store::remove_data(const std::vector<std::string>& ids) {
  std::error_code ignored;  // what stays is removed at the next start
  for (const auto& id : ids) std::filesystem::remove(data_file(id), ignored);
}

S3Result<std::optional<S3Store::Opened>> S3Store::open_object(const std::string& bucket, const std::string& key) {
  const std::lock_guard lock(mutex_);
  std::optional<S3Object> found;
  database_.rows("SELECT key,id,etag,size,modified,head FROM objects WHERE bucket=?1 AND key=?2", {bucket, key},
                 [&](const auto& row) {
                   found = S3Object{row.text(0),   row.text(1),
                                    row.text(2),   static_cast<std::uint64_t>(row.number(3)),
                                    row.number(4), parse_json(row.text(5)).value_or(Json::object())};
                   return false;
                 });
  if (!found) return std::optional<Opened>();
  auto file = os::open_file(data_file(found->id), O_RDONLY);
  if (!file) return disk_trouble(file.error());
  return std::optional<Opened>(Opened{*std::move(found), *std::move(file)});
}

S3Result<S3Blob> S3Store::receive(S3Payload& payload, const std::set<Checksum>& kinds) {
  os::Fd file;
  S3_SET(blob, begin_blob(file));
  const auto known = payload.signed_sha256();
  auto computed = kinds;
  if (!known.empty() && computed.erase(Checksum::sha256) > 0) blob.sums_[Checksum::sha256] = known;
  auto sums = summings(computed);
  std::string buffer(piece, '\0');
  while (true) {
    S3_SET(got, payload.read(buffer));
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), got);
    if (const auto written = os::write_all(file.get(), bytes); !written) return disk_trouble(written.error());
    for (auto& sum : sums) sum.add(bytes);
    blob.size_ += got;
  }
  for (auto& sum : sums) blob.sums_[sum.kind()] = sum.finish();
  return blob;
}

S3Result<S3Blob> S3Store::copy(const os::Fd& from, std::uint64_t offset, std::uint64_t count,
                               const std::set<Checksum>& kinds) {
  os::Fd file;
  S3_SET(blob, begin_blob(file));
  auto sums = summings(kinds);
  if (::lseek(from.get(), static_cast<off_t>(offset), SEEK_SET) < 0) return internal_error("the source cannot be read");
  while (blob.size_ < count) {
    const auto bytes = os::read_some(from.get(), std::min<std::uint64_t>(piece, count - blob.size_));
    if (!bytes || bytes->empty()) return internal_error("the source cannot be read");
    if (const auto written = os::write_all(file.get(), *bytes); !written) return disk_trouble(written.error());
    for (auto& sum : sums) sum.add(*bytes);
    blob.size_ += bytes->size();
  }
  for (auto& sum : sums) blob.sums_[sum.kind()] = sum.finish();
  return blob;
}

S3Result<os::Fd> S3Store::excerpt(const os::Fd& from, std::uint64_t offset, std::uint64_t count) {
  S3_SET(blob, copy(from, offset, count, {}));
  auto file = os::open_file(blob.file_, O_RDONLY);
  if (!file) return disk_trouble(file.error());
  return *std::move(file);
}

S3Result<S3Blob> S3Store::assemble(const S3Upload& upload, const std::vector<S3Part>& parts) {
  os::Fd file;
  S3_SET(blob, begin_blob(file));
  for (const auto& part : parts) {
    const auto from = os::open_file(data_file(part.id), O_RDONLY);
    if (!from) return no_such_upload(upload.id);  // aborted, completed, or the part was replaced
    std::uint64_t left = part.size;
    while (left > 0) {  // within the kernel, and without copying where the file system shares blocks
      const auto copied = ::copy_file_range(from->get(), nullptr, file.get(), nullptr, left, 0);
      if (copied <= 0) break;
      left -= static_cast<std::uint64_t>(copied);
    }
    while (left > 0) {  // a file system that has no such call
      const auto bytes = os::read_some(from->get(), std::min<std::uint64_t>(piece, left));
      if (!bytes || bytes->empty()) return internal_error("a part cannot be read");
      if (const auto written = os::write_all(file.get(), *bytes); !written) return disk_trouble(written.error());
      left -= bytes->size();
    }
    blob.size_ += part.size;
  }
  return blob;
}

}  // namespace ferry::rehearsal
