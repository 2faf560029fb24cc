#include "ledger/rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ferry::ledger {
namespace {

tl::unexpected<Error> bad(std::string_view field, const std::string& value, const std::string& of) {
  return fail(Kind::corrupt, fmt::format("the ledger holds an unknown {} for {}", field, printable(of)),
              printable(value));
}

/// What decides about a machine is plain text: a byte that no ferry writes there was damaged.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) { return byte > ' ' && byte < 127; });
}

/// "INSERT INTO table(a, b) VALUES(?1,?2)". The columns are named: another ferry may have added some.
std::string insert(std::string_view table, std::string_view columns) {
  std::string places;
  const auto count = std::count(columns.begin(), columns.end(), ',') + 1;
  for (std::ptrdiff_t i = 1; i <= count; ++i) places += fmt::format("{}?{}", i == 1 ? "" : ",", i);
  return fmt::format("INSERT INTO {}({}) VALUES({})", table, columns, places);
}

}  // namespace

Result<Run> read_run(const Statement& row) {
  Run run;
  run.name = row.text(0);
  if (!is_plain(run.name)) return bad("name", run.name, run.name);
  run.task_name = row.text(1);
  run.infra = row.text(2);
  TRY_SET(task, "ledger, task of " + printable(run.name), parse_json(row.text(3)));
  run.task = std::move(task);
  run.workdir = row.text(4);
  run.output_dir = row.text(5);
  const auto phase = phase_from(row.text(6));
  if (!phase) return bad("phase", row.text(6), run.name);
  run.phase = *phase;
  const auto outcome = outcome_from(row.text(7));
  if (!outcome) return bad("outcome", row.text(7), run.name);
  run.outcome = *outcome;
  if (!row.is_null(8)) run.exit_code = static_cast<int>(row.integer(8));
  run.error = row.text(9);
  run.keep = row.integer(10) != 0;
  run.outputs_home = row.integer(11) != 0;
  run.created_ms = row.integer(12);
  run.phase_ms = row.integer(13);
  run.train_start_ms = row.integer(14);
  run.train_end_ms = row.integer(15);
  run.ended_ms = row.integer(16);
  run.store = row.text(17);
  run.outputs_stored = row.integer(18) != 0;
  return run;
}

Result<Instance> read_instance(const Statement& row) {
  Instance instance;
  instance.token = row.text(0);
  instance.run = row.text(1);
  for (const int column : {0, 1, 2, 3, 5}) {
    if (!is_plain(row.text(column))) return bad("name", row.text(column), instance.token);
  }
  instance.provider = row.text(2);
  instance.region = row.text(3);
  instance.endpoint = row.text(4);
  instance.id = row.text(5);
  instance.type = row.text(6);
  instance.zone = row.text(7);
  instance.address = row.text(8);
  instance.ssh_port = static_cast<int>(row.integer(9));
  instance.login_user = row.text(10);
  instance.hourly = Usd{row.integer(11)};
  const auto state = rent_from(row.text(12));
  if (!state) return bad("state", row.text(12), instance.token);
  instance.state = *state;
  instance.intent_ms = row.integer(13);
  instance.launched_ms = row.integer(14);
  instance.released_ms = row.integer(15);
  instance.market = row.text(16);
  instance.disk.gib = static_cast<int>(row.integer(17));
  instance.public_address = row.integer(18) != 0;
  instance.bytes_out = row.integer(19);
  instance.account = row.text(20);
  instance.profile = row.text(21);
  instance.identity = row.text(22);
  instance.ssh_proxy = row.text(23);
  instance.disk.type = row.text(24);
  instance.disk.iops = static_cast<int>(row.integer(25));
  instance.disk.mib_per_s = static_cast<int>(row.integer(26));
  instance.running_ms = row.integer(27);
  instance.stopped_ms = row.integer(28);
  instance.paused_ms = row.integer(29);
  return instance;
}

Result<Resource> read_resource(const Statement& row) {
  return Resource{.run = row.text(0),
                  .provider = row.text(1),
                  .region = row.text(2),
                  .endpoint = row.text(3),
                  .kind = row.text(4),
                  .name = row.text(5),
                  .released = row.integer(6) != 0,
                  .account = row.text(7),
                  .profile = row.text(8)};
}

Result<Attempt> read_attempt(const Statement& row) {
  Attempt attempt{.run = row.text(0), .n = static_cast<int>(row.integer(1))};
  const auto phase = phase_from(row.text(2));
  if (!phase) return bad("phase", row.text(2), attempt.run);
  attempt.phase = *phase;
  const auto outcome = outcome_from(row.text(3));
  if (!outcome) return bad("outcome", row.text(3), attempt.run);
  attempt.outcome = *outcome;
  attempt.reason = row.text(4);
  attempt.place = row.text(5);
  attempt.resumed_from = row.text(6);
  attempt.started_ms = row.integer(7);
  attempt.ended_ms = row.integer(8);
  return attempt;
}

Result<Node> read_node(const Statement& row) {
  Node node{.run = row.text(0),
            .attempt = static_cast<int>(row.integer(1)),
            .rank = static_cast<int>(row.integer(2)),
            .token = row.text(3)};
  if (!row.is_null(4)) node.exit_code = static_cast<int>(row.integer(4));
  node.log_bytes = row.integer(5);
  node.train_start_ms = row.integer(6);
  node.train_end_ms = row.integer(7);
  return node;
}

Result<Object> read_object(const Statement& row) {
  return Object{.path = row.text(0),
                .kind = row.text(1),
                .bytes = row.integer(2),
                .sha256 = row.text(3),
                .uri = row.text(4),
                .stored_ms = row.integer(5),
                .home_ms = row.integer(6)};
}

Result<Reservation> read_reservation(const Statement& row) {
  Reservation it{.run = row.text(0),
                 .provider = row.text(1),
                 .at_most = Usd{row.integer(2)},
                 .hourly = Usd{row.integer(3)},
                 .machine_hourly = Usd{row.integer(4)},
                 .held = row.integer(5) != 0,
                 .budget = Usd{row.integer(6)},
                 .extended_s = row.integer(7),
                 .attempt = static_cast<int>(row.integer(8)),
                 .max_duration_s = row.integer(9)};
  constexpr std::int64_t most_micros = 1'000'000'000'000'000;
  for (const auto amount : {it.at_most, it.hourly, it.machine_hourly, it.budget}) {
    if (amount.micros < 0 || amount.micros > most_micros) return bad("amount", std::to_string(amount.micros), it.run);
  }
  constexpr std::int64_t longest_s = std::int64_t{10} * 366 * 86'400;
  for (const auto time : {it.extended_s, it.max_duration_s}) {
    if (time < 0 || time > longest_s) return bad("time", std::to_string(time), it.run);
  }
  return it;
}

Result<Purchase> read_purchase(const Statement& row) {
  Purchase it{.tag = row.text(0),
              .provider = row.text(1),
              .region = row.text(2),
              .endpoint = row.text(3),
              .account = row.text(4),
              .profile = row.text(5),
              .offering = row.text(6),
              .instance_type = row.text(7),
              .zone = row.text(8),
              .machines = static_cast<int>(row.integer(9)),
              .hours = static_cast<int>(row.integer(10)),
              .start_ms = row.integer(11),
              .end_ms = row.integer(12),
              .fee = Usd{row.integer(13)},
              .state = Bought::intent,
              .reservation = row.text(15),
              .asked_ms = row.integer(16)};
  const auto state = bought_from(row.text(14));
  if (!state) return bad("state", row.text(14), it.tag);
  it.state = *state;
  constexpr std::int64_t most_micros = 1'000'000'000'000'000;
  if (it.fee.micros < 0 || it.fee.micros > most_micros) return bad("amount", std::to_string(it.fee.micros), it.tag);
  if (!is_plain(it.tag) || !is_plain(it.offering) || !is_plain(it.reservation)) return bad("name", it.offering, it.tag);
  return it;
}

Result<Event> read_event(const Statement& row) {
  Event event;
  event.id = row.integer(0);
  event.run = row.text(1);
  event.time_ms = row.integer(2);
  event.kind = row.text(3);
  TRY_SET(data, fmt::format("ledger, event {}", event.id), parse_json(row.text(4)));
  event.data = std::move(data);
  return event;
}

Status add_row(Database& database, const Run& run, std::int64_t now_ms) {
  return database.run(insert("runs", run_columns), run.name, run.task_name, run.infra, dump_json(run.task), run.workdir,
                      run.output_dir, name(run.phase), name(run.outcome), run.exit_code, run.error, run.keep,
                      run.outputs_home, run.created_ms ? run.created_ms : now_ms, run.phase_ms ? run.phase_ms : now_ms,
                      run.train_start_ms, run.train_end_ms, run.ended_ms, run.store, run.outputs_stored);
}

Status add_row(Database& database, const Instance& it, std::int64_t now_ms) {
  return database.run(insert("instances", instance_columns), it.token, it.run, it.provider, it.region, it.endpoint,
                      it.id, it.type, it.zone, it.address, it.ssh_port, it.login_user, it.hourly.micros, name(it.state),
                      it.intent_ms ? it.intent_ms : now_ms, it.launched_ms, it.released_ms, it.market, it.disk.gib,
                      it.public_address, it.bytes_out, it.account, it.profile, it.identity, it.ssh_proxy, it.disk.type,
                      it.disk.iops, it.disk.mib_per_s, it.running_ms, it.stopped_ms, it.paused_ms);
}

Status add_row(Database& database, const Resource& it) {
  return database.run(insert("resources", resource_columns) + " ON CONFLICT DO UPDATE SET released = excluded.released",
                      it.run, it.provider, it.region, it.endpoint, it.kind, it.name, it.released, it.account,
                      it.profile);
}

Status add_row(Database& database, const Attempt& it) {
  return database.run(insert("attempts", attempt_columns), it.run, it.n, name(it.phase), name(it.outcome), it.reason,
                      it.place, it.resumed_from, it.started_ms, it.ended_ms);
}

Status add_row(Database& database, const Purchase& it) {
  return database.run(insert("purchases", purchase_columns), it.tag, it.provider, it.region, it.endpoint, it.account,
                      it.profile, it.offering, it.instance_type, it.zone, it.machines, it.hours, it.start_ms, it.end_ms,
                      it.fee.micros, name(it.state), it.reservation, it.asked_ms);
}

Status add_row(Database& database, const Node& it) {
  return database.run(insert("nodes", node_columns), it.run, it.attempt, it.rank, it.token, it.exit_code, it.log_bytes,
                      it.train_start_ms, it.train_end_ms);
}

Status add_event_row(Database& database, std::string_view run, std::int64_t now_ms, std::string_view kind,
                     const Json& data) {
  return database.run("INSERT INTO events(run, time_ms, kind, data) VALUES(?1,?2,?3,?4)", run, now_ms, kind,
                      dump_json(data));
}

}  // namespace ferry::ledger
