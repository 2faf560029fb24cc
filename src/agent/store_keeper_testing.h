#pragma once
/// \file
/// For tests: a keeper over a folder as a store, which must be whole after every change.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/store_keeper.h"
#include "os/clock.h"
#include "store/folder.h"

namespace ferry::agent {

/// A folder as a store, in which after each change the manifest must be whole; and with faults.
class KeptStore final : public store::Store {
 public:
  struct Faults {
    std::function<std::optional<Error>(const std::string& key)> before = {};  ///< instead of a put
    std::function<void(const std::string& key)> after = {};                   ///< a put
  };
  KeptStore(os::Path folder, std::shared_ptr<Faults> faults)
      : inner_(std::move(*store::open_folder(folder))), faults_(std::move(faults)) {}

  Result<std::string> put_file(const std::string& key, const os::Path& path, const store::Content& content,
                               const store::Condition& condition, const store::Moved& moved) override {
    return put_by(key, [&] { return inner_->put_file(key, path, content, condition, moved); });
  }
  Result<std::string> put(const std::string& key, std::string_view bytes, const store::Condition& condition) override {
    return put_by(key, [&] { return inner_->put(key, bytes, condition); });
  }
  Result<store::Object> get_file(const std::string& key, const os::Path& path,
                                 const std::optional<store::Content>& expected, const store::Moved& moved,
                                 store::Flush flush) override {
    return inner_->get_file(key, path, expected, moved, flush);
  }
  Result<store::SmallObject> get(const std::string& key, std::size_t limit) override { return inner_->get(key, limit); }
  Result<store::Object> look(const std::string& key) override { return inner_->look(key); }
  Status list(const std::string& prefix, const std::function<Status(const store::Object&)>& each) override {
    return inner_->list(prefix, each);
  }
  Status remove(const std::string& key, const store::Condition& condition) override {
    auto done = inner_->remove(key, condition);
    is_whole();
    return done;
  }
  Status remove_all(const std::string& prefix) override { return inner_->remove_all(prefix); }
  std::string uri() const override { return inner_->uri(); }

 private:
  Result<std::string> put_by(const std::string& key, const std::function<Result<std::string>()>& put) {
    if (faults_->before) {
      if (auto error = faults_->before(key)) return tl::unexpected(*std::move(error));
    }
    auto done = put();
    is_whole();
    if (faults_->after) faults_->after(key);
    return done;
  }
  void is_whole() {
    const auto text = inner_->get("runs/digits-7k2/a1/r0/manifest.json");
    if (!text) return;
    const auto manifest = store::parse_manifest(text->bytes);
    if (!manifest) {
      ADD_FAILURE() << "no manifest: " << describe(manifest.error());
      return;
    }
    for (const auto& entry : manifest->entries) {
      if (!entry.link.empty()) continue;
      const auto object = inner_->look(entry.key);
      EXPECT_TRUE(object && object->sha256 == entry.sha256) << entry.path << " is not stored as the manifest says";
    }
  }
  std::unique_ptr<store::Store> inner_;
  std::shared_ptr<Faults> faults_;
};

class StoreKeeperTest : public testing::Test {
 protected:
  StoreKeeperTest() {
    settings = {.spec = {.uri = path("store"), .every_s = 1},
                .run = "digits-7k2",
                .workdir = path("work"),
                .began_ms = os::system_clock().now_ms() - 1000};
    EXPECT_TRUE(os::make_dirs(path("work/outputs")));
    EXPECT_TRUE(os::make_dirs(path("run")));
  }

  std::string path(const std::string& name) const { return (temp_.path() / name).string(); }
  void write(const std::string& name, const std::string& text) {
    const os::Path file = path("work/" + name);
    EXPECT_TRUE(os::make_dirs(file.parent_path()));
    EXPECT_TRUE(os::write_file(file, text));
  }
  void settle() { os::system_clock().sleep(Millis(150)); }
  /// Written just now, and not yet closed.
  os::Fd begin_to_write(const std::string& name, const std::string& text) {
    auto fd = os::open_file(path("work/" + name), O_WRONLY | O_CREAT | O_TRUNC);
    EXPECT_TRUE(fd && os::write_all(fd->get(), text));
    return std::move(*fd);
  }

  /// A new one, as after a crash.
  StoreKeeper& keeper() {
    keeper_.emplace(KeeperOptions{.settings = settings,
                                  .dir = path("run"),
                                  .open = [this]() -> Result<std::unique_ptr<store::Store>> {
                                    if (refused) return tl::unexpected(*refused);
                                    return std::make_unique<KeptStore>(path("store"), faults);
                                  },
                                  .moved = moved,
                                  .cut = cut,
                                  .connections = connections,
                                  .small = small,
                                  .commit_every = commit_every,
                                  .settle = Millis(50)});
    return *keeper_;
  }
  void end(StoreKeeper& keeper) {
    const auto done = keeper.last_pass(over, false);
    ASSERT_TRUE(done) << describe(done.error());
    EXPECT_TRUE(done->left_out.empty()) << done->left_out.front();
  }
  store::Manifest manifest(int attempt = 1) {
    const auto text = os::read_file(path("store/" + store::manifest_key(settings.run, attempt, settings.rank)));
    return text ? store::parse_manifest(*text).value_or(store::Manifest()) : store::Manifest();
  }
  /// "output:a.pt" … in order.
  std::string names() {
    std::string out;
    for (const auto& entry : manifest().entries) {
      if (entry.kind == store::FileKind::log || entry.kind == store::FileKind::record) continue;
      out += (out.empty() ? "" : " ") + std::string(store::name(entry.kind)) + ":" + entry.path;
    }
    return out;
  }
  std::string stored(const std::string& name) {
    for (const auto& entry : manifest().entries) {
      if (entry.path == name) return os::read_file(path("store/" + entry.key)).value_or("(missing)");
    }
    return "(not named)";
  }
  std::string link_of(const std::string& name) {
    for (const auto& entry : manifest().entries) {
      if (entry.path == name) return entry.link;
    }
    return "(not named)";
  }
  std::string key_of(const std::string& name) {
    for (const auto& entry : manifest().entries) {
      if (entry.path == name) return entry.key;
    }
    return {};
  }

  os::TempDir temp_{"keeper"};
  StoreSettings settings;
  JobStatus over{.state = JobState::done, .run_exit = 0, .started_ms = 1, .run_started_ms = 2, .ended_ms = 3};
  std::shared_ptr<KeptStore::Faults> faults = std::make_shared<KeptStore::Faults>();
  std::optional<Error> refused;
  std::function<void(std::uint64_t)> moved = [](std::uint64_t) {};
  std::function<bool()> cut = [] { return false; };
  int connections = 8;
  std::uint64_t small = std::uint64_t{16} << 20;
  Millis commit_every{60'000};
  std::optional<StoreKeeper> keeper_;
  bool first_ = true;
};

}  // namespace ferry::agent
