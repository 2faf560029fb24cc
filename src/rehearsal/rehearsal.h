#pragma once
/// \file
/// The rehearsal cloud as the rest of ferry sees it: start it, point AWS clients at it, stop it. What it
/// speaks is in server.h.

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "os/file.h"

namespace ferry::rehearsal {

struct Info {
  std::string endpoint_url;     ///< http://127.0.0.1:PORT
  std::string s3_endpoint_url;  ///< S3's own port
  std::string region;           ///< us-east-1
  std::string access_key_id, secret_access_key;
  std::int64_t pid = 0;
  std::string sandbox;  ///< root, root-unmapped, user or plain (sandbox.h: Mode)
  std::string why;      ///< why not a stronger one
};

/// Default folder: os::data_dir()/rehearsal.
os::Path default_dir();
/// Starts the server in the background if it does not answer, and returns once it does. Many processes may
/// call it at once: one server results. The port and keys stay the same across restarts (another port is
/// taken if the old one is in use).
Result<Info> ensure_running(const os::Path& dir);
/// not_found if it does not run.
Result<Info> running(const os::Path& dir);
/// Terminates all instances (unless keep_instances), then the server. Does nothing if it does not run.
Status stop(const os::Path& dir, bool keep_instances);
/// Removes the environments and caches that outlive instances. conflict while one of them may be using them.
Status forget_kept(const os::Path& dir);
/// For `ferry rehearsal status`: info plus every instance {id,state,type,address,port,name,age}, faults in
/// force; "kept" {folder, bytes}: environments and caches that outlive instances.
Result<Json> status(const os::Path& dir);
/// The one region it has; needs no server.
std::string region();
/// The variables that lead an AWS client there, S3's to its own port; AWS_SESSION_TOKEN and AWS_PROFILE must not be set
/// beside them.
std::map<std::string, std::string> env_of(const Info& info);
/// The same as `export AWS_ENDPOINT_URL=… …` lines for a POSIX shell.
std::string env_lines(const Info& info);
/// Tells it to misbehave until it ends, or {"kind":"clear"} is sent. With "count":n a fault spends itself
/// after n uses; without, it stays. A dry run uses none up: capacity and how boots go do not concern it, a
/// missing permission and a quota refuse it too. "type", "zone" and "action" take wildcards and stand for all
/// when left out. bad_input names what is not understood.
///   {"kind":"capacity","type":"t3.medium","zone":"us-east-1a","count":2}   RunInstances, StartInstances:
///   InsufficientInstanceCapacity
///   {"kind":"throttle","action":"RunInstances","count":3}                  503 RequestLimitExceeded
///   {"kind":"error","action":"…","code":"InternalError","status":500,"message":"…","count":1}
///   {"kind":"drop","action":"…","count":1}         does the work, then closes the connection without an
///   answer
///   {"kind":"slow-boot","type":"…","ms":5000,"count":1}                    boots take that much longer
///   {"kind":"no-boot","type":"…","count":1}        stays pending for ever
///   {"kind":"small-disk","type":"…","mib":16,"count":1}    a home of that size, in memory (root and user
///   sandboxes only)
///   {"kind":"die","instance":"i-…","after_ms":0}   the machine crashes: terminated, Server.InternalError
///   {"kind":"interrupt","instance":"i-…","after_ms":0}   a spot machine is taken back: its metadata recommends to
///   rebalance now, gives the notice then, and two minutes later (spot_notice_ms) it is terminated,
///   Server.SpotInstanceTermination
///   {"kind":"interruptions","per_hour":120}        so are all spot machines, when they ran for an hour's so manieth
///   part
///   {"kind":"market","seed":7,"step_ms":300000}    spot prices move, as the seed has it, at each step: so does what
///   DescribeSpotPriceHistory says, and a machine whose highest price is below is taken back
///   {"kind":"no-sshd","instance":"i-…","on":"true"}                        its sshd resets connections;
///   "false" ends that
///   {"kind":"quota","bucket":"g","limit":8}        vCPU limit of standard, g, p, inf, trn, dl, or
///   spot-standard, …; "instances" counts
///                                                  instances. VcpuLimitExceeded,
///                                                  MaxSpotInstanceCountExceeded, InstanceLimitExceeded
///                                                  Service Quotas shows the same limit (10000 without it)
///   {"kind":"quota-answer","status":"APPROVED","after_ms":5000}   open requests for a higher limit get that status, so
///   long after they were made: APPROVED raises the limit, DENIED, NOT_APPROVED and CASE_CLOSED do not, CASE_OPENED
///   is still open. Without it they wait (PENDING) until the quota fault's limit is as high
///   {"kind":"permission","action":"ec2:Run*","count":1}   no policy allows it, under DryRun neither:
///   UnauthorizedOperation, AccessDenied or AccessDeniedException. Actions as IAM writes them (ec2:, sts:,
///   iam:, ssm:, servicequotas:, pricing:, ec2-instance-connect:); ec2:CreateTags is also needed for tags on what a
///   call creates, iam:PassRole for an instance profile and for
///   adding a role to one, iam:TagRole and its like for tags on what IAM makes
///   {"kind":"expired-token","count":1}             the session is over: RequestExpired (EC2), ExpiredToken
///   (STS), ExpiredTokenException
///   {"kind":"clock","ms":600000}                   its clock is that far ahead (negative: behind): the Date
///   header, and the check of a request's time. 0 puts it right
///   {"kind":"no-default-vpc"}                      the VPC is no default one: VPCIdNotSpecified for
///                                                  CreateSecurityGroup without VpcId, RunInstances without
///                                                  subnet. VPCs and subnets of one's own work as ever
///   {"kind":"caller","address":"203.0.113.9"}      this computer has moved: what comes from it (from 127.0.0.1)
///                                                  counts as from there, and GET /checkip says so. Security
///                                                  groups let in whom they name and nobody else
///   {"kind":"error-after","action":"PurchaseCapacityBlock","code":"InternalError"}   all is done, and then that is
///   said;
///                                                  also "status", "message", "count"
///   {"kind":"late-reservation","ms":10000}         EC2 shows a new capacity reservation only so long after it was made
///   {"kind":"late-profile","ms":10000}             EC2 does not know a new instance profile, or its new role, for so
///                                                  long: InvalidParameterValue, as for one that does not exist. 0
///                                                  puts it right
///   {"kind":"role-session","seconds":60}           new credentials of machines' roles last that long, not six hours,
///                                                  and are replaced when half of it is over
/// Of S3 (throttle, error, drop, permission and expired-token know its operations, too: "action":"s3:PutObject"):
///   {"kind":"slow-down","action":"…","percent":25}  503 SlowDown for so many of a hundred requests, evenly
///   {"kind":"cut-upload","action":"…","bytes":1000,"count":1}   the connection breaks after so much of the body
///   {"kind":"cut-answer","action":"…","bytes":1000,"count":1}   the connection breaks after so much of an object
///   {"kind":"late-error","code":"InternalError","count":1}      CompleteMultipartUpload and copies do nothing, answer
///   200, and then an Error
///   {"kind":"conflict","action":"…","count":1}      409 ConditionalRequestConflict for a write with a condition
///   {"kind":"latency","action":"…","ms":1000,"count":1}         answers come that much later
///   {"kind":"plain-http"}                          for policies, requests did not come over TLS (aws:SecureTransport
///   is false); without it those over the loopback interface count as secure
///   {"kind":"settings","boot_ms":500,"spot_notice_ms":120000}   no fault: how long boots take from now on, and how
///   long before its end a spot machine is told
Status inject_fault(const os::Path& dir, const Json& fault);

/// The server's main (`ferry rehearsal serve --dir DIR`, as ensure_running starts it): runs until SIGTERM.
/// `port` 0: as before, else any. Environment: FERRY_REHEARSAL_BOOT_MS (500),
/// FERRY_REHEARSAL_SPOT_NOTICE_MS (120000), FERRY_REHEARSAL_KEEP_MS (how
/// long terminated instances stay listed, 3600000), FERRY_PROGRAM (for ensure_running: the program to start
/// instead of this one).
int serve(const os::Path& dir, int port);

}  // namespace ferry::rehearsal
