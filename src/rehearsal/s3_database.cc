#include "rehearsal/s3_database.h"

#include <sqlite3.h>

namespace ferry::rehearsal {

std::int64_t S3Database::Row::number(int column) const { return sqlite3_column_int64(statement_, column); }

std::string S3Database::Row::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}

S3Database::S3Database(const os::Path& file, const char* schema) {
  const auto flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const auto failed = [&](const std::string& what) {
    const std::string why = connection_ ? sqlite3_errmsg(connection_) : "no memory";
    sqlite3_close_v2(connection_);
    throw Failed(what + " " + file.string() + ": " + why);
  };
  if (sqlite3_open_v2(file.c_str(), &connection_, flags, nullptr) != SQLITE_OK) failed("cannot open");
  sqlite3_busy_timeout(connection_, 10'000);
  constexpr const char* settings = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF;";
  if (sqlite3_exec(connection_, settings, nullptr, nullptr, nullptr) != SQLITE_OK ||
      sqlite3_exec(connection_, schema, nullptr, nullptr, nullptr) != SQLITE_OK)
    failed("cannot use");
}

S3Database::~S3Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(connection_);
}

sqlite3_stmt* S3Database::prepared(std::string_view sql, const std::vector<Value>& values) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v3(connection_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &made,
                           nullptr) != SQLITE_OK)
      throw Failed(sqlite3_errmsg(connection_));
    found = statements_.emplace(std::string(sql), made).first;
  }
  int index = 0;
  for (const auto& value : values) {
    ++index;
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      sqlite3_bind_int64(found->second, index, *number);
    } else {
      const auto& text = std::get<std::string_view>(value);
      // A null data pointer would bind NULL instead of the empty text.
      sqlite3_bind_blob64(found->second, index, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT);
    }
  }
  return found->second;
}

void S3Database::step_all(sqlite3_stmt* statement, const Look& look) {
  const Row row(statement);
  int code = SQLITE_ROW;
  try {
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
      if (look && !look(row)) break;
  } catch (...) {
    sqlite3_reset(statement);
    throw;
  }
  const std::string why = code == SQLITE_ROW || code == SQLITE_DONE ? "" : sqlite3_errmsg(connection_);
  sqlite3_reset(statement);
  if (!why.empty()) throw Failed(why);
}

void S3Database::run(std::string_view sql, const std::vector<Value>& values) { step_all(prepared(sql, values), {}); }

void S3Database::rows(std::string_view sql, const std::vector<Value>& values, const Look& look) {
  step_all(prepared(sql, values), look);
}

std::int64_t S3Database::number(std::string_view sql, const std::vector<Value>& values) {
  std::int64_t out = 0;
  rows(sql, values, [&](const Row& row) {
    out = row.number(0);
    return false;
  });
  return out;
}

void S3Database::transact(const std::function<void()>& work) {
  run("BEGIN IMMEDIATE");
  try {
    work();
    run("COMMIT");
  } catch (...) {
    (void)sqlite3_exec(connection_, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

}  // namespace ferry::rehearsal
