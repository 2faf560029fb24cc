#include "account/store_setup.h"

#include <algorithm>

#include "aws/iam.h"
#include "aws/services.h"
#include "aws/sts.h"
#include "base/store_place.h"
#include "cloud/aws_client.h"
#include "fleet/polling.h"
#include "fleet/stand_in.h"
#include "fleet/store_access.h"
#include "fleet/store_role.h"
#include "s3/bucket.h"

namespace ferry::account {
namespace {

Status bound_roles(fleet::Context& context, const StoreOrder& order) {
  fleet::CloudLocation location{order.provider, order.region, "", order.account, ""};
  TRY_SET(access, "", fleet::open_aws_context(context, location));
  auto client = cloud::aws_client(access, context.http, context.clock);
  const auto partition = aws::partition_of(order.region);
  const auto arn = aws::iam_arn(order.region, order.account, "policy", fleet::iam_path, fleet::boundary_name);
  const auto there = fleet::patiently(context, [&] { return aws::get_policy(client, arn); });
  if (!there && there.error().kind != Kind::not_found) return tl::unexpected(there.error());
  if (!there) {
    TRY_SET(document, "", widened("", order.uri, partition, order.data));
    TRY("", aws::create_policy(client, fleet::boundary_name, fleet::iam_path, document,
                               "The most that roles of ferry's machines may do"));
    return {};
  }
  TRY_SET(before, "", aws::get_policy_version(client, arn, there->default_version));
  TRY_SET(document, "", widened(before, order.uri, partition, order.data));
  return document.empty() ? Status() : aws::replace_policy(client, arn, document);
}

}  // namespace

Result<StoreOrder> order_store(fleet::Context& context, const std::string& uri, const std::string& region,
                               const std::string& provider) {
  StoreOrder order;
  if (!uri.empty()) {
    TRY_SET(place, "", parse_store_place(uri));
    order.uri = uri_of(place);
    if (place.bucket.empty()) return order;
  }
  order.provider = provider;
  fleet::CloudLocation location{provider, region, "", "", ""};
  TRY_SET(access, "", fleet::open_aws_context(context, location));
  auto client = cloud::aws_client(access, context.http, context.clock);
  TRY_SET(caller, "see whose account this is", aws::get_caller_identity(client));
  order.account = caller.account;
  order.region = access.region;
  if (order.uri.empty()) order.uri = "s3://" + fleet::own_bucket(order.account, order.region);
  return order;
}

Result<StoreMade> make_store(fleet::Context& context, const StoreOrder& order) {
  StoreMade made;
  if (order.account.empty()) {
    TRY_SET(place, "", parse_store_place(order.uri));
    made.is_new = !os::is_directory(fleet::folder_of(place.folder));
    TRY("", fleet::open_store(context, order.uri, "", ""));
    return made;
  }
  TRY_SET(session, "", fleet::open_s3(context, order.uri, order.region, "", order.provider));
  TRY_SET(bucket, "", s3::ensure_bucket(session));
  made.is_new = bucket == s3::Made::here;
  if (const auto bound = bound_roles(context, order); !bound) made.unbounded = bound.error();
  return made;
}

Result<std::string> widened(const std::string& document, const std::string& uri, const std::string& partition,
                            const std::vector<fleet::BucketUse>& data) {
  TRY_SET(wanted, "", fleet::store_policy(uri, "", partition));
  for (const auto& use : data) {
    for (auto& statement : fleet::bucket_statements(use, partition))
      wanted["Statement"].push_back(std::move(statement));
  }
  wanted["Statement"].push_back(fleet::group_statement(partition, "ferry-*"));
  Json policy = {{"Version", "2012-10-17"}, {"Statement", Json::array()}};
  if (!document.empty()) {
    TRY_SET(there, "the policy that bounds machines' roles", parse_json(document));
    const bool is_policy = there.is_object() && there.contains("Statement") &&
                           (there["Statement"].is_array() || there["Statement"].is_object());
    if (!is_policy) return fail(Kind::corrupt, "the policy that bounds machines' roles has no statements");
    if (there["Statement"].is_object()) there["Statement"] = Json::array({there["Statement"]});
    policy = std::move(there);
  }
  auto& statements = policy["Statement"];
  bool is_wider = false;
  for (auto statement : wanted["Statement"]) {
    statement.erase("Sid");  // of several stores they would be the same
    if (std::find(statements.begin(), statements.end(), statement) != statements.end()) continue;
    statements.push_back(std::move(statement));
    is_wider = true;
  }
  return is_wider ? dump_json(policy) : std::string();
}

}  // namespace ferry::account
