#include "ledger/mend.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"
#include "ledger/copies.h"
#include "ledger/rows.h"
#include "ledger/schema.h"

namespace ferry::ledger {
namespace {

namespace fs = std::filesystem;

struct Table {
  const char* name;
  const char* run;  ///< the column that says whose a row is
};
/// In this order: triggers make rows of attempts and nodes, which what was read replaces.
constexpr std::array<Table, 9> ledger_tables = {{{"runs", "name"},
                                                 {"instances", "run"},
                                                 {"resources", "run"},
                                                 {"attempts", "run"},
                                                 {"nodes", "run"},
                                                 {"objects", "run"},
                                                 {"reservations", "run"},
                                                 {"purchases", "tag"},
                                                 {"events", "run"}}};

constexpr std::array<Table, 2> copy_tables = {{{"run_copies", "name"}, {"instance_copies", "run"}}};

os::Path beside(const os::Path& file, std::string_view end) { return os::Path(file) += end; }

std::vector<std::string> columns_of(Database& database, std::string_view table) {
  std::vector<std::string> names;
  auto statement = database.prepare(fmt::format("SELECT name FROM pragma_table_info('{}')", table));
  while (statement && statement->step().value_or(false)) names.push_back(statement->text(0));
  return names;
}

/// Copies the rows of a table that can be read, around those that cannot.
class TableCopy {
 public:
  /// Rows of `but_of` are left out. `keep_ids` false: an event gets the next id.
  TableCopy(Database& from, Database& into, const Table& table, std::set<std::string> but_of, bool keep_ids)
      : from_(from), into_(into), table_(table), but_of_(std::move(but_of)) {
    const auto there = columns_of(from, table.name);
    for (auto& column : columns_of(into, table.name)) {
      const bool is_there = std::find(there.begin(), there.end(), column) != there.end();
      if (is_there && (keep_ids || column != "id" || std::string_view(table.name) != "events"))
        columns_.push_back(std::move(column));
    }
  }

  /// True if every row could be read and taken over.
  bool run() {
    if (columns_.empty()) return false;
    if (walk("ORDER BY rowid")) return !lost_;
    // From the other end, and what lies between.
    constexpr std::int64_t most_between = 5'000;
    const auto low = last_.value_or(0), end = low + most_between;
    stop_at_ = low;
    last_.reset();
    (void)walk("ORDER BY rowid DESC");
    const auto high = std::min(last_.value_or(end), end);
    for (auto id = low + 1; id < high; ++id) (void)walk(fmt::format("WHERE rowid = {}", id));
    return false;
  }

 private:
  /// False if it met damage.
  bool walk(const std::string& rest) {
    const auto list = join(columns_, ", ");
    auto rows = from_.prepare(fmt::format("SELECT rowid, {}, {} FROM {} {}", table_.run, list, table_.name, rest));
    std::string places;
    for (std::size_t i = 1; i <= columns_.size(); ++i) places += fmt::format("{}?{}", i == 1 ? "" : ",", i);
    auto insert = into_.prepare(fmt::format("INSERT OR REPLACE INTO {}({}) VALUES({})", table_.name, list, places));
    if (!rows || !insert) return false;
    while (true) {
      const auto more = rows->step();
      if (!more) return false;
      if (!*more) return true;
      if (stop_at_ && rows->integer(0) <= *stop_at_) return true;
      last_ = rows->integer(0);
      if (but_of_.contains(rows->text(1))) continue;
      for (int i = 0; i < static_cast<int>(columns_.size()); ++i) insert->bind_column(i + 1, *rows, i + 2);
      if (!insert->step()) lost_ = true;
      insert->reset();
    }
  }

  Database& from_;
  Database& into_;
  const Table& table_;
  std::set<std::string> but_of_;
  std::vector<std::string> columns_;
  std::optional<std::int64_t> last_, stop_at_;  // rowids
  bool lost_ = false;
};

/// Whether each row of a table is one that a ferry wrote; those that are not are removed on demand.
template <class Row>
bool check_rows(Database& database, std::string_view columns, const char* table, Result<Row> (*read)(const Statement&),
                bool remove) {
  std::vector<std::int64_t> bad;
  {
    auto rows = database.prepare(fmt::format("SELECT {}, rowid FROM {}", columns, table));
    if (!rows) return false;
    const auto rowid = static_cast<int>(std::count(columns.begin(), columns.end(), ',')) + 1;
    while (true) {
      const auto more = rows->step();
      if (!more) return false;
      if (!*more) break;
      if (!read(*rows)) bad.push_back(rows->integer(rowid));
    }
  }
  if (remove) {
    for (const auto id : bad) (void)database.run(fmt::format("DELETE FROM {} WHERE rowid = ?1", table), id);
  }
  return bad.empty();
}

bool check_all_rows(Database& database, bool remove) {
  bool good = check_rows(database, run_columns, "runs", read_run, remove);
  good = check_rows(database, instance_columns, "instances", read_instance, remove) && good;
  good = check_rows(database, resource_columns, "resources", read_resource, remove) && good;
  good = check_rows(database, attempt_columns, "attempts", read_attempt, remove) && good;
  good = check_rows(database, node_columns, "nodes", read_node, remove) && good;
  good = check_rows(database, object_columns, "objects", read_object, remove) && good;
  good = check_rows(database, reservation_columns, "reservations", read_reservation, remove) && good;
  good = check_rows(database, purchase_columns, "purchases", read_purchase, remove) && good;
  return check_rows(database, event_columns, "events", read_event, remove) && good;
}

/// What of a run that may hold a machine is not all there would be settled wrongly.
constexpr const char* leave_out_halves = R"(
DELETE FROM runs WHERE phase IN ('launching','connecting','syncing','setup','training','fetching') AND
  NOT EXISTS (SELECT 1 FROM instances WHERE run = runs.name);
DELETE FROM instances WHERE run NOT IN (SELECT name FROM runs);
DELETE FROM resources WHERE run NOT IN (SELECT name FROM runs);
DELETE FROM attempts WHERE run NOT IN (SELECT name FROM runs);
DELETE FROM nodes WHERE run NOT IN (SELECT name FROM runs);
DELETE FROM objects WHERE run NOT IN (SELECT name FROM runs);
DELETE FROM reservations WHERE run NOT IN (SELECT name FROM runs);
INSERT OR IGNORE INTO attempts SELECT name, 1, phase, outcome, error, '', '', created_ms, ended_ms FROM runs WHERE
  NOT EXISTS (SELECT 1 FROM attempts WHERE run = runs.name);
)";

/// Makes rows of what they and their copies say; true if nothing was lost.
Result<bool> settle(Database* from, Database& into) {
  bool are_whole = from && has_current_schema(*from);
  for (const auto& table : copy_tables) {
    // Those that triggers made of the rows say nothing about them.
    if (are_whole) TRY("", into.run(fmt::format("DELETE FROM {}", table.name)));
  }
  if (!are_whole) return true;
  for (const auto& table : copy_tables) are_whole = TableCopy(*from, into, table, {}, true).run() && are_whole;
  return settle_copies(into, are_whole);
}

struct Salvaged {
  std::int64_t runs = 0;
  bool all = false;
};

void remove_database(const os::Path& file) {
  std::error_code ignored;
  for (const char* end : {"", "-wal", "-shm", "-journal"}) fs::remove(beside(file, end), ignored);
}

/// Makes `file`, a whole ledger, of what can be read of `from` (none: nothing can).
Result<Salvaged> salvage(Database* from, const os::Path& file) {
  remove_database(file);
  TRY("", os::append_file(file, {}, 0600));
  TRY_SET(into, "", Database::open(file));
  Salvaged salvaged{0, from != nullptr};
  {
    TRY_SET(transaction, "", Transaction::begin(into));
    TRY("", migrate(into, 0, schema_version));
    for (const auto& table : ledger_tables) {
      if (from) salvaged.all = TableCopy(*from, into, table, {}, true).run() && salvaged.all;
    }
    TRY_SET(settled, "", settle(from, into));
    salvaged.all = check_all_rows(into, true) && settled && salvaged.all;
    TRY_SET(before, "", into.number("SELECT count(*) FROM runs"));
    TRY("", into.execute(leave_out_halves));
    TRY_SET(runs, "", into.number("SELECT count(*) FROM runs"));
    salvaged.all = salvaged.all && before == runs;
    salvaged.runs = runs;
    TRY("", transaction.commit());
  }
  TRY("", into.execute("PRAGMA journal_mode=WAL"));
  return salvaged;
}

/// A copy of the ledger in which the tables' own text, which is known, is as it was; nothing if that is not enough. The
/// caller removes it (remove_database).
std::optional<Database> open_with_known_schema(const os::Path& file, const os::Path& copy) {
  std::error_code code;
  for (const char* end : {"", "-wal"}) {
    fs::remove(beside(copy, end), code);
    fs::copy_file(beside(file, end), beside(copy, end), code);
  }
  {
    auto fresh = Database::open(":memory:"), old = Database::open(copy);
    if (!fresh || !old || !migrate(*fresh, 0, schema_version)) return std::nullopt;
    constexpr const char* count = "SELECT count(*) FROM sqlite_schema";
    if (!old->execute("PRAGMA writable_schema=ON") ||
        old->number(count).value_or(0) != fresh->number(count).value_or(-1))
      return std::nullopt;
    auto known = fresh->prepare("SELECT type, name, tbl_name, sql, rowid FROM sqlite_schema");
    auto put = old->prepare("UPDATE sqlite_schema SET type=?1, name=?2, tbl_name=?3, sql=?4 WHERE rowid=?5");
    if (!known || !put) return std::nullopt;
    while (known->step().value_or(false)) {
      for (int i = 0; i < 5; ++i) put->bind_column(i + 1, *known, i);
      if (!put->step()) return std::nullopt;
      put->reset();
    }
  }
  auto opened = Database::open(copy);
  return opened && has_current_schema(*opened) ? std::optional(std::move(*opened)) : std::nullopt;
}

/// A name that is free for the damaged ledger.
os::Path place_aside(const os::Path& file) {
  auto aside = beside(file, ".damaged");
  for (int n = 2; os::exists(aside); ++n) aside = beside(file, fmt::format(".damaged-{}", n));
  return aside;
}

Status sync_folder(const os::Path& folder) {
  TRY_SET(fd, "", os::open_file(folder, O_RDONLY | O_DIRECTORY));
  return ::fsync(fd.get()) < 0 ? Status(fail_errno("write " + folder.string())) : Status();
}

os::Path note_of(const os::Path& file) { return beside(file, ".mended-note"); }

Status move_into_place(const os::Path& made, const os::Path& file) {
  std::error_code code;
  if (os::exists(file)) {
    const auto aside = place_aside(file);
    // What was not yet taken into the file goes with it: to another one it would be ruin.
    fs::rename(beside(file, "-wal"), beside(aside, "-wal"), code);
    fs::rename(beside(file, "-shm"), beside(aside, "-shm"), code);
    if (::link(file.c_str(), aside.c_str()) < 0) {
      fs::rename(file, aside, code);
      if (code) return fail_errno("set aside " + file.string(), code.value());
    }
  }
  if (::rename(made.c_str(), file.c_str()) < 0) return fail_errno("replace " + file.string());
  return sync_folder(file.parent_path());
}

}  // namespace

Status check_pages(Database& database) {
  TRY_SET(check, "", database.prepare("PRAGMA integrity_check(1)"));
  TRY("", check.step());
  return check.text(0) == "ok" ? Status() : fail(Kind::corrupt, "it is damaged", check.text(0));
}

bool is_whole(Database& database) {
  // A newer ferry has brought it up to date while this one ran: what it has is that one's to judge.
  const auto version = database.number("PRAGMA user_version");
  if (version && *version > schema_version && *version <= most_schemas && !has_current_schema(database)) return true;
  if (!check_pages(database)) return false;
  return has_current_schema(database) && check_all_rows(database, false) && check_copies(database);
}

Status finish_mending(const os::Path& file) {
  const auto made = beside(file, ".mended");
  return os::exists(made) ? move_into_place(made, file) : Status();
}

Result<bool> mend(const os::Path& file) {
  TRY_SET(lock, "mend the ledger", os::FileLock::take(beside(file, ".lock"), Millis(10'000)));
  TRY("mend the ledger", finish_mending(file));
  auto old = Database::open(file);
  if (!old && old.error().kind != Kind::corrupt) return tl::unexpected<Error>(std::move(old).error());
  // Whoever waits to write meanwhile sees afterwards that its file is another one.
  std::optional<Transaction> held;
  if (old) {
    auto begun = Transaction::begin(*old);
    if (!begun && begun.error().kind != Kind::corrupt) return tl::unexpected<Error>(std::move(begun).error());
    if (begun) held.emplace(std::move(*begun));
    if (held && is_whole(*old)) return false;
  }
  const auto made = beside(file, ".mending"), copy = beside(file, ".mending-copy");
  auto read = old && !has_current_schema(*old) ? open_with_known_schema(file, copy) : std::nullopt;
  auto salvaging = salvage(read ? &*read : old ? &*old : nullptr, made);
  read.reset();
  remove_database(copy);
  TRY_SET(salvaged, "make another ledger", std::move(salvaging));
  const auto place = printable(place_aside(file).string());
  const auto line = fmt::format("the ledger was damaged: it is set aside as {}, and another is made of {}", place,
                                salvaged.all ? "all that was in it"
                                             : fmt::format("what could be read of it ({} {})", salvaged.runs,
                                                           salvaged.runs == 1 ? "run" : "runs"));
  // First: a ledger that lost something and does not say so is worse than one that says so twice.
  TRY("", os::write_file(note_of(file), std::string(salvaged.all ? "all " : "some ") + line + "\n", 0600));
  const auto complete = beside(file, ".mended");
  if (::rename(made.c_str(), complete.c_str()) < 0) return fail_errno("rename " + made.string());
  TRY("set the damaged ledger aside", move_into_place(complete, file));
  return true;
}

void note_if_emptied(const os::Path& file) {
  std::error_code code;
  const bool is_empty = fs::file_size(file, code) == 0 && !code;
  // Which is made before the first run of a ledger.
  if (!is_empty || !os::exists(file.parent_path() / "ledger-id") || os::exists(note_of(file))) return;
  (void)os::write_file(note_of(file), "some the ledger was an empty file: another is begun\n", 0600);
}

Status add_missing(Database& from, Database& into) {
  if (!is_whole(from)) return {};  // whoever mended it has taken what could be
  TRY_SET(transaction, "", Transaction::begin(into));
  std::set<std::string> known;
  {
    TRY_SET(names, "", into.prepare("SELECT name FROM runs UNION SELECT tag FROM purchases"));
    while (true) {
      TRY_SET(more, "", names.step());
      if (!more) break;
      known.insert(names.text(0));
    }
  }
  for (const auto& table : ledger_tables) (void)TableCopy(from, into, table, known, false).run();
  return transaction.commit();
}

std::optional<Mending> last_mending(const os::Path& file) {
  const auto text = os::read_file(note_of(file), 65536);
  if (!text) return std::nullopt;
  const bool all = text->starts_with("all ");
  const auto space = text->find(' ');
  return Mending{short_line(trim(space == text->npos ? *text : text->substr(space + 1)), 2000), !all};
}

void forget_mending(const os::Path& file) {
  std::error_code ignored;
  fs::remove(note_of(file), ignored);
}

}  // namespace ferry::ledger
