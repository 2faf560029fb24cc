#include "ledger/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "os/clock.h"

namespace ferry::ledger {
namespace {

constexpr int busy_limit_ms = 10'000;

/// SQLite's own handler comes to sleep 100 ms at a time and hardly ever meets the short moment in which a
/// busy writer lets go; looking often gives everyone a turn. Returns 0 to give up.
int wait_for_others(void* waiting_since, int attempt) {
  os::Clock& clock = os::system_clock();
  auto& since = *static_cast<std::int64_t*>(waiting_since);
  if (attempt == 0) since = clock.steady_ms();
  if (clock.steady_ms() - since >= busy_limit_ms) return 0;
  clock.sleep(Millis(1 + attempt % 4));
  return 1;
}

Kind kind_of(int extended, int system_errno, const os::Path& file) {
  if (system_errno == ENOSPC || system_errno == EDQUOT) return Kind::disk_full;
  // A header that says that it is of a format which may only be read, and nothing else forbids to write.
  if (extended == SQLITE_READONLY && ::access(file.c_str(), W_OK) == 0) return Kind::corrupt;
  switch (extended & 0xff) {
    case SQLITE_FULL:
      return Kind::disk_full;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Kind::denied;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // each statement is well-formed: it is the schema that is not what it was
      return Kind::corrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Kind::timeout;
    case SQLITE_MISUSE:
      return Kind::bug;
    default:
      break;
  }
  if (extended == SQLITE_CONSTRAINT_PRIMARYKEY || extended == SQLITE_CONSTRAINT_UNIQUE) return Kind::exists;
  if (extended == SQLITE_IOERR_CORRUPTFS) return Kind::corrupt;
  return Kind::io;
}

std::string what_of(Kind kind, const std::string& file) {
  switch (kind) {
    case Kind::disk_full:
      return "no space left to write the ledger " + file;
    case Kind::denied:
      return "the ledger " + file + " cannot be opened or written";
    case Kind::corrupt:
      return "the ledger " + file + " is damaged";
    case Kind::timeout:
      return "other ferry processes kept the ledger " + file + " busy for 10 s";
    case Kind::exists:
      return "already in the ledger";
    default:
      return "the ledger " + file + " cannot be read or written";
  }
}

std::string advice_of(Kind kind, const os::Path& file) {
  constexpr const char* elsewhere =
      "; only while nothing is rented: set XDG_DATA_HOME to another folder (a ledger there does not know of it)";
  const std::string folder = printable(file.parent_path().string());
  switch (kind) {
    case Kind::disk_full:
      return "free some space in " + folder + elsewhere;
    case Kind::denied:
      return "make the folder " + folder + " writable" + elsewhere;
    case Kind::corrupt:
      return fmt::format(
          "set it aside (mv {0} {1}), then go on with what is still rented: ferry recover (or release it: ferry down "
          "--all)",
          shell_quoted(file.string()), shell_quoted(file.string() + ".damaged"));
    case Kind::timeout:
      return "try again; see which processes hold it with: fuser " + shell_quoted(file.string());
    default:
      return {};
  }
}

tl::unexpected<Error> failure(sqlite3* connection, const os::Path& file) {
  const int extended = connection ? sqlite3_extended_errcode(connection) : SQLITE_NOMEM;
  const int system_errno = connection ? sqlite3_system_errno(connection) : 0;
  const bool about_files = (extended & 0xff) == SQLITE_IOERR || (extended & 0xff) == SQLITE_CANTOPEN;
  const Kind kind = kind_of(extended, about_files ? system_errno : 0, file);
  std::string why = connection ? sqlite3_errmsg(connection) : sqlite3_errstr(extended);
  if (about_files && system_errno) why += fmt::format(" ({})", std::strerror(system_errno));
  return fail(kind, what_of(kind, printable(file.string())), std::move(why), advice_of(kind, file));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

void Statement::bind_one(int index, std::string_view text) {
  // A null data pointer would bind NULL instead of the empty text.
  const char* data = text.data() ? text.data() : "";
  sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}
void Statement::bind_one(int index, std::int64_t number) { sqlite3_bind_int64(statement_.get(), index, number); }
void Statement::bind_one(int index, const std::optional<int>& number) {
  // What is never bound is NULL.
  if (number) bind_one(index, *number);
}

Result<bool> Statement::step() {
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return failure(sqlite3_db_handle(statement_.get()), *file_);
  }
}

void Statement::reset() { sqlite3_reset(statement_.get()); }
void Statement::bind_column(int index, const Statement& row, int column) {
  sqlite3_bind_value(statement_.get(), index, sqlite3_column_value(row.statement_.get(), column));
}

std::string Statement::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_.get(), column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return bytes ? std::string(reinterpret_cast<const char*>(bytes), size) : std::string();
}
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

Result<Database> Database::open(const os::Path& file) {
  Database database(file);
  sqlite3* connection = nullptr;
  constexpr int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int opened = sqlite3_open_v2(file.c_str(), &connection, flags, nullptr);
  database.connection_.reset(connection);
  if (opened != SQLITE_OK) return failure(connection, file);
  sqlite3_busy_handler(connection, wait_for_others, database.waiting_since_.get());
  // SQLite falls back to reading only without a word.
  if (sqlite3_db_readonly(connection, "main") == 1) {
    return fail(Kind::denied, what_of(Kind::denied, printable(file.string())), "it is write-protected",
                advice_of(Kind::denied, file));
  }
  if (struct stat there{}; ::stat(file.c_str(), &there) == 0) {
    database.device_ = there.st_dev;
    database.inode_ = there.st_ino;
  }
  return database;
}

bool Database::is_in_place() const {
  struct stat there {};
  return ::stat(file_->c_str(), &there) == 0 && there.st_dev == device_ && there.st_ino == inode_;
}

Status Database::execute(const char* sql) {
  if (sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return failure(connection_.get(), *file_);
  }
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK) {
    return failure(connection_.get(), *file_);
  }
  return Statement(statement, file_.get());
}

Result<std::int64_t> Database::number(std::string_view sql) {
  TRY_SET(statement, "", prepare(sql));
  TRY("", statement.step());
  return statement.integer(0);
}

int Database::changes() const { return sqlite3_changes(connection_.get()); }

Result<Transaction> Transaction::begin(Database& database) {
  TRY("", database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // Fails harmlessly when SQLite has rolled back already.
  if (database_) (void)database_->execute("ROLLBACK");
}

Status Transaction::commit() {
  TRY("", database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace ferry::ledger
