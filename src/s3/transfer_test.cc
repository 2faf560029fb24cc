#include <gtest/gtest.h>

#include <random>

#include "s3/fake_s3.h"
#include "s3/objects.h"
#include "s3/s3_store.h"
#include "store/content.h"
#include "store/contract.h"

namespace ferry::s3 {
namespace {

using store::kind_of_failure;
constexpr std::uint64_t part = std::uint64_t{5} << 20;

/// A file of two parts and a bit, and a bucket.
struct Transfer {
  FakeS3 s3;
  os::FakeClock clock;
  os::TempDir temp;
  std::string bytes;
  store::Content content;
  Limits limits{.attempts = 3, .part = part, .connections = 1};

  explicit Transfer(std::size_t size = 2 * part + 1000) : bytes(size, '\0') {
    std::mt19937_64 random(size);
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
      const std::uint64_t word = random();
      std::memcpy(&bytes[i], &word, 8);
    }
    EXPECT_TRUE(os::write_file(file(), bytes));
    content = *store::content_of(file());
    EXPECT_TRUE(os::make_dirs(temp.path() / "state"));
    limits.state_folder = temp.path() / "state";
  }
  os::Path file() const { return temp.path() / "file"; }
  os::Path target() const { return temp.path() / "target"; }

  std::shared_ptr<Session> session() {
    return std::make_shared<Session>(Place{.bucket = "bucket",
                                           .prefix = {},
                                           .region = "us-east-1",
                                           .endpoint = "http://127.0.0.1:9",
                                           .account = {},
                                           .ca_bundle = {}},
                                     aws::fixed_provider({.access_key_id = "A", .secret_access_key = "s"}), clock,
                                     limits, s3.door());
  }
  Result<std::string> put(const store::Condition& condition = {}, const store::Moved& moved = {}) {
    Line line(session());
    return upload(line, {"k", file(), content, condition, moved});
  }
  Result<Head> get(const store::Moved& moved = {}) {
    Line line(session());
    return download(line, {"k", target(), content, moved});
  }
  void expect_stored() {
    ASSERT_TRUE(s3.objects.contains("k"));
    EXPECT_TRUE(s3.objects["k"].bytes == bytes);
    EXPECT_TRUE(s3.uploads.empty());
    EXPECT_EQ(os::list_dir(limits.state_folder)->size(), 0u);
  }
};

TEST(Upload, OfManyPartsBySeveralConnectionsIsOneObject) {
  Transfer transfer;
  transfer.limits.connections = 4;
  std::uint64_t moved = 0;
  const auto etag = transfer.put({}, [&](std::uint64_t more) {
    moved += more;
    return true;
  });
  ASSERT_TRUE(etag) << describe(etag.error());
  EXPECT_TRUE(etag->ends_with("-3"));
  EXPECT_GE(moved, transfer.bytes.size());
  transfer.expect_stored();
  ASSERT_TRUE(transfer.get());
  EXPECT_EQ(*store::content_of(transfer.target()), transfer.content);
}

TEST(Upload, ThatBrokeIsGoneOnWithByTheNextProcessWithWhatS3Lacks) {
  Transfer transfer;
  transfer.s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (request.url.find("partNumber=3") == std::string::npos) return std::nullopt;
    return fail(Kind::lost, "the connection broke");
  };
  const auto failed = transfer.put();
  EXPECT_EQ(kind_of_failure(failed), Kind::lost);
  EXPECT_EQ(transfer.s3.uploads.size(), 1u);
  EXPECT_FALSE(transfer.s3.objects.contains("k"));
  transfer.s3.before = nullptr;
  transfer.s3.asked.clear();
  ASSERT_TRUE(transfer.put());
  transfer.expect_stored();
  EXPECT_EQ(transfer.s3.count("PUT", "partNumber="), 1);
  EXPECT_EQ(transfer.s3.count("POST", "?uploads="), 0);
}

TEST(Upload, ThatBrokeIsBegunAnewWhereTheFileIsAnotherOrS3HasForgotten) {
  for (const bool forgotten : {false, true}) {
    Transfer transfer;
    transfer.s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
      if (request.url.find("partNumber=3") == std::string::npos) return std::nullopt;
      return fail(Kind::lost, "the connection broke");
    };
    EXPECT_FALSE(transfer.put());
    transfer.s3.before = nullptr;
    transfer.s3.asked.clear();
    if (forgotten) {
      transfer.s3.uploads.clear();
    } else {
      transfer.bytes[7] = static_cast<char>(transfer.bytes[7] + 1);
      ASSERT_TRUE(os::write_file(transfer.file(), transfer.bytes));
      transfer.content = store::content_of_bytes(transfer.bytes);
    }
    ASSERT_TRUE(transfer.put());
    transfer.expect_stored();
    EXPECT_EQ(transfer.s3.count("PUT", "partNumber="), 3);
  }
}

TEST(Upload, OfAFileThatChangesMeanwhileIsNotPutAndLeavesNoParts) {
  for (const std::size_t size : {std::size_t{1000}, std::size_t{2 * part + 1000}}) {
    for (const bool knows_sum : {true, false}) {
      Transfer transfer(size);
      EXPECT_TRUE(transfer.content.crc64nvme);
      if (!knows_sum) transfer.content.crc64nvme.reset();
      transfer.bytes[size / 2] = static_cast<char>(transfer.bytes[size / 2] + 1);
      ASSERT_TRUE(os::write_file(transfer.file(), transfer.bytes));
      EXPECT_EQ(kind_of_failure(transfer.put()), Kind::corrupt);
      EXPECT_TRUE(transfer.s3.objects.empty() && transfer.s3.uploads.empty());
    }
    Transfer shorter(size);
    --shorter.content.bytes;
    EXPECT_EQ(kind_of_failure(shorter.put()), Kind::corrupt);
    EXPECT_TRUE(shorter.s3.asked.empty());
  }
}

TEST(Upload, WithoutAPlaceToNoteItRemovesItsPartsWhenItFails) {
  Transfer transfer;
  transfer.limits.state_folder.clear();
  transfer.s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (request.url.find("partNumber=2") == std::string::npos) return std::nullopt;
    return fault(503, "SlowDown");
  };
  EXPECT_EQ(kind_of_failure(transfer.put()), Kind::throttled);
  EXPECT_TRUE(transfer.s3.uploads.empty());
}

TEST(Upload, IsCompleteWhateverS3SaysOfItsCompletion) {
  struct Row {
    const char* name;
    bool is_done;  ///< S3 had completed it when it said so
    Result<os::HttpResponse> said;
    Kind kind;
  };
  const std::vector<Row> rows = {
      {"200 with an error", false,
       os::HttpResponse{.status = 200, .headers = {}, .body = "  <Error><Code>InternalError</Code></Error>"},
       Kind::bug},
      {"200 with an error, and yet", true,
       os::HttpResponse{.status = 200, .headers = {}, .body = "  <Error><Code>InternalError</Code></Error>"},
       Kind::bug},
      {"200 that breaks off", true, os::HttpResponse{.status = 200, .headers = {}, .body = "  "}, Kind::bug},
      {"a lost answer", true, fail(Kind::lost, "the connection broke"), Kind::bug},
      {"a lost request", false, fail(Kind::lost, "the connection broke"), Kind::bug},
      {"500, and yet", true, fault(500, "InternalError"), Kind::bug},
      {"SlowDown", false,
       os::HttpResponse{.status = 200, .headers = {}, .body = "<Error><Code>SlowDown</Code></Error>"}, Kind::bug},
      {"a refusal", false, fault(403, "AccessDenied"), Kind::denied},
      {"somebody removed it", false, fault(404, "NoSuchUpload"), Kind::bug},
  };
  for (const Row& row : rows) {
    for (const bool conditional : {false, true}) {
      Transfer transfer(part + 1000);
      const auto once =
          [&, said = false](const os::HttpRequest& request) mutable -> std::optional<Result<os::HttpResponse>> {
        const bool completion = request.method == "POST" && request.url.find("uploadId=") != std::string::npos;
        if (!completion || std::exchange(said, true)) return std::nullopt;
        return row.said;
      };
      (row.is_done ? transfer.s3.after : transfer.s3.before) = once;
      const auto put = transfer.put(conditional ? store::if_absent() : store::Condition());
      EXPECT_EQ(kind_of_failure(put), row.kind) << row.name << (put ? "" : describe(put.error()));
      if (put && std::string(row.name) != "somebody removed it") transfer.expect_stored();
    }
  }
}

TEST(Upload, ThatFindsSomebodyElsesObjectIsAConflictAndLeavesNoParts) {
  Transfer transfer;
  transfer.s3.objects["k"] = {"theirs", "e", {}};
  EXPECT_EQ(kind_of_failure(transfer.put(store::if_absent())), Kind::conflict);
  EXPECT_EQ(transfer.s3.objects["k"].bytes, "theirs");
  EXPECT_TRUE(transfer.s3.uploads.empty());
  ASSERT_TRUE(transfer.put(store::if_still("e")));
  transfer.expect_stored();
}

TEST(Upload, StopsWhenToldToAndGoesOnTheNextTime) {
  Transfer transfer;
  int told = 0;
  const auto stopped = transfer.put({}, [&](std::uint64_t) { return ++told < 2; });
  EXPECT_EQ(kind_of_failure(stopped), Kind::cancelled);
  EXPECT_EQ(transfer.s3.uploads.size(), 1u);
  transfer.s3.asked.clear();
  ASSERT_TRUE(transfer.put());
  EXPECT_LT(transfer.s3.count("PUT", "partNumber="), 3);
  transfer.expect_stored();
}

TEST(Store, SendsAndFetchesManySmallFilesOverOneConnection) {
  Transfer transfer(1000);
  int connections = 0;
  const auto session = transfer.session();
  auto counted =
      std::make_shared<Session>(session->place(), aws::fixed_provider({.access_key_id = "A", .secret_access_key = "s"}),
                                transfer.clock, transfer.limits, [&] {
                                  ++connections;
                                  return session->make_transport();
                                });
  const auto store = make_store(counted);
  for (const char* key : {"runs/a", "runs/b", "runs/c"}) {
    ASSERT_TRUE(store->put_file(key, transfer.file(), transfer.content));
    ASSERT_TRUE(store->get_file(key, transfer.target(), transfer.content));
    EXPECT_TRUE(os::read_file(transfer.target()).value_or("") == transfer.bytes);
  }
  EXPECT_EQ(connections, 1);
}

TEST(Download, ThatBrokeGoesOnWithThePiecesItLacks) {
  Transfer transfer;
  ASSERT_TRUE(transfer.put());
  transfer.s3.cut_downloads = 1;  // one is repeated as it is
  ASSERT_TRUE(transfer.get());
  ASSERT_TRUE(os::remove_all(transfer.target()));
  transfer.s3.before = [](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (sent_header(request, "range").find(std::to_string(2 * part)) == std::string::npos) return std::nullopt;
    return fail(Kind::lost, "the connection broke");
  };
  EXPECT_EQ(kind_of_failure(transfer.get()), Kind::lost);
  EXPECT_FALSE(os::exists(transfer.target()));
  transfer.s3.before = nullptr;
  transfer.s3.asked.clear();
  ASSERT_TRUE(transfer.get());
  EXPECT_EQ(*store::content_of(transfer.target()), transfer.content);
  EXPECT_EQ(transfer.s3.count("GET", "/k"), 1);
  EXPECT_EQ(os::list_dir(transfer.temp.path())->size(), 3u);  // file, state, target
}

TEST(Download, BeginsAnewWhereTheObjectOrWhatWasLeftIsAnother) {
  for (const bool damaged : {false, true}) {
    Transfer transfer;
    ASSERT_TRUE(transfer.put());
    transfer.s3.before = [](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
      if (sent_header(request, "range").find(std::to_string(2 * part)) == std::string::npos) return std::nullopt;
      return fail(Kind::lost, "the connection broke");
    };
    EXPECT_FALSE(transfer.get());
    transfer.s3.before = nullptr;
    if (damaged) {
      ASSERT_TRUE(os::write_file(store::part_of(transfer.target()), "something else"));
    } else {
      transfer.bytes[7] = static_cast<char>(transfer.bytes[7] + 1);
      ASSERT_TRUE(os::write_file(transfer.file(), transfer.bytes));
      transfer.content = store::content_of_bytes(transfer.bytes);
      ASSERT_TRUE(transfer.put());
    }
    const auto got = transfer.get();
    ASSERT_TRUE(got) << describe(got.error());
    EXPECT_EQ(*store::content_of(transfer.target()), transfer.content);
  }
}

TEST(Download, OfAnObjectThatIsReplacedMeanwhileIsAllOfOneVersion) {
  Transfer transfer;
  ASSERT_TRUE(transfer.put());
  int asked = 0;
  transfer.s3.before = [&](const os::HttpRequest& request) -> std::optional<Result<os::HttpResponse>> {
    if (request.method == "GET" && ++asked == 3) {
      transfer.s3.objects["k"].bytes[0] = static_cast<char>(transfer.s3.objects["k"].bytes[0] + 1);
      transfer.s3.objects["k"].etag = "other";
      transfer.s3.objects["k"].metadata.clear();
    }
    return std::nullopt;
  };
  Line line(transfer.session());
  const auto got = download(line, {"k", transfer.target(), {}, {}});
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_EQ(got->etag, "other");
  EXPECT_EQ(*store::content_of(transfer.target()), store::content_of_bytes(transfer.s3.objects["k"].bytes));
}

TEST(Download, ThatIsNotWhatWasStoredIsNotWritten) {
  Transfer transfer;
  ASSERT_TRUE(transfer.put());
  transfer.s3.objects["k"].bytes[part] = static_cast<char>(transfer.s3.objects["k"].bytes[part] + 1);
  EXPECT_EQ(kind_of_failure(transfer.get()), Kind::corrupt);
  EXPECT_EQ(os::list_dir(transfer.temp.path())->size(), 2u);
}

}  // namespace
}  // namespace ferry::s3
