#include "rehearsal/s3_service.h"

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/catalog.h"
#include "rehearsal/s3_lifecycle.h"
#include "rehearsal/s3_policy.h"

namespace ferry::rehearsal {
namespace {

constexpr std::int64_t lifecycle_every_ms = 60'000;

/// A body that breaks off.
class CutBody final : public os::BodyReader {
 public:
  CutBody(os::BodyReader& body, std::uint64_t most) : body_(body), left_(most) {}
  std::optional<std::uint64_t> length() const override { return body_.length(); }
  Result<std::size_t> read(std::span<char> into) override {
    if (left_ == 0) {
      broke_ = true;
      return fail(Kind::lost, "the connection is cut by a fault");
    }
    auto got = body_.read(into.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, into.size()))));
    if (got) left_ -= *got;
    return got;
  }
  bool broke() const { return broke_; }

 private:
  os::BodyReader& body_;
  std::uint64_t left_;
  bool broke_ = false;
};

S3Error s3_error_of(const ApiError& error) { return {error.status, error.code, error.message, {}, {}}; }

tl::unexpected<S3Error> other_region(const S3Bucket& bucket) {
  auto error = s3_refuse(
      "PermanentRedirect",
      "The bucket you are attempting to access must be addressed using the specified "
      "endpoint. Please send all future requests to this endpoint.",
      301, {{"Endpoint", fmt::format("{}.s3.{}.amazonaws.com", bucket.name, bucket.region)}, {"Bucket", bucket.name}});
  error.value().headers.emplace_back("x-amz-bucket-region", bucket.region);
  return error;
}

S3Status check_owner(const S3Request& request) {
  for (const char* header : {"x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"})
    if (const auto owner = request.header(header); !owner.empty() && owner != account_id) return access_denied();
  return {};
}

S3Status check_version(const S3Request& request) {
  if (const auto version = request.param("versionId", "null"); version != "null")
    return invalid_argument("Invalid version id specified", "versionId", version);
  return {};
}

bool is_conditional_write(const S3Request& request) {
  return request.method != "GET" && request.method != "HEAD" &&
         (request.has_header("if-match") || request.has_header("if-none-match"));
}

/// What conditions of policies may ask about.
std::map<std::string, std::string> condition_keys(const S3Request& request, const S3Key& key, bool plain_http) {
  std::map<std::string, std::string> keys = {
      {"aws:securetransport", plain_http ? "false" : "true"},
      {"aws:sourceip", request.peer},
      {"aws:principalarn", key.arn},
      {"aws:principalaccount", std::string(account_id)},
      {"s3:resourceaccount", std::string(account_id)},
      {"s3:signatureversion", "AWS4-HMAC-SHA256"},
      {"s3:authtype", request.header("authorization").empty() ? "REST-QUERY-STRING" : "REST-HEADER"}};
  if (key.role)
    for (const auto& [name, value] : key.role->keys) keys[name] = value;
  for (const char* param : {"prefix", "delimiter", "max-keys"})
    if (request.has(param)) keys[std::string("s3:") + param] = request.param(param);
  for (const char* header : {"x-amz-acl", "x-amz-content-sha256", "x-amz-server-side-encryption", "x-amz-storage-class",
                             "x-amz-copy-source", "if-match", "if-none-match"})
    if (request.has_header(header)) keys[std::string("s3:") + header] = request.header(header);
  return keys;
}

std::string new_request_id() {
  std::string id;
  for (const char c : hex(random_bytes(8))) id += c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  return id;
}

}  // namespace

os::ServedReply S3Service::handle(const os::ServedRequest& served, os::BodyReader& body) {
  const auto began = os::system_clock().steady_ms();
  Progress progress;
  S3Result<os::ServedReply> answered = internal_error("no answer");
  try {
    answered = answer(served, body, progress);
  } catch (const S3Database::Failed& failed) {
    answered = internal_error(failed.what());
  }
  const auto id = new_request_id(), host_id = base64(random_bytes(56));
  os::ServedReply reply;
  if (answered) {
    reply = *std::move(answered);
  } else {
    const auto& error = answered.error();
    reply.status = error.status;
    reply.headers = error.headers;
    if (error.status == 403 && !progress.region.empty())
      reply.headers.emplace_back("x-amz-bucket-region", progress.region);
    reply.headers.emplace_back("Content-Type", "application/xml");
    if (served.method != "HEAD") reply.body = s3_error_xml(error, progress.resource, id, host_id);
  }
  // Of an empty body nothing is read, and so no "100 Continue" sent. On a connection that had its final answer in place
  // of it, botocore takes the next answer for broken.
  if (body.length() == std::uint64_t{0} && lower(served.header("expect")) == "100-continue") reply.close = true;
  reply.headers.emplace_back("x-amz-request-id", id);
  reply.headers.emplace_back("x-amz-id-2", host_id);
  reply.headers.emplace_back("Date", show_http_date(world_.now_ms()));
  reply.headers.emplace_back("Server", "AmazonS3");
  if (world_.log)
    world_.log(fmt::format("s3:{} {}{}{} {} ms", progress.action, reply.status,
                           answered ? "" : " " + answered.error().code, reply.drop ? " (dropped)" : "",
                           os::system_clock().steady_ms() - began));
  return reply;
}

S3Result<os::ServedReply> S3Service::answer(const os::ServedRequest& served, os::BodyReader& body, Progress& progress) {
  carry_out_lifecycle_when_due();
  S3_SET(request, read_s3_request(served));
  progress.resource = request.resource();
  S3_SET(signature, check_s3_signature(request, world_.find_key, world_.now_ms()));
  S3_SET(action, find_s3_action(request));
  progress.action = action->name;
  Asked asked{"s3", action->name, false, {}};
  if (*action->permission != '\0') asked.needs.emplace_back(action->permission);
  const auto trouble = world_.trouble(asked, is_conditional_write(request));
  if (trouble.latency.count() > 0) world_.sleep(trouble.latency);
  if (trouble.refusal) return tl::unexpected<S3Error>(s3_error_of(*trouble.refusal));
  S3_TRY(check_owner(request));
  S3_TRY(check_version(request));
  const bool makes_bucket = std::string_view(action->name) == "CreateBucket";
  std::optional<S3Bucket> bucket;
  if (action->level != S3Level::account && !makes_bucket) {
    bucket = store_->bucket(request.bucket);
    if (!bucket) return no_such_bucket(request.bucket);
    progress.region = bucket->region;
    if (bucket->region != signature.region && std::string_view(action->name) != "GetBucketLocation")
      return other_region(*bucket);
  }
  const auto allow = [&](const char* permission, const std::string& bucket_name, const std::string& key) -> S3Status {
    const auto found = store_->bucket(bucket_name);
    if (!found) return no_such_bucket(bucket_name);
    return check_policies(request, signature.key, permission, &*found, key, trouble.plain_http);
  };
  if (*action->permission != '\0')
    S3_TRY(check_policies(request, signature.key, action->permission, bucket ? &*bucket : nullptr, request.key,
                          trouble.plain_http));
  // Who says an ACL, though it be the owner's, needs leave for that, too.
  if (std::string_view(action->permission) == "s3:PutObject" && request.has_header("x-amz-acl"))
    S3_TRY(allow("s3:PutObjectAcl", request.bucket, request.key));
  CutBody cut(body, trouble.cut_upload.value_or(0));
  os::BodyReader& shown = trouble.cut_upload ? static_cast<os::BodyReader&>(cut) : body;
  S3Call call{request, signature, shown, *store_, world_.now_ms(), bucket.value_or(S3Bucket{}), allow};
  auto done = run(*action, call, trouble);
  if (cut.broke()) {
    os::ServedReply nothing;
    nothing.drop = true;
    return nothing;
  }
  return done;
}

S3Result<os::ServedReply> S3Service::run(const S3Action& action, S3Call& call, const S3Trouble& trouble) {
  if (trouble.late) {  // as S3 does after minutes of work: the status was sent long before
    os::ServedReply reply;
    reply.headers.emplace_back("Content-Type", "application/xml");
    const auto xml =
        s3_error_xml(s3_error_of(*trouble.late), call.request.resource(), new_request_id(), base64(random_bytes(56)));
    const auto line =
        xml.find('\n') + 1;  // the declaration comes at once, white space while it works, then what came of it
    reply.body = xml.substr(0, line) + std::string(64, ' ') + xml.substr(line);
    return reply;
  }
  auto done = action.run(call);
  // Who may not list a bucket does not learn what is not there.
  const bool reads = std::string_view(action.permission) == "s3:GetObject";
  if (!done && reads && done.error().code == "NoSuchKey" && !call.allow("s3:ListBucket", call.bucket.name, ""))
    return access_denied();
  if (!done) return done;
  if (trouble.cut_answer && done->file && *trouble.cut_answer < done->file_bytes) {
    // The answer's head says how long the object is, and its file has only the beginning: the server breaks
    // off there.
    S3_SET(beginning, store_->excerpt(done->file, done->file_offset, *trouble.cut_answer));
    done->file = std::move(beginning);
    done->file_offset = 0;
  }
  done->drop = trouble.drop;
  return done;
}

S3Status S3Service::check_policies(const S3Request& request, const S3Key& key, const char* permission,
                                   const S3Bucket* bucket, const std::string& key_name, bool plain_http) {
  PolicyQuestion question;
  question.action = permission;
  question.principal = key.arn;
  if (key.role) question.role = key.role->role_arn;
  question.keys = condition_keys(request, key, plain_http);
  const auto bucket_name = bucket ? bucket->name : request.bucket;
  const bool about_account = question.action == "s3:ListAllMyBuckets";
  const bool about_bucket = question.action == "s3:ListBucket" || key_name.empty();
  question.resource = about_account ? "*"
                                    : fmt::format("arn:aws:s3:::{}{}{}", bucket_name, about_bucket ? "" : "/",
                                                  about_bucket ? "" : key_name);
  const auto denied = [&](std::string_view by) {
    return access_denied(fmt::format("User: {} is not authorized to perform: {} on resource: \"{}\" {}", key.arn,
                                     permission, question.resource, by));
  };
  const bool confined = !key.policy.is_null() || key.role;
  if (key.role) {
    if (const auto why = why_not_allowed(*key.role, question); !why.empty()) return denied(why);
  } else if (confined && judge(key.policy, question, false) != Ruling::allowed) {
    return denied("because no session policy allows the action");
  }
  const auto policy = bucket ? text_at(bucket->settings, "policy") : std::string();
  // The account can always mend its own policy.
  if (policy.empty() || (!confined && question.action.ends_with("BucketPolicy"))) return {};
  const auto parsed = parse_json(policy);
  if (parsed && judge(*parsed, question, true) == Ruling::denied)
    return denied("with an explicit deny in a resource-based policy");
  return {};
}

void S3Service::carry_out_lifecycle_when_due() {
  const auto now = world_.now_ms();
  {
    const std::lock_guard lock(mutex_);
    if (now - lifecycle_ms_ < lifecycle_every_ms) return;
    lifecycle_ms_ = now;
  }
  carry_out_lifecycle(*store_, now);
}

}  // namespace ferry::rehearsal
