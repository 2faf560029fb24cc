#include "ledger/ledger.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "ledger/copies.h"
#include "ledger/history.h"
#include "ledger/mend.h"
#include "ledger/reservations.h"
#include "ledger/rows.h"
#include "ledger/schema.h"
#include "ledger/sqlite.h"

namespace ferry::ledger {
namespace {

/// Makes the folder and an empty private file where they are missing; takes group's and others' rights away.
Status make_private_file(const os::Path& file) {
  namespace fs = std::filesystem;
  std::error_code code;
  const auto status = fs::status(file, code);
  if (fs::exists(status)) {
    constexpr auto strangers = fs::perms::group_all | fs::perms::others_all;
    if ((status.permissions() & strangers) != fs::perms::none) {
      fs::permissions(file, strangers, fs::perm_options::remove, code);
    }
    return {};
  }
  TRY("", os::make_dirs(file.parent_path(), 0700));
  return os::append_file(file, {}, 0600);
}

/// Smaller ones are looked through whole whenever they are opened: a few milliseconds.
constexpr std::uintmax_t small_file = 512 << 10;

Result<Database> open_database(const os::Path& file) {
  if (os::exists(os::Path(file) += ".mended")) TRY("", mend(file));
  TRY_SET(database, "", Database::open(file));
  TRY("", bring_up_to_date(database, file));
  // Also where a distribution's SQLite was built to promise less; costs no disk access.
  TRY("", database.execute("PRAGMA synchronous=FULL"));
  std::error_code code;
  if (const auto size = std::filesystem::file_size(file, code); !code && size <= small_file) {
    TRY("the ledger " + printable(file.string()), check_pages(database));
  }
  return database;
}

Result<Database> open_mended(const os::Path& file) {
  auto opened = open_database(file);
  if (opened || opened.error().kind != Kind::corrupt || opened.error().code == other_program) return opened;
  TRY_SET(mended, "", mend(file));
  return mended ? open_database(file) : std::move(opened);
}

class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(os::Path file, Database database, os::Clock& clock)
      : file_(std::move(file)), database_(std::move(database)), clock_(clock) {}

  Status add_run(const Run& run) override {
    auto added = write([&] { return add_row(database_, run, clock_.now_ms()); });
    if (!added && added.error().kind == Kind::exists) {
      return fail(Kind::exists, "a run named " + printable(run.name) + " exists already", {},
                  "choose another name with --name");
    }
    return added;
  }

  Result<Run> run(std::string_view wanted) override {
    TRY_SET(exact, "", select(run_columns, "FROM runs WHERE name = ?1", read_run, wanted));
    if (!exact.empty()) return std::move(exact.front());
    if (!wanted.empty()) {
      TRY_SET(begun, "",
              select(run_columns, "FROM runs WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name", read_run, wanted));
      if (begun.size() == 1) return std::move(begun.front());
      if (begun.size() > 1) return ambiguous(wanted, begun);
    }
    return no_such_run(wanted);
  }

  Result<std::vector<Run>> runs(bool only_unfinished) override {
    return select(run_columns,
                  only_unfinished ? "FROM runs WHERE phase <> 'released' ORDER BY created_ms DESC, rowid DESC"
                                  : "FROM runs ORDER BY created_ms DESC, rowid DESC",
                  read_run);
  }

  Status move(std::string_view run_name, Phase to) override {
    return write_into_file([&]() -> Status {
      TRY_SET(found, "", read_all(run_columns, "FROM runs WHERE name = ?1", read_run, run_name));
      if (found.empty()) return no_such_run(run_name);
      const Phase from = found.front().phase;
      if (!may_move(from, to)) {
        return fail(Kind::conflict,
                    fmt::format("run {} is {}; it cannot go to {}", printable(run_name), name(from), name(to)),
                    "another ferry process may be looking after it", "see where it stands: ferry ps");
      }
      const std::int64_t now = clock_.now_ms();
      TRY("", database_.run("UPDATE runs SET phase = ?2, phase_ms = ?3 WHERE name = ?1", run_name, name(to), now));
      return add_event_row(database_, run_name, now, "phase", {{"from", name(from)}, {"to", name(to)}});
    });
  }

  Status update(const Run& run) override {
    return write([&]() -> Status {
      TRY("",
          database_.run("UPDATE runs SET task_name = ?2, infra = ?3, task = ?4, workdir = ?5, home = ?6, outcome = ?7, "
                        "exit_code = ?8, error = ?9, keep = ?10, outputs_home = ?11, train_start_ms = ?12, "
                        "train_end_ms = ?13, ended_ms = ?14, store = ?15, outputs_stored = ?16 WHERE name = ?1",
                        run.name, run.task_name, run.infra, dump_json(run.task), run.workdir, run.output_dir,
                        name(run.outcome), run.exit_code, run.error, run.keep, run.outputs_home, run.train_start_ms,
                        run.train_end_ms, run.ended_ms, run.store, run.outputs_stored));
      if (database_.changes() == 0) return no_such_run(run.name);
      return {};
    });
  }

  Status record_intent(const Instance& it) override {
    auto noted = write_into_file([&] { return add_row(database_, it, clock_.now_ms()); });
    if (!noted && noted.error().kind == Kind::exists) {
      return fail(Kind::exists, "the launch token " + printable(it.token) + " is in the ledger already");
    }
    return noted;
  }

  Status record_instance(const Instance& it) override {
    return write_into_file([&]() -> Status {
      TRY("",
          database_.run("UPDATE instances SET run = ?2, world = ?3, region = ?4, endpoint = ?5, id = ?6, type = ?7, "
                        "zone = ?8, address = ?9, ssh_port = ?10, login_user = ?11, hourly_micros = ?12, state = ?13, "
                        "launched_ms = CASE WHEN ?14 > 0 THEN ?14 WHEN launched_ms > 0 THEN launched_ms "
                        "WHEN ?13 = 'live' THEN ?16 ELSE 0 END, "
                        "released_ms = CASE WHEN ?15 > 0 THEN ?15 WHEN released_ms > 0 THEN released_ms "
                        "WHEN ?13 = 'released' THEN ?16 ELSE 0 END, "
                        "market = ?17, disk_gib = ?18, public_address = ?19, bytes_out = ?20, account = ?21, profile = "
                        "?22, identity = ?23, ssh_proxy = ?24, disk_type = ?25, disk_iops = ?26, disk_mib_per_s = ?27, "
                        "running_ms = ?28, stopped_ms = ?29, paused_ms = ?30 "
                        "WHERE token = ?1",
                        it.token, it.run, it.provider, it.region, it.endpoint, it.id, it.type, it.zone, it.address,
                        it.ssh_port, it.login_user, it.hourly.micros, name(it.state), it.launched_ms, it.released_ms,
                        clock_.now_ms(), it.market, it.disk.gib, it.public_address, it.bytes_out, it.account,
                        it.profile, it.identity, it.ssh_proxy, it.disk.type, it.disk.iops, it.disk.mib_per_s,
                        it.running_ms, it.stopped_ms, it.paused_ms));
      if (database_.changes() > 0) return {};
      return fail(Kind::not_found, "no launch was noted with the token " + printable(it.token));
    });
  }

  Result<std::vector<Instance>> instances(std::string_view run_name) override {
    return select(instance_columns, "FROM instances WHERE run = ?1 ORDER BY intent_ms, rowid", read_instance, run_name);
  }
  Result<std::vector<Instance>> unreleased() override {
    return select(instance_columns, "FROM instances WHERE state <> 'released' ORDER BY intent_ms, rowid",
                  read_instance);
  }

  Status record_resource(const Resource& it) override {
    return write([&] { return add_row(database_, it); });
  }
  Status adopt(const Run& run, const Instance& instance, const std::vector<Resource>& resources) override {
    return write([&]() -> Status {
      TRY("adopt " + instance.id, add_row(database_, run, clock_.now_ms()));
      TRY("adopt " + instance.id, add_row(database_, instance, clock_.now_ms()));
      for (const auto& one : resources) TRY("adopt " + instance.id, add_row(database_, one));
      return add_event_row(database_, run.name, clock_.now_ms(), "adopted", {{"instance", instance.id}});
    });
  }
  Status take_history(const Run& run, const History& history) override {
    return write_into_file([&] { return replace_history(database_, run, history, clock_.now_ms()); });
  }
  Result<std::vector<Resource>> resources(std::string_view run_name) override {
    return select(resource_columns, "FROM resources WHERE run = ?1 ORDER BY rowid", read_resource, run_name);
  }
  Result<std::vector<Resource>> unreleased_resources() override {
    return select(resource_columns, "FROM resources WHERE released = 0 ORDER BY rowid", read_resource);
  }

  Status reserve(const Reservation& wanted, const Caps& caps) override {
    return write_into_file([&] { return reserve_in(database_, wanted, caps, clock_.now_ms()); });
  }
  Status let_go(std::string_view run_name) override {
    return write([&] { return database_.run("UPDATE reservations SET held = 0 WHERE run = ?1", run_name); });
  }
  Result<std::optional<Reservation>> reservation(std::string_view run_name) override {
    TRY_SET(found, "", select(reservation_columns, "FROM reservations WHERE run = ?1", read_reservation, run_name));
    return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
  }
  Result<Use> use(std::string_view provider) override {
    return on_whole_file([&] { return use_of(database_, provider, "", clock_.now_ms()); });
  }

  Status reserve_purchase(const Purchase& wanted, const Caps& caps) override {
    return write_into_file([&] { return reserve_in(database_, wanted, caps, clock_.now_ms()); });
  }
  Status record_purchase(const Purchase& it) override {
    return write_into_file([&]() -> Status {
      TRY("", database_.run("UPDATE purchases SET state = ?2, reservation = ?3 WHERE tag = ?1", it.tag, name(it.state),
                            it.reservation));
      if (database_.changes() > 0) return {};
      return fail(Kind::not_found, "no purchase was noted with the tag " + printable(it.tag));
    });
  }
  Result<std::vector<Purchase>> purchases() override {
    return select(purchase_columns, "FROM purchases ORDER BY asked_ms, rowid", read_purchase);
  }

  Result<std::vector<Attempt>> attempts(std::string_view run_name) override {
    return select(attempt_columns, "FROM attempts WHERE run = ?1 ORDER BY n", read_attempt, run_name);
  }
  Result<int> begin_attempt(std::string_view run_name, const std::string& resumed_from) override {
    int n = 0;
    auto begun = write_into_file([&]() -> Status {
      TRY_SET(found, "", read_all(run_columns, "FROM runs WHERE name = ?1", read_run, run_name));
      if (found.empty()) return no_such_run(run_name);
      if (found.front().phase == Phase::released) {
        return fail(Kind::conflict, fmt::format("run {} is released; no attempt begins", printable(run_name)),
                    "another ferry process may be looking after it", "see where it stands: ferry ps");
      }
      TRY_SET(before, "", read_all(attempt_columns, "FROM attempts WHERE run = ?1 ORDER BY n", read_attempt, run_name));
      const int last = before.empty() ? 0 : before.back().n;
      n = last + 1;
      const std::int64_t now = clock_.now_ms();
      TRY("", database_.run("UPDATE attempts SET ended_ms = ?3 WHERE run = ?1 AND n = ?2 AND ended_ms = 0", run_name,
                            last, now));
      Attempt next{.run = std::string(run_name), .n = n, .phase = Phase::planning};
      next.resumed_from = resumed_from;
      next.started_ms = now;
      TRY("", add_row(database_, next));
      // The trigger gives the new attempt what the run has from now on.
      TRY("", database_.run("UPDATE runs SET phase = ?2, phase_ms = ?3, outcome = ?4, exit_code = NULL, error = '', "
                            "outputs_home = 0, outputs_stored = 0, train_start_ms = 0, train_end_ms = 0, ended_ms = 0 "
                            "WHERE name = ?1",
                            run_name, name(Phase::planning), now, name(Outcome::none)));
      return add_event_row(database_, run_name, now, "attempt", {{"attempt", n}, {"resumed_from", resumed_from}});
    });
    if (!begun) return tl::unexpected<Error>(std::move(begun).error());
    return n;
  }
  Result<std::vector<Node>> nodes(std::string_view run_name) override {
    return select(node_columns, "FROM nodes WHERE run = ?1 ORDER BY attempt, rank", read_node, run_name);
  }
  Status record_objects(std::string_view run_name, const std::vector<Object>& objects) override {
    return write([&]() -> Status {
      TRY("", database_.run("DELETE FROM objects WHERE run = ?1 AND rank = 0 AND attempt = "
                            "(SELECT max(n) FROM attempts WHERE run = ?1)",
                            run_name));
      TRY_SET(statement, "",
              database_.prepare("INSERT OR REPLACE INTO objects SELECT ?1, max(n), 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8 "
                                "FROM attempts WHERE run = ?1 HAVING max(n) IS NOT NULL"));
      for (const auto& it : objects) {
        TRY("",
            statement.bind(run_name, it.kind, it.path, it.bytes, it.sha256, it.uri, it.stored_ms, it.home_ms).step());
        statement.reset();
      }
      return {};
    });
  }
  Result<std::vector<Object>> objects(std::string_view run_name) override {
    return select(object_columns,
                  "FROM objects WHERE run = ?1 AND attempt = (SELECT max(attempt) FROM objects WHERE run = ?1) "
                  "ORDER BY rank, path",
                  read_object, run_name);
  }

  Status add_event(std::string_view run_name, std::string_view kind, const Json& data) override {
    return write([&] { return add_event_row(database_, run_name, clock_.now_ms(), kind, data); });
  }
  Result<std::vector<Event>> events(std::string_view run_name) override {
    return select(event_columns, "FROM events WHERE run = ?1 ORDER BY id", read_event, run_name);
  }

 private:
  template <class Work>
  Status write(const Work& work) {
    return on_whole_file([&]() -> Status {
      for (int tries = 0;; ++tries) {
        {
          TRY_SET(transaction, "", Transaction::begin(database_));
          // Replaced while we waited for our turn? A few file systems give one file several numbers, though.
          if (database_.is_in_place() || tries > 1) {
            TRY("", check_copies(database_));  // a write takes into them what the row has
            TRY("", work());
            return transaction.commit();
          }
        }
        TRY("", stay_with_file());
      }
    });
  }

  /// For what decides about machines: it is in the file itself, should the log beside it (-wal) be lost or damaged.
  template <class Work>
  Status write_into_file(const Work& work) {
    TRY("", write(work));
    (void)database_.execute("PRAGMA wal_checkpoint(PASSIVE)");
    return {};
  }

  /// Does `work`; if it meets damage, once more on what was made of the ledger.
  template <class Work>
  auto on_whole_file(const Work& work) -> decltype(work()) {
    TRY("", stay_with_file());
    auto done = work();
    if (done || done.error().kind != Kind::corrupt) return done;
    const auto mended = mend(file_);
    if (!mended || !*mended) return done;
    TRY("", stay_with_file());
    return work();
  }

  /// Goes over to the file that stands in the place of the one that was opened, and gives it what it lacks.
  Status stay_with_file() {
    if (database_.is_in_place()) return {};
    if (!make_private_file(file_)) return {};  // what we hold is the only one
    TRY_SET(now, "", open_mended(file_));
    std::swap(database_, now);
    return add_missing(now, database_);
  }

  template <class Row, class... Values>
  Result<std::vector<Row>> select(std::string_view columns, std::string_view rest,
                                  Result<Row> (*read)(const Statement&), const Values&... values) {
    return on_whole_file([&]() -> Result<std::vector<Row>> {
      TRY("", check_copies(database_));
      return read_all(columns, rest, read, values...);
    });
  }

  template <class Row, class... Values>
  Result<std::vector<Row>> read_all(std::string_view columns, std::string_view rest,
                                    Result<Row> (*read)(const Statement&), const Values&... values) {
    return select_rows(database_, columns, rest, read, values...);
  }

  static tl::unexpected<Error> ambiguous(std::string_view wanted, const std::vector<Run>& begun) {
    std::vector<std::string> names;
    for (const auto& run : begun) names.push_back(printable(run.name));
    return fail(Kind::bad_input, fmt::format("{} runs begin with '{}'", begun.size(), printable(wanted)),
                "the beginning of a name is enough where one run has it", "say which: " + join(names, ", "));
  }

  tl::unexpected<Error> no_such_run(std::string_view wanted) {
    std::vector<std::string> names;
    if (auto statement = database_.prepare("SELECT name FROM runs"); statement) {
      while (statement->step().value_or(false)) names.push_back(statement->text(0));
    }
    std::string advice = "see all runs: ferry ps --all";
    std::string why;
    if (names.empty()) {
      advice = "there are no runs yet; start one with: ferry run";
    } else {
      why = fmt::format("runs in the ledger of this computer: {}, and none is called so", names.size());
    }
    if (const auto near = nearest(wanted, names)) {
      advice = "did you mean " + printable(*near) + "? All runs: ferry ps --all";
    }
    return fail(Kind::not_found, "no such run: " + printable(wanted), std::move(why), std::move(advice));
  }

  os::Path file_;
  Database database_;
  os::Clock& clock_;
};

}  // namespace

Result<std::unique_ptr<Ledger>> Ledger::open(const os::Path& file, os::Clock& clock) {
  note_if_emptied(file);
  if (auto made = make_private_file(file); !made) {
    Error error = std::move(made).error();
    const std::string folder = printable(file.parent_path().string());
    const bool full = error.kind == Kind::disk_full;
    error.why = std::exchange(error.what, "the ledger " + printable(file.string()) + " cannot be made");
    error.advice = full ? "free some space in " + folder + ", or set XDG_DATA_HOME to a folder on another disk"
                        : "make the folder " + folder + " writable, or set XDG_DATA_HOME to one that is";
    return fail("", std::move(error));
  }
  TRY_SET(database, "", open_mended(file));
  return std::make_unique<SqliteLedger>(file, std::move(database), clock);
}

}  // namespace ferry::ledger
