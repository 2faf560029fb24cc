// What S3 clients send: the target with its query, the body's framing in each form, and the XML and JSON
// documents; and the documents that IAM is given.
#include <cstddef>

#include "rehearsal/iam_checks.h"
#include "rehearsal/s3_lifecycle.h"
#include "rehearsal/s3_object.h"
#include "rehearsal/s3_payload.h"
#include "rehearsal/s3_policy.h"

namespace {

class Pieces final : public ferry::os::BodyReader {
 public:
  explicit Pieces(std::string_view bytes) : left_(bytes) {}
  std::optional<std::uint64_t> length() const override { return std::nullopt; }
  ferry::Result<std::size_t> read(std::span<char> into) override {
    const auto count = std::min({into.size(), left_.size(), next_++ % 11 + 1});
    std::copy_n(left_.data(), count, into.data());
    left_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view left_;
  std::size_t next_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry::rehearsal;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto form :
       {PayloadForm::hashed, PayloadForm::unsigned_trailer, PayloadForm::signed_chunks, PayloadForm::signed_trailer}) {
    S3Request request;
    request.headers = {{"x-amz-decoded-content-length", std::to_string(size / 2)}};
    if (form == PayloadForm::unsigned_trailer) request.headers.emplace_back("x-amz-trailer", "x-amz-checksum-crc32");
    S3Signature seed;
    seed.form = form;
    Pieces body(text);
    if (auto payload = open_payload(request, seed, body)) (void)(*payload)->read_all(1 << 16, {});
  }
  ferry::os::ServedRequest served;
  served.method = "GET";
  served.target = "/" + std::string(text);
  served.headers = {{"host", std::string(text.substr(0, 64))},
                    {"authorization", std::string(text)},
                    {"x-amz-tagging", std::string(text)},
                    {"x-amz-copy-source", std::string(text)},
                    {"x-amz-meta-x", std::string(text)}};
  if (const auto request = read_s3_request(served)) {
    (void)check_s3_signature(
        *request, [](const std::string&) { return std::optional<S3Key>(); }, 0);
    (void)head_of_request(*request);
    (void)copy_source(*request);
    (void)parse_byte_range(text, size);
  }
  (void)parse_lifecycle(text);
  const PolicyQuestion question{"s3:GetObject", "arn:aws:s3:::b/k", "u", {{"s3:prefix", "x"}, {"aws:userid", "a*?"}}};
  if (const auto policy = parse_policy(text, "")) {
    (void)judge(*policy, question, false);
    S3Rights rights;
    rights.policies = {*policy};
    rights.boundary = *policy;
    (void)why_not_allowed(rights, question);
  }
  const std::string document(text);
  (void)check_identity_document(document);
  if (check_trust_document(document)) (void)trusts_service(document, "ec2.amazonaws.com");
  return 0;
}
