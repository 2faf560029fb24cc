#include "ledger/history_json.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace ferry::ledger {

namespace {

constexpr std::int64_t most_micros = 1'000'000'000'000, most_ms = 9'000'000'000'000;
constexpr std::size_t most_rows = 10'000;

Json attempt_json(const Attempt& one) {
  return {{"n", one.n},
          {"phase", name(one.phase)},
          {"outcome", name(one.outcome)},
          {"reason", one.reason},
          {"place", one.place},
          {"resumed_from", one.resumed_from},
          {"started_ms", one.started_ms},
          {"ended_ms", one.ended_ms}};
}

Json node_json(const Node& one) {
  return {{"attempt", one.attempt},
          {"rank", one.rank},
          {"token", one.token},
          {"exit_code", one.exit_code ? Json(*one.exit_code) : Json()},
          {"log_bytes", one.log_bytes},
          {"train_start_ms", one.train_start_ms},
          {"train_end_ms", one.train_end_ms}};
}

Json instance_json(const Instance& one) {
  return {
      {"token", one.token},
      {"provider", one.provider},
      {"region", one.region},
      {"account", one.account},
      {"id", one.id},
      {"type", one.type},
      {"zone", one.zone},
      {"login_user", one.login_user},
      {"hourly_micros", one.hourly.micros},
      {"market", one.market},
      {"disk",
       {{"gib", one.disk.gib}, {"type", one.disk.type}, {"iops", one.disk.iops}, {"mib_per_s", one.disk.mib_per_s}}},
      {"public_address", one.public_address},
      {"bytes_out", one.bytes_out},
      {"state", name(one.state)},
      {"intent_ms", one.intent_ms},
      {"launched_ms", one.launched_ms},
      {"released_ms", one.released_ms},
      {"running_ms", one.running_ms},
      {"stopped_ms", one.stopped_ms},
      {"paused_ms", one.paused_ms}};
}

Json resource_json(const Resource& one) {
  return {{"provider", one.provider}, {"region", one.region}, {"account", one.account},
          {"kind", one.kind},         {"name", one.name},     {"released", one.released}};
}

/// Reads members, and remembers whether one was none that ferry writes.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) { is_good_ = json.is_object(); }

  std::string text(const char* key) { return is_good_ ? text_at(json_, key) : ""; }
  /// Names that cloud and ledger give: plain, and short.
  std::string plain(const char* key, std::size_t most = 100) {
    auto found = text(key);
    is_good_ = is_good_ && found.size() <= most &&
               std::ranges::all_of(found, [](unsigned char c) { return c > ' ' && c < 127; });
    return found;
  }
  std::int64_t number(const char* key, std::int64_t most) {
    const auto found = is_good_ ? int_at(json_, key) : 0;
    is_good_ = is_good_ && found >= 0 && found <= most;
    return found;
  }
  std::int64_t ms(const char* key) { return number(key, most_ms); }
  template <class Value>
  Value known(const char* key, std::optional<Value> (*from)(std::string_view)) {
    const auto found = from(text(key));
    is_good_ = is_good_ && found;
    return found.value_or(Value{});
  }
  Json member(const char* key) const { return json_.is_object() && json_.contains(key) ? json_[key] : Json(); }
  std::optional<int> code(const char* key) {
    const auto found = member(key);
    if (!found.is_number_integer()) return std::nullopt;
    return static_cast<int>(std::clamp<std::int64_t>(found.get<std::int64_t>(), 0, 255));
  }
  bool is_true(const char* key) const { return member(key) == true; }
  void must(bool is_so) { is_good_ = is_good_ && is_so; }
  bool is_good() const { return is_good_; }

 private:
  const Json& json_;
  bool is_good_ = true;
};

tl::unexpected<Error> not_ours(const std::string& run) {
  return fail(Kind::corrupt, "what is told of the attempts of " + printable(run) + " is nothing that ferry wrote");
}

Result<Attempt> attempt_from(const Json& json, const std::string& run) {
  Reader it(json);
  Attempt one{.run = run, .n = static_cast<int>(it.number("n", most_attempts))};
  one.phase = it.known("phase", phase_from);
  one.outcome = it.known("outcome", outcome_from);
  one.reason = short_line(it.text("reason"), 1000);
  one.place = it.plain("place");
  one.resumed_from = short_line(it.text("resumed_from"), 1000);
  one.started_ms = it.ms("started_ms");
  one.ended_ms = it.ms("ended_ms");
  if (!it.is_good()) return not_ours(run);
  return one;
}

Result<Node> node_from(const Json& json, const std::string& run) {
  Reader it(json);
  Node one{.run = run, .attempt = static_cast<int>(it.number("attempt", most_attempts))};
  one.rank = static_cast<int>(it.number("rank", 0));
  one.token = it.plain("token");
  one.exit_code = it.code("exit_code");
  one.log_bytes = it.number("log_bytes", std::int64_t{1} << 50);
  one.train_start_ms = it.ms("train_start_ms");
  one.train_end_ms = it.ms("train_end_ms");
  if (!it.is_good()) return not_ours(run);
  return one;
}

Result<Instance> instance_from(const Json& json, const std::string& run) {
  Reader it(json);
  Instance one;
  one.run = run;
  one.token = it.plain("token");
  one.provider = it.plain("provider");
  it.must(!one.token.empty() && (one.provider == "aws" || one.provider == "rehearsal"));
  one.region = it.plain("region");
  one.account = it.plain("account");
  one.id = it.plain("id");
  one.type = it.plain("type");
  one.zone = it.plain("zone");
  one.login_user = it.plain("login_user");
  one.hourly = Usd{it.number("hourly_micros", most_micros)};
  one.market = it.plain("market");
  const auto disk = it.member("disk");
  Reader root(disk);
  constexpr std::int64_t most_size = 1'000'000;
  one.disk.type = root.plain("type");
  one.disk.gib = static_cast<int>(root.number("gib", most_size));
  one.disk.iops = static_cast<int>(root.number("iops", most_size));
  one.disk.mib_per_s = static_cast<int>(root.number("mib_per_s", most_size));
  one.public_address = it.is_true("public_address");
  one.bytes_out = it.number("bytes_out", std::int64_t{1} << 50);
  one.state = it.known("state", rent_from);
  one.intent_ms = it.ms("intent_ms");
  one.launched_ms = it.ms("launched_ms");
  one.released_ms = it.ms("released_ms");
  one.running_ms = it.ms("running_ms");
  one.stopped_ms = it.ms("stopped_ms");
  one.paused_ms = it.ms("paused_ms");
  if (!it.is_good() || !root.is_good()) return not_ours(run);
  return one;
}

/// Of the run's own only: what is called otherwise is somebody else's.
Result<Resource> resource_from(const Json& json, const std::string& run) {
  Reader it(json);
  Resource one;
  one.run = run;
  one.provider = it.plain("provider");
  one.region = it.plain("region");
  one.account = it.plain("account");
  one.kind = it.plain("kind");
  one.name = it.plain("name");
  one.released = it.is_true("released");
  it.must(one.provider == "aws" || one.provider == "rehearsal");
  static const std::set<std::string_view> kinds = {"key-pair",         "security-group",     "role",
                                                   "instance-profile", "auto-scaling-group", "launch-template"};
  it.must(kinds.contains(one.kind));
  it.must(one.name.starts_with("ferry-" + run.substr(0, 40)));
  if (!it.is_good()) return not_ours(run);
  return one;
}

template <class Row>
Result<std::vector<Row>> rows_from(const Json& list, const std::string& run,
                                   Result<Row> (*read)(const Json&, const std::string&)) {
  if (!list.is_array() || list.size() > most_rows) return not_ours(run);
  std::vector<Row> rows;
  for (const auto& one : list) {
    TRY_SET(row, "", read(one, run));
    rows.push_back(std::move(row));
  }
  return rows;
}

template <class Row>
Json rows_json(const std::vector<Row>& rows, Json (*write)(const Row&)) {
  Json list = Json::array();
  for (const auto& row : rows) list.push_back(write(row));
  return list;
}

}  // namespace

Json history_json(const Run& run, const History& history) {
  return {{"run", run.name},
          {"phase", name(run.phase)},
          {"outcome", name(run.outcome)},
          {"exit_code", run.exit_code ? Json(*run.exit_code) : Json()},
          {"error", run.error},
          {"created_ms", run.created_ms},
          {"train_start_ms", run.train_start_ms},
          {"train_end_ms", run.train_end_ms},
          {"task", run.task},
          {"attempts", rows_json(history.attempts, attempt_json)},
          {"nodes", rows_json(history.nodes, node_json)},
          {"instances", rows_json(history.instances, instance_json)},
          {"resources", rows_json(history.resources, resource_json)}};
}

Result<ToldRun> history_from(const Json& json, const std::string& name) {
  Reader it(json);
  ToldRun out;
  auto& run = out.run;
  run.name = name;
  run.phase = it.known("phase", phase_from);
  run.outcome = it.known("outcome", outcome_from);
  run.exit_code = it.code("exit_code");
  run.error = short_line(it.text("error"), 1000);
  run.created_ms = it.ms("created_ms");
  run.train_start_ms = it.ms("train_start_ms");
  run.train_end_ms = it.ms("train_end_ms");
  run.task = it.member("task");
  it.must(it.text("run") == name && run.task.is_object() && run.phase < Phase::released);
  if (!it.is_good()) return not_ours(name);
  TRY_SET(attempts, "", rows_from(it.member("attempts"), name, attempt_from));
  TRY_SET(nodes, "", rows_from(it.member("nodes"), name, node_from));
  TRY_SET(instances, "", rows_from(it.member("instances"), name, instance_from));
  TRY_SET(resources, "", rows_from(it.member("resources"), name, resource_from));
  out.tried = {std::move(attempts), std::move(nodes), std::move(instances), std::move(resources)};
  return out;
}

}  // namespace ferry::ledger
