// The rows: buckets, objects in the order of their keys' bytes, uploads and parts.
#include "base/text.h"
#include "rehearsal/s3_store.h"

namespace ferry::rehearsal {
namespace {

using Lock = std::lock_guard<std::mutex>;

Json json_of(const std::string& text) { return parse_json(text).value_or(Json::object()); }

S3Bucket bucket_row(const S3Database::Row& row) {
  return {row.text(0), row.text(1), row.number(2), json_of(row.text(3))};
}

S3Object object_row(const S3Database::Row& row) {
  return {row.text(0),   row.text(1),         row.text(2), static_cast<std::uint64_t>(row.number(3)),
          row.number(4), json_of(row.text(5))};
}

S3Upload upload_row(const S3Database::Row& row) {
  return {row.text(0), row.text(1), row.text(2), row.number(3), json_of(row.text(4))};
}

constexpr std::string_view one_object = "SELECT key,id,etag,size,modified,head FROM objects WHERE bucket=?1 AND key=?2";

std::optional<S3Object> find_object(S3Database& database, const std::string& bucket, const std::string& key) {
  std::optional<S3Object> out;
  database.rows(one_object, {bucket, key}, [&](const auto& row) {
    out = object_row(row);
    return false;
  });
  return out;
}

/// The least text that is greater than all that begin with `prefix`; keys are UTF-8 and have no byte 0xff.
std::string beyond(std::string prefix) {
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

}  // namespace

std::optional<S3Bucket> S3Store::bucket(const std::string& name) {
  const Lock lock(mutex_);
  std::optional<S3Bucket> out;
  database_.rows("SELECT name,region,created,settings FROM buckets WHERE name=?1", {name}, [&](const auto& row) {
    out = bucket_row(row);
    return false;
  });
  return out;
}

std::vector<S3Bucket> S3Store::buckets() {
  const Lock lock(mutex_);
  std::vector<S3Bucket> out;
  database_.rows("SELECT name,region,created,settings FROM buckets ORDER BY name", {}, [&](const auto& row) {
    out.push_back(bucket_row(row));
    return true;
  });
  return out;
}

bool S3Store::add_bucket(const S3Bucket& bucket) {
  const Lock lock(mutex_);
  if (database_.number("SELECT count(*) FROM buckets WHERE name=?1", {bucket.name}) > 0) return false;
  database_.run("INSERT INTO buckets VALUES(?1,?2,?3,?4)",
                {bucket.name, bucket.region, bucket.created_ms, dump_json(bucket.settings)});
  return true;
}

void S3Store::set(const std::string& bucket, const std::string& setting, const std::optional<std::string>& text) {
  const Lock lock(mutex_);
  database_.transact([&] {
    Json settings = Json::object();
    database_.rows("SELECT settings FROM buckets WHERE name=?1", {bucket}, [&](const auto& row) {
      settings = json_of(row.text(0));
      return false;
    });
    if (text)
      settings[setting] = *text;
    else
      settings.erase(setting);
    database_.run("UPDATE buckets SET settings=?2 WHERE name=?1", {bucket, dump_json(settings)});
  });
}

bool S3Store::remove_bucket(const std::string& name) {
  const Lock lock(mutex_);
  std::vector<std::string> gone;
  bool removed = false;
  database_.transact([&] {
    if (database_.number("SELECT count(*) FROM (SELECT 1 FROM objects WHERE bucket=?1 LIMIT 1)", {name}) > 0) return;
    database_.rows("SELECT p.id FROM parts p JOIN uploads u ON p.upload=u.id WHERE u.bucket=?1", {name},
                   [&](const auto& row) {
                     gone.push_back(row.text(0));
                     return true;
                   });
    database_.run("DELETE FROM parts WHERE upload IN (SELECT id FROM uploads WHERE bucket=?1)", {name});
    database_.run("DELETE FROM uploads WHERE bucket=?1", {name});
    database_.run("DELETE FROM buckets WHERE name=?1", {name});
    removed = true;
  });
  remove_data(gone);
  return removed;
}

std::optional<S3Object> S3Store::object(const std::string& bucket, const std::string& key) {
  const Lock lock(mutex_);
  return find_object(database_, bucket, key);
}

void S3Store::write_row(const std::string& bucket, const S3Object& object) {
  database_.run("INSERT OR REPLACE INTO objects VALUES(?1,?2,?3,?4,?5,?6,?7)",
                {bucket, object.key, object.id, object.etag, static_cast<std::int64_t>(object.size), object.modified_ms,
                 dump_json(object.head)});
}

S3Status S3Store::put_object(const std::string& bucket, S3Object object, S3Blob blob, const Decide& decide) {
  const Lock lock(mutex_);
  if (database_.number("SELECT count(*) FROM buckets WHERE name=?1", {bucket}) == 0) return no_such_bucket(bucket);
  const auto there = find_object(database_, bucket, object.key);
  S3_TRY(decide(there ? &*there : nullptr));
  S3_TRY(take(blob));
  object.id = blob.id();
  object.size = blob.size();
  try {
    write_row(bucket, object);
  } catch (...) {
    remove_data({object.id});
    throw;
  }
  if (there) remove_data({there->id});
  return {};
}

S3Status S3Store::remove_object(const std::string& bucket, const std::string& key, const Decide& decide) {
  const Lock lock(mutex_);
  const auto there = find_object(database_, bucket, key);
  S3_TRY(decide(there ? &*there : nullptr));
  if (!there) return {};
  database_.run("DELETE FROM objects WHERE bucket=?1 AND key=?2", {bucket, key});
  remove_data({there->id});
  return {};
}

S3Status S3Store::set_head(const std::string& bucket, const std::string& key,
                           const std::function<void(Json&)>& change) {
  const Lock lock(mutex_);
  auto there = find_object(database_, bucket, key);
  if (!there) return no_such_key(key);
  change(there->head);
  write_row(bucket, *there);
  return {};
}

S3Page S3Store::list(const S3ListQuery& query) {
  const Lock lock(mutex_);
  S3Page page;
  constexpr std::string_view from =
      "SELECT key,id,etag,size,modified,head FROM objects WHERE bucket=?1 AND key>=?2 ORDER BY key";
  // From `start` on; what is equal to `after` is passed over.
  std::string start = std::max(query.prefix, query.after);
  bool more = true;
  while (more) {
    more = false;
    std::string jump;
    database_.rows(from, {query.bucket, start}, [&](const auto& row) {
      auto key = row.text(0);
      if (!key.starts_with(query.prefix)) return false;
      if (key <= query.after) return true;
      const auto cut = query.delimiter.empty() ? key.npos : key.find(query.delimiter, query.prefix.size());
      const auto common = cut == key.npos ? std::string() : key.substr(0, cut + query.delimiter.size());
      const bool is_old = !common.empty() && common <= query.after;
      if (!is_old && page.objects.size() + page.prefixes.size() >= query.most) {
        page.truncated = true;
        return false;
      }
      if (common.empty()) {
        page.objects.push_back(object_row(row));
        page.last = std::move(key);
        return true;
      }
      if (!is_old) {
        page.prefixes.push_back(common);
        page.last = common;
      }
      jump = beyond(common);
      more = true;
      return false;
    });
    start = std::move(jump);
  }
  return page;
}

void S3Store::add_upload(const S3Upload& upload) {
  const Lock lock(mutex_);
  database_.run("INSERT INTO uploads VALUES(?1,?2,?3,?4,?5)",
                {upload.id, upload.bucket, upload.key, upload.initiated_ms, dump_json(upload.head)});
}

std::optional<S3Upload> S3Store::upload(const std::string& id) {
  const Lock lock(mutex_);
  std::optional<S3Upload> out;
  database_.rows("SELECT id,bucket,key,initiated,head FROM uploads WHERE id=?1", {id}, [&](const auto& row) {
    out = upload_row(row);
    return false;
  });
  return out;
}

std::vector<S3Upload> S3Store::uploads(const std::string& bucket) {
  const Lock lock(mutex_);
  std::vector<S3Upload> out;
  database_.rows("SELECT id,bucket,key,initiated,head FROM uploads WHERE bucket=?1 ORDER BY key,initiated,id", {bucket},
                 [&](const auto& row) {
                   out.push_back(upload_row(row));
                   return true;
                 });
  return out;
}

S3Status S3Store::put_part(const std::string& upload, S3Part part, S3Blob blob) {
  const Lock lock(mutex_);
  if (database_.number("SELECT count(*) FROM uploads WHERE id=?1", {upload}) == 0) return no_such_upload(upload);
  std::vector<std::string> old;
  const std::int64_t number = part.number;
  database_.rows("SELECT id FROM parts WHERE upload=?1 AND number=?2", {upload, number}, [&](const auto& row) {
    old.push_back(row.text(0));
    return false;
  });
  S3_TRY(take(blob));
  try {
    database_.run("INSERT OR REPLACE INTO parts VALUES(?1,?2,?3,?4,?5,?6,?7)",
                  {upload, number, blob.id(), part.etag, static_cast<std::int64_t>(blob.size()), part.modified_ms,
                   dump_json(part.checksums)});
  } catch (...) {
    remove_data({blob.id()});
    throw;
  }
  remove_data(old);
  return {};
}

std::vector<S3Part> S3Store::parts(const std::string& upload) {
  const Lock lock(mutex_);
  std::vector<S3Part> out;
  database_.rows("SELECT number,id,etag,size,modified,checksums FROM parts WHERE upload=?1 ORDER BY number", {upload},
                 [&](const auto& row) {
                   out.push_back({static_cast<int>(row.number(0)), row.text(1), row.text(2),
                                  static_cast<std::uint64_t>(row.number(3)), row.number(4), json_of(row.text(5))});
                   return true;
                 });
  return out;
}

std::vector<std::string> S3Store::ids_of_parts(const std::string& upload) {
  std::vector<std::string> out;
  database_.rows("SELECT id FROM parts WHERE upload=?1", {upload}, [&](const auto& row) {
    out.push_back(row.text(0));
    return true;
  });
  return out;
}

S3Status S3Store::complete(const S3Upload& upload, S3Object object, S3Blob blob, const Decide& decide) {
  const Lock lock(mutex_);
  if (database_.number("SELECT count(*) FROM uploads WHERE id=?1", {upload.id}) == 0) return no_such_upload(upload.id);
  const auto there = find_object(database_, upload.bucket, upload.key);
  S3_TRY(decide(there ? &*there : nullptr));
  S3_TRY(take(blob));
  object.id = blob.id();
  object.size = blob.size();
  auto gone = ids_of_parts(upload.id);
  try {
    database_.transact([&] {
      write_row(upload.bucket, object);
      database_.run("DELETE FROM parts WHERE upload=?1", {upload.id});
      database_.run("DELETE FROM uploads WHERE id=?1", {upload.id});
    });
  } catch (...) {
    remove_data({object.id});
    throw;
  }
  if (there) gone.push_back(there->id);
  remove_data(gone);
  return {};
}

bool S3Store::abort(const std::string& upload) {
  const Lock lock(mutex_);
  if (database_.number("SELECT count(*) FROM uploads WHERE id=?1", {upload}) == 0) return false;
  const auto gone = ids_of_parts(upload);
  database_.transact([&] {
    database_.run("DELETE FROM parts WHERE upload=?1", {upload});
    database_.run("DELETE FROM uploads WHERE id=?1", {upload});
  });
  remove_data(gone);
  return true;
}

}  // namespace ferry::rehearsal
