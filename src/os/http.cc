#include "os/http.h"

#include <curl/curl.h>

#include "base/text.h"
#include "os/env.h"
#include "os/file.h"
#include "os/ways.h"

namespace ferry::os {

namespace {

/// Its scheme and host, as it is shown.
std::string server_of(const std::string& url) {
  const auto scheme = url.find("://");
  return url.substr(0, url.find_first_of("/?", scheme == std::string::npos ? 0 : scheme + 3));
}

bool knows_certificates() {
  const auto* built = curl_version_info(CURLVERSION_NOW);
  return built->cainfo || built->capath;
}

/// The system's certificates, for a libcurl that was built for no system in particular (the static ferry); empty
/// for one that knows them itself.
std::string certificates_of_system() { return knows_certificates() ? std::string() : system_certificates(); }

constexpr std::size_t body_limit = std::size_t{64} << 20;

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& body = *static_cast<std::string*>(target);
  if (body.size() + size * count > body_limit) return 0;
  body.append(bytes, size * count);
  return size * count;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& headers = static_cast<HttpResponse*>(target)->headers;
  const std::string_view line(bytes, size * count);
  if (line.starts_with("HTTP/")) headers.clear();  // an interim answer such as 100 came before
  if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    headers.emplace_back(lower(trim(line.substr(0, colon))), std::string(trim(line.substr(colon + 1))));
  }
  return size * count;
}

class CurlClient final : public HttpClient {
 public:
  ~CurlClient() override {
    if (handle_) curl_easy_cleanup(handle_);
  }

  Result<HttpResponse> send(const HttpRequest& request) override {
    // libcurl speaks much more than that: file: would send this computer's own files for answers.
    if (const auto scheme = lower(request.url.substr(0, request.url.find("://")));
        scheme != "http" && scheme != "https") {
      return fail(Kind::bad_input, "not an address of the web: " + printable(request.url.substr(0, 200)), {},
                  "it begins with https:// or http://; correct AWS_ENDPOINT_URL, or endpoint_url in the AWS "
                  "config file");
    }
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (!handle_ && ready == CURLE_OK) handle_ = curl_easy_init();
    if (!handle_) {
      return fail(Kind::unsupported, "the HTTP library libcurl cannot be used", curl_easy_strerror(ready),
                  "free some memory, or install libcurl again: sudo apt-get install --reinstall libcurl4");
    }
    curl_easy_reset(handle_);
    HttpResponse response;
    curl_slist* headers = nullptr;
    bool has_expect = false;
    for (const auto& [name, value] : request.headers) {
      has_expect = has_expect || lower(name) == "expect";
      headers = curl_slist_append(headers, (value.empty() ? name + ";" : name + ": " + value).c_str());
    }
    if (!has_expect) headers = curl_slist_append(headers, "Expect:");
    set_options(request, headers, response);
    char detail[CURL_ERROR_SIZE] = {};
    curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, detail);
    const CURLcode code = curl_easy_perform(handle_);
    curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, nullptr);
    curl_slist_free_all(headers);
    if (code == CURLE_WRITE_ERROR) {
      return fail(Kind::corrupt, "the answer of " + server_of(request.url) + " is over 64 MiB",
                  "no service that ferry asks says so much");
    }
    if (code != CURLE_OK) return failed(request, code, detail[0] ? detail : curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    return response;
  }

 private:
  void set_options(const HttpRequest& request, curl_slist* headers, HttpResponse& response) {
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(handle_, option, value); };
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PATH_AS_IS, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_HTTPHEADER, headers);
    set(CURLOPT_FRESH_CONNECT, request.own_connection ? 1L : 0L);
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
    set(CURLOPT_WRITEFUNCTION, take_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&response.body));
    set(CURLOPT_HEADERFUNCTION, take_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&response));
    const std::string trusted = trusted_certificates(request);
    if (!trusted.empty()) set(is_directory(trusted) ? CURLOPT_CAPATH : CURLOPT_CAINFO, trusted.c_str());
    if (const auto url = parse_url(request.url); url && is_near(url->host)) {
      set(CURLOPT_NOPROXY, "*");
    } else if (lower(request.url.substr(0, 5)) == "http:" && !env("http_proxy")) {
      // libcurl leaves HTTP_PROXY alone, for the sake of CGI programs.
      if (const auto proxy = env("HTTP_PROXY")) set(CURLOPT_PROXY, proxy->c_str());
    }
    if (request.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (request.method == "POST" || !request.body.empty()) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      set(CURLOPT_POSTFIELDS, request.body.data());
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    } else {
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
  }

  static std::string trusted_certificates(const HttpRequest& request) {
    if (!request.ca_bundle.empty()) return request.ca_bundle;
    const auto named = named_certificates();
    return named.empty() ? certificates_of_system() : named;
  }

  static tl::unexpected<Error> failed(const HttpRequest& request, CURLcode code, const std::string& why) {
    const std::string where = server_of(request.url);
    if (code == CURLE_OPERATION_TIMEDOUT) return fail(Kind::timeout, "no answer in time from " + where, why);
    const std::string trusted = trusted_certificates(request);
    const bool badly_named = code == CURLE_SSL_CACERT_BADFILE;
    if (trusted.empty() && (badly_named || (code == CURLE_PEER_FAILED_VERIFICATION && !knows_certificates()))) {
      return fail(Kind::bad_input, "this computer has no certificates to trust", why,
                  "install them (sudo apt-get install ca-certificates), or let AWS_CA_BUNDLE name a file of them");
    }
    if (badly_named) {
      return fail(Kind::bad_input, "the certificates to trust cannot be read: " + trusted, why,
                  "correct AWS_CA_BUNDLE (or ca_bundle in the AWS config file)");
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
      return fail(Kind::denied, "the certificate of " + where + " is not trusted", why,
                  "behind a proxy that opens TLS, let AWS_CA_BUNDLE name the file of its certificate");
    }
    return fail(Kind::lost, "cannot reach " + where, why, "check the network, HTTPS_PROXY and the endpoint's address");
  }

  CURL* handle_ = nullptr;
};

}  // namespace

std::unique_ptr<HttpClient> make_http_client() { return std::make_unique<CurlClient>(); }

}  // namespace ferry::os
