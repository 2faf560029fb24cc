// Scanning, hashing and moving 5,000 small files over a socket pair, beside what rsync and tar with zstd need
// for the same; and knowing again a tree of 100,000 or a million empty files. Set TMPDIR to a memory file system to
// measure the program rather than the disk, and --benchmark_filter to one of them: peak_MiB is the process's.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "sync/state.h"
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

void tell_peak(benchmark::State& state) {
  rusage used;
  ::getrusage(RUSAGE_SELF, &used);
  state.counters["peak_MiB"] = static_cast<double>(used.ru_maxrss) / 1024;
}

/// What a run costs before it can say that nothing changed. The first time is not counted.
void knowing_again(benchmark::State& state) {
  const os::TempDir temp("bench");
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    const auto folder = temp.path() / "tree" / fmt::format("group{:03}/part-{:04}", i / 50'000, i / 1000);
    if (i % 1000 == 0) std::filesystem::create_directories(folder);
    std::ofstream(folder / fmt::format("sample_{:07}.json", i));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // older than a tick of the file clock
  const auto know = [&] {
    auto scanned = sync::scan(temp.path() / "tree", {.ignore_rules = true});
    if (!scanned || !sync::hash_tree(temp.path() / "tree", *scanned, temp.path() / "cache"))
      state.SkipWithError("it failed");
  };
  know();
  for (auto _ : state) know();
  tell_peak(state);
}
BENCHMARK(knowing_again)->Arg(100'000)->Arg(1'000'000)->Iterations(3)->Unit(benchmark::kMillisecond)->UseRealTime();

std::string path_in_state(std::int64_t i) {
  return fmt::format("group{:03}/part-{:04}/sample_{:07}.json", i / 50'000, i / 1000, i);
}

/// Each path noted in order, and then all saved, as a receiver does.
void remembering(benchmark::State& state) {
  const os::TempDir temp("bench");
  const sync::Digest some = sha256("x");
  for (auto _ : state) {
    sync::State tree = sync::State::load(temp.path() / "state");
    for (std::int64_t i = 0; i < state.range(0); ++i)
      tree.note(path_in_state(i), {.size = 7, .inode = 1, .mtime_ns = i, .ctime_ns = i, .sha256 = some});
    if (!tree.save(temp.path() / "state")) state.SkipWithError("it failed");
  }
  tell_peak(state);
}
BENCHMARK(remembering)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

/// Loads and finds each path, in order.
void recalling(benchmark::State& state) {
  const os::TempDir temp("bench");
  {
    sync::State tree;
    for (std::int64_t i = 0; i < state.range(0); ++i)
      tree.note(path_in_state(i),
                {.size = 7, .inode = 1, .mtime_ns = i, .ctime_ns = i, .sha256 = sha256(fmt::format("{}", i))});
    (void)tree.save(temp.path() / "state");
  }
  for (auto _ : state) {
    const sync::State tree = sync::State::load(temp.path() / "state");
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      if (!tree.find(path_in_state(i))) state.SkipWithError("it was forgotten");
    }
  }
  tell_peak(state);
}
BENCHMARK(recalling)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

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
