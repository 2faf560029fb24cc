#include "s3/bucket.h"

#include "aws/services.h"
#include "base/json.h"
#include "base/text.h"
#include "s3/objects.h"
#include "s3/xml.h"

namespace ferry::s3 {
namespace {

constexpr const char* bucket_namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
constexpr const char* sweeping_rule =
    "<Rule><ID>ferry-unfinished-uploads</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></"
    "AbortIncompleteMultipartUpload></Rule>";

class Bucket {
 public:
  explicit Bucket(std::shared_ptr<Session> session) : session_(std::move(session)), line_(session_) {}

  Result<Made> ensure() {
    TRY_SET(made, "", make());
    TRY_SET(blocked, "", has("GetBucketPublicAccessBlock", "publicAccessBlock"));
    TRY_SET(encrypted, "", has("GetEncryptionConfiguration", "encryption"));
    TRY_SET(ruled, "", has("GetBucketPolicy", "policy"));
    if (!blocked) {
      TRY("", configure("PutBucketPublicAccessBlock", "publicAccessBlock",
                        "<PublicAccessBlockConfiguration" + xmlns() +
                            "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>"
                            "<BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</"
                            "RestrictPublicBuckets>"
                            "</PublicAccessBlockConfiguration>"));
    }
    TRY("", add_lifecycle_rule());
    if (!encrypted) {
      TRY("", configure("PutEncryptionConfiguration", "encryption",
                        "<ServerSideEncryptionConfiguration" + xmlns() +
                            "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
                            "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"));
    }
    if (!ruled) TRY("", configure("PutBucketPolicy", "policy", tls_only_policy(session_->place())));
    return made;
  }

 private:
  static std::string xmlns() { return std::string(" xmlns=\"") + bucket_namespace + "\">"; }
  std::string doing() const { return "make the bucket " + session_->place().bucket; }

  Call call_for(const char* action, const char* method, const std::string& query = {}) const {
    return {.action = action, .doing = doing(), .method = method, .key = "", .query = query};
  }

  Result<Made> make() {
    auto there = line_.call(call_for("ListBucket", "HEAD"));
    if (there) return Made::before;
    if (there.error().kind != Kind::not_found) return tl::unexpected(std::move(there).error());
    const std::string region = session_->place().region;
    Call call = call_for("CreateBucket", "PUT");
    if (region != "us-east-1") {  // which is refused where it is named
      call.body = "<CreateBucketConfiguration" + xmlns() + "<LocationConstraint>" + escaped(region) +
                  "</LocationConstraint></CreateBucketConfiguration>";
    }
    auto made = line_.call(call);
    if (made) return Made::here;
    // An answer that was lost, or two laptops at once.
    if (made.error().code == "BucketAlreadyOwnedByYou") return Made::before;
    return tl::unexpected(std::move(made).error());
  }

  Status configure(const char* action, const std::string& what, const std::string& body) {
    Call call = call_for(action, "PUT", what + "=");
    call.body = body;
    TRY("", line_.call(call));
    return {};
  }

  /// True also where this identity may not look: what somebody may have chosen is left alone.
  Result<bool> has(const char* action, const std::string& what) {
    const auto answer = line_.call(call_for(action, "GET", what + "="));
    if (answer || answer.error().kind == Kind::denied) return true;
    if (answer.error().kind == Kind::not_found) return false;
    return tl::unexpected(answer.error());
  }

  Status add_lifecycle_rule() {
    auto now = line_.call(call_for("GetLifecycleConfiguration", "GET", "lifecycle="));
    if (!now && now.error().code != "NoSuchLifecycleConfiguration") return tl::unexpected(std::move(now).error());
    TRY_SET(merged, doing(), merged_lifecycle(now ? now->body : "", sweeping_rule));
    return merged.empty() ? Status() : configure("PutLifecycleConfiguration", "lifecycle", merged);
  }

  std::shared_ptr<Session> session_;
  Line line_;
};

}  // namespace

std::string tls_only_policy(const Place& place) {
  const std::string arn = "arn:" + aws::partition_of(place.region) + ":s3:::" + place.bucket;
  const Json policy = {{"Version", "2012-10-17"},
                       {"Statement", Json::array({{{"Sid", "FerryTlsOnly"},
                                                   {"Effect", "Deny"},
                                                   {"Principal", "*"},
                                                   {"Action", "s3:*"},
                                                   {"Resource", Json::array({arn, arn + "/*"})},
                                                   {"Condition", {{"Bool", {{"aws:SecureTransport", "false"}}}}}}})}};
  return dump_json(policy);
}

Result<Made> ensure_bucket(const std::shared_ptr<Session>& session) { return Bucket(session).ensure(); }

}  // namespace ferry::s3
