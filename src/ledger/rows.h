#pragma once
/// \file
/// The ledger's values as rows: the columns to select, and a reader for each that matches them.

#include <fmt/format.h>

#include "ledger/ledger.h"
#include "ledger/sqlite.h"

namespace ferry::ledger {

inline constexpr std::string_view run_columns =
    "name, task_name, infra, task, workdir, home, phase, outcome, exit_code, error, keep, outputs_home, "
    "created_ms, "
    "phase_ms, train_start_ms, train_end_ms, ended_ms, store, outputs_stored";
inline constexpr std::string_view instance_columns =
    "token, run, world, region, endpoint, id, type, zone, address, ssh_port, login_user, hourly_micros, "
    "state, "
    "intent_ms, launched_ms, released_ms, market, disk_gib, public_address, bytes_out, account, profile, "
    "identity, ssh_proxy, disk_type, disk_iops, disk_mib_per_s, running_ms, stopped_ms, paused_ms";
inline constexpr std::string_view resource_columns =
    "run, world, region, endpoint, kind, name, released, account, profile";
inline constexpr std::string_view attempt_columns =
    "run, n, phase, outcome, reason, place, resumed_from, started_ms, ended_ms";
inline constexpr std::string_view node_columns =
    "run, attempt, rank, token, exit_code, log_bytes, train_start_ms, train_end_ms";
inline constexpr std::string_view object_columns = "path, kind, bytes, sha256, uri, stored_ms, home_ms";
inline constexpr std::string_view reservation_columns =
    "run, world, at_most_micros, hourly_micros, machine_micros, held, budget_micros, extended_s, attempt, "
    "max_duration_s";
inline constexpr std::string_view purchase_columns =
    "tag, world, region, endpoint, account, profile, offering, type, zone, machines, hours, start_ms, end_ms, "
    "fee_micros, state, reservation, asked_ms";
inline constexpr std::string_view event_columns = "id, run, time_ms, kind, data";

/// Kind::corrupt when the row holds what no ferry writes.
Result<Run> read_run(const Statement& row);
Result<Instance> read_instance(const Statement& row);
Result<Resource> read_resource(const Statement& row);
Result<Attempt> read_attempt(const Statement& row);
Result<Node> read_node(const Statement& row);
Result<Object> read_object(const Statement& row);
/// Corrupt, too, for amounts that nothing costs.
Result<Reservation> read_reservation(const Statement& row);
Result<Purchase> read_purchase(const Statement& row);
Result<Event> read_event(const Statement& row);

/// Adds it. Fails exists for a key that is taken. A moment that is 0 and must be known is `now_ms`.
Status add_row(Database& database, const Run& run, std::int64_t now_ms);
Status add_row(Database& database, const Instance& instance, std::int64_t now_ms);
/// Or updates `released`.
Status add_row(Database& database, const Resource& resource);
Status add_row(Database& database, const Attempt& attempt);
Status add_row(Database& database, const Purchase& purchase);
Status add_row(Database& database, const Node& node);
Status add_event_row(Database& database, std::string_view run, std::int64_t now_ms, std::string_view kind,
                     const Json& data);

/// Every row of `SELECT columns rest`, with the values for its placeholders, each read by `read`.
template <class Row, class... Values>
Result<std::vector<Row>> select_rows(Database& database, std::string_view columns, std::string_view rest,
                                     Result<Row> (*read)(const Statement&), const Values&... values) {
  TRY_SET(statement, "", database.prepare(fmt::format("SELECT {} {}", columns, rest)));
  statement.bind(values...);
  std::vector<Row> rows;
  while (true) {
    TRY_SET(more, "", statement.step());
    if (!more) return rows;
    TRY_SET(row, "", read(statement));
    rows.push_back(std::move(row));
  }
}

}  // namespace ferry::ledger
