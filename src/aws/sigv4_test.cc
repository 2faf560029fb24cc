#include "aws/sigv4.h"

#include <gtest/gtest.h>

#include <random>

#include "aws/scripted_http.h"
#include "base/json.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process.h"

namespace ferry::aws {
namespace {

const os::Path vectors = os::Path(__FILE__).parent_path() / "../../data/sigv4";
constexpr std::int64_t vectors_time = 1'440'938'160'000;  // 2015-08-30T12:36:00Z

std::string read(const os::Path& path) { return os::read_file(path).value_or("(missing: " + path.string() + ")"); }

/// One published case: a raw HTTP request and its context.
struct Case {
  os::HttpRequest request;
  Credentials credentials;
  SigningOptions options;
  std::string unsigned_token;
};

os::HttpRequest parse_request(const std::string& raw) {
  os::HttpRequest request;
  const auto head_end = std::min(raw.find("\n\n"), raw.size());
  const auto lines = split(raw.substr(0, head_end), '\n');
  const auto first = lines[0].find(' '), last = lines[0].rfind(' ');
  request.method = lines[0].substr(0, first);
  request.url = "https://example.amazonaws.com" + lines[0].substr(first + 1, last - first - 1);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    if (lines[i][0] == ' ') {
      request.headers.back().second += "\n" + lines[i];
      continue;
    }
    const auto colon = lines[i].find(':');
    request.headers.emplace_back(lines[i].substr(0, colon), lines[i].substr(colon + 1));
  }
  if (head_end + 2 <= raw.size()) request.body = raw.substr(head_end + 2);
  return request;
}

Case load_case(const std::string& name) {
  const Json context = Json::parse(read(vectors / name / "context.json"));
  const Json& keys = context["credentials"];
  Case out;
  out.request = parse_request(read(vectors / name / "request.txt"));
  out.credentials = {text_at(keys, "access_key_id"), text_at(keys, "secret_access_key"), text_at(keys, "token"), ""};
  if (context.value("omit_session_token", false)) out.credentials.session_token.clear();
  out.options.path = context["normalize"].get<bool>() ? PathRule::normalized : PathRule::as_sent;
  out.options.content_sha256 = context["sign_body"].get<bool>();
  return out;
}

std::string last_field(const std::string& text, std::string_view mark) {
  const auto at = text.rfind(mark);
  return at == std::string::npos ? "" : text.substr(at + mark.size());
}

TEST(SigV4, SignsEveryPublishedRequestByHeaderAsPublished) {
  const auto names = os::list_dir(vectors);
  ASSERT_TRUE(names) << describe(names.error());
  EXPECT_EQ(names->size(), 38U);
  for (const auto& name : *names) {
    Case test = load_case(name);
    sign(test.request, test.credentials, {"us-east-1", "service"}, vectors_time, test.options);
    const std::string authorization = header_of(test.request, "authorization");
    EXPECT_EQ(last_field(authorization, "Signature="), read(vectors / name / "header-signature.txt")) << name;
    const std::string published = read(vectors / name / "header-signed-request.txt");
    EXPECT_NE(published.find("Authorization:" + authorization + "\n"), std::string::npos) << name;
  }
}

TEST(SigV4, PresignsEveryPublishedRequestAsPublished) {
  const auto names = os::list_dir(vectors);
  ASSERT_TRUE(names) << describe(names.error());
  for (const auto& name : *names) {
    const Case test = load_case(name);
    const std::string url =
        presign(test.request, test.credentials, {"us-east-1", "service"}, vectors_time, Seconds(3600), test.options);
    EXPECT_EQ(last_field(url, "X-Amz-Signature="), read(vectors / name / "query-signature.txt")) << name;
    EXPECT_TRUE(url.starts_with(test.request.url)) << url;
  }
}

TEST(SigV4, SigningAgainReplacesTheEarlierSignature) {
  os::HttpRequest once{.method = "POST", .url = "https://ec2.us-east-1.amazonaws.com/", .headers = {}, .body = "A=b"};
  const Credentials keys{"AKID", "secret", "token", ""};
  os::HttpRequest twice = once;
  sign(twice, keys, {"us-east-1", "ec2"}, vectors_time + 60'000);
  sign(twice, keys, {"us-east-1", "ec2"}, vectors_time);
  sign(once, keys, {"us-east-1", "ec2"}, vectors_time);
  EXPECT_EQ(once.headers, twice.headers);
}

TEST(SigV4, DefaultPortsAreNotPartOfTheSignedHost) {
  const Credentials keys{"AKID", "secret", "", ""};
  const auto signature = [&](const std::string& url) {
    os::HttpRequest request{.method = "GET", .url = url, .headers = {}, .body = {}};
    sign(request, keys, {"us-east-1", "ec2"}, vectors_time);
    return header_of(request, "authorization");
  };
  EXPECT_EQ(signature("https://a.example/x"), signature("https://a.example:443/x"));
  EXPECT_EQ(signature("http://a.example"), signature("http://a.example:80/"));
  EXPECT_NE(signature("http://a.example/"), signature("http://a.example:8080/"));
}

// Reads requests as JSON, signs them with botocore at its own time, and answers the signatures.
constexpr const char* botocore_signer = R"PY(
import json, sys
from botocore.auth import SigV4Auth, S3SigV4Auth, S3SigV4QueryAuth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
out = []
for r in json.load(sys.stdin):
    keys = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", r["token"] or None)
    request = AWSRequest(method=r["method"], url=r["url"], data=r["body"].encode(), headers=dict(r["headers"]))
    if r["presign"]:
        signer = S3SigV4QueryAuth if r["service"] == "s3" else SigV4QueryAuth
        signer(keys, r["service"], "eu-west-1", expires=900).add_auth(request)
        out.append({"url": request.url})
    else:
        signer = S3SigV4Auth if r["service"] == "s3" else SigV4Auth
        signer(keys, r["service"], "eu-west-1").add_auth(request)
        out.append({"authorization": request.headers["Authorization"], "date": request.headers["X-Amz-Date"]})
json.dump(out, sys.stdout)
)PY";

class RandomRequests {
 public:
  Json next() {
    const bool presign = chance(4);
    const std::string service = chance(2) ? "s3" : "ec2";
    Json request = {{"service", service},
                    {"presign", presign},
                    {"method", presign ? "GET" : pick({"GET", "POST", "PUT", "DELETE"})},
                    {"token", chance(3) ? "AQoDYXdzEPT//token+/=" : ""},
                    {"url", "https://bucket.example.amazonaws.com" + path() + query(presign)},
                    {"body", presign || chance(2) ? "" : word() + "=" + word()},
                    {"headers", Json::object()}};
    if (chance(2)) request["headers"]["x-amz-server-side-encryption"] = "aws:kms";
    if (chance(2)) request["headers"]["x-amz-server-side-encryption-aws-kms-key-id"] = "key/1  2";
    if (chance(3)) request["headers"]["Content-Type"] = "application/x-amz-json-1.1";
    if (chance(3)) request["headers"]["X-Amz-Meta-Name"] = "  a   b ";
    if (chance(3)) request["headers"]["X-Amz-Meta-Word"] = "日本 é\t" + word();
    if (chance(4)) request["headers"]["X-Amz-Target"] = "";
    return request;
  }

 private:
  bool chance(unsigned of) { return engine_() % of == 0; }
  std::string pick(const std::vector<std::string>& from) { return from[engine_() % from.size()]; }
  std::string word() {
    static const std::vector<std::string> pieces = {"a", "Z9", "-._~", " ", "+",   "é", "日本", "=",
                                                    "&", "%",  "*",    "'", "(x)", "!", "@",    ":",
                                                    ",", ";",  "$",    "?", "#",   "[", "\"",   "|"};
    std::string out;
    for (auto left = engine_() % 5 + 1; left > 0; --left) out += pick(pieces);
    return out;
  }
  /// Also bytes that are no text; only where they are percent-encoded.
  std::string bytes() {
    static const std::vector<std::string> pieces = {"\xff", "\x80\xfe", std::string("\0", 1), "\n", "\t", "/", "%2F"};
    return chance(3) ? word() + pick(pieces) + word() : word();
  }
  std::string path() {
    std::string out;
    for (auto left = engine_() % 4; left > 0; --left) {
      out += "/" + (chance(6) ? pick({".", "..", ""}) : percent_encoded(bytes()));
    }
    return out.empty() || chance(3) ? out + "/" : out;
  }
  /// botocore rewrites the query of what it presigns: names that come twice and bytes that are no text get
  /// lost.
  std::string query(bool simple) {
    const auto part = [&] { return percent_encoded(simple ? word() : bytes()); };
    std::string out;
    for (auto left = engine_() % 4; left > 0; --left) {
      out += (out.empty() ? "?" : "&") + (simple ? std::to_string(left) : "") + part();
      if (!chance(4)) out += "=" + part();
    }
    return out;
  }
  std::mt19937 engine_{20150830};  // NOLINT: the same requests every time
};

std::int64_t ms_of(const std::string& compact) {  // 20150830T123600Z
  const auto part = [&](std::size_t at, std::size_t count) { return std::stoi(compact.substr(at, count)); };
  using namespace std::chrono;
  const sys_days day = year(part(0, 4)) / part(4, 2) / part(6, 2);
  return (((day.time_since_epoch().count() * 24LL + part(9, 2)) * 60 + part(11, 2)) * 60 + part(13, 2)) * 1000;
}

std::string parameter(const std::string& url, const std::string& name) {
  const auto at = url.find(name + "=");
  return at == std::string::npos ? "" : url.substr(at + name.size() + 1, url.find('&', at) - at - name.size() - 1);
}

os::HttpRequest request_of(const Json& json) {
  os::HttpRequest request{.method = json["method"], .url = json["url"], .headers = {}, .body = json["body"]};
  for (const auto& [name, value] : json["headers"].items()) request.headers.emplace_back(name, value);
  return request;
}

TEST(SigV4, AgreesWithBotocoreOnAThousandAwkwardRequests) {
  const os::SpawnOptions probe{.argv = {"python3", "-c", "import botocore"}, .err = os::Stream::null};
  const auto importable = os::run_command(probe);
  if (!importable || importable->exit.code != 0) GTEST_SKIP() << "python3 has no botocore";
  RandomRequests random;
  Json requests = Json::array();
  for (int i = 0; i < 1200; ++i) requests.push_back(random.next());
  const auto ran = os::run_command({.argv = {"python3", "-c", botocore_signer}}, dump_json(requests));
  ASSERT_TRUE(ran) << describe(ran.error());
  ASSERT_EQ(ran->exit.code, 0) << ran->err;
  const Json answers = Json::parse(ran->out);
  ASSERT_EQ(answers.size(), requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    os::HttpRequest request = request_of(requests[i]);
    const Credentials keys{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", requests[i]["token"], ""};
    const SigningScope scope{"eu-west-1", requests[i]["service"]};
    const auto options = signing_options(scope.service);
    if (requests[i]["presign"]) {
      const std::string theirs = answers[i]["url"];
      const std::string ours =
          presign(request, keys, scope, ms_of(parameter(theirs, "X-Amz-Date")), Seconds(900), options);
      EXPECT_EQ(parameter(ours, "X-Amz-Signature"), parameter(theirs, "X-Amz-Signature")) << requests[i];
    } else {
      sign(request, keys, scope, ms_of(answers[i]["date"]), options);
      EXPECT_EQ(header_of(request, "authorization"), answers[i]["authorization"].get<std::string>()) << requests[i];
    }
  }
}

}  // namespace
}  // namespace ferry::aws
