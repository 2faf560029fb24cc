#include "fleet/buckets.h"

#include <algorithm>

#include "base/store_place.h"
#include "base/text.h"
#include "fleet/store_access.h"
#include "s3/objects.h"
#include "s3/xml.h"
#include "store/data_set.h"
#include "task/data_url.h"

namespace ferry::fleet {

Json buckets_to_keep(const task::Task& task) {
  Json out;
  for (const auto& data : task.data) {
    if (data.url.starts_with("s3://")) out.push_back({{"url", data.url}, {"is_written", data.is_written}});
  }
  const bool has_sets = std::ranges::any_of(task.data, [](const auto& data) { return !data.source.empty(); });
  if (const auto store = parse_store_place(task.store.value_or("")); has_sets && store && !store->bucket.empty()) {
    for (const auto part : {store::sets_prefix, store::contents_prefix})
      out.push_back({{"url", fmt::format("s3://{}/{}{}", store->bucket, store->prefix, part)}, {"is_written", false}});
  }
  return out;
}

std::vector<BucketUse> buckets_of(const ledger::Run& run) {
  std::vector<BucketUse> out;
  const auto kept = run.task.find("data");
  if (kept == run.task.end() || !kept->is_array()) return out;
  for (const auto& one : *kept) {
    const auto url = text_at(one, "url");
    if (!url.starts_with("s3://")) continue;
    const auto path = task::bucket_path(url);
    const auto written = one.find("is_written");
    if (is_bucket_name(path.bucket))
      out.push_back({path.bucket, path.key, written != one.end() && written->is_boolean() && written->get<bool>()});
  }
  return out;
}

std::string uri_of(const BucketUse& use) { return "s3://" + use.bucket + (use.key.empty() ? "" : "/" + use.key); }

namespace {

/// The first page of a listing is enough.
Result<os::HttpResponse> list_one(s3::Line& line, const BucketUse& use) {
  s3::Call list{.action = "ListBucket", .doing = "look for " + uri_of(use)};
  list.query = "list-type=2&encoding-type=url&max-keys=1&prefix=" + percent_encoded(use.key);
  list.attempts = 2;
  return line.call(list);
}

bool is_public(Context& context, const CloudLocation& location, const BucketUse& use) {
  const auto own = open_s3(context, "s3://" + use.bucket, "", location.profile, location.provider);
  if (!own) return false;
  auto place = (*own)->place();
  place.account.clear();
  s3::Line line(std::make_shared<s3::Session>(place, nullptr, context.clock));
  return list_one(line, use) || (!use.key.empty() && s3::head_object(line, use.key));
}

}  // namespace

bool needs_no_role(Context& context, const CloudLocation& location, const ledger::Run& run) {
  const auto is_open = [&](const BucketUse& use) { return !use.is_written && is_public(context, location, use); };
  return run.store.empty() && std::ranges::all_of(buckets_of(run), is_open);
}

Seen look_at(Context& context, const std::string& provider, const BucketUse& use) {
  const auto session = open_s3(context, "s3://" + use.bucket, "", "", provider);
  if (!session) return Seen::unknown;
  s3::Line line(*session);
  const auto answer = list_one(line, use);
  if (!answer) return answer.error().code == "NoSuchBucket" ? Seen::no_bucket : Seen::unknown;
  const auto page = s3::parse_list(answer->body);
  if (!page) return Seen::unknown;
  return page->objects.empty() ? Seen::nothing : Seen::something;
}

Json bucket_statements(const BucketUse& use, const std::string& partition) {
  const std::string bucket = "arn:" + partition + ":s3:::" + use.bucket;
  Json resources = Json::array(), prefixes = Json::array();
  const bool may_be_object = !use.key.empty() && !use.key.ends_with('/');
  const std::string below = may_be_object ? use.key + "/" : use.key;
  resources.push_back(bucket + "/" + below + "*");
  prefixes.push_back(below + "*");
  if (may_be_object) {
    resources.push_back(bucket + "/" + use.key);
    prefixes.push_back(use.key);
  }
  Json actions = Json::array({"s3:GetObject"});
  if (use.is_written) {
    // A mounted bucket is a folder: what is removed or renamed there is removed in it. rclone says an ACL with each
    // object.
    for (const char* action : {"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts",
                               "s3:PutObject", "s3:PutObjectAcl"})
      actions.push_back(action);
  }
  const Json objects = {{"Effect", "Allow"}, {"Action", actions}, {"Resource", resources}};
  const Json list = {{"Effect", "Allow"},
                     {"Action", Json::array({"s3:ListBucket"})},
                     {"Resource", Json::array({bucket})},
                     {"Condition", {{"StringLike", {{"s3:prefix", prefixes}}}}}};
  return Json::array({objects, list});
}

}  // namespace ferry::fleet
