#pragma once
/// \file
/// For tests: a Context with a folder, a ledger and a clock of its own, silent, whose rehearsal cloud is only an
/// address. HTTP is as the test brings it.

#include <fcntl.h>

#include <csignal>
#include <memory>

#include "fleet/context.h"

namespace ferry::fleet {

struct TestContext {
  explicit TestContext(std::unique_ptr<os::HttpClient> client = os::make_http_client()) : http(std::move(client)) {}

  os::TempDir dir;
  os::FakeClock clock;
  os::SignalQueue signals{SIGTERM};
  std::unique_ptr<os::HttpClient> http;
  std::unique_ptr<ledger::Ledger> ledger = *ledger::Ledger::open(dir.path() / "ledger.db", clock);
  os::Fd nowhere = *os::open_file("/dev/null", O_WRONLY);
  std::unique_ptr<watch::Progress> progress =
      watch::make_progress(watch::Renderer::plain, nowhere.get(), nowhere.get(), clock);
  Context context{clock,
                  *http,
                  *ledger,
                  *progress,
                  signals,
                  dir.path(),
                  []() -> Result<cloud::AwsContext> {
                    cloud::AwsContext access;
                    access.region = "us-east-1";
                    access.endpoint_url = "http://127.0.0.1:9";
                    access.service_endpoints["s3"] = "http://127.0.0.1:10";
                    access.credentials = cloud::fixed_credentials("AKIDEXAMPLE", "secret");
                    return access;
                  },
                  {},
                  {}};
};

}  // namespace ferry::fleet
