#pragma once
/// \file
/// The little of SQLite that the S3 endpoint needs. All text is bound as blobs, so that keys compare by their
/// bytes, as S3 orders them. What fails (a full disk, a damaged file) is thrown as S3Database::Failed:
/// whoever answers a request catches it once.

#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "os/file.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ferry::rehearsal {

/// One connection. Not safe from several threads: its owner locks.
class S3Database {
 public:
  struct Failed : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  using Value = std::variant<std::int64_t, std::string_view>;

  /// One row, while it is looked at.
  class Row {
   public:
    explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
    std::int64_t number(int column) const;
    std::string text(int column) const;

   private:
    sqlite3_stmt* statement_;
  };
  /// False ends the query.
  using Look = std::function<bool(const Row&)>;

  /// Opens or makes it, with `schema` where it is new. Kept in order through a kill of the process by
  /// SQLite's write-ahead log; not flushed to the disk at each change.
  S3Database(const os::Path& file, const char* schema);
  ~S3Database();
  S3Database(const S3Database&) = delete;
  S3Database& operator=(const S3Database&) = delete;

  /// One statement with ?1, ?2, …; it is prepared once.
  void run(std::string_view sql, const std::vector<Value>& values = {});
  void rows(std::string_view sql, const std::vector<Value>& values, const Look& look);
  std::int64_t number(std::string_view sql, const std::vector<Value>& values);

  /// BEGIN IMMEDIATE … COMMIT; what `work` throws rolls back.
  void transact(const std::function<void()>& work);

 private:
  sqlite3_stmt* prepared(std::string_view sql, const std::vector<Value>& values);
  void step_all(sqlite3_stmt* statement, const Look& look);

  sqlite3* connection_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

}  // namespace ferry::rehearsal
