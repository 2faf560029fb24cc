#include "ledger/schema.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "base/version.h"

namespace ferry::ledger {
namespace {

/// migrations[n] leads from schema n to n + 1. Those that were released never change.
constexpr std::array migrations = {
    R"(
CREATE TABLE runs(
  name TEXT PRIMARY KEY NOT NULL,
  task_name TEXT NOT NULL, infra TEXT NOT NULL, task TEXT NOT NULL, workdir TEXT NOT NULL, home TEXT NOT NULL,
  phase TEXT NOT NULL, outcome TEXT NOT NULL, exit_code INTEGER, error TEXT NOT NULL,
  keep INTEGER NOT NULL, outputs_home INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, phase_ms INTEGER NOT NULL,
  train_start_ms INTEGER NOT NULL, train_end_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL) STRICT;
CREATE INDEX runs_unfinished ON runs(created_ms) WHERE phase <> 'released';

CREATE TABLE instances(
  token TEXT PRIMARY KEY NOT NULL,
  run TEXT NOT NULL, world TEXT NOT NULL, region TEXT NOT NULL, endpoint TEXT NOT NULL, id TEXT NOT NULL,
  type TEXT NOT NULL, zone TEXT NOT NULL, address TEXT NOT NULL, ssh_port INTEGER NOT NULL,
  login_user TEXT NOT NULL, hourly_micros INTEGER NOT NULL, state TEXT NOT NULL,
  intent_ms INTEGER NOT NULL, launched_ms INTEGER NOT NULL, released_ms INTEGER NOT NULL) STRICT;
CREATE INDEX instances_of_run ON instances(run);
CREATE INDEX instances_unreleased ON instances(run) WHERE state <> 'released';

CREATE TABLE resources(
  run TEXT NOT NULL, world TEXT NOT NULL, region TEXT NOT NULL, endpoint TEXT NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL, released INTEGER NOT NULL,
  PRIMARY KEY(run, world, region, endpoint, kind, name)) STRICT;
CREATE INDEX resources_unreleased ON resources(run) WHERE released = 0;

CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX events_of_run ON events(run, id);
)",
    R"(
ALTER TABLE instances ADD COLUMN market TEXT NOT NULL DEFAULT 'on-demand';
ALTER TABLE instances ADD COLUMN disk_gib INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN public_address INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN bytes_out INTEGER NOT NULL DEFAULT 0;
)",
    R"(
ALTER TABLE instances ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN profile TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN identity TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN ssh_proxy TEXT NOT NULL DEFAULT '';
ALTER TABLE resources ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE resources ADD COLUMN profile TEXT NOT NULL DEFAULT '';
)",
    R"(
ALTER TABLE instances ADD COLUMN disk_type TEXT NOT NULL DEFAULT 'gp3';
ALTER TABLE instances ADD COLUMN disk_iops INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN disk_mib_per_s INTEGER NOT NULL DEFAULT 0;
)",
    R"(
UPDATE runs SET outcome = 'not_started' WHERE outcome = 'did not start';
)",
    R"(
ALTER TABLE instances ADD COLUMN running_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN stopped_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN paused_ms INTEGER NOT NULL DEFAULT 0;
)"};

Status check_not_newer(std::int64_t version, const os::Path& file) {
  if (version <= schema_version) return {};
  const std::string folder = printable(file.parent_path().string());
  return fail(
      Kind::unsupported, fmt::format("the ledger {} was written by a newer ferry", printable(file.string())),
      fmt::format("it has schema {}; this ferry ({}) knows {}", version, ferry_version(), schema_version),
      fmt::format("update ferry, or set XDG_DATA_HOME to a folder other than the one that holds {}", folder));
}

Status check_ours(Database& database, const os::Path& file) {
  TRY_SET(tables, "", database.number("SELECT count(*) FROM sqlite_schema"));
  if (tables == 0) return {};
  return fail(
      Kind::corrupt, fmt::format("{} is not a ledger of ferry", printable(file.string())),
      "it is a database of some other program",
      "set it aside: mv " + shell_quoted(file.string()) + " " + shell_quoted(file.string() + ".other"));
}

}  // namespace

const std::int64_t schema_version = static_cast<std::int64_t>(migrations.size());

Status bring_up_to_date(Database& database, const os::Path& file) {
  TRY_SET(seen, "", database.number("PRAGMA user_version"));
  TRY("", check_not_newer(seen, file));
  if (seen == schema_version) return {};

  // One process at a time: the switch to WAL does not wait for others by itself.
  auto lock = os::FileLock::take(os::Path(file) += ".lock", Millis(10'000));
  if (!lock) return fail("bring the ledger up to date", std::move(lock).error());
  TRY("", database.execute("PRAGMA journal_mode=WAL"));
  TRY_SET(transaction, "", Transaction::begin(database));
  TRY_SET(version, "", database.number("PRAGMA user_version"));
  TRY("", check_not_newer(version, file));
  if (version == 0) TRY("", check_ours(database, file));
  for (auto step = static_cast<std::size_t>(version); step < migrations.size(); ++step) {
    TRY("", database.execute(migrations[step]));
  }
  TRY("", database.execute(fmt::format("PRAGMA user_version={}", schema_version).c_str()));
  return transaction.commit();
}

}  // namespace ferry::ledger
