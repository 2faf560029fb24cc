#pragma once
/// \file
/// For tests: one bucket in memory behind the transport's door, as strict as S3 about checksums, conditions,
/// part sizes and orders, and with faults. It knows nothing of signatures; tests/aws/s3.py has botocore judge
/// those.

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "os/transport.h"
#include "s3/session.h"
#include "s3/sum_said.h"

namespace ferry::s3 {

inline std::string sent_header(const os::HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (lower(key) == name) return value;
  }
  return {};
}

inline os::HttpResponse fault(int status, const std::string& code, const std::string& more = {}) {
  return {
      .status = status,
      .headers = {},
      .body = "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>because</Message>" + more + "</Error>"};
}

class FakeS3 {
 public:
  struct Object {
    std::string bytes, etag;
    std::vector<std::pair<std::string, std::string>> metadata;
  };
  struct Begun {
    std::string key;
    std::vector<std::pair<std::string, std::string>> metadata;
    std::map<int, std::string> parts;
  };
  using Fault = std::function<std::optional<Result<os::HttpResponse>>(const os::HttpRequest&)>;

  std::map<std::string, Object> objects;
  std::map<std::string, Begun> uploads;
  std::vector<os::HttpRequest> asked;
  Fault before;  ///< what it gives is answered, and nothing is done
  Fault after;   ///< what it gives is answered instead, and it is done all the same
  std::mutex mutex;

  Session::MakeTransport door() {
    return [this] { return std::make_unique<Door>(*this); };
  }
  int count(const std::string& method, const std::string& words) {
    const std::lock_guard lock(mutex);
    return static_cast<int>(std::count_if(asked.begin(), asked.end(), [&](const auto& one) {
      return one.method == method && one.url.find(words) != std::string::npos;
    }));
  }

 private:
  class Door final : public os::Transport {
   public:
    explicit Door(FakeS3& s3) : s3_(s3) {}
    Result<os::HttpResponse> exchange(const os::HttpRequest& request, const os::Streams& streams) override {
      os::HttpRequest whole = request;
      if (streams.file >= 0) {
        whole.body.resize(streams.size);
        const auto got =
            ::pread(streams.file, whole.body.data(), whole.body.size(), static_cast<off_t>(streams.offset));
        if (got != static_cast<ssize_t>(streams.size)) return fail(Kind::corrupt, "the file became shorter");
      }
      if (streams.moved && !streams.moved(whole.body.size())) return fail(Kind::cancelled, "stopped");
      auto answer = s3_.answer(whole);
      if (answer && streams.take && (answer->status == 200 || answer->status == 206)) {
        // Half of it, then the rest: as it comes.
        const std::string body = std::exchange(answer->body, "");
        TRY("", streams.take(std::string_view(body).substr(0, body.size() / 2)));
        if (s3_.cut_downloads > 0 && s3_.cut_downloads-- > 0) return fail(Kind::lost, "the connection broke");
        TRY("", streams.take(std::string_view(body).substr(body.size() / 2)));
      }
      return answer;
    }

   private:
    FakeS3& s3_;
  };

 public:
  int cut_downloads = 0;    ///< so many answers break in their middle
  int page = 1000;          ///< of listings
  bool tells_sums = false;  ///< of whole objects, to who asks

 private:
  Result<os::HttpResponse> answer(const os::HttpRequest& request) {
    const std::lock_guard lock(mutex);
    asked.push_back(request);
    if (before) {
      if (auto said = before(request)) return *std::move(said);
    }
    os::HttpResponse answer = done(request);
    if (after) {
      if (auto said = after(request)) return *std::move(said);
    }
    return answer;
  }

  static std::string query_of(const os::HttpRequest& request, const std::string& name) {
    const auto at = request.url.find('?');
    for (const auto& pair : split(at == std::string::npos ? "" : request.url.substr(at + 1), '&')) {
      if (pair.starts_with(name + "=")) return percent_decoded(pair.substr(name.size() + 1));
    }
    return {};
  }

  static std::vector<std::pair<std::string, std::string>> metadata_of(const os::HttpRequest& request) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& [name, value] : request.headers) {
      if (name.starts_with("x-amz-meta-")) out.emplace_back(name, value);
    }
    return out;
  }

  bool holds(const os::HttpRequest& request, const std::string& key) const {
    const auto at = objects.find(key);
    if (sent_header(request, "if-none-match") == "*" && at != objects.end()) return false;
    const std::string etag = sent_header(request, "if-match");
    return etag.empty() || (at != objects.end() && etag == "\"" + at->second.etag + "\"");
  }

  static os::HttpResponse with_etag(const std::string& etag, std::string body = {}) {
    return {.status = 200, .headers = {{"etag", "\"" + etag + "\""}}, .body = std::move(body)};
  }

  os::HttpResponse done(const os::HttpRequest& request) {
    const auto path = request.url.find('/', request.url.find("://") + 3);
    const std::string whole = request.url.substr(path + 1, request.url.find('?') - path - 1);
    const auto slash = std::min(whole.find('/'), whole.size());
    const std::string key = percent_decoded(whole.substr(std::min(slash + 1, whole.size())));
    const std::string id = query_of(request, "uploadId");
    const std::string checksum = sent_header(request, "x-amz-checksum-sha256");
    if (request.method == "PUT" && checksum != base64(sha256(request.body))) return fault(400, "BadDigest");
    if (!id.empty() && !uploads.contains(id)) return fault(404, "NoSuchUpload");
    if (request.method == "PUT" && !id.empty()) {
      const auto number = static_cast<int>(parse_int(query_of(request, "partNumber")).value_or(0));
      uploads[id].parts[number] = request.body;
      return with_etag(hex(sha256(request.body)).substr(0, 32));
    }
    if (request.method == "PUT") {
      if (!holds(request, key)) return fault(412, "PreconditionFailed");
      objects[key] = {request.body, hex(sha256(request.body)).substr(0, 32), metadata_of(request)};
      return with_etag(objects[key].etag);
    }
    if (request.method == "POST" && id.empty()) {
      const std::string fresh = "upload/" + std::to_string(asked.size()) + "+=";
      uploads[fresh] = {key, metadata_of(request), {}};
      return {
          .status = 200,
          .headers = {},
          .body = "<InitiateMultipartUploadResult><UploadId>" + fresh + "</UploadId></InitiateMultipartUploadResult>"};
    }
    if (request.method == "POST") return completed(request, id);
    if (request.method == "DELETE" && !id.empty()) {
      uploads.erase(id);
      return {.status = 204, .headers = {}, .body = {}};
    }
    if (request.method == "GET" && !id.empty()) return listed(id);
    if (request.method == "GET" && key.empty() && query_of(request, "list-type") == "2")
      return page_below(query_of(request, "prefix"), query_of(request, "continuation-token"));
    const auto at = objects.find(key);
    if (request.method == "DELETE") {
      if (!holds(request, key)) return fault(412, "PreconditionFailed");
      objects.erase(key);
      return {.status = 204, .headers = {}, .body = {}};
    }
    if (at == objects.end())
      return request.method == "HEAD" ? os::HttpResponse{.status = 404, .headers = {}, .body = {}}
                                      : fault(404, "NoSuchKey");
    return got(request, at->second);
  }

  os::HttpResponse completed(const os::HttpRequest& request, const std::string& id) {
    const Begun& begun = uploads[id];
    if (!holds(request, begun.key)) return fault(412, "PreconditionFailed");
    std::string bytes, expected;
    for (const auto& [number, part] : begun.parts) {
      bytes += part;
      expected += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>&quot;" +
                  hex(sha256(part)).substr(0, 32) + "&quot;</ETag><ChecksumSHA256>" + base64(sha256(part)) +
                  "</ChecksumSHA256></Part>";
      if (number != begun.parts.rbegin()->first && part.size() < (std::size_t{5} << 20))
        return fault(400, "EntityTooSmall");
    }
    if (request.body.find(expected) == std::string::npos) return fault(400, "InvalidPart");
    if (sent_header(request, "x-amz-mp-object-size") != std::to_string(bytes.size()))
      return fault(400, "InvalidRequest");
    objects[begun.key] = {bytes, hex(sha256(bytes)).substr(0, 32) + "-" + std::to_string(begun.parts.size()),
                          begun.metadata};
    const std::string etag = objects[begun.key].etag;
    uploads.erase(id);
    return {.status = 200,
            .headers = {},
            .body = "  \n<CompleteMultipartUploadResult><ETag>\"" + etag + "\"</ETag></CompleteMultipartUploadResult>"};
  }

  os::HttpResponse listed(const std::string& id) {
    std::string body = "<ListPartsResult><IsTruncated>false</IsTruncated>";
    for (const auto& [number, part] : uploads[id].parts) {
      body += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>\"" +
              hex(sha256(part)).substr(0, 32) + "\"</ETag></Part>";
    }
    return {.status = 200, .headers = {}, .body = body + "</ListPartsResult>"};
  }

  os::HttpResponse page_below(const std::string& prefix, const std::string& token) {
    std::string body = "<ListBucketResult>", last;
    int count = 0;
    bool is_cut = false;
    for (const auto& [key, object] : objects) {
      if (!key.starts_with(prefix) || (!token.empty() && key <= token)) continue;
      is_cut = count++ == page;
      if (is_cut) break;
      last = key;
      body += "<Contents><Key>" + percent_encoded(key, "/") + "</Key><ETag>&quot;" + object.etag +
              "&quot;</ETag><Size>" + std::to_string(object.bytes.size()) +
              "</Size><LastModified>2022-11-06T08:49:37.000Z</LastModified></Contents>";
    }
    if (is_cut) body += "<IsTruncated>true</IsTruncated><NextContinuationToken>" + last + "</NextContinuationToken>";
    return {.status = 200, .headers = {}, .body = body + "</ListBucketResult>"};
  }

  os::HttpResponse got(const os::HttpRequest& request, const Object& object) {
    if (const auto etag = sent_header(request, "if-match"); !etag.empty() && etag != "\"" + object.etag + "\"")
      return fault(412, "PreconditionFailed");
    os::HttpResponse answer = with_etag(object.etag);
    answer.headers.insert(answer.headers.end(), object.metadata.begin(), object.metadata.end());
    answer.headers.emplace_back("last-modified", "Sun, 06 Nov 2022 08:49:37 GMT");
    if (tells_sums && sent_header(request, "x-amz-checksum-mode") == "ENABLED") {
      auto sum = crc(Sum::crc64nvme, object.bytes);
      std::string raw(8, '\0');
      for (int i = 7; i >= 0; --i, sum >>= 8) raw[static_cast<std::size_t>(i)] = static_cast<char>(sum & 0xff);
      answer.headers.emplace_back("x-amz-checksum-crc64nvme", base64(raw));
    }
    const std::string range = sent_header(request, "range");
    std::size_t from = 0, size = object.bytes.size();
    if (!range.empty()) {
      const auto bounds = split(range.substr(6), '-');
      from = static_cast<std::size_t>(*parse_int(bounds[0]));
      if (from >= object.bytes.size()) return fault(416, "InvalidRange");
      size = std::min<std::size_t>(object.bytes.size(), static_cast<std::size_t>(*parse_int(bounds[1])) + 1) - from;
      answer.status = 206;
      answer.headers.emplace_back("content-range", "bytes " + std::to_string(from) + "-" +
                                                       std::to_string(from + size - 1) + "/" +
                                                       std::to_string(object.bytes.size()));
    }
    answer.headers.emplace_back("content-length", std::to_string(size));
    if (request.method == "GET") answer.body = object.bytes.substr(from, size);
    return answer;
  }
};

}  // namespace ferry::s3
