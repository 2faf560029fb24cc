#include "fleet/store_access.h"

#include <algorithm>

#include "base/store_place.h"
#include "base/text.h"
#include "os/env.h"
#include "s3/bucket.h"
#include "s3/s3_store.h"
#include "store/folder.h"

namespace ferry::fleet {
namespace {

/// Whose a bucket of ferry's own must be, by its name; "" of any other bucket. Names of buckets are anybody's to take:
/// one that this account gave up may be a stranger's today.
std::string account_of(const std::string& bucket) {
  constexpr std::string_view begin = "ferry-";
  constexpr std::size_t digits = 12;
  if (!bucket.starts_with(begin) || bucket.size() <= begin.size() + digits || bucket[begin.size() + digits] != '-')
    return {};
  std::string account = bucket.substr(begin.size(), digits);
  const bool is_one = std::all_of(account.begin(), account.end(), [](char c) { return c >= '0' && c <= '9'; });
  return is_one ? account : "";
}

/// Of S3, which needs a region to be asked where a bucket is.
Result<cloud::AwsContext> aws_context(Context& context, const std::string& region, const std::string& profile,
                                      const std::string& provider) {
  if (provider == "rehearsal") return context.rehearsal();
  auto found = cloud::aws_context_from_environment(region, profile);
  if (!found && found.error().kind == Kind::not_found && region.empty())
    return cloud::aws_context_from_environment("us-east-1", profile);
  return found;
}

Result<std::shared_ptr<s3::Session>> session_at(Context& context, const StorePlace& where, const std::string& region,
                                                const std::string& profile, const std::string& provider,
                                                Hurry hurry = Hurry::no) {
  TRY_SET(access, "", aws_context(context, region, profile, provider));
  s3::Place place;
  place.bucket = where.bucket;
  place.prefix = where.prefix;
  place.region = access.region;
  const auto own = access.service_endpoints.find("s3");
  place.endpoint = own == access.service_endpoints.end() ? access.endpoint_url : own->second;
  place.ca_bundle = access.ca_bundle;
  if (provider != "rehearsal") place.account = account_of(where.bucket);
  s3::Limits limits;
  if (hurry == Hurry::yes) {
    limits.attempts = 1;
    limits.silence = Millis(5'000);
  }
  limits.state_folder = context.data / "uploads";
  TRY("note uploads", os::make_dirs(limits.state_folder, 0700));
  return std::make_shared<s3::Session>(place, access.credentials, context.clock, limits);
}

}  // namespace

Result<std::unique_ptr<store::Store>> open_store(Context& context, const std::string& uri, const std::string& region,
                                                 const std::string& profile, const std::string& provider, Hurry hurry) {
  if (context.store) return context.store(uri);
  TRY_SET(place, "", parse_store_place(uri));
  if (place.bucket.empty()) return store::open_folder(folder_of(place.folder));
  TRY_SET(session, "open the store " + uri_of(place), session_at(context, place, region, profile, provider, hurry));
  return s3::make_store(session);
}

Result<std::shared_ptr<s3::Session>> open_s3(Context& context, const std::string& uri, const std::string& region,
                                             const std::string& profile, const std::string& provider) {
  TRY_SET(place, "", parse_store_place(uri));
  if (place.bucket.empty()) {
    return fail(Kind::bad_input, "a folder is no bucket: " + printable(uri), "a store in a folder needs no setup",
                "write s3://BUCKET/PREFIX");
  }
  return session_at(context, place, region, profile, provider);
}

Status make_rehearsal_bucket(Context& context, const std::string& uri) {
  TRY_SET(session, "", open_s3(context, uri, "", "", "rehearsal"));
  TRY("make the rehearsal's bucket", s3::ensure_bucket(session));
  return {};
}

os::Path folder_of(const std::string& folder) {
  return folder.starts_with("~/") ? os::home_dir() / folder.substr(2) : os::Path(folder);
}

std::string own_bucket(const std::string& account, const std::string& region) {
  return "ferry-" + account + "-" + region;
}

}  // namespace ferry::fleet
