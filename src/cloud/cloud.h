#pragma once
/// \file
/// The Cloud: what ferry asks of any place that lends machines. The run room sees nothing else of AWS.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "os/clock.h"
#include "os/http.h"
#include "plan/plan.h"

namespace ferry::aws {
class Client;
class Provider;
}  // namespace ferry::aws

namespace ferry::cloud {

using Tags = std::map<std::string, std::string>;

struct Identity {
  std::string account, arn;
};

struct Image {
  std::string id, name, login_user, root_device;
  int root_size_gib = 0;
  std::string created = {};          ///< "2026-10-02T…": when it was made
  std::string supported_until = {};  ///< the day on which its publisher stops to support it; empty: not said
};

enum class State { pending, running, stopping, stopped, shutting_down, terminated };
std::string_view name(State state);

struct Instance {
  std::string id, type, zone, region;
  State state = State::pending;
  std::string address;          ///< public DNS name, else public IP; empty while pending or stopped, and where it has
                                ///< none. Changes after stop and start
  std::string private_address;  ///< IPv4, in its VPC
  int ssh_port = 22;            ///< from the tag ferry:ssh-port, for machines whose sshd listens elsewhere
  std::string client_token;
  std::string state_reason;  ///< "Client.UserInitiatedShutdown: …" and the like; may be empty
  std::int64_t launched_ms = 0;
  std::int64_t ended_ms = 0;    ///< when its end began, by the cloud's clock, in whole seconds; 0: it lives, or
                                ///< the cloud does not say
  std::int64_t stopped_ms = 0;  ///< the same of a stop
  Tags tags;
  bool alive() const { return state != State::terminated && state != State::shutting_down; }
  bool is_off() const { return state == State::stopping || state == State::stopped; }
};

struct SecurityGroup {
  std::string id, name;
};

/// What was made for a run, and is no machine.
struct Made {
  std::string kind;  ///< "key-pair", "security-group", "auto-scaling-group" or "launch-template"
  std::string name;
  Tags tags;
};

struct Subnet {
  std::string id, vpc_id, zone;
  bool gives_public_address = false;
};

/// Capacity that the account pays for already; a block is paid beforehand and ends by itself.
struct Reservation {
  std::string id, instance_type, zone;
  bool is_block = false;
  int total = 0, available = 0;
  std::int64_t end_ms = 0;  ///< since 1970; 0: open
};

/// Error::code of a reservation that begins then, in milliseconds since 1970; and when that is, if it is one.
std::string opens_later(std::int64_t start_ms);
std::optional<std::int64_t> opens_at(const Error& error);

/// A disk that lives by itself, in one zone.
struct Volume {
  std::string id, name, zone, region;  ///< name: its tag Name
  int gib = 0;
  std::string state;                ///< EC2's word: "creating", "available", "in-use", "deleting", "deleted", "error"
  std::string instance, device;     ///< what it is attached to, and as what; empty: to nothing
  std::string attachment;           ///< "attaching", "attached", "detaching", "busy"; empty: to nothing
  bool ends_with_instance = false;  ///< it would be deleted with that machine
};

/// "vol-" and 8 or 17 hexadecimal digits: what volumes() takes for an id. All else is a name.
bool is_volume_id(std::string_view text);

/// What an image is for.
struct ImageQuery {
  std::string type;  ///< of the machine: drivers differ by family
  std::string arch;
  bool gpu = false;
  task::Image image = {};      ///< what the task says
  std::string framework = {};  ///< "pytorch" or "tensorflow" if its image is preferred where there is one
};

struct LaunchRequest {
  plan::Offer offer;
  Image image;
  std::string client_token;  ///< at most 64 characters; the same token never rents twice
  std::string key_name;
  std::string security_group;
  std::string user_data;                ///< raw; base64 is done inside
  int disk_gib = 0;                     ///< 0: the image's own size
  std::string disk_tier;                ///< "low", "medium", "high", "ultra", "best"; empty: medium
  Tags tags;                            ///< on instance and volumes
  std::string subnet_id;                ///< empty: the default one of the zone
  std::optional<bool> public_address;   ///< unset: as the subnet does
  std::string instance_profile;         ///< name or ARN of the machine's own IAM role; empty: none
  std::string placement_group;          ///< name; empty: none
  std::string capacity_reservation_id;  ///< empty: any open one that matches
  bool stops_itself = false;            ///< when it is shut down from inside, its disk stays; else it is terminated
  bool capacity_block = false;          ///< that reservation is a capacity block
  std::optional<Usd> spot_max_price;    ///< an hour; unset: up to the on-demand price
};

/// What takes a machine's place when it dies while nobody looks: a launch template and an Auto Scaling group of
/// at most one machine, both called `name`. The cloud starts the next one by itself, from the template.
struct StandInOrder {
  std::string name;
  LaunchRequest machine;      ///< as launch() takes it, but for its ClientToken; zone and subnet are the group's
  std::string instance_id;    ///< the running machine that the group begins with; empty: none
  std::int64_t until_ms = 0;  ///< from then on there is to be no machine, whoever asks; since 1970
  std::vector<std::string> subnet_ids;  ///< of one VPC; empty: the default ones of all zones that have the type
};

struct StandIn {
  int wanted = 0;                      ///< how many machines there are to be: 0 or 1
  bool is_going = false;               ///< it is being deleted
  std::vector<std::string> instances;  ///< the ids of those that it has now, also those that are ending
};

/// One region of one account. Every call may be repeated safely. Use from one thread.
/// Errors carry a kind: denied (credentials, permission), no_capacity, quota, throttled, lost, timeout,
/// bad_input, not_found.
class Cloud {
 public:
  virtual ~Cloud() = default;
  virtual const std::string& region() const = 0;
  virtual Result<Identity> whoami() = 0;
  /// The task's own AMI if it names one for this region; else the newest one of the flavour that it names;
  /// else the newest suitable one: with `gpu`, the Deep Learning base image with drivers for the machine's
  /// family; without, a plain Ubuntu or the same Deep Learning image where there is none. One that is not
  /// supported any more only where there is no other.
  virtual Result<Image> newest_image(const ImageQuery& query) = 0;
  /// Imports the public key (OpenSSH one-line form) under `name`; Does nothing if it is there already.
  virtual Status import_key(const std::string& name, const std::string& public_key, const Tags& tags) = 0;
  virtual Status delete_key(const std::string& name) = 0;
  /// The public half of a key pair of the account, as OpenSSH writes it; not_found if it has none of that
  /// name.
  virtual Result<std::string> public_key(const std::string& name) = 0;
  /// Lets `user` log in to a running machine with the key for a minute (EC2 Instance Connect).
  virtual Status send_key(const std::string& instance_id, const std::string& user, const std::string& public_key) = 0;
  /// A security group with tcp 22 open to `cidr` only (empty: to nobody), in the VPC (empty: the default
  /// one); made or found by `name`.
  virtual Result<SecurityGroup> ensure_group(const std::string& name, const std::string& cidr, const Tags& tags,
                                             const std::string& vpc_id = {}) = 0;
  /// Deletes by name, in whatever VPC; absent is fine; still in use is Kind::conflict.
  virtual Status delete_group(const std::string& name) = 0;
  /// Every key pair, security group, Auto Scaling group and launch template whose tag `key` has `value`; the last two
  /// only where the policy lets ferry look for them (those of an older ferry do not).
  virtual Result<std::vector<Made>> find_made(const std::string& key, const std::string& value) = 0;
  /// In the order of the ids; not_found when one of them is not in this region.
  virtual Result<std::vector<Subnet>> subnets(const std::vector<std::string>& ids) = 0;
  /// The IPv4 range of a VPC (empty: the default one).
  virtual Result<std::string> vpc_cidr(const std::string& vpc_id) = 0;
  /// not_found if there is none of that id in this region; no_capacity with the code opens_later() if it has not begun;
  /// conflict if it is not active for another reason.
  virtual Result<Reservation> reservation(const std::string& id) = 0;
  /// The zones of this region that have the type, sorted.
  virtual Result<std::vector<std::string>> zones_with(const std::string& instance_type) = 0;
  /// Rents one machine: ClientToken, tags, IMDSv2 required, encrypted root disk deleted with the machine,
  /// shutdown inside terminates it, or stops it.
  virtual Result<Instance> launch(const LaunchRequest& request) = 0;
  /// not_found if the cloud does not know it (any more).
  virtual Result<Instance> describe(const std::string& instance_id) = 0;
  /// Everything whose tag `key` has `value`, also terminated ones the cloud still lists. All pages.
  virtual Result<std::vector<Instance>> find_by_tag(const std::string& key, const std::string& value) = 0;
  /// The machine rented with this ClientToken, if any. A launch of the last seconds, made by another process,
  /// may not show yet.
  virtual Result<std::optional<Instance>> find_by_token(const std::string& client_token) = 0;
  /// Does nothing if already gone. What a stand-in holds is replaced by it: delete_stand_in() comes first.
  virtual Status terminate(const std::string& instance_id) = 0;
  /// Adds tags to a machine, or gives them other values; denied where the policy is of an older ferry.
  virtual Status tag(const std::string& instance_id, const Tags& tags) = 0;
  /// Both fail conflict in a state that does not allow it.
  virtual Status stop(const std::string& instance_id) = 0;
  virtual Status start(const std::string& instance_id) = 0;
  /// Makes it, or what is missing of it; one of the same name is made as the order says. Nothing is launched while
  /// the attached machine lives. Those that it launches have the order's tags, and a ClientToken of the cloud's own.
  /// Fails conflict where that machine is not running (any more), or belongs to another
  /// group; quota; denied (the policy of `ferry policy --recover`). What was made before an error stays:
  /// delete_stand_in(). The four are unsupported where no cloud can start machines by itself.
  virtual Status make_stand_in(const StandInOrder& order);
  /// Nothing if there is none of that name.
  virtual Result<std::optional<StandIn>> stand_in(const std::string& name);
  /// There is to be no machine from then on, instead of at the time said before. not_found where there is none.
  virtual Status end_stand_in_at(const std::string& name, std::int64_t until_ms);
  /// Ends the group's machine, then deletes group and template. Absent is fine. The group may still be seen going
  /// after that, for as long as its machine takes to end.
  virtual Status delete_stand_in(const std::string& name);
  /// Of the region: the one of that id ("vol-…"), or all whose tag Name is `named`. None is an empty answer. Those that
  /// are being deleted are none.
  virtual Result<std::vector<Volume>> volumes(const std::string& named);
  /// Asks for it; when it is there, volumes() tells. Such a volume stays when its machine is terminated. Not to be
  /// repeated before volumes() was asked: conflict where it is attached already, or in the wrong state.
  virtual Status attach_volume(const std::string& volume_id, const std::string& instance_id, const std::string& device);
  /// The address the cloud's side sees us come from, as a /32; what ensure_group should open.
  /// FERRY_CALLER_CIDR overrides it. The rehearsal cloud is asked itself; any other endpoint on this computer
  /// may be a tunnel to the real EC2, and AWS is asked as everywhere.
  virtual Result<std::string> caller_cidr() = 0;
};

/// Where and as whom to call. Filled from AWS's usual environment variables and files, or by the rehearsal
/// cloud.
struct AwsContext {
  std::string region;
  std::string endpoint_url;                    ///< for every service; empty: AWS's own for the region
  std::shared_ptr<aws::Provider> credentials;  ///< shared by every cloud made from this context
  std::map<std::string, std::string>
      service_endpoints;  ///< by service ("ec2", "sts", "ssm"), winning over endpoint_url
  int max_attempts = 3;   ///< of each call; AWS_MAX_ATTEMPTS
  std::string ca_bundle;  ///< certificates to trust; empty: the environment's or the system's
  std::string profile;    ///< that the credentials are of; empty: none (environment, container, given keys)
};
/// Keys that do not change, for an AwsContext.
std::shared_ptr<aws::Provider> fixed_credentials(std::string access_key_id, std::string secret_access_key,
                                                 std::string session_token = {});
/// As whom AWS's own tools would call: AWS_* variables and ~/.aws (aws/sources.h lists the ways), looked for
/// here already, so that a failure shows at once. All contexts of a process share what is found. Fails denied
/// with what to do when there are none, bad_input without a region. `region` (from the task) wins over the
/// environment. An MFA code is asked for on the controlling terminal. The profile is that of FERRY_PROFILE
/// (which
/// `--profile` sets), else `profile`: either wins over AWS_PROFILE and over keys in the environment.
Result<AwsContext> aws_context_from_environment(const std::string& region, const std::string& profile = {});
/// Its region alone: makes no call and needs no credentials.
Result<std::string> aws_region_from_environment(const std::string& region);

/// `http` and `clock` must outlive the cloud.
std::unique_ptr<Cloud> make_ec2_cloud(const AwsContext& context, os::HttpClient& http, os::Clock& clock);

/// A machine of the user's own, reached by ssh as `host` (as their ssh config knows it): one instance that
/// is always running until terminate() gives it back. What rents is unsupported.
std::unique_ptr<Cloud> make_host_cloud(std::string host);

}  // namespace ferry::cloud
