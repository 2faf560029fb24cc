// What buckets are set to: kept as it was put, and shown so.
#include <algorithm>
#include <sstream>

#include "base/text.h"
#include "rehearsal/s3_actions.h"
#include "rehearsal/s3_lifecycle.h"
#include "rehearsal/s3_policy.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view encrypted_by_s3 =
    "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></"
    "ApplyServerSideEncryptionByDefault>"
    "<BucketKeyEnabled>false</BucketKeyEnabled></Rule>";
constexpr std::string_view owner_enforced = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>";

struct Setting {
  std::string_view name, root;
  std::string_view otherwise;      // the XML while nothing was put
  std::string_view absent, words;  // or the refusal
};

constexpr Setting settings[] = {
    {"encryption", "ServerSideEncryptionConfiguration", encrypted_by_s3, "", ""},
    {"ownershipControls", "OwnershipControls", owner_enforced, "", ""},
    {"publicAccessBlock", "PublicAccessBlockConfiguration", "", "NoSuchPublicAccessBlockConfiguration",
     "The public access block configuration was not found"},
    {"lifecycle", "LifecycleConfiguration", "", "NoSuchLifecycleConfiguration",
     "The lifecycle configuration does not exist"},
    {"tagging", "Tagging", "", "NoSuchTagSet", "The TagSet does not exist"},
    {"policy", "", "", "NoSuchBucketPolicy", "The bucket policy does not exist"},
};

/// What a bucket of this cloud always is.
constexpr Setting fixed[] = {
    {"versioning", "VersioningConfiguration", "", "", ""},
    {"logging", "BucketLoggingStatus", "", "", ""},
    {"accelerate", "AccelerateConfiguration", "", "", ""},
    {"notification", "NotificationConfiguration", "", "", ""},
    {"requestPayment", "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>", "", ""},
    {"cors", "", "", "NoSuchCORSConfiguration", "The CORS configuration does not exist"},
    {"website", "", "", "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"},
    {"replication", "", "", "ReplicationConfigurationNotFoundError", "The replication configuration was not found"},
    {"object-lock", "", "", "ObjectLockConfigurationNotFoundError",
     "Object Lock configuration does not exist for this bucket"},
};

const Setting& asked_setting(const S3Call& call, std::span<const Setting> all) {
  return *std::find_if(all.begin(), all.end(),
                       [&](const Setting& one) { return call.request.has(std::string(one.name)); });
}

tl::unexpected<S3Error> not_set(const Setting& setting, const S3Call& call) {
  return s3_refuse(std::string(setting.absent), std::string(setting.words), 404, {{"BucketName", call.bucket.name}});
}

S3Status check_encryption(const pugi::xml_node& root) {
  const auto rule = root.child("Rule").child("ApplyServerSideEncryptionByDefault");
  const std::string_view algorithm = rule.child_value("SSEAlgorithm");
  if (algorithm.starts_with("aws:kms")) return not_implemented("keys of KMS (SSEAlgorithm)");
  return algorithm == "AES256" ? S3Status{} : malformed_xml();
}

S3Status check_access_block(const pugi::xml_node& root) {
  for (const auto& child : root.children()) {
    const std::string_view value = child.child_value();
    if (lower(value) != "true" && lower(value) != "false") return malformed_xml();
  }
  return {};
}

S3Status check_setting(const Setting& setting, const std::string& text, const pugi::xml_node& root) {
  if (setting.name == "encryption") return check_encryption(root);
  if (setting.name == "publicAccessBlock") return check_access_block(root);
  if (setting.name == "ownershipControls" &&
      std::string_view(root.child("Rule").child_value("ObjectOwnership")) != "BucketOwnerEnforced")
    return not_implemented("ACLs (ObjectOwnership)");
  if (setting.name == "lifecycle") S3_TRY(parse_lifecycle(text));
  if (setting.name == "tagging") {
    S3_SET(tags, tags_of_xml(root));
    if (tags.size() > 50) return s3_refuse("BadRequest", "Bucket tag count cannot be greater than 50");
  }
  return {};
}

/// A policy that lets anybody in is refused while public policies are blocked.
bool lets_anybody_in(const Json& policy) {
  const auto statements = policy["Statement"].is_array() ? policy["Statement"] : Json::array({policy["Statement"]});
  return std::any_of(statements.begin(), statements.end(), [](const Json& statement) {
    const auto principal = statement.value("Principal", Json());
    const auto aws = principal.is_object() ? principal.value("AWS", Json()) : principal;
    const auto is_all = [](const Json& one) { return one.is_string() && one.get_ref<const std::string&>() == "*"; };
    const bool anybody = is_all(aws) || (aws.is_array() && std::any_of(aws.begin(), aws.end(), is_all));
    return anybody && text_at(statement, "Effect") == "Allow" && !statement.contains("Condition");
  });
}

S3Result<os::ServedReply> put_policy(S3Call& call) {
  S3_SET(text, read_s3_text(call));
  if (text.size() > 20 * 1024) return s3_refuse("MalformedPolicy", "Policy is too large.");
  S3_SET(policy, parse_policy(text, call.bucket.name));
  const auto block = text_at(call.bucket.settings, "publicAccessBlock");
  if (lets_anybody_in(policy) && lower(block).find("<blockpublicpolicy>true<") != block.npos)
    return access_denied(
        "User is not authorized to perform: s3:PutBucketPolicy because public policies are blocked by the "
        "BlockPublicPolicy setting.");
  call.store.set(call.bucket.name, "policy", text);
  return s3_empty_reply(204);
}

/// A document as it was put, with a declaration in front where it has none.
os::ServedReply as_it_was_put(const std::string& text) {
  os::ServedReply reply;
  reply.headers.emplace_back("Content-Type", "application/xml");
  reply.body = text.starts_with("<?xml") ? text : "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + text;
  return reply;
}

}  // namespace

S3Result<os::ServedReply> get_bucket_setting(S3Call& call) {
  const auto& setting = asked_setting(call, settings);
  const auto text = text_at(call.bucket.settings, setting.name);
  if (text.empty() && !setting.absent.empty()) return not_set(setting, call);
  if (text.empty()) return s3_xml_reply(setting.root, Xml().raw(setting.otherwise));
  if (setting.name != "policy") return as_it_was_put(text);
  os::ServedReply reply;
  reply.headers.emplace_back("Content-Type", "application/json");
  reply.body = text;
  return reply;
}

S3Result<os::ServedReply> put_bucket_setting(S3Call& call) {
  const auto& setting = asked_setting(call, settings);
  if (setting.name == "policy") return put_policy(call);
  S3_SET(document, read_s3_xml(call, setting.root, setting.name == "lifecycle" || setting.name == "tagging"));
  std::ostringstream text;
  document->document_element().print(text, "", pugi::format_raw);
  S3_TRY(check_setting(setting, text.str(), document->document_element()));
  call.store.set(call.bucket.name, std::string(setting.name), text.str());
  return s3_empty_reply(setting.name == "tagging" ? 204 : 200);
}

S3Result<os::ServedReply> delete_bucket_setting(S3Call& call) {
  call.store.set(call.bucket.name, std::string(asked_setting(call, settings).name), std::nullopt);
  return s3_empty_reply(204);
}

S3Result<os::ServedReply> get_fixed_setting(S3Call& call) {
  if (call.request.has("acl")) {
    if (!call.request.key.empty() && !call.store.object(call.bucket.name, call.request.key))
      return no_such_key(call.request.key);
    Xml xml;
    add_owner(xml);
    xml.node("AccessControlList", [&] {
      xml.node("Grant", [&] {
        xml.raw("<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">");
        Xml owner;
        add_owner(owner, "O");
        const auto inner = owner.str();
        xml.raw(std::string_view(inner).substr(3, inner.size() - 7))
            .raw("</Grantee>")
            .text("Permission", "FULL_CONTROL");
      });
    });
    return s3_xml_reply("AccessControlPolicy", xml);
  }
  const auto& setting = asked_setting(call, fixed);
  if (!setting.absent.empty()) return not_set(setting, call);
  return s3_xml_reply(setting.root, Xml().raw(setting.otherwise));
}

/// The form of "bucket-owner-full-control" in XML: nobody but the owner is let in.
S3Result<os::ServedReply> put_acl(S3Call& call) {
  const auto acl = call.request.header("x-amz-acl");
  const auto refused = s3_refuse("AccessControlListNotSupported", "The bucket does not allow ACLs");
  if (!acl.empty() && acl != "private" && acl != "bucket-owner-full-control") return refused;
  if (!acl.empty()) return s3_empty_reply();
  S3_SET(document, read_s3_xml(call, "AccessControlPolicy"));
  const std::string owner = document->document_element().child("Owner").child_value("ID");
  const auto grants = document->document_element().child("AccessControlList").children("Grant");
  for (const auto& grant : grants)
    if (owner != grant.child("Grantee").child_value("ID") ||
        std::string_view(grant.child_value("Permission")) != "FULL_CONTROL")
      return refused;
  return grants.begin() == grants.end() ? S3Result<os::ServedReply>(refused) : s3_empty_reply();
}

}  // namespace ferry::rehearsal
