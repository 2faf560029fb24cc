#include "s3/copy.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "s3/fake_s3.h"
#include "s3/objects.h"

namespace ferry::s3 {
namespace {

constexpr std::uint64_t piece = 1000;

std::string random_text(std::size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

/// A bucket with small objects, two large ones and what can be no file.
class Copies : public testing::Test {
 protected:
  Copies() {
    s3.tells_sums = true;
    s3.page = 7;
    for (int i = 0; i < 20; ++i) put("set/f" + std::to_string(i), random_text(static_cast<std::size_t>(i * 40)));
    put("set/deep/er/large", random_text(10 * piece + 17));
    put("set/large", random_text(3 * piece));
    put("setting", "another's");
  }
  void put(const std::string& key, const std::string& bytes) { s3.objects[key] = {bytes, hex(md5(bytes)), {}}; }
  std::shared_ptr<Session> session() {
    return std::make_shared<Session>(
        Place{.bucket = "bucket",
              .prefix = {},
              .region = "us-east-1",
              .endpoint = "http://127.0.0.1:9",
              .account = {},
              .ca_bundle = {}},
        anonymous ? nullptr : aws::fixed_provider({.access_key_id = "A", .secret_access_key = "s"}), clock,
        Limits{.attempts = 8, .part = piece}, s3.door());
  }
  Result<Copied> copy(const std::string& key = "set", s3::Copying moved = {}) {
    TRY_SET(found, "", find_objects(session(), key));
    return copy_down(session(), found, {.to = to, .connections = connections, .moved = std::move(moved)});
  }
  void expect_whole() {
    for (const auto& [key, object] : s3.objects) {
      if (!key.starts_with("set/") || skipped.contains(key)) continue;
      const auto there = os::read_file(to / key.substr(4));
      EXPECT_TRUE(there && *there == object.bytes) << key;
    }
    for (const auto& one : std::filesystem::recursive_directory_iterator(to))
      EXPECT_FALSE(one.path().filename().string().starts_with(".ferry-part")) << one.path();
  }
  FakeS3 s3;
  os::FakeClock clock;
  os::TempDir temp;
  os::Path to = temp.path() / "to";
  std::set<std::string> skipped;
  int connections = 4;
  bool anonymous = false;
};

TEST_F(Copies, BringsWhatIsBelowAFolderWholeAndNothingElse) {
  std::uint64_t bytes = 0, files = 0;
  const auto copied = copy("set", [&](std::uint64_t more, std::uint64_t done) {
    bytes += more;
    files += done;
    return true;
  });
  ASSERT_TRUE(copied) << describe(copied.error());
  EXPECT_EQ(copied->files, 22u);
  EXPECT_EQ(files, 22u);
  EXPECT_EQ(bytes, copied->bytes);
  EXPECT_EQ(copied->kept_files, 0u);
  expect_whole();
  EXPECT_FALSE(os::exists(to / "ting"));
  EXPECT_EQ(s3.count("GET", "list-type=2"), 4);
}

TEST_F(Copies, FetchesNothingTwiceThatIsThereAndWhatWasChangedOnEitherSideAgain) {
  ASSERT_TRUE(copy());
  s3.asked.clear();
  auto again = copy();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->kept_files, 22u);
  EXPECT_EQ(s3.count("GET", "/set/"), 0);
  put("set/f3", random_text(120) + "x");
  put("set/f4", std::string(160, 'y'));  // as long, at the same second
  ASSERT_TRUE(os::write_file(to / "f5", std::string(200, 'z')));
  again = copy();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->kept_files, 19u);
  expect_whole();
}

TEST_F(Copies, GoesOnWhereItWasBrokenOff) {
  connections = 1;
  std::uint64_t seen = 0;
  const auto broken = copy("set/deep", [&](std::uint64_t bytes, std::uint64_t) {
    seen += bytes;
    return seen < 5 * piece;
  });
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().kind, Kind::cancelled);
  EXPECT_FALSE(os::exists(to / "er/large"));
  s3.asked.clear();
  const auto rest = copy("set/deep");
  ASSERT_TRUE(rest) << describe(rest.error());
  EXPECT_LE(s3.count("GET", "/set/deep/"), 7);
  EXPECT_TRUE(*os::read_file(to / "er/large") == s3.objects["set/deep/er/large"].bytes);
}

TEST_F(Copies, LivesThroughConnectionsThatBreakAndAServerThatIsBusy) {
  s3.cut_downloads = 5;
  int busy = 6;
  s3.before = [&](const os::HttpRequest&) -> std::optional<Result<os::HttpResponse>> {
    if (busy-- > 4) return fault(503, "SlowDown");
    return std::nullopt;
  };
  const auto copied = copy();
  ASSERT_TRUE(copied) << describe(copied.error());
  expect_whole();
}

TEST_F(Copies, TakesAnObjectThatIsChangedMeanwhileAsItIsThen) {
  connections = 1;
  for (const char* key : {"set/deep/er/large", "set/f9"}) {
    bool changed = false;
    ASSERT_TRUE(os::remove_all(to));
    s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
      if (request.method != "GET" || request.url.find(key) == std::string::npos || std::exchange(changed, true))
        return std::nullopt;
      put(key, s3.objects[key].bytes + "more");
      return std::nullopt;
    };
    const auto copied = copy();
    ASSERT_TRUE(copied) << describe(copied.error());
    EXPECT_TRUE(changed);
    expect_whole();
  }
  int changes = 0;
  s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (request.method == "GET" && request.url.find("/set/f8") != std::string::npos)
      put("set/f8", std::to_string(++changes));
    return std::nullopt;
  };
  put("set/f8", "first");
  const auto copied = copy();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().kind, Kind::conflict);
}

TEST_F(Copies, NeverLeavesWhatIsNotWhatS3HasUnderItsName) {
  for (const bool sums : {true, false}) {
    s3.tells_sums = sums;  // else the ETag is the MD5
    s3.after = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
      if (request.method != "GET" || request.url.find("/set/f7") == std::string::npos) return std::nullopt;
      auto damaged = s3.objects["set/f7"].bytes;
      damaged[9] = static_cast<char>(damaged[9] ^ 1);
      os::HttpResponse answer{.status = 200, .headers = {}, .body = damaged};
      if (sums) answer.headers.emplace_back("x-amz-checksum-crc64nvme", base64(std::string(8, '\1')));
      return answer;
    };
    const auto copied = copy();
    ASSERT_FALSE(copied);
    EXPECT_EQ(copied.error().kind, Kind::corrupt);
    EXPECT_FALSE(os::exists(to / "f7"));
  }
  s3.tells_sums = true;
  s3.after = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (sent_header(request, "range") != "bytes=2000-2999") return std::nullopt;
    return os::HttpResponse{.status = 206, .headers = {}, .body = std::string(piece, 'x')};
  };
  to = temp.path() / "one";
  ASSERT_FALSE(copy("set/large"));
  EXPECT_FALSE(os::exists(to));
}

TEST_F(Copies, LeavesOutWhatCanBeNoFileAndSaysSo) {
  skipped = {"set/../up", "set//twice", "set/large/below", "set/large"};
  put("set/../up", "x");
  put("set//twice", "x");
  put("set/large/below", "x");
  put("set/marker/", "");
  const auto copied = copy();
  ASSERT_TRUE(copied) << describe(copied.error());
  ASSERT_EQ(copied->skipped.size(), 3u);
  EXPECT_NE(copied->skipped[2].find("set/large: it is a folder, too"), std::string::npos) << copied->skipped[2];
  EXPECT_FALSE(os::exists(temp.path() / "up"));
  EXPECT_FALSE(os::exists(to / "marker"));
}

TEST_F(Copies, OfOneObjectIsThatFileAlsoForWhoMayNotList) {
  for (const bool may_list : {true, false}) {
    s3.before = [may_list](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
      if (!may_list && request.url.find("list-type") != std::string::npos) return fault(403, "AccessDenied");
      return std::nullopt;
    };
    ASSERT_TRUE(copy("setting"));
    EXPECT_EQ(*os::read_file(to), "another's");
    ASSERT_TRUE(os::remove_all(to));
  }
  const auto denied = copy("set");
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().kind, Kind::denied);
  s3.before = {};
  EXPECT_EQ(copy("nothing").error().kind, Kind::not_found);
}

TEST_F(Copies, IsAnonymousWithoutCredentials) {
  anonymous = true;
  ASSERT_TRUE(copy("setting"));
  for (const auto& request : s3.asked) EXPECT_EQ(sent_header(request, "authorization"), "");
  anonymous = false;
  ASSERT_TRUE(os::remove_all(to));
  s3.asked.clear();
  ASSERT_TRUE(copy("set"));
  for (const auto& request : s3.asked) EXPECT_NE(sent_header(request, "authorization"), "");
}

TEST_F(Copies, BackPutsWhatWasWrittenSinceAndNothingElse) {
  ASSERT_TRUE(copy());
  os::FakeClock unused;
  const auto since = os::system_clock().now_ms();
  while (os::system_clock().now_ms() < since + 20) os::system_clock().sleep(Millis(5));
  ASSERT_TRUE(os::make_dirs(to / "new"));
  ASSERT_TRUE(os::write_file(to / "new/model", "trained"));
  ASSERT_TRUE(os::write_file(to / "f1", "changed"));
  s3.asked.clear();
  const auto back = copy_back(session(), to, "set", since);
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(back->files, 2u);
  EXPECT_EQ(s3.count("PUT", ""), 2);
  EXPECT_EQ(s3.objects["set/new/model"].bytes, "trained");
  EXPECT_EQ(s3.objects["set/f1"].bytes, "changed");
}

TEST_F(Copies, SaysBeforeItBeginsThatItWillNotFit) {
  auto found = *find_objects(session(), "set");
  found.objects[0].bytes = std::uint64_t{1} << 60;
  s3.asked.clear();
  const auto copied = copy_down(session(), found, {.to = to});
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().kind, Kind::disk_full);
  EXPECT_TRUE(s3.asked.empty());
}

TEST_F(Copies, OfWhatIsToBeMountedNoMoreThanTheFirstObjectIsListed) {
  s3.asked.clear();
  const auto folder = find_first(session(), "set");
  ASSERT_TRUE(folder);
  EXPECT_FALSE(folder->is_file);
  ASSERT_EQ(s3.asked.size(), 1U);
  EXPECT_NE(s3.asked[0].url.find("&max-keys=2"), std::string::npos) << s3.asked[0].url;
  EXPECT_TRUE(find_first(session(), "set/large")->is_file);
  EXPECT_EQ(find_first(session(), "nothing").error().kind, Kind::not_found);
}

}  // namespace
}  // namespace ferry::s3
