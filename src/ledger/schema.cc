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
)",
    // The triggers keep attempts and nodes right for a ferry of the version before, too, which may be following a run
    // just now and writes what it always wrote.
    R"(
CREATE TABLE attempts(
  run TEXT NOT NULL, n INTEGER NOT NULL, phase TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
  place TEXT NOT NULL, resumed_from TEXT NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
  PRIMARY KEY(run, n)) STRICT;
CREATE TABLE nodes(
  run TEXT NOT NULL, attempt INTEGER NOT NULL, rank INTEGER NOT NULL, token TEXT NOT NULL, exit_code INTEGER,
  log_bytes INTEGER NOT NULL, train_start_ms INTEGER NOT NULL, train_end_ms INTEGER NOT NULL,
  PRIMARY KEY(run, attempt, rank)) STRICT;
CREATE TABLE objects(
  run TEXT NOT NULL, attempt INTEGER NOT NULL, rank INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL,
  bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, uri TEXT NOT NULL, stored_ms INTEGER NOT NULL, home_ms INTEGER NOT NULL,
  PRIMARY KEY(run, attempt, rank, kind, path)) STRICT;

INSERT INTO attempts SELECT name, 1, phase, outcome, error,
  coalesce((SELECT world || '/' || CASE WHEN zone <> '' THEN zone ELSE region END FROM instances WHERE run = name
            ORDER BY intent_ms DESC, rowid DESC LIMIT 1), ''),
  '', created_ms, ended_ms FROM runs;
INSERT INTO nodes SELECT name, 1, 0, token, exit_code, 0, train_start_ms, train_end_ms FROM runs JOIN
  (SELECT run, token, max(intent_ms) FROM instances GROUP BY run) ON run = name;
INSERT OR REPLACE INTO objects SELECT run, 1, 0, CASE WHEN file.value ->> 'as_sent' THEN 'sent' ELSE 'output' END,
  file.value ->> 'path', CAST(file.value ->> 'bytes' AS INTEGER), CAST(file.value ->> 'sha256' AS TEXT), '', 0, time_ms
  FROM events, json_each(CASE WHEN json_valid(data) THEN data ELSE '{}' END, '$.files') AS file
  WHERE kind = 'outputs' AND typeof(file.value ->> 'path') = 'text' AND file.value ->> 'bytes' IS NOT NULL AND
  file.value ->> 'sha256' IS NOT NULL AND
  events.id = (SELECT max(id) FROM events AS newest WHERE newest.run = events.run AND newest.kind = 'outputs');

CREATE TRIGGER run_added AFTER INSERT ON runs BEGIN
  INSERT INTO attempts VALUES(NEW.name, 1, NEW.phase, NEW.outcome, NEW.error, '', '', NEW.created_ms, NEW.ended_ms);
END;
CREATE TRIGGER run_changed AFTER UPDATE ON runs BEGIN
  UPDATE attempts SET phase = NEW.phase, outcome = NEW.outcome, reason = NEW.error, ended_ms = NEW.ended_ms
    WHERE run = NEW.name AND n = (SELECT max(n) FROM attempts WHERE run = NEW.name);
  UPDATE nodes SET exit_code = NEW.exit_code, train_start_ms = NEW.train_start_ms, train_end_ms = NEW.train_end_ms
    WHERE run = NEW.name AND rank = 0 AND attempt = (SELECT max(n) FROM attempts WHERE run = NEW.name);
END;
CREATE TRIGGER instance_added AFTER INSERT ON instances BEGIN
  INSERT OR REPLACE INTO nodes SELECT NEW.run, coalesce(max(n), 1), 0, NEW.token, NULL, 0, 0, 0
    FROM attempts WHERE run = NEW.run;
END;
CREATE TRIGGER instance_placed AFTER UPDATE OF zone ON instances WHEN NEW.zone <> '' BEGIN
  UPDATE attempts SET place = NEW.world || '/' || NEW.zone
    WHERE run = NEW.run AND n = (SELECT attempt FROM nodes WHERE run = NEW.run AND token = NEW.token);
END;
)",
    R"(
ALTER TABLE runs ADD COLUMN store TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN outputs_stored INTEGER NOT NULL DEFAULT 0;
)",
    // See copies.h. Whoever adds a column to runs or instances adds it to their copies, too.
    R"(
CREATE TABLE run_copies(
  n INTEGER NOT NULL, name TEXT NOT NULL, task_name TEXT, infra TEXT, task TEXT, workdir TEXT, home TEXT,
  phase TEXT, outcome TEXT, exit_code INTEGER, error TEXT, keep INTEGER, outputs_home INTEGER, created_ms INTEGER,
  phase_ms INTEGER, train_start_ms INTEGER, train_end_ms INTEGER, ended_ms INTEGER, store TEXT,
  outputs_stored INTEGER, PRIMARY KEY(name, n)) STRICT;
CREATE TABLE instance_copies(
  n INTEGER NOT NULL, token TEXT NOT NULL, run TEXT, world TEXT, region TEXT, endpoint TEXT, id TEXT, type TEXT,
  zone TEXT, address TEXT, ssh_port INTEGER, login_user TEXT, hourly_micros INTEGER, state TEXT, intent_ms INTEGER,
  launched_ms INTEGER, released_ms INTEGER, market TEXT, disk_gib INTEGER, public_address INTEGER,
  bytes_out INTEGER, account TEXT, profile TEXT, identity TEXT, ssh_proxy TEXT, disk_type TEXT, disk_iops INTEGER,
  disk_mib_per_s INTEGER, running_ms INTEGER, stopped_ms INTEGER, paused_ms INTEGER, PRIMARY KEY(token, n)) STRICT;
INSERT INTO run_copies SELECT n, runs.* FROM runs, (SELECT 1 AS n UNION ALL SELECT 2) WHERE phase <> 'released';
INSERT INTO instance_copies SELECT n, instances.* FROM instances, (SELECT 1 AS n UNION ALL SELECT 2)
  WHERE state <> 'released';

CREATE TRIGGER run_added_copied AFTER INSERT ON runs BEGIN
  DELETE FROM run_copies WHERE name = NEW.name;
  INSERT INTO run_copies SELECT n, runs.* FROM runs, (SELECT 1 AS n UNION ALL SELECT 2)
    WHERE name = NEW.name AND phase <> 'released';
END;
CREATE TRIGGER run_changed_copied AFTER UPDATE ON runs BEGIN
  DELETE FROM run_copies WHERE name = OLD.name;
  INSERT INTO run_copies SELECT n, runs.* FROM runs, (SELECT 1 AS n UNION ALL SELECT 2)
    WHERE name = NEW.name AND phase <> 'released';
END;
CREATE TRIGGER run_removed_copied AFTER DELETE ON runs BEGIN
  DELETE FROM run_copies WHERE name = OLD.name;
END;
CREATE TRIGGER instance_added_copied AFTER INSERT ON instances BEGIN
  DELETE FROM instance_copies WHERE token = NEW.token;
  INSERT INTO instance_copies SELECT n, instances.* FROM instances, (SELECT 1 AS n UNION ALL SELECT 2)
    WHERE token = NEW.token AND state <> 'released';
END;
CREATE TRIGGER instance_changed_copied AFTER UPDATE ON instances BEGIN
  DELETE FROM instance_copies WHERE token = OLD.token;
  INSERT INTO instance_copies SELECT n, instances.* FROM instances, (SELECT 1 AS n UNION ALL SELECT 2)
    WHERE token = NEW.token AND state <> 'released';
END;
CREATE TRIGGER instance_removed_copied AFTER DELETE ON instances BEGIN
  DELETE FROM instance_copies WHERE token = OLD.token;
END;
)",
    // See reservations.h. What a run of the version before may cost stands in its task.
    R"(
CREATE TABLE reservations(
  run TEXT PRIMARY KEY NOT NULL, world TEXT NOT NULL, at_most_micros INTEGER NOT NULL, hourly_micros INTEGER NOT NULL,
  machine_micros INTEGER NOT NULL, held INTEGER NOT NULL, budget_micros INTEGER NOT NULL, extended_s INTEGER NOT NULL,
  attempt INTEGER NOT NULL, max_duration_s INTEGER NOT NULL) STRICT;
)",
    R"(
CREATE TABLE purchases(
  tag TEXT PRIMARY KEY NOT NULL, world TEXT NOT NULL, region TEXT NOT NULL, endpoint TEXT NOT NULL,
  account TEXT NOT NULL, profile TEXT NOT NULL, offering TEXT NOT NULL, type TEXT NOT NULL, zone TEXT NOT NULL,
  machines INTEGER NOT NULL, hours INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
  fee_micros INTEGER NOT NULL, state TEXT NOT NULL, reservation TEXT NOT NULL, asked_ms INTEGER NOT NULL) STRICT;
)"};

/// Everything that is made by migrations, as text; empty: it cannot be read.
std::string schema_of(Database& database) {
  auto rows = database.prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1");
  std::string all;
  while (rows) {
    const auto more = rows->step();
    if (!more) return {};
    if (!*more) break;
    all += rows->text(0) + "\n";
  }
  return all;
}

Status check_not_newer(std::int64_t version, const os::Path& file) {
  if (version <= schema_version) return {};
  if (version > most_schemas)
    return fail(Kind::corrupt, fmt::format("the ledger {} is damaged", printable(file.string())),
                fmt::format("it has schema {}, which there cannot be", version));
  const std::string folder = printable(file.parent_path().string());
  return fail(Kind::unsupported, fmt::format("the ledger {} was written by a newer ferry", printable(file.string())),
              fmt::format("it has schema {}; this ferry ({}) knows {}", version, ferry_version(), schema_version),
              fmt::format("update ferry, or set XDG_DATA_HOME to a folder other than the one that holds {}", folder));
}

Status check_ours(Database& database, const os::Path& file) {
  TRY_SET(tables, "", database.number("SELECT count(*) FROM sqlite_schema"));
  if (tables == 0) return {};
  return fail(Kind::corrupt, fmt::format("{} is not a ledger of ferry", printable(file.string())),
              "it is a database of some other program",
              "set it aside: mv " + shell_quoted(file.string()) + " " + shell_quoted(file.string() + ".other"),
              other_program);
}

}  // namespace

const std::int64_t schema_version = static_cast<std::int64_t>(migrations.size());

Status migrate(Database& database, std::int64_t from, std::int64_t to) {
  for (auto step = from; step < to; ++step) TRY("", database.execute(migrations.at(static_cast<std::size_t>(step))));
  return database.execute(fmt::format("PRAGMA user_version={}", to).c_str());
}

bool has_current_schema(Database& database) {
  auto fresh = Database::open(":memory:");
  return fresh && migrate(*fresh, 0, schema_version) && schema_of(database) == schema_of(*fresh);
}

Status bring_up_to_date(Database& database, const os::Path& file) {
  TRY_SET(seen, "", database.number("PRAGMA user_version"));
  if (seen == schema_version) return {};
  // A number that was damaged must not make it a newer ferry's for ever.
  if (seen != 0 && has_current_schema(database))
    return database.execute(fmt::format("PRAGMA user_version={}", schema_version).c_str());
  TRY("", check_not_newer(seen, file));

  // One process at a time: the switch to WAL does not wait for others by itself.
  auto lock = os::FileLock::take(os::Path(file) += ".lock", Millis(10'000));
  if (!lock) return fail("bring the ledger up to date", std::move(lock).error());
  TRY("", database.execute("PRAGMA journal_mode=WAL"));
  TRY_SET(transaction, "", Transaction::begin(database));
  TRY_SET(version, "", database.number("PRAGMA user_version"));
  TRY("", check_not_newer(version, file));
  const bool is_only_unnumbered = version == 0 && has_current_schema(database);
  if (version == 0 && !is_only_unnumbered) TRY("", check_ours(database, file));
  if (is_only_unnumbered) {
    TRY("", database.execute(fmt::format("PRAGMA user_version={}", schema_version).c_str()));
    return transaction.commit();
  }
  TRY("", migrate(database, version, schema_version));
  return transaction.commit();
}

}  // namespace ferry::ledger
