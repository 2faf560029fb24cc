#pragma once
/// \file
/// The little of SQLite that the ledger needs: one owner for a connection and for a statement, and its errors
/// as ours.

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/file.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ferry::ledger {

/// A prepared statement. Must not outlive its Database.
class Statement {
 public:
  /// Values for ?1, ?2, … in order: text, integers, bools (as 0 or 1), or NULL for an empty optional.
  template <class... Values>
  Statement& bind(const Values&... values) {
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }
  /// True with a row to read, false at the end.
  Result<bool> step();
  /// May be bound and stepped through anew.
  void reset();
  /// What stands in a column of another statement's row, whatever it is, for the placeholder `index` (from 1).
  void bind_column(int index, const Statement& row, int column);
  std::string text(int column) const;
  std::int64_t integer(int column) const;  ///< 0 for NULL
  bool is_null(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3_stmt* statement, const os::Path* file) : statement_(statement), file_(file) {}
  void bind_one(int index, std::string_view text);
  void bind_one(int index, std::int64_t number);
  void bind_one(int index, int number) { bind_one(index, std::int64_t{number}); }
  void bind_one(int index, const std::optional<int>& number);
  // Only a bool itself: a string literal would turn into one.
  void bind_one(int index, std::same_as<bool> auto yes) { bind_one(index, std::int64_t{yes}); }

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const os::Path* file_;
};

/// One connection to one file. Waits up to 10 s for locks of other processes. Use from one thread.
class Database {
 public:
  /// The file must exist (it may be empty), or be ":memory:". A write-protected one is denied.
  static Result<Database> open(const os::Path& file);

  /// Runs one or more statements without values.
  Status execute(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  /// One statement with values, its rows ignored.
  template <class... Values>
  Status run(std::string_view sql, const Values&... values) {
    TRY_SET(statement, "", prepare(sql));
    TRY("", statement.bind(values...).step());
    return {};
  }
  /// The first column of the first row as an integer.
  Result<std::int64_t> number(std::string_view sql);
  /// Rows that the last statement changed.
  int changes() const;
  /// Whether the file that is open is still the one at its path.
  bool is_in_place() const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit Database(const os::Path& file) : file_(std::make_unique<os::Path>(file)) {}
  std::unique_ptr<os::Path> file_;  ///< its address is stable, for statements
  std::unique_ptr<std::int64_t> waiting_since_ = std::make_unique<std::int64_t>(0);  ///< likewise, for the busy handler
  std::unique_ptr<sqlite3, Close> connection_;
  std::uint64_t device_ = 0, inode_ = 0;
};

/// BEGIN IMMEDIATE … COMMIT. Rolls back when destroyed without commit().
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& from) noexcept : database_(std::exchange(from.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace ferry::ledger
