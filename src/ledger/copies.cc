#include "ledger/copies.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "ledger/rows.h"

namespace ferry::ledger {
namespace {

struct Copied {
  const char *table, *copies, *key, *run, *unreleased;
  std::string_view columns;
};
constexpr std::array<Copied, 2> copied_tables = {
    {{"runs", "run_copies", "name", "name", "phase <> 'released'", run_columns},
     {"instances", "instance_copies", "token", "run", "state <> 'released'", instance_columns}}};

/// "a.x, a.y".
std::string columns_of(const Copied& it, std::string_view alias) {
  std::vector<std::string> names;
  for (const auto& name : split(it.columns, ',')) names.push_back(fmt::format("{}.{}", alias, trim(name)));
  return join(names, ", ");
}

std::string same(const Copied& it, std::string_view one, std::string_view other) {
  return fmt::format("({}) IS ({})", columns_of(it, one), columns_of(it, other));
}

/// Of the first copy of each row: those that say the same as the second one.
std::string agreed(const Copied& it) {
  return fmt::format("FROM {0} a JOIN {0} b ON b.{1} = a.{1} AND a.n = 1 AND b.n = 2 WHERE {2}", it.copies, it.key,
                     same(it, "a", "b"));
}

/// A copy `c` that its row differs from, or that has none. The row is looked for as it is when its run's are listed.
std::string without_row(const Copied& it) {
  const auto by = std::string_view(it.run) == it.key ? "" : fmt::format(" AND r.{0} = c.{0}", it.run);
  return fmt::format("NOT EXISTS (SELECT 1 FROM {} r WHERE {}r.{} = c.{}{} AND {})", it.table, by.empty() ? "" : "+",
                     it.key, it.key, by, same(it, "r", "c"));
}

Status take_over_agreed(Database& database, const Copied& it) {
  const auto list = columns_of(it, "a");
  TRY("", database.run(fmt::format("UPDATE {0} SET ({1}) = (SELECT {2} FROM {3} a WHERE a.{4} = {0}.{4} AND a.n = 1) "
                                   "WHERE {4} IN (SELECT a.{4} {5})",
                                   it.table, it.columns, list, it.copies, it.key, agreed(it))));
  // OR IGNORE: for the triggers, too, which would make an attempt or node that is there.
  return database.run(
      fmt::format("INSERT OR IGNORE INTO {0}({1}) SELECT {2} {3} AND a.{4} NOT IN (SELECT {4} FROM {0})", it.table,
                  it.columns, list, agreed(it), it.key));
}

/// What is not settled yet: two copies that differ, or one.
Status remove_doubtful(Database& database, const Copied& it, bool copies_are_whole) {
  // One copy alone, without a row, was another one's: its key was damaged.
  const auto alone = fmt::format(
      "(c.{0} NOT IN (SELECT {0} FROM {1}) AND (SELECT count(*) FROM {2} c3 WHERE "
      "c3.{0} = c.{0}) = 1)",
      it.key, it.table, it.copies);
  // No copy is like its row: whichever run any of them names is doubtful.
  TRY("", database.run(fmt::format(
              "DELETE FROM runs WHERE name IN (SELECT c.{1} FROM {0} c WHERE {2} AND NOT EXISTS (SELECT 1 FROM {0} c2 "
              "JOIN {3} r ON r.{4} = c2.{4} WHERE c2.{4} = c.{4} AND {5}) {6})",
              it.copies, it.run, without_row(it), it.table, it.key, same(it, "r", "c2"),
              copies_are_whole ? "AND NOT " + alone : "")));
  if (!copies_are_whole) return {};
  return database.run(fmt::format("DELETE FROM {0} WHERE {1} AND {2} NOT IN (SELECT {2} FROM {3})", it.table,
                                  it.unreleased, it.key, it.copies));
}

Status copy_again(Database& database, const Copied& it) {
  TRY("", database.run(fmt::format("DELETE FROM {}", it.copies)));
  return database.run(
      fmt::format("INSERT INTO {0} SELECT n, {1}.* FROM {1}, (SELECT 1 AS n UNION ALL SELECT 2) WHERE {2}", it.copies,
                  it.table, it.unreleased));
}

}  // namespace

Status check_copies(Database& database) {
  static const std::vector<std::string> checks = [] {
    std::vector<std::string> all;
    for (const auto& it : copied_tables)
      all.push_back(
          fmt::format("SELECT EXISTS (SELECT 1 FROM {0} c WHERE {1}) OR EXISTS (SELECT 1 FROM {2} WHERE {3} "
                      "AND (SELECT count(*) FROM {0} c WHERE c.{4} = {2}.{4}) <> 2)",
                      it.copies, without_row(it), it.table, it.unreleased, it.key));
    return all;
  }();
  for (const auto& check : checks) {
    TRY_SET(differs, "", database.number(check));
    if (differs != 0) return fail(Kind::corrupt, "the ledger is damaged", "a row is not what was written");
  }
  return {};
}

Result<bool> settle_copies(Database& database, bool copies_are_whole) {
  constexpr const char* count = "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM instances)";
  TRY_SET(before, "", database.number(count));  // one whose key was damaged is there twice afterwards, for a while
  for (const auto& it : copied_tables) TRY("", take_over_agreed(database, it));
  for (const auto& it : copied_tables) TRY("", remove_doubtful(database, it, copies_are_whole));
  TRY_SET(after, "", database.number(count));
  for (const auto& it : copied_tables) TRY("", copy_again(database, it));
  return after >= before;
}

}  // namespace ferry::ledger
