#include "agent/store_place.h"

#include "os/http.h"
#include "s3/role.h"
#include "s3/s3_store.h"
#include "store/folder.h"

namespace ferry::agent {
namespace {

/// A role that was made a moment ago is refused for seconds, rarely for minutes.
constexpr Millis newcomer{180'000};

/// What all connections share.
struct Shared {
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  std::shared_ptr<s3::Session> session;
};

Result<s3::Place> place_of(const StoreSpec& spec, os::HttpClient& http) {
  TRY_SET(place, "", s3::parse_place(spec.uri));
  place.region = spec.region;
  place.endpoint = spec.endpoint;
  if (place.region.empty() && place.endpoint.empty())
    place.region = s3::region_of_this_machine(http).value_or("");  // likely; S3 corrects it
  return place;
}

}  // namespace

std::function<Result<std::unique_ptr<store::Store>>()> connections_to(const StoreSpec& spec, const os::Path& dir) {
  if (spec.uri.starts_with('/')) return [uri = spec.uri] { return store::open_folder(uri); };
  auto shared = std::make_shared<Shared>();
  auto place = place_of(spec, *shared->http);
  if (!place) return [error = place.error()] { return tl::unexpected(error); };
  s3::Limits limits;
  limits.newcomer = newcomer;
  limits.state_folder = dir / "store-parts";
  (void)os::make_dirs(limits.state_folder, 0700);  // without it a broken upload begins anew
  auto& clock = os::system_clock();
  shared->session =
      std::make_shared<s3::Session>(*std::move(place), s3::role_of_this_machine(*shared->http, clock), clock, limits);
  return [shared]() -> Result<std::unique_ptr<store::Store>> { return s3::make_store(shared->session); };
}

}  // namespace ferry::agent
