// The stores (src/store, src/s3) from a command line, as the static program on a rented machine has them: for
// tests/aws/s3.py and scripts/bench-store. store_probe STORE COMMAND WORD…, with the commands
//   put FILE KEY, get KEY FILE, put-tree FOLDER PREFIX, get-tree PREFIX FOLDER, list PREFIX, look KEY,
//   put-if-absent KEY TEXT, put-if VERSION KEY TEXT, remove KEY, remove-all PREFIX,
//   bucket, presign METHOD KEY, region, copy-down KEY FOLDER (as data sets go: s3/copy.h), copy-back FOLDER KEY
//   SINCE_MS
// STORE is s3://BUCKET/PREFIX or a folder. Credentials: AWS_ACCESS_KEY_ID …, else the machine's role. Region,
// endpoint and certificates: AWS's usual settings. FERRY_ACCOUNT, FERRY_PART_MB, FERRY_CONNECTIONS,
// FERRY_STATE, FERRY_ATTEMPTS, FERRY_NEWCOMER_S. Prints one line of JSON; exits 1 with an error.
#include <sys/resource.h>

#include <atomic>
#include <iostream>
#include <mutex>
#include <thread>

#include "base/json.h"
#include "base/text.h"
#include "os/env.h"
#include "s3/bucket.h"
#include "s3/copy.h"
#include "s3/objects.h"
#include "s3/role.h"
#include "s3/s3_store.h"
#include "store/content.h"
#include "store/folder.h"

namespace {

using namespace ferry;

std::int64_t number(const char* name, std::int64_t otherwise) {
  return parse_int(os::env(name).value_or("")).value_or(otherwise);
}

struct Probe {
  std::string uri;
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  std::shared_ptr<s3::Session> session = {};

  Status prepare() {
    if (!uri.starts_with("s3://")) return {};
    TRY_SET(place, "", s3::parse_place(uri));
    TRY_SET(config, "", aws::Config::load());
    TRY_SET(configured, "", s3::with_settings(std::move(place), config));
    place = std::move(configured);
    place.account = os::env("FERRY_ACCOUNT").value_or("");
    s3::Limits limits;
    limits.part = static_cast<std::uint64_t>(number("FERRY_PART_MB", 16)) << 20;
    limits.connections = static_cast<int>(number("FERRY_CONNECTIONS", limits.connections));
    limits.attempts = static_cast<int>(number("FERRY_ATTEMPTS", limits.attempts));
    limits.newcomer = Millis(1000 * number("FERRY_NEWCOMER_S", 0));
    limits.state_folder = os::env("FERRY_STATE").value_or("");
    const auto key = os::env("AWS_ACCESS_KEY_ID");
    auto provider = key ? aws::fixed_provider({.access_key_id = *key,
                                               .secret_access_key = os::env("AWS_SECRET_ACCESS_KEY").value_or(""),
                                               .session_token = os::env("AWS_SESSION_TOKEN").value_or("")})
                        : s3::role_of_this_machine(*http, os::system_clock());
    session = std::make_shared<s3::Session>(place, provider, os::system_clock(), limits);
    return {};
  }

  Result<std::unique_ptr<store::Store>> open() const {
    return session ? s3::make_store(session) : store::open_folder(uri);
  }

  /// Small files are a matter of round trips: several stores at once.
  Status each(const std::vector<std::string>& names,
              const std::function<Status(store::Store&, const std::string&)>& work) const {
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    Status result;
    const auto run = [&] {
      auto store = open();
      while (store) {
        const std::size_t i = next++;
        if (i >= names.size()) return;
        if (auto done = work(**store, names[i]); !done) {
          const std::lock_guard lock(mutex);
          result = done;
          return;
        }
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < number("FERRY_CONNECTIONS", 8); ++i) threads.emplace_back(run);
    for (auto& one : threads) one.join();
    return result;
  }
};

Json shown(const store::Object& object) {
  return {{"key", object.key},
          {"bytes", object.bytes},
          {"version", object.version},
          {"sha256", object.sha256},
          {"modified_ms", object.modified_ms}};
}

Result<Json> run(Probe& probe, const std::vector<std::string>& words) {
  const std::string& what = words[0];
  const auto word = [&](std::size_t i) { return i < words.size() ? words[i] : ""; };
  if (what == "region") {
    TRY_SET(region, "", s3::region_of_this_machine(*probe.http));
    return Json(region);
  }
  if (what == "bucket") {
    TRY_SET(made, "", s3::ensure_bucket(probe.session));
    return Json(made == s3::Made::here ? "made" : "there");
  }
  if (what == "presign") {
    TRY_SET(url, "", s3::presigned(*probe.session, word(1), probe.session->place().prefix + word(2), Seconds(300)));
    return Json(url);
  }
  if (what == "copy-down") {
    TRY_SET(found, "", s3::find_objects(probe.session, word(1)));
    const auto connections = static_cast<int>(number("FERRY_CONNECTIONS", 16));
    TRY_SET(copied, "", s3::copy_down(probe.session, found, {.to = word(2), .connections = connections}));
    return Json{{"files", copied.files}, {"bytes", copied.bytes}, {"kept_files", copied.kept_files}};
  }
  if (what == "copy-back") {
    TRY_SET(copied, "", s3::copy_back(probe.session, word(1), word(2), parse_int(word(3)).value_or(0)));
    return Json{{"files", copied.files}, {"bytes", copied.bytes}};
  }
  TRY_SET(store, "", probe.open());
  if (what == "put") {
    TRY_SET(content, "", store::content_of(word(1)));
    TRY_SET(version, "", store->put_file(word(2), word(1), content));
    return Json{{"version", version}, {"sha256", content.sha256}};
  }
  if (what == "get") {
    TRY_SET(object, "", store->get_file(word(1), word(2)));
    return shown(object);
  }
  if (what == "put-tree") {
    TRY_SET(names, "", os::list_dir(word(1)));
    TRY("", probe.each(names, [&](store::Store& one, const std::string& name) -> Status {
      TRY_SET(content, "", store::content_of(os::Path(word(1)) / name));
      TRY_SET(version, "", one.put_file(word(2) + name, os::Path(word(1)) / name, content));
      return {};
    }));
    return Json(names.size());
  }
  if (what == "get-tree") {
    std::vector<std::string> names;
    TRY("", store->list(word(1), [&](const store::Object& object) -> Status {
      names.push_back(object.key);
      return {};
    }));
    TRY("", probe.each(names, [&](store::Store& one, const std::string& key) -> Status {
      TRY_SET(object, "", one.get_file(key, os::Path(word(2)) / os::Path(key).filename()));
      return {};
    }));
    return Json(names.size());
  }
  if (what == "list") {
    Json all = Json::array();
    TRY("", store->list(word(1), [&](const store::Object& object) -> Status {
      all.push_back(shown(object));
      return {};
    }));
    return all;
  }
  if (what == "look") {
    TRY_SET(object, "", store->look(word(1)));
    return shown(object);
  }
  if (what == "put-if-absent" || what == "put-if") {
    const bool absent = what == "put-if-absent";
    TRY_SET(
        version, "",
        store->put(word(absent ? 1 : 2), word(absent ? 2 : 3), absent ? store::if_absent() : store::if_still(word(1))));
    return Json(version);
  }
  if (what == "remove" || what == "remove-all") {
    TRY("", what == "remove" ? store->remove(word(1)) : store->remove_all(word(1)));
    return Json(true);
  }
  return fail(Kind::bad_input, "no command: " + what);
}

/// The most memory that this program ever had. (getrusage counts whoever started it, too.)
std::int64_t peak_kb() {
  const std::string status = os::read_file("/proc/self/status").value_or("");
  const auto at = status.find("VmHWM:");
  if (at == std::string::npos) return 0;
  const std::string_view text = trim(std::string_view(status).substr(at + 6));
  return parse_int(text.substr(0, text.find(' '))).value_or(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: store_probe STORE COMMAND WORD…\n";
    return 2;
  }
  Probe probe{.uri = argv[1]};
  auto ready = probe.prepare();
  const auto done = ready ? run(probe, {argv + 2, argv + argc}) : Result<Json>(tl::unexpected(ready.error()));
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const double cpu = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  Json out = {{"rss_kb", peak_kb()}, {"cpu_s", cpu}};
  if (done) {
    out["result"] = *done;
  } else {
    out["error"] = error_json(done.error());
  }
  std::cout << dump_json(out) << "\n";
  return done ? 0 : 1;
}
