#include "task/data_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/store_place.h"
#include "base/text.h"

namespace ferry::task {
namespace {

constexpr std::string_view s3_scheme = "s3://";

tl::unexpected<Error> no_place(std::string_view written, std::string why, std::string advice) {
  return fail(Kind::bad_input, fmt::format("'{}' is no place of a data set", short_line(written, 200)), std::move(why),
              std::move(advice));
}

Result<std::string> checked_s3(std::string_view written, std::string_view bucket, std::string_view key) {
  constexpr std::string_view form = "write s3://BUCKET/PATH";
  if (!is_bucket_name(bucket))
    return no_place(written, "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
                    std::string(form));
  if (printable(key) != key) return no_place(written, "its path has control characters", std::string(form));
  if (key.find_first_of("*?$") != key.npos)
    return no_place(written, "in the policy of the machine's role *, ? and $ would stand for more than themselves",
                    "name the folder that holds it");
  if (key.size() > 900) return no_place(written, "its path has over 900 bytes", std::string(form));
  auto parts = split(key, '/');
  if (!parts.empty() && parts.back().empty()) parts.pop_back();
  for (const auto& part : parts) {
    if (part.empty() || part == "." || part == "..")
      return no_place(written, "its path has an empty part, or one of dots", std::string(form));
  }
  return fmt::format("s3://{}{}{}", bucket, key.empty() ? "" : "/", key);
}

Result<std::string> s3_url(std::string_view written) {
  const auto rest = written.substr(s3_scheme.size());
  const auto slash = std::min(rest.find('/'), rest.size());
  return checked_s3(written, rest.substr(0, slash), rest.substr(std::min(slash + 1, rest.size())));
}

/// "s3", "s3-REGION", "s3.REGION", "s3.dualstack.REGION": what stands before .amazonaws.com in an address of S3.
bool is_s3_service(std::string_view name) { return name == "s3" || name.starts_with("s3.") || name.starts_with("s3-"); }

Result<std::string> web_url(std::string_view written) {
  const auto begin = written.find("://") + 3;
  const auto slash = std::min(written.find('/', begin), written.size());
  std::string host = lower(written.substr(begin, slash - begin));
  const auto path = written.substr(std::min(slash + 1, written.size()));
  if (host.empty() || host.find('@') != host.npos || printable(written) != written ||
      written.find_first_of(" \"'\\") != written.npos)
    return no_place(written, "that is no address of a file", "https://HOST/PATH");
  for (const std::string_view end : {".amazonaws.com", ".amazonaws.com.cn"}) {
    if (!host.ends_with(end) || path.find('?') != path.npos) continue;
    host.resize(host.size() - end.size());
    if (is_s3_service(host)) {  // its first part is the bucket
      const auto cut = std::min(path.find('/'), path.size());
      return checked_s3(written, path.substr(0, cut), percent_decoded(path.substr(std::min(cut + 1, path.size()))));
    }
    for (auto dot = host.find(".s3"); dot != host.npos; dot = host.find(".s3", dot + 1)) {
      if (is_s3_service(std::string_view(host).substr(dot + 1)))
        return checked_s3(written, std::string_view(host).substr(0, dot), percent_decoded(path));
    }
  }
  const auto name = path.substr(0, path.find_first_of("?#"));
  if (name.empty() || name.ends_with('/'))
    return no_place(written, "of the web, single files can be fetched, no folders", "name the file");
  return std::string(written);
}

/// Other clouds' places: what there is that reaches them.
struct Elsewhere {
  std::string_view scheme, what, way;
};
constexpr std::array<Elsewhere, 9> elsewhere = {{
    {"gs://", "Google Cloud Storage", "gcloud storage cp -r {} FOLDER"},
    {"gcs://", "Google Cloud Storage", "gcloud storage cp -r {} FOLDER"},
    {"r2://", "Cloudflare R2", "aws s3 sync --endpoint-url https://ACCOUNT.r2.cloudflarestorage.com {} FOLDER"},
    {"hf://", "the Hugging Face hub", "hf download NAME --local-dir FOLDER   (with --repo-type dataset for data sets)"},
    {"cos://", "IBM's object storage", "rclone copy REMOTE:PATH FOLDER"},
    {"oci://", "Oracle's object storage", "rclone copy REMOTE:PATH FOLDER"},
    {"nebius://", "Nebius' object storage", "rclone copy REMOTE:PATH FOLDER"},
    {"azure://", "Azure's storage", "azcopy copy URL FOLDER --recursive"},
    {"az://", "Azure's storage", "azcopy copy URL FOLDER --recursive"},
}};

}  // namespace

bool is_url(std::string_view written) { return written.find("://") != written.npos; }

Result<std::string> data_url(std::string_view written) {
  written = trim(written);
  const auto scheme = lower(written.substr(0, std::min(written.find("://"), written.size())));
  if (scheme == "s3") return s3_url(written);
  if (scheme == "http" || scheme == "https") return web_url(written);
  for (const auto& one : elsewhere) {
    if (one.scheme.substr(0, one.scheme.size() - 3) != scheme) continue;
    auto way = std::string(one.way);
    if (const auto at = way.find("{}"); at != way.npos) way.replace(at, 2, as_typed(written));
    return fail(Kind::unsupported, fmt::format("'{}' cannot be brought to the machine yet", short_line(written, 200)),
                fmt::format("it is in {}; the machine fetches from S3 and, single files, from the web", one.what),
                "fetch it in setup:, as in  " + way);
  }
  return no_place(written, "the machine fetches from S3 (s3://) and, single files, from the web (https://)",
                  "write s3://BUCKET/PATH, or fetch it in setup:");
}

BucketPath bucket_path(std::string_view url) {
  const auto rest = url.substr(s3_scheme.size());
  const auto slash = std::min(rest.find('/'), rest.size());
  return {std::string(rest.substr(0, slash)), std::string(rest.substr(std::min(slash + 1, rest.size())))};
}

}  // namespace ferry::task
