#pragma once
/// \file
/// Who the caller is: every way in which AWS's own tools find credentials, in their order.
///
///   1. the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (a profile flag hides
///   it)
///   2. the profile's role: role_arn with source_profile (chains are followed) or credential_source
///   3. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's
///   4. single sign-on: the token that `aws sso login` left
///   5. the shared credentials file
///   6. the profile's credential_process
///   7. the config file
///   8. the container's: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
///   9. the instance's own role (IMDSv2)
///
/// The first source that is configured decides. A source that is configured but cannot be used is an error,
/// never skipped silently.

#include <memory>
#include <vector>

#include "aws/provider.h"
#include "base/json.h"
#include "os/http.h"

namespace ferry::aws {

/// Looks once. Fails denied, with what to do, when no source has any, one of them refuses, or what is written
/// there is no way to credentials (half a key pair, roles in a circle); lost or timeout when a service that a
/// source needs does not answer.
Result<Credentials> find_credentials(const Config& config, os::HttpClient& http, os::Clock& clock);

/// Reads the files anew whenever credentials are needed, so that what other tools write there is seen. With
/// `http` (which must outlive the provider, and is used by one thread at a time) null, it opens its own.
std::shared_ptr<Provider> make_provider(Surroundings surroundings, os::Clock& clock, os::HttpClient* http = nullptr);

/// What each source may use.
struct Search {
  const Config& config;
  os::HttpClient& http;
  os::Clock& clock;
};
/// Nothing: the source is not configured.
using Found = Result<std::optional<Credentials>>;

Found from_environment(const Search& search);
Found from_shared_file(const Search& search, const std::string& profile);
Found from_config_file(const Search& search, const std::string& profile);
Found from_process(const Search& search, const std::string& profile);
Found from_role(const Search& search, const std::string& profile);
Found from_web_identity_of_environment(const Search& search);
Found from_web_identity(const Search& search, const std::string& profile);
Found from_sso(const Search& search, const std::string& profile);
Found from_container(const Search& search);
Found from_instance(const Search& search);
/// All that a profile can have but a role, in their order.
Found from_profile(const Search& search, const std::string& profile);

/// One request, repeated like every other where AWS is busy; waits at most `limit` for each answer.
Result<os::HttpResponse> ask(const Search& search, os::HttpRequest request, int attempts, Millis limit);

/// What a credential_process prints. Fails corrupt.
Result<Credentials> parse_process_credentials(std::string_view text);
/// What a container's or an instance's endpoint answers. Fails corrupt.
Result<Credentials> parse_endpoint_credentials(std::string_view text);
/// An RFC 3339 time with any offset, or the older "…UTC", in milliseconds since 1970; 0 if it is none.
std::int64_t parse_expiry(std::string_view text);

}  // namespace ferry::aws
