#include "fleet/buckets.h"

#include "base/store_place.h"
#include "task/data_url.h"

namespace ferry::fleet {

Json buckets_to_keep(const task::Task& task) {
  Json out;
  for (const auto& data : task.data) {
    if (data.url.starts_with("s3://")) out.push_back({{"url", data.url}, {"is_written", data.is_written}});
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
    for (const char* action : {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"})
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
