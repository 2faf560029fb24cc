// The three renderers, seen as people and programs see them: on a pseudo-terminal, through pipes, as JSON.
#include "watch/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "os/fd.h"
#include "watch/columns.h"

namespace ferry::watch {
namespace {

/// As much of a terminal as is needed to know what stands on its screen in the end.
class Screen {
 public:
  Screen(std::size_t width, std::size_t height) : width_(width), rows_(height, std::u32string(width, U' ')) {}

  void feed(std::string_view bytes) {
    while (!bytes.empty()) {
      const char32_t c = take_character(bytes);
      if (c == U'\r') {
        column_ = 0;
      } else if (c == U'\n') {
        line_feed();
      } else if (c == U'\x1b') {
        sequence(bytes);
      } else {
        put(c);
      }
    }
  }
  /// The rows without spaces at their ends; without empty rows at the end.
  std::string text() const {
    std::string all;
    for (const auto& row : rows_) all += line(row) + "\n";
    return all.substr(0, all.find_last_not_of('\n') + 1);
  }
  std::size_t column() const { return column_; }

 private:
  void line_feed() {
    if (++row_ < rows_.size()) return;
    --row_;
    rows_.erase(rows_.begin());
    rows_.emplace_back(width_, U' ');
  }
  void put(char32_t c) {
    if (column_ == width_) {
      column_ = 0;
      line_feed();
    }
    rows_[row_][column_++] = c;
  }
  void sequence(std::string_view& bytes) {
    ASSERT_TRUE(bytes.starts_with('[')) << "unknown escape";
    const auto end = bytes.find_first_of("AGKm");
    ASSERT_NE(end, std::string_view::npos);
    const auto count = static_cast<std::size_t>(parse_int(bytes.substr(1, end - 1)).value_or(1));
    if (bytes[end] == 'A') row_ -= std::min(row_, count);
    if (bytes[end] == 'G') column_ = count - 1;
    if (bytes[end] == 'K')
      std::fill(rows_[row_].begin() + static_cast<std::ptrdiff_t>(column_), rows_[row_].end(), U' ');
    bytes.remove_prefix(end + 1);
  }
  static std::string line(std::u32string row) {
    row.erase(row.find_last_not_of(U' ') + 1);
    std::string out;
    for (const char32_t c : row) {
      if (c < 0x80) {
        out += static_cast<char>(c);
      } else if (c < 0x800) {
        out += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
      } else {
        out += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
                static_cast<char>(0x80 | (c & 63))};
      }
    }
    return out;
  }

  std::size_t width_, row_ = 0, column_ = 0;
  std::vector<std::u32string> rows_;
};

std::string take_all(int fd) {
  std::string all;
  while (os::wait_readable(fd, Millis(0))) {
    const auto bytes = os::read_some(fd);
    if (!bytes || bytes->empty()) break;
    all += *bytes;
  }
  return all;
}

class OnTerminal : public ::testing::Test {
 protected:
  OnTerminal() : OnTerminal(100, 12) {}
  OnTerminal(unsigned short width, unsigned short height) : screen(width, height) {
    ::setenv("TERM", "xterm", 1);
    ::setenv("NO_COLOR", "1", 1);
    winsize size{height, width, 0, 0};
    int master = -1, slave = -1;
    EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    near = os::Fd(master);
    far = os::Fd(slave);
    progress = make_progress(Renderer::terminal, far.get(), far.get(), clock);
  }
  std::string bytes() {
    raw = take_all(near.get());
    screen.feed(raw);
    return raw;
  }
  std::string shown() {
    bytes();
    return screen.text();
  }

  os::FakeClock clock;
  os::Fd near, far;
  std::unique_ptr<Progress> progress;
  Screen screen;
  std::string raw;
};

class OnNarrowTerminal : public OnTerminal {
 protected:
  OnNarrowTerminal() : OnTerminal(40, 6) {}
};

TEST_F(OnTerminal, PhasesStandInColumnsWithTheirTimesAtTheRight) {
  progress->title("digits", "rehearsal (nothing is billed)");
  progress->begin("check", "looking");
  clock.advance(Millis(40));
  progress->done("check", "train.py compiles · 6 files, 1.1 MB to send");
  progress->begin("connect", "");
  clock.advance(Millis(310));
  progress->done("connect", "ssh ready, host key pinned");
  progress->begin("plan", "");
  progress->done("plan", "t3.medium");
  progress->warn("launch", "no capacity → us-east-1b");
  EXPECT_EQ(shown(),
            "ferry  digits · rehearsal (nothing is billed)\n"
            "✓ check     train.py compiles · 6 files, 1.1 MB to send                               40 ms\n"
            "✓ connect   ssh ready, host key pinned                                               310 ms\n"
            "✓ plan      t3.medium\n"
            "! launch    no capacity → us-east-1b");
}

TEST_F(OnTerminal, TheLiveLineStaysBelowTheOutputAndIsGoneInTheEnd) {
  progress->begin("train", "starting");
  EXPECT_EQ(shown(), "▸ train     starting");
  for (int epoch = 1; epoch <= 3; ++epoch) {
    clock.advance(Millis(500));
    progress->output(fmt::format("epoch={} loss={:.3f} accuracy=0.9{}\n", epoch, 1.0 / epoch, epoch), false);
  }
  progress->live({.elapsed = Millis(11'000), .spent = Usd{127}, .cpu_percent = 98});
  clock.advance(Millis(500));
  progress->live({.elapsed = Millis(11'500), .spent = Usd{127}, .cpu_percent = 98});
  EXPECT_EQ(shown(),
            "epoch=1 loss=1.000 accuracy=0.91\n"
            "epoch=2 loss=0.500 accuracy=0.92\n"
            "epoch=3 loss=0.333 accuracy=0.93\n"
            "▸ train     epoch 3  loss 0.333  accuracy 0.930   ▁▅█   cpu 98%  00:11  $0.0001");
  progress->output("last words", false);
  progress->done("train", "exit 0 after 00:31");
  EXPECT_EQ(shown(),
            "epoch=1 loss=1.000 accuracy=0.91\n"
            "epoch=2 loss=0.500 accuracy=0.92\n"
            "epoch=3 loss=0.333 accuracy=0.93\n"
            "last words\n"
            "✓ train     exit 0 after 00:31");
}

TEST_F(OnTerminal, AProgressBarKeepsItsRowAndTheLiveLineStandsUnderIt) {
  progress->begin("train", "running");
  progress->output("start\n", false);
  progress->output("\r 10%|#   | 1/10", true);
  EXPECT_EQ(shown(), "start\n 10%|#   | 1/10\n▸ train     running");
  EXPECT_EQ(screen.column(), 15U);  // where the bar left it
  clock.advance(Millis(200));
  progress->output("\r 20%|##  | 2/10", true);
  EXPECT_EQ(shown(), "start\n 20%|##  | 2/10\n▸ train     step  1/10");
  progress->output("\n", true);
  progress->output("done\n", false);
  EXPECT_EQ(shown(), "start\n 20%|##  | 2/10\ndone\n▸ train     step  1/10");
}

TEST_F(OnTerminal, ABarAtTheBottomOfTheScreenIsNotTornWhenItScrolls) {
  progress->begin("train", "running");
  for (int i = 0; i < 30; ++i) progress->output(fmt::format("line {}\n", i), false);
  progress->output("bar 1", false);
  for (int i = 2; i < 20; ++i) {
    clock.advance(Millis(150));
    progress->output(fmt::format("\rbar {}", i), false);
  }
  const std::string text = shown();
  EXPECT_TRUE(text.ends_with("line 28\nline 29\nbar 19\n▸ train     running   2 s") ||
              text.ends_with("line 28\nline 29\nbar 19\n▸ train     running   2.0 s"))
      << text;
}

TEST_F(OnTerminal, TheOutputArrivesExactlyAsWrittenBetweenFerrysOwnBytes) {
  const std::string painted = "\x1b[31mred";
  progress->begin("train", "x");
  bytes();
  progress->output(painted, false);
  // Below the open line: normal colours for ferry, then the training's again.
  EXPECT_EQ(bytes(), "\r\x1b[K" + painted + "\r\n\x1b[0m▸ train     x\x1b[31m\x1b[K\x1b[A\x1b[4G");
}

TEST_F(OnTerminal, NothingIsDrawnInsideAHalfWrittenSequenceOrCharacter) {
  progress->begin("train", "x");
  bytes();
  // The half waits until the rest is there, and the live line stands below what is whole.
  progress->output("a\xe2\x96", false);
  EXPECT_EQ(take_all(near.get()), "\r\x1b[Ka\r\n▸ train     x\x1b[K\x1b[A\x1b[2G");
  progress->output("\x88\x1b[3", false);
  EXPECT_EQ(take_all(near.get()), "\r\n\x1b[K\x1b[A\x1b[2G█\r\n▸ train     x\x1b[K\x1b[A\x1b[3G");
  progress->output("1mred", false);
  EXPECT_TRUE(bytes().find("\x1b[31mred") != std::string::npos);
  progress.reset();
  EXPECT_TRUE(bytes().ends_with("\x1b[0m")) << "the colour does not outlive the output";
}

TEST_F(OnTerminal, AtMostTenTimesASecondTheLiveLineIsRedrawn) {
  progress->begin("train", "x");
  bytes();
  int redraws = 0;
  for (int i = 0; i < 1000; ++i) {
    clock.advance(Millis(1));
    progress->live({.elapsed = Millis(i), .spent = {}, .cpu_percent = {}});
    progress->update(fmt::format("text {}", i));
    redraws += !bytes().empty();
  }
  EXPECT_LE(redraws, 10);
  EXPECT_GE(redraws, 9);
}

TEST_F(OnTerminal, PauseLeavesAnEmptyRowForAQuestion) {
  progress->begin("train", "x");
  progress->output("bar 1", false);
  progress->pause();
  EXPECT_EQ(shown(), "bar 1");
  EXPECT_EQ(screen.column(), 0U);
  clock.advance(Millis(200));
  progress->update("y");
  EXPECT_EQ(shown(), "bar 1\n▸ train     y");
}

TEST_F(OnTerminal, TextFromTheInstanceCannotSteerTheTerminalInFerrysLines) {
  progress->begin("train", "\x1b[2J\rx");
  progress->failed("train", "exit\n3 \x1b]0;evil\a");
  progress->note("two\nlines \x1b[31m");
  EXPECT_EQ(shown(), "✗ train     exit\\x0a3 \\x1b]0;evil\\x07\ntwo\n  lines \\x1b[31m");
}

TEST_F(OnTerminal, TheTrainingsOutputCannotSteerTheTerminalEither) {
  progress->begin("train", "x");
  progress->output("a\x1b]0;title\a\x1b]52;c;ZXZpbA==", false);
  progress->output("\x1b\\\x1b[6n\x1b[?1049h\x1b[?25lb\n", false);
  progress->output("\x1b[99A\x1b[2J\x1b[Hover\n", true);
  const auto all = bytes();
  for (const char* evil : {"\x1b]", "[6n", "[?", "[99A", "[2J", "[H"})
    EXPECT_EQ(all.find(evil), std::string::npos) << evil;
  EXPECT_EQ(screen.text(), "ab\nover\n▸ train     x");
}

TEST_F(OnTerminal, TextFromOutsideIsCutAndIsNeverALineOfFerrysOwn) {
  progress->error({Kind::io, "what\n✓ train     exit 0", std::string(100'000, 'w'), "try", ""});
  progress->warn("fetch", std::string(100'000, 'x'));
  const auto all = bytes();
  EXPECT_LT(all.size(), 3000U);
  EXPECT_EQ(all.find("\n✓"), std::string::npos);
}

TEST_F(OnTerminal, AnErrorSaysWhatWhyAndWhatToTry) {
  progress->error({Kind::quota, "g5.xlarge needs 4 vCPUs", "the quota is 0", "ferry run --on-demand\nferry quota", ""});
  EXPECT_EQ(shown(),
            "ferry: error: g5.xlarge needs 4 vCPUs\n"
            "  why:  the quota is 0\n"
            "  try:  ferry run --on-demand\n"
            "        ferry quota");
}

TEST_F(OnNarrowTerminal, TheLiveLineLeavesOutWhatMattersLeast) {
  progress->begin("train", "x");
  progress->output("epoch=1 loss=1 accuracy=0.5\nepoch=2 loss=0.5 accuracy=0.6\n", false);
  clock.advance(Millis(200));
  progress->live({.elapsed = Millis(11'000), .spent = Usd{127}, .cpu_percent = 98});
  EXPECT_TRUE(shown().ends_with("\n▸ train     epoch 2  loss 0.500")) << screen.text();
  clock.advance(Millis(200));
  progress->begin("fetch", std::string(100, 'x'));
  EXPECT_TRUE(shown().ends_with("\n▸ fetch     " + std::string(26, 'x') + "…")) << screen.text();
}

TEST_F(OnTerminal, ColoursAreUsedUnlessNoColorIsSet) {
  ::unsetenv("NO_COLOR");
  progress = make_progress(Renderer::terminal, far.get(), far.get(), clock);
  bytes();
  progress->done("plan", "x");
  EXPECT_EQ(bytes(), "\x1b[32m✓\x1b[0m plan      x\r\n");
}

TEST_F(OnTerminal, ADumbTerminalGetsPlainLines) {
  ::setenv("TERM", "dumb", 1);
  progress = make_progress(Renderer::terminal, far.get(), far.get(), clock);
  bytes();
  progress->begin("train", "x");
  progress->output("half", false);
  progress->done("train", "exit 0");
  EXPECT_EQ(bytes(), "half\r\n✓ train     exit 0\r\n");
}

class Piped : public ::testing::Test {
 protected:
  os::FakeClock clock;
  os::Pipe out = os::make_pipe().value(), err = os::make_pipe().value();
};

TEST_F(Piped, PlainLeavesTheOutputUntouchedAndKeepsLinesApartOnlyOnErr) {
  auto progress = make_progress(Renderer::terminal, out.write.get(), err.write.get(), clock);
  progress->begin("train", "running");
  progress->output("epoch=1\r\x1b[31m no newline", false);
  progress->warn("train", "slow");
  progress->output("on err", true);
  progress->failed("train", "exit 3 after 00:31");
  EXPECT_EQ(take_all(out.read.get()), "epoch=1\r\x1b[31m no newline");
  EXPECT_EQ(take_all(err.read.get()), "! train     slow\non err\n✗ train     exit 3 after 00:31\n");
}

TEST_F(Piped, WhenBothStreamsGoToOnePlaceLinesAreKeptApartThere) {
  const os::Fd again(::dup(err.write.get()));
  auto progress = make_progress(Renderer::plain, again.get(), err.write.get(), clock);
  progress->output("half", false);
  progress->note("note");
  EXPECT_EQ(take_all(err.read.get()), "half\nnote\n");
}

TEST_F(Piped, AReaderThatWentAwayDoesNotEndTheRun) {
  auto progress = make_progress(Renderer::json, out.write.get(), err.write.get(), clock);
  out.read.reset();
  progress->title("a", "b");
  progress->output("x\n", false);
}

TEST_F(Piped, JsonIsOneObjectALine) {
  auto progress = make_progress(Renderer::json, out.write.get(), err.write.get(), clock);
  progress->title("digits", "rehearsal");
  progress->begin("launch", "asking");
  clock.advance(Millis(250));
  progress->named("digits-7k2");
  progress->done("launch", "running", {{"run", "digits-other"}, {"id", "i-1"}});
  progress->begin("train", "");
  progress->output("loss=nan \xe2\x96", false);
  progress->output("\x88\n", false);
  progress->output("bad \xff", true);
  progress->live({.elapsed = Millis(5), .spent = Usd{500'000}, .cpu_percent = {}});
  progress->live({.elapsed = Millis(6), .spent = {}, .cpu_percent = {}});
  progress->error({Kind::lost, "what", "why", "advice", "code"});
  progress->error({Kind::io, "what came of it", "", "", ""});
  progress->result({{"run", "digits-7k2"}, {"exit_code", 125}, {"error", nullptr}});
  progress->title("again", "rehearsal");
  progress->result({{"run", nullptr}, {"exit_code", 125}, {"error", nullptr}});
  std::vector<Json> events;
  for (const auto& line : split(trim(take_all(out.read.get())), '\n')) events.push_back(parse_json(line).value());
  ASSERT_EQ(events.size(), 13U);
  EXPECT_EQ(events[0]["event"], "title");
  EXPECT_EQ(events[0]["time"], "2023-11-14T22:13:20.000Z");
  EXPECT_TRUE(events[1]["run"].is_null());
  EXPECT_EQ(events[2], (Json{{"schema", "ferry.run.event/1"},
                             {"event", "phase_done"},
                             {"time", "2023-11-14T22:13:20.250Z"},
                             {"phase", "launch"},
                             {"text", "running"},
                             {"ms", 250},
                             {"run", "digits-7k2"},
                             {"data", {{"run", "digits-other"}, {"id", "i-1"}}}}));
  EXPECT_EQ(events[3]["run"], "digits-7k2");
  EXPECT_EQ(events[4]["text"], "loss=nan ");
  EXPECT_EQ(events[5]["text"], "█\n");
  EXPECT_FALSE(events[5].contains("base64"));
  EXPECT_EQ(events[6]["stream"], "stderr");
  EXPECT_EQ(events[6]["text"], "bad \ufffd");
  EXPECT_EQ(events[6]["base64"], base64("bad \xff"));
  EXPECT_EQ(events[7]["event"], "live");
  EXPECT_EQ(events[7]["spent_usd"], 0.5);
  EXPECT_TRUE(events[7]["metrics"]["loss"].is_null());
  const Json first = {{"code", "code"}, {"kind", "lost"},  {"message", "what"},
                      {"why", "why"},   {"fix", "advice"}, {"retryable", true}};
  EXPECT_EQ(events[8]["error"], first);
  EXPECT_EQ(events[10]["event"], "result");
  EXPECT_EQ(events[10]["error"], first) << "the first is what it failed by";
  EXPECT_TRUE(events[12]["run"].is_null() && events[12]["error"].is_null()) << "of the run before";
  EXPECT_EQ(take_all(err.read.get()), "");
}

TEST(Plain, AStepThatTakesLongSaysEveryMinuteWhatItWaitsFor) {
  auto pipe = *os::make_pipe();
  os::FakeClock clock;
  {
    auto progress = make_progress(Renderer::plain, pipe.write.get(), pipe.write.get(), clock);
    progress->update("nothing goes on yet");
    progress->begin("launch", "m5.large");
    for (int second = 0; second < 150; ++second) {
      progress->update(fmt::format("waiting ({} s)", second));
      clock.advance(Millis(1000));
    }
    progress->done("launch", "there");
    progress->update("nothing goes on any more");
  }
  pipe.write.reset();
  const std::string said = *os::read_some(pipe.read.get(), 4096);
  EXPECT_NE(said.find("▸ launch    waiting (60 s)\n▸ launch    waiting (120 s)\n✓ launch    there"), said.npos) << said;
  EXPECT_EQ(split(said, '\n').size(), 4U) << said;
}

}  // namespace
}  // namespace ferry::watch
