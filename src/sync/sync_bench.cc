// Scanning, hashing and moving 5,000 small files over a socket pair, beside what rsync and tar with zstd need
// for the same. Set TMPDIR to a memory file system to measure the program rather than the disk.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/text.h"
#include "sync/sync.h"

namespace {

using namespace ferry;

const os::Path& tree() {
  static const os::TempDir temp("bench");
  static const os::Path root = [] {
    std::uint64_t noise = 88172645463325252ULL;
    for (int i = 0; i < 5000; ++i) {
      const os::Path path = temp.path() / "from" / std::to_string(i % 100) / std::to_string(i);
      std::filesystem::create_directories(path.parent_path());
      std::ofstream file(path);
      for (int line = 0; line < i % 600; ++line) {
        noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
        file << "value = " << noise % 100000 << '\n';
      }
    }
    return temp.path() / "from";
  }();
  return root;
}

void scanning(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(sync::scan(tree(), {.ignore_rules = true}));
}
BENCHMARK(scanning)->Unit(benchmark::kMillisecond)->UseRealTime();

void hashing(benchmark::State& state) {
  const auto scanned = sync::scan(tree(), {});
  for (auto _ : state) {
    auto copy = *scanned;
    benchmark::DoNotOptimize(sync::hash_tree(tree(), copy, {}));
  }
}
BENCHMARK(hashing)->Unit(benchmark::kMillisecond)->UseRealTime();

void move_to(const os::Path& to, const os::Path& state_file) {
  auto scanned = *sync::scan(tree(), {});
  auto pair = os::make_socketpair();
  sync::ReceiveOptions options;
  options.state_file = state_file;
  std::thread receiver([&] { (void)sync::receive_tree(pair->write.get(), pair->write.get(), to, options); });
  (void)sync::send_tree(pair->read.get(), pair->read.get(), tree(), std::move(scanned));
  receiver.join();
}

void moving_everything(benchmark::State& state) {
  for (auto _ : state) {
    const os::TempDir temp("bench");
    move_to(temp.path() / "to", {});
  }
}
BENCHMARK(moving_everything)->Unit(benchmark::kMillisecond)->UseRealTime();

void moving_nothing(benchmark::State& state) {
  const os::TempDir temp("bench");
  move_to(temp.path() / "to", temp.path() / "state");
  for (auto _ : state) move_to(temp.path() / "to", temp.path() / "state");
}
BENCHMARK(moving_nothing)->Unit(benchmark::kMillisecond)->UseRealTime();

void by_command(benchmark::State& state, const std::string& command) {
  (void)tree();
  for (auto _ : state) {
    const os::TempDir temp("bench");
    const std::string line =
        "cd " + shell_quoted(tree().string()) + " && TO=" + shell_quoted(temp.path().string()) + " && " + command;
    if (std::system(line.c_str()) != 0) state.SkipWithError("the command failed");
  }
}
BENCHMARK_CAPTURE(by_command, rsync, "rsync -a ./ $TO/")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(by_command, tar_zstd, "tar -c . | zstd -q -T0 | zstd -qd | tar -x -C $TO")
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
