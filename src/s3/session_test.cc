#include "s3/session.h"

#include <gtest/gtest.h>

#include "s3/fake_s3.h"
#include "s3/objects.h"
#include "s3/role.h"
#include "s3/xml.h"
#include "store/contract.h"

namespace ferry::s3 {
namespace {

using store::kind_of_failure;

struct Scene {
  FakeS3 s3;
  os::FakeClock clock;
  int looked = 0;
  Place place{.bucket = "bucket",
              .prefix = "",
              .region = "us-east-1",
              .endpoint = "http://127.0.0.1:9",
              .account = "123456789012",
              .ca_bundle = {}};
  Limits limits{};

  std::shared_ptr<Session> session() {
    auto provider = std::make_shared<aws::Provider>(
        [this]() -> Result<aws::Credentials> {
          return aws::Credentials{.access_key_id = "A" + std::to_string(++looked), .secret_access_key = "s"};
        },
        clock);
    return std::make_shared<Session>(place, provider, clock, limits, s3.door(), [] { return 1.0; });
  }
};

/// The first requests are answered by these, in their order; what follows, truly.
FakeS3::Fault answers(std::vector<Result<os::HttpResponse>> script) {
  return [script = std::move(script),
          at = std::size_t{0}](const os::HttpRequest&) mutable -> std::optional<Result<os::HttpResponse>> {
    if (at >= script.size()) return std::nullopt;
    return script[at++];
  };
}

Result<os::HttpResponse> broken() { return fail(Kind::lost, "the connection broke"); }

os::HttpResponse with(os::HttpResponse answer, const std::string& name, const std::string& value) {
  answer.headers.emplace_back(name, value);
  return answer;
}

TEST(Session, AsksAgainWhereThatHelpsAndOnlyThere) {
  struct Row {
    const char* name;
    Result<os::HttpResponse> first;
    int requests;
    Kind kind;  ///< bug: it works in the end
  };
  const std::vector<Row> rows = {
      {"a broken connection", broken(), 2, Kind::bug},
      {"silence", fail(Kind::timeout, "no answer"), 2, Kind::bug},
      {"500", fault(500, "InternalError"), 2, Kind::bug},
      {"502 without words", os::HttpResponse{.status = 502, .headers = {}, .body = {}}, 2, Kind::bug},
      {"503", fault(503, "SlowDown"), 2, Kind::bug},
      {"503 unavailable", fault(503, "ServiceUnavailable"), 2, Kind::bug},
      {"504", os::HttpResponse{.status = 504, .headers = {}, .body = {}}, 2, Kind::bug},
      {"429", os::HttpResponse{.status = 429, .headers = {}, .body = {}}, 2, Kind::bug},
      {"400 RequestTimeout", fault(400, "RequestTimeout"), 2, Kind::bug},
      {"409 of writes", fault(409, "ConditionalRequestConflict"), 2, Kind::bug},
      {"409 of an operation", fault(409, "OperationAborted"), 2, Kind::bug},
      {"a digest that is wrong", fault(400, "BadDigest"), 2, Kind::bug},
      {"expired credentials", fault(400, "ExpiredToken"), 2, Kind::bug},
      {"another region, said in XML", fault(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), 2,
       Kind::bug},
      {"another region, said in a header", with(fault(301, "PermanentRedirect"), "x-amz-bucket-region", "eu-west-1"), 2,
       Kind::bug},
      {"another region, not said which", fault(301, "PermanentRedirect"), 1, Kind::bad_input},
      {"the same region again", with(fault(301, "PermanentRedirect"), "x-amz-bucket-region", "us-east-1"), 1,
       Kind::bad_input},
      {"403", fault(403, "AccessDenied"), 1, Kind::denied},
      {"403 key", fault(403, "InvalidAccessKeyId"), 1, Kind::denied},
      {"403 signature", fault(403, "SignatureDoesNotMatch"), 1, Kind::denied},
      {"a clock that is right", with(fault(403, "RequestTimeTooSkewed"), "date", "Tue, 14 Nov 2023 22:13:20 GMT"), 1,
       Kind::denied},
      {"a clock that is wrong", with(fault(403, "RequestTimeTooSkewed"), "date", "Tue, 14 Nov 2023 23:13:20 GMT"), 2,
       Kind::bug},
      {"404", fault(404, "NoSuchBucket"), 1, Kind::not_found},
      {"412", fault(412, "PreconditionFailed"), 1, Kind::conflict},
      {"400", fault(400, "InvalidRequest"), 1, Kind::bad_input},
      {"501", fault(501, "NotImplemented"), 1, Kind::unsupported},
      {"a certificate", fail(Kind::denied, "the certificate is not trusted"), 1, Kind::denied},
      {"a stop", fail(Kind::cancelled, "stopped"), 1, Kind::cancelled},
  };
  for (const Row& row : rows) {
    Scene scene;
    scene.s3.before = answers({row.first});
    Line line(scene.session());
    const auto put = put_bytes(line, "k", "hello", {});
    EXPECT_EQ(kind_of_failure(put), row.kind) << row.name;
    EXPECT_EQ(static_cast<int>(scene.s3.asked.size()), row.requests) << row.name;
    EXPECT_TRUE(!put || scene.s3.objects["k"].bytes == "hello") << row.name;
  }
}

TEST(Session, GivesUpAfterItsAttemptsOrItsPatienceWithAKindThatSaysWhetherToComeBack) {
  struct Row {
    Result<os::HttpResponse> always;
    Kind kind;
  };
  const std::vector<Row> rows = {{broken(), Kind::lost},
                                 {fail(Kind::timeout, "no answer"), Kind::timeout},
                                 {fault(500, "InternalError"), Kind::lost},
                                 {fault(503, "SlowDown"), Kind::throttled},
                                 {fault(400, "RequestTimeout"), Kind::timeout}};
  for (const Row& row : rows) {
    Scene scene;
    scene.s3.before = [&](const os::HttpRequest&) { return row.always; };
    Line line(scene.session());
    const auto put = put_bytes(line, "k", "hello", {});
    EXPECT_EQ(kind_of_failure(put), row.kind);
    EXPECT_TRUE(may_work_later(put.error().kind));
    EXPECT_EQ(scene.s3.asked.size(), 8u);
  }
  Scene scene;
  scene.limits.patience = Millis(1'000);
  scene.s3.before = [&](const os::HttpRequest&) { return broken(); };
  Line line(scene.session());
  EXPECT_EQ(kind_of_failure(put_bytes(line, "k", "hello", {})), Kind::lost);
  EXPECT_EQ(scene.s3.asked.size(), 2u);
}

TEST(Session, WaitsLongerFromTryToTryAndNeverForEver) {
  Scene scene;
  std::vector<std::int64_t> times;
  scene.limits.attempts = 12;
  scene.limits.patience = Millis(3'600'000);
  scene.s3.before = [&](const os::HttpRequest&) {
    times.push_back(scene.clock.now);
    return broken();
  };
  Line line(scene.session());
  EXPECT_FALSE(put_bytes(line, "k", "hello", {}));
  ASSERT_EQ(times.size(), 12u);
  for (std::size_t i = 1; i < times.size(); ++i) {
    EXPECT_GE(times[i] - times[i - 1], 250);
    EXPECT_LE(times[i] - times[i - 1], 20'000);
  }
  EXPECT_EQ(times.back() - times[times.size() - 2], 20'000);
}

TEST(Session, OnceWrongAboutARegionIsRightForAllThatFollows) {
  Scene scene;
  scene.place.endpoint.clear();
  scene.s3.before =
      answers({with(os::HttpResponse{.status = 400, .headers = {}, .body = {}}, "x-amz-bucket-region", "eu-west-1")});
  const auto session = scene.session();
  Line line(session), other(session);
  EXPECT_EQ(kind_of_failure(head_object(line, "k")), Kind::not_found);
  EXPECT_EQ(kind_of_failure(head_object(other, "k")), Kind::not_found);
  ASSERT_EQ(scene.s3.asked.size(), 3u);
  EXPECT_TRUE(scene.s3.asked[0].url.starts_with("https://bucket.s3.us-east-1.amazonaws.com/"));
  EXPECT_TRUE(scene.s3.asked[1].url.starts_with("https://bucket.s3.eu-west-1.amazonaws.com/"));
  EXPECT_NE(sent_header(scene.s3.asked[2], "authorization").find("/eu-west-1/s3/"), std::string::npos);
}

TEST(Session, TakesARefusalAsNewsOfAnUnknownRoleOnlyWhileThatMayBe) {
  Scene scene;
  scene.limits.newcomer = Millis(60'000);
  scene.s3.before = answers({fault(403, "InvalidAccessKeyId"), fault(403, "AccessDenied"), fault(403, "AccessDenied")});
  const auto session = scene.session();
  Line line(session);
  EXPECT_TRUE(put_bytes(line, "k", "hello", {}));
  EXPECT_EQ(scene.s3.asked.size(), 4u);
  EXPECT_EQ(scene.looked, 4);  // each time the role is asked anew
  scene.clock.advance(Millis(120'000));
  scene.s3.before = answers({fault(403, "AccessDenied")});
  EXPECT_EQ(kind_of_failure(put_bytes(line, "k", "hello", {})), Kind::denied);
}

TEST(Session, signs_bodies_over_http_and_leaves_them_to_tls_elsewhere_and_always_sends_their_checksum_and_the_owner) {
  for (const bool tls : {false, true}) {
    Scene scene;
    if (tls) scene.place.endpoint.clear();
    Line line(scene.session());
    ASSERT_TRUE(put_bytes(line, "a b+\xc3\xbc", "hello", {}));
    const auto& request = scene.s3.asked.front();
    EXPECT_EQ(sent_header(request, "x-amz-content-sha256"), tls ? "UNSIGNED-PAYLOAD" : hex(sha256("hello")));
    EXPECT_EQ(sent_header(request, "x-amz-checksum-sha256"), base64(sha256("hello")));
    EXPECT_EQ(sent_header(request, "x-amz-expected-bucket-owner"), "123456789012");
    EXPECT_TRUE(request.url.ends_with("/a%20b%2B%C3%BC")) << request.url;
  }
}

TEST(Conditions, ThatFailedBecauseOfOnesOwnLostAnswerHold) {
  // The first request is done, its answer is lost; the second one finds what the first one put.
  Scene scene;
  scene.s3.after = answers({broken()});
  Line line(scene.session());
  EXPECT_TRUE(put_bytes(line, "k", "hello", store::if_absent()));
  EXPECT_EQ(scene.s3.count("PUT", "/k"), 2);
  // Where that cannot be seen, it is not called a conflict.
  scene.s3.objects.clear();
  scene.s3.after = [first = true](const os::HttpRequest& request) mutable -> std::optional<Result<os::HttpResponse>> {
    if (request.method != "HEAD" && !std::exchange(first, false)) return std::nullopt;
    return broken();
  };
  EXPECT_EQ(kind_of_failure(put_bytes(line, "k", "hello", store::if_absent())), Kind::lost);
  scene.s3.after = nullptr;
  // Somebody else's is a conflict, though an answer was lost as well.
  scene.s3.before = answers({broken()});
  EXPECT_EQ(kind_of_failure(put_bytes(line, "k", "mine", store::if_absent())), Kind::conflict);
  const auto etag = head_object(line, "k")->etag;
  scene.s3.before = nullptr;
  scene.s3.after = answers({fault(500, "InternalError")});
  EXPECT_TRUE(put_bytes(line, "k", "next", store::if_still(etag)));
  EXPECT_EQ(scene.s3.objects["k"].bytes, "next");
  const auto last = head_object(line, "k")->etag;
  scene.s3.after = [lost = false](const os::HttpRequest& request) mutable -> std::optional<Result<os::HttpResponse>> {
    if (request.method != "DELETE" || std::exchange(lost, true)) return std::nullopt;
    return broken();
  };
  EXPECT_TRUE(remove_object(line, "k", store::if_still(last)));
}

TEST(Presigned, UrlsEndWithTheCredentialsThatSignedThem) {
  Scene scene;
  auto provider = aws::fixed_provider({.access_key_id = "A",
                                       .secret_access_key = "s",
                                       .session_token = "t",
                                       .source = {},
                                       .expires_ms = scene.clock.now + 600'000});
  Session session(scene.place, provider, scene.clock, {}, scene.s3.door());
  const auto url = presigned(session, "GET", "runs/x/a b", Seconds(86'400));
  ASSERT_TRUE(url);
  EXPECT_NE(url->find("X-Amz-Expires=600&"), std::string::npos) << *url;
  EXPECT_NE(url->find("/runs/x/a%20b?"), std::string::npos) << *url;
  scene.clock.advance(Millis(700'000));
  EXPECT_EQ(kind_of_failure(presigned(session, "GET", "k", Seconds(60))), Kind::denied);
}

TEST(Place, IsReadAndHasTheUrlThatItsNameAndEndpointAllow) {
  EXPECT_EQ(url_of(*parse_place("s3://my-bucket"), "k"), "https://my-bucket.s3..amazonaws.com/k");
  const auto url = [](const std::string& uri, const std::string& endpoint) {
    Place place = *parse_place(uri);
    place.region = "eu-west-1";
    place.endpoint = endpoint;
    return url_of(place, place.prefix + "k \xc3\xbc", "list-type=2");
  };
  EXPECT_EQ(url("s3://my-bucket/p/q/", ""), "https://my-bucket.s3.eu-west-1.amazonaws.com/p/q/k%20%C3%BC?list-type=2");
  EXPECT_EQ(url("s3://my.bucket", ""), "https://s3.eu-west-1.amazonaws.com/my.bucket/k%20%C3%BC?list-type=2");
  EXPECT_EQ(url("s3://my-bucket", "http://127.0.0.1:5000/"), "http://127.0.0.1:5000/my-bucket/k%20%C3%BC?list-type=2");
  EXPECT_EQ(url("s3://my-bucket", "http://[::1]:5000"), "http://[::1]:5000/my-bucket/k%20%C3%BC?list-type=2");
  EXPECT_EQ(url("s3://my-bucket", "https://store.example"), "https://my-bucket.store.example/k%20%C3%BC?list-type=2");
  for (const char* bad : {"my-bucket", "s3://", "s3://ab", "s3://UPPER", "s3://1.2.3.4", "s3://a..b", "s3://-ab",
                          "s3://bucket//x", "s3://bucket/../x"}) {
    EXPECT_FALSE(parse_place(bad)) << bad;
  }
  EXPECT_EQ(uri_of(*parse_place("s3://my-bucket/p/q")), "s3://my-bucket/p/q");
  EXPECT_EQ(uri_of(*parse_place("s3://my-bucket/")), "s3://my-bucket");
}

TEST(Place, TakesWhatItDoesNotSayFromThePersonsSettings) {
  const auto with = [](std::map<std::string, std::string> env, Place place) {
    aws::Surroundings surroundings;
    surroundings.home = "/nonexistent";
    surroundings.env = [env](const char* name) {
      const auto at = env.find(name);
      return at == env.end() ? std::nullopt : std::optional(at->second);
    };
    return with_settings(std::move(place), *aws::Config::load(surroundings));
  };
  const auto place =
      with({{"AWS_REGION", "eu-west-1"},
            {"AWS_ENDPOINT_URL", "http://a"},
            {"AWS_ENDPOINT_URL_S3", "http://b"},
            {"AWS_CA_BUNDLE", "/c"}},
           {.bucket = "bucket", .prefix = {}, .region = {}, .endpoint = {}, .account = {}, .ca_bundle = {}});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->region + " " + place->endpoint + " " + place->ca_bundle, "eu-west-1 http://b /c");
  Place own = *place;
  EXPECT_EQ(with({{"AWS_REGION", "us-west-2"}, {"AWS_ENDPOINT_URL", "http://a"}}, own)->region, "eu-west-1");
  EXPECT_EQ(with({}, {.bucket = "bucket", .prefix = {}, .region = {}, .endpoint = {}, .account = {}, .ca_bundle = {}})
                ->region,
            "");
  EXPECT_FALSE(with({{"AWS_REGION", "us-east-1a"}},
                    {.bucket = "bucket", .prefix = {}, .region = {}, .endpoint = {}, .account = {}, .ca_bundle = {}}));
}

TEST(Xml, OfListsAndPartsIsReadStrictly) {
  const auto page = parse_list(
      "<ListBucketResult "
      "xmlns=\"x\"><IsTruncated>true</IsTruncated><NextContinuationToken>t=</NextContinuationToken>"
      "<Contents><Key>a+b%2B%C3%BC</Key><ETag>&quot;e-2&quot;</ETag><Size>5</Size>"
      "<LastModified>2026-01-31T12:00:00.000Z</LastModified></Contents></ListBucketResult>");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->objects.front().key, "a b+\xc3\xbc");
  EXPECT_EQ(page->objects.front().etag, "e-2");
  EXPECT_EQ(page->objects.front().modified_ms, 1'769'860'800'000);
  EXPECT_EQ(page->next, "t=");
  for (const char* bad : {"", "<html/>", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
                          "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                          "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>"}) {
    EXPECT_FALSE(parse_list(bad)) << bad;
  }
  EXPECT_FALSE(
      parse_upload_id("<InitiateMultipartUploadResult><UploadId>a b</UploadId></InitiateMultipartUploadResult>"));
  EXPECT_FALSE(parse_parts("<ListPartsResult><Part><PartNumber>10001</PartNumber></Part></ListPartsResult>"));
  EXPECT_EQ(parse_completed("  <Error><Code>SlowDown</Code></Error>").error_code, "SlowDown");
  EXPECT_EQ(parse_completed("<Compl").error_code, "InternalError");
}

TEST(Lifecycle, RulesOfOthersStayAndOursIsReplaced) {
  const std::string rule = "<Rule><ID>ours</ID><Status>Enabled</Status></Rule>";
  const auto fresh = merged_lifecycle("", rule);
  ASSERT_TRUE(fresh);
  EXPECT_NE(fresh->find(rule), std::string::npos);
  EXPECT_EQ(*merged_lifecycle(*fresh, rule), "") << "the same again is nothing to do";
  const auto both = merged_lifecycle(
      "<LifecycleConfiguration><Rule><ID>theirs</ID></Rule><Rule><ID>ours</ID><Status>Disabled</Status></"
      "Rule></LifecycleConfiguration>",
      rule);
  ASSERT_TRUE(both);
  EXPECT_NE(both->find("<ID>theirs</ID>"), std::string::npos);
  EXPECT_EQ(both->find("Disabled"), std::string::npos);
  EXPECT_FALSE(merged_lifecycle("<html/>", rule));
}

}  // namespace
}  // namespace ferry::s3
