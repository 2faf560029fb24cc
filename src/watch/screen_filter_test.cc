#include "watch/screen_filter.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ferry::watch {
namespace {

/// Shown whole and cut at every byte; both must be the same.
std::string shown(const std::string& bytes) {
  ScreenFilter whole, cut;
  std::string out = whole.pass(bytes), pieces;
  out += whole.finish();
  for (const char byte : bytes) pieces += cut.pass(std::string_view(&byte, 1));
  pieces += cut.finish();
  EXPECT_EQ(pieces, out);
  return out;
}

}  // namespace

TEST(ScreenFilter, TextColoursAndProgressBarsPassAsTheyAre) {
  for (const std::string& bytes : {
           std::string("epoch=1 loss=0.5\n\ttabbed\r\n"),
           std::string("gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x9a\x82\n"),
           std::string("\r 50%|\xe2\x96\x88\xe2\x96\x88   | 1/2 [00:01<00:01]\x1b[K"),
           std::string("a\b\x1b[1;31mred\x1b[0m\x1b[38;5;208mo\x1b[38:2::1:2:3mx\x1b[m"),
           std::string("one\ntwo\n\x1b[2A\x1b[2Kup\x1b[1B\r\x1b[3C\x1b[1D\x1b[10G\x1b[J\x1b[0J"),
       })
    EXPECT_EQ(shown(bytes), bytes);
}

TEST(ScreenFilter, WhatElseATerminalObeysIsDropped) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\x1b]0;title\ab", "ab"},
      {"a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"},
      {"a\x1bP$q\x1b\\b", "ab"},
      {"a\x1b_apc\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"},
      {"a\x1b[6n\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[18t\x1b[?1$pb", "ab"},
      {"a\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?2004h\x1b[4hb", "ab"},
      {"a\x1b[2J\x1b[3J\x1b[1J\x1b[H\x1b[5;5H\x1b[s\x1b[u\x1b[10;20r\x1b[1S\x1b[1T\x1b[L\x1b[Mb", "ab"},
      {"a\x1b"
       "7\x1b"
       "8\x1b"
       "c\x1b"
       "D\x1b"
       "E\x1b"
       "M\x1b=\x1b>\x1b(0\x1b#8b",
       "ab"},
      {std::string("a\0\a\v\f\x0e\x0f\x05\x7f"
                   "b",
                   10),
       "ab"},
      {"a\x9b"
       "31mb\x9d"
       "0;t\x9c\x90\x85z",
       "a31mb0;tz"},
      {"a\xc2\x9b"
       "31mb\xc2\x85",
       "a\xef\xbf\xbd"
       "31mb\xef\xbf\xbd"},
      {"a\xe2\x80\xae"
       "b\xe2\x81\xa6",
       "a\xef\xbf\xbd"
       "b\xef\xbf\xbd"},
      {"\x1b[31", ""},
      {"\x1b[>4;2mx", "x"},
      {"\x1b[1;2\x1b[1mx", "\x1b[1mx\x1b[0m"},
      {"\x1b]8;;http://x\x1b[1mx", "\x1b[1mx\x1b[0m"},
      {"\x1b[" + std::string(100, '1') + "mx", "x"},
  };
  for (const auto& [bytes, left] : cases) EXPECT_EQ(shown(bytes), left) << testing::PrintToString(bytes);
}

TEST(ScreenFilter, HalvesOfACharacterDoNotMeetOverWhatWasDropped) {
  EXPECT_EQ(shown("\xc2\x1b]0;t\a\x9b"
                  "31m"),
            "\xef\xbf\xbd"
            "31m");
  EXPECT_EQ(shown("caf\xe9 \xff\n"), "caf\xef\xbf\xbd \xef\xbf\xbd\n") << "Latin-1 is no UTF-8";
}

TEST(ScreenFilter, AStringThatNeverEndsHidesOneLine) {
  EXPECT_EQ(shown("\x1b]0;never\nnext\n\x1bPnor\x18this\x1b[3\nlast\n"), "\nnext\nthis\nlast\n");
}

TEST(ScreenFilter, NobodyGoesUpToLinesThatAreNotItsOwn) {
  EXPECT_EQ(shown("\x1b[9A\x1b[Ax"), "x");
  EXPECT_EQ(shown("a\nb\n\x1b[9Ax\x1b[5By"), "a\nb\n\x1b[2Ax\x1b[2By");
  ScreenFilter filter;
  EXPECT_EQ(filter.pass("a\nb\n"), "a\nb\n");
  filter.fresh_line();
  EXPECT_EQ(filter.pass("\x1b[2Ax"), "x");
}

TEST(ScreenFilter, TheColoursEndWithTheOutput) {
  ScreenFilter filter;
  EXPECT_EQ(filter.pass("\x1b[31mred"), "\x1b[31mred");
  EXPECT_EQ(filter.finish(), "\x1b[0m");
  EXPECT_EQ(filter.finish(), "");
}

}  // namespace ferry::watch
