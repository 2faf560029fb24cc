#include "rehearsal/sigv4.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "os/file.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

const os::Path vectors = os::Path(__FILE__).parent_path().parent_path().parent_path() / "data" / "sigv4";

std::string text_of(const os::Path& file) { return os::read_file(file).value_or(""); }

/// The published requests, which use more of HTTP than our parser takes (folded headers, unencoded targets).
HttpRequest published(const std::string& text) {
  HttpRequest request;
  const auto gap = text.find("\n\n");
  request.body = gap == text.npos ? "" : text.substr(gap + 2);
  const auto lines = split(text.substr(0, gap), '\n');
  const auto& first = lines[0];
  const auto space = first.find(' '), last = first.rfind(' ');
  const auto target = first.substr(space + 1, last - space - 1);
  const auto mark = target.find('?');
  request.method = first.substr(0, space);
  request.path = target.substr(0, mark);
  request.query = mark == target.npos ? "" : target.substr(mark + 1);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    if (lines[i].front() == ' ') {
      request.headers.back().second += " " + std::string(trim(lines[i]));
    } else {
      const auto colon = lines[i].find(':');
      request.headers.emplace_back(lower(lines[i].substr(0, colon)),
                                   trim(std::string_view(lines[i]).substr(colon + 1)));
    }
  }
  return request;
}

struct Vector {
  os::Path dir;
  Json context;
  PathRule rule;
  AccessKey key;
};

std::vector<Vector> all_vectors() {
  std::vector<Vector> out;
  for (const auto& name : os::list_dir(vectors).value_or(std::vector<std::string>{})) {
    const auto dir = vectors / name;
    auto context = parse_json(text_of(dir / "context.json"));
    if (!context) continue;
    const auto& keys = (*context)["credentials"];
    out.push_back({dir,
                   *context,
                   context->value("normalize", true) ? PathRule::normalized : PathRule::as_is,
                   {text_at(keys, "access_key_id"), text_at(keys, "secret_access_key")}});
  }
  return out;
}

TEST(Sigv4, ComputesThePublishedHeaderSignatures) {
  const auto all = all_vectors();
  ASSERT_GT(all.size(), 30U);
  for (const auto& vector : all) {
    SCOPED_TRACE(vector.dir.filename().string());
    const auto request = published(text_of(vector.dir / "header-signed-request.txt"));
    auto claim = parse_authorization(request.header("authorization"));
    ASSERT_TRUE(claim);
    claim->time = request.header("x-amz-date");
    const auto canonical = canonical_request(request, *claim, vector.rule);
    EXPECT_EQ(canonical, text_of(vector.dir / "header-canonical-request.txt"));
    EXPECT_EQ(expected_signature(vector.key, *claim, string_to_sign(*claim, canonical)),
              trim(text_of(vector.dir / "header-signature.txt")));
    EXPECT_EQ(claim->signature, trim(text_of(vector.dir / "header-signature.txt")));
  }
}

TEST(Sigv4, ComputesThePublishedQuerySignatures) {
  for (const auto& vector : all_vectors()) {
    SCOPED_TRACE(vector.dir.filename().string());
    auto request = published(text_of(vector.dir / "query-signed-request.txt"));
    const auto claim = parse_presigned(request.query);
    ASSERT_TRUE(claim);
    if (vector.context.value("omit_session_token", false)) {  // added after signing; AWS accepts both ways
      const auto token = request.query.find("&X-Amz-Security-Token=");
      request.query.erase(token, request.query.find('&', token + 1) - token);
    }
    const auto canonical = canonical_request(request, *claim, vector.rule);
    EXPECT_EQ(canonical, text_of(vector.dir / "query-canonical-request.txt"));
    EXPECT_EQ(expected_signature(vector.key, *claim, string_to_sign(*claim, canonical)),
              trim(text_of(vector.dir / "query-signature.txt")));
  }
}

TEST(Sigv4, ReadsBasicIsoTimesOnly) {
  EXPECT_EQ(parse_amz_time("20150830T123600Z").value_or(0), 1'440'938'160'000);
  for (const char* wrong : {"", "20150830T1236Z", "20151330T123600Z", "20150230T123600Z", "2015083xT123600Z",
                            "20150830T246000Z", "20150830 123600Z"})
    EXPECT_FALSE(parse_amz_time(wrong)) << wrong;
}

struct Signed : testing::Test {
  AccessKey key{"AKIAEXAMPLEEXAMPLE00", "secret"};
  std::int64_t now = 1'700'000'000'000;
  HttpRequest request = signed_form({{"Action", "DescribeInstances"}}, key, now);
  SignatureVerdict verdict(std::int64_t at) {
    return check_signature(request, key, "us-east-1", at, Millis(300'000)).verdict;
  }
};

TEST_F(Signed, IsGoodWithinTheAllowedSkewAndExpiredBeyond) {
  EXPECT_EQ(verdict(now), SignatureVerdict::good);
  EXPECT_EQ(verdict(now + 299'000), SignatureVerdict::good);
  EXPECT_EQ(verdict(now + 301'000), SignatureVerdict::expired);
  EXPECT_EQ(verdict(now - 301'000), SignatureVerdict::expired);
}

TEST_F(Signed, IsAMismatchWhenAnythingSignedChanges) {
  for (auto change : std::vector<std::function<void(HttpRequest&)>>{
           [](auto& it) { it.body += "&More=1"; }, [](auto& it) { it.path = "/x"; }, [](auto& it) { it.query = "a=b"; },
           [](auto& it) { it.method = "PUT"; }, [](auto& it) { it.headers[0].second = "elsewhere"; },
           [](auto& it) { it.headers.emplace_back("x-amz-extra", "unsigned"); }}) {
    request = signed_form({{"Action", "DescribeInstances"}}, key, now);
    change(request);
    EXPECT_EQ(verdict(now), SignatureVerdict::mismatch);
  }
}

TEST_F(Signed, SaysWhichPartIsWrong) {
  request = signed_form({}, {"AKIASOMEONEELSE00000", key.secret}, now);
  EXPECT_EQ(verdict(now), SignatureVerdict::unknown_key);
  request = signed_form({}, {key.id, "other"}, now);
  EXPECT_EQ(verdict(now), SignatureVerdict::mismatch);
  request = signed_form({}, key, now, "ec2", "eu-west-9");
  EXPECT_EQ(verdict(now), SignatureVerdict::wrong_scope);
  request.headers.back().second = "AWS4-HMAC-SHA256 Credential=a/b";
  EXPECT_EQ(verdict(now), SignatureVerdict::incomplete);
  request.headers.clear();
  EXPECT_EQ(verdict(now), SignatureVerdict::missing);
}

}  // namespace
}  // namespace ferry::rehearsal
