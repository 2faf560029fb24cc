// A machine that the user has already, as a Cloud of one instance: it is never rented and never ended.

#include "cloud/cloud.h"

namespace ferry::cloud {
namespace {

class HostCloud final : public Cloud {
 public:
  explicit HostCloud(std::string host) : host_(std::move(host)) {}

  const std::string& region() const override { return host_; }
  Result<Identity> whoami() override { return Identity{"", host_}; }
  Result<Image> newest_image(const ImageQuery&) override { return not_rented(); }
  Status import_key(const std::string&, const std::string&, const Tags&) override { return not_rented(); }
  Status delete_key(const std::string&) override { return {}; }
  Result<std::string> public_key(const std::string&) override { return not_rented(); }
  Status send_key(const std::string&, const std::string&, const std::string&) override { return not_rented(); }
  Result<SecurityGroup> ensure_group(const std::string&, const std::string&, const Tags&, const std::string&) override {
    return not_rented();
  }
  Result<std::vector<Subnet>> subnets(const std::vector<std::string>&) override { return not_rented(); }
  Result<std::string> vpc_cidr(const std::string&) override { return not_rented(); }
  Result<Reservation> reservation(const std::string&) override { return not_rented(); }
  Status delete_group(const std::string&) override { return {}; }
  Result<std::vector<Made>> find_made(const std::string&, const std::string&) override { return std::vector<Made>(); }
  Result<std::vector<std::string>> zones_with(const std::string&) override { return not_rented(); }
  Result<Instance> launch(const LaunchRequest&) override { return not_rented(); }

  Result<Instance> describe(const std::string& id) override {
    Instance instance;
    instance.id = id;
    instance.type = instance.address = host_;
    instance.state = given_back_.contains(id) ? State::terminated : State::running;
    return instance;
  }
  Result<std::vector<Instance>> find_by_tag(const std::string&, const std::string&) override {
    return std::vector<Instance>();
  }
  Result<std::optional<Instance>> find_by_token(const std::string&) override { return std::optional<Instance>(); }
  Status terminate(const std::string& id) override {
    given_back_.insert(id);
    return {};
  }
  Status tag(const std::string&, const Tags&) override { return not_rented(); }
  Status stop(const std::string&) override { return not_rented(); }
  Status start(const std::string&) override { return not_rented(); }
  Result<std::string> caller_cidr() override { return not_rented(); }

 private:
  tl::unexpected<Error> not_rented() const {
    return fail(Kind::unsupported, host_ + " is a machine of your own: ferry does not make, stop or end it");
  }

  std::string host_;
  std::set<std::string> given_back_;
};

}  // namespace

std::unique_ptr<Cloud> make_host_cloud(std::string host) { return std::make_unique<HostCloud>(std::move(host)); }

}  // namespace ferry::cloud
