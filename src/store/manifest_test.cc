#include "store/manifest.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace ferry::store {
namespace {

Manifest small_manifest() {
  Manifest manifest{
      .run = "digits-gvw", .attempt = 2, .rank = 1, .made_ms = 1'700'000'000'000, .complete = true, .entries = {}};
  const std::vector<std::string> paths = {"outputs/model.pt", "outputs/a b/ü.txt", "outputs/\xff\n"};
  for (const std::string& path : paths) {
    manifest.entries.push_back({.path = path,
                                .kind = FileKind::output,
                                .bytes = 7,
                                .sha256 = hex(sha256(path)),
                                .mode = 0644,
                                .key = file_key("digits-gvw", 2, 1, FileKind::output, path, hex(sha256(path))),
                                .mtime_ns = -5});
  }
  manifest.entries.push_back({.path = "outputs/model.pt",
                              .kind = FileKind::log,
                              .bytes = 0,
                              .sha256 = hex(sha256("")),
                              .mode = 0600,
                              .key = "runs/digits-gvw/a1/r1/log/x",
                              .mtime_ns = INT64_MAX});
  return manifest;
}

/// The manifest with `change` made to its JSON, and the right hash again.
std::string changed(const std::function<void(Json&)>& change) {
  Json json = *parse_json(*manifest_text(small_manifest()));
  change(json);
  json.erase("sha256");
  json["sha256"] = hex(sha256(dump_json(json)));
  return dump_json(json);
}

Kind refusal(const std::string& text) {
  const auto read = parse_manifest(text);
  return read ? Kind::bug : read.error().kind;
}

TEST(Manifest, IsReadBackAsItWasWrittenInTheOrderOfKindAndPath) {
  const auto text = manifest_text(small_manifest());
  ASSERT_TRUE(text) << describe(text.error());
  const auto read = parse_manifest(*text);
  ASSERT_TRUE(read) << describe(read.error());
  EXPECT_EQ(*manifest_text(*read), *text);
  EXPECT_EQ(read->entries.size(), 4u);
  EXPECT_EQ(read->entries.front().path, "outputs/a b/ü.txt");
  EXPECT_EQ(read->entries.back().kind, FileKind::log);
  EXPECT_TRUE(read->complete);
  EXPECT_EQ(read->entries[2].path, "outputs/\xff\n");
  EXPECT_TRUE(read->entries[2].key.starts_with("runs/digits-gvw/a2/r1/outputs-by-content/"));
}

TEST(Manifest, ThatWasCutOrChangedAnywhereIsRefused) {
  const std::string text = *manifest_text(small_manifest());
  for (std::size_t at = 0; at < text.size(); ++at) {
    EXPECT_EQ(refusal(text.substr(0, at)), Kind::corrupt) << at;
    std::string other = text;
    other[at] = other[at] == '7' ? '8' : '7';
    if (const auto read = parse_manifest(other)) ADD_FAILURE() << at << " " << other;
  }
}

TEST(Manifest, FromOutsideNamesNothingOutsideAndNothingThatCannotBe) {
  EXPECT_EQ(refusal(changed([](Json&) {})), Kind::bug);
  EXPECT_EQ(refusal(changed([](Json& json) { json["format"] = 2; })), Kind::unsupported);
  const std::vector<std::function<void(Json&)>> changes = {
      [](Json& json) { json["format"] = "1"; },
      [](Json& json) { json["run"] = "../x"; },
      [](Json& json) { json["run"] = "other"; },
      [](Json& json) { json["attempt"] = 0; },
      [](Json& json) { json["rank"] = -1; },
      [](Json& json) { json["complete"] = 1; },
      [](Json& json) { json["more"] = 1; },
      [](Json& json) { json.erase("made_ms"); },
      [](Json& json) { json["entries"] = Json::object(); },
      [](Json& json) { json["entries"][0]["path"] = "/etc/passwd"; },
      [](Json& json) { json["entries"][0]["path"] = "a/../../b"; },
      [](Json& json) { json["entries"][0]["path"] = "a//b"; },
      [](Json& json) { json["entries"][0]["path"] = ""; },
      [](Json& json) { json["entries"][0]["path"] = std::string("a\0b", 3); },
      [](Json& json) { json["entries"][0]["path"] = std::string(300, 'a'); },
      [](Json& json) { json["entries"][0]["kind"] = "link"; },
      [](Json& json) { json["entries"][0]["bytes"] = -1; },
      [](Json& json) { json["entries"][0]["bytes"] = 1.5; },
      [](Json& json) { json["entries"][0]["mode"] = 04755; },
      [](Json& json) { json["entries"][0]["sha256"] = std::string(64, 'A'); },
      [](Json& json) { json["entries"][0]["key"] = "runs/other/a1/r0/outputs/x"; },
      [](Json& json) { json["entries"][0]["key"] = "runs/digits-gvw/../other/x"; },
      [](Json& json) { json["entries"][0]["more"] = 1; },
      [](Json& json) { json["entries"][0]["path_base64"] = "YQ=="; },
      [](Json& json) { json["entries"][2]["path_base64"] = "YQ=="; },  // is UTF-8
      [](Json& json) { json["entries"][1] = json["entries"][0]; },
      [](Json& json) { std::swap(json["entries"][0], json["entries"][1]); },
      [](Json& json) { json["entries"][0]["path"] = Json::array({Json::array()}); },
      [](Json& json) {
        json["entries"][0]["path"] = "outputs";  // and outputs/model.pt is there, too
      },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) EXPECT_EQ(refusal(changed(changes[i])), Kind::corrupt) << i;
}

TEST(Manifest, NamesLinksByWhatTheyHold) {
  Manifest manifest = small_manifest();
  const ManifestEntry latest{.path = "outputs/latest", .kind = FileKind::checkpoint, .mtime_ns = 3, .link = "step-9"};
  manifest.entries = {latest, latest};
  manifest.entries[1].path = "outputs/odd";
  manifest.entries[1].link = "\xff";
  const auto text = manifest_text(manifest);
  ASSERT_TRUE(text) << describe(text.error());
  EXPECT_EQ(parse_manifest(*text)->entries, manifest.entries);
  manifest.entries[0].link = std::string("a\0b", 3);
  EXPECT_FALSE(manifest_text(manifest));
  manifest.entries[0].link = std::string(most_link + 1, 'a');
  EXPECT_FALSE(manifest_text(manifest));
  const auto with_link = [](Json& json) { json["entries"][0]["link"] = "x"; };
  EXPECT_EQ(refusal(changed(with_link)), Kind::corrupt) << "with content, too";
}

TEST(Manifest, OfAnyDepthOrWithNoEndTakesLittleMemory) {
  EXPECT_EQ(refusal(std::string(1'000'000, '[')), Kind::corrupt);
  EXPECT_EQ(refusal("{\"entries\":[" + std::string(2'000'000, '[') + "]}"), Kind::corrupt);
}

TEST(Manifest, ThatCouldNotBeReadBackIsNotWritten) {
  Manifest manifest = small_manifest();
  manifest.entries[0].path = "../x";
  const auto text = manifest_text(manifest);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, Kind::bad_input);
}

TEST(Keys, AreCleanRelativePathsInUtf8WithRoomForAPrefix) {
  const std::vector<std::string> keys = {"a",    "runs/x/a1/r0/outputs/a b.txt", "\xc3\xbc", "\xf0\x9f\x98\x80", "...",
                                         "a..b", std::string(200, 'a')};
  for (const std::string& key : keys) EXPECT_TRUE(check_key(key)) << key;
  const std::vector<std::string> none = {std::string(201, 'a'), "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "a\x7f",
                                         "a/.ferry-part",       "\xc3"};
  for (const std::string& key : none) EXPECT_FALSE(check_key(key)) << key;
  EXPECT_TRUE(check_prefix("runs/x/") && check_prefix("") && check_prefix("runs/x"));
  EXPECT_FALSE(check_prefix("/") || check_prefix("a//") || check_prefix("../"));
}

}  // namespace
}  // namespace ferry::store
