#pragma once
/// \file
/// One rehearsal instance: a sandboxed process tree on this computer with its own home, process space and a
/// real OpenSSH sshd on its own loopback address.
///
/// An instance lives in a folder of its own. While it runs, a host process (`ferry rehearsal-instance DIR`,
/// detached from the server, so that a dead server does not kill it) holds a lock on DIR/lock and parents
/// everything inside; killing it kills all of it. Its disk is DIR/disk and survives a stop.
///
/// What else stands in DIR: spec.json (the boot's order), status.json (how it stands), console.log (what the
/// machine printed since its last boot, host key fingerprints included). If a file DIR/fault-no-sshd exists,
/// every new connection to sshd is reset. DIR/lent-keys holds the keys of lend_key(), DIR/door set_door()'s, DIR/live
/// what tell() told.
///
/// The sandbox keeps rehearsals apart from the computer and from each other. It is no wall against code that
/// means harm (SECURITY.md; wall.h says what root inside may not do).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "os/file.h"
#include "sandbox/way_out.h"

namespace ferry::sandbox {

/// The strongest first.
///   root           own namespaces, overlays of the system folders (apt and deleted files stay inside and survive a
///   stop),
///                  real sudo; its root and all its users are ids of the computer's that nobody has (ids.h)
///   root-unmapped  the same where the kernel or a file system cannot translate ids (before Linux 5.19; a folder on
///   NFS, on
///                  an overlay, or before 6.3 on tmpfs): root inside is the computer's uid 0
///   user           own namespaces inside a user namespace; the system is read-only, the only uid is 1000, sudo just
///   runs
///                  the command
///   plain          processes without namespaces (containers that forbid them): own home, sshd and metadata, but the
///                  computer's files, network and process list. Only the computer's own account can log in: see
///                  Status::login_user.
enum class Mode { root, unmapped, user, plain };
std::string_view name(Mode mode);
std::optional<Mode> mode_named(std::string_view name);
/// What keeps an instance apart from the computer, in one line for people.
std::string_view wall_of(Mode mode);
/// Whether there are a root and other users inside.
inline bool has_root(Mode mode) { return mode == Mode::root || mode == Mode::unmapped; }

/// What this computer allows to instances whose folders are in `place`, found by trying. `why` says why not better.
/// FERRY_SANDBOX=root|root-unmapped|user|plain forces one that is possible. Call with one thread.
struct Probe {
  Mode mode;
  std::string why;
};
Probe probe(const os::Path& place);

/// What a boot needs. Written to DIR/spec.json (0600) before the host process starts.
struct Spec {
  std::string instance_id, hostname, private_ip;
  std::string listen_address;  ///< where sshd is to answer, of 127.0.0.0/8; empty: an address of its own
  bool has_public_ip = true;   ///< false: metadata shows none
  std::string login_user = "ubuntu";
  std::vector<std::string> authorized_keys;  ///< OpenSSH one-line form; written on the first boot
  std::string user_data;                     ///< raw bytes
  Json metadata = Json::object();  ///< IMDS tree, path → text: {"latest/meta-data/instance-id": "i-…", …}. A
                                   ///< path that ends in '/' replaces the listing of that folder.
                                   ///< public-ipv4, public-hostname and local-ipv4 are filled in here
  bool imds_token_required = true;
  std::int64_t boot_ms = 0;   ///< shortest time from boot() (or a reboot) to running
  std::string mode;           ///< name(Mode); empty: what probe() finds
  bool first_boot = true;     ///< false: no user-data scripts, whatever the disk says. The disk remembers by
                              ///< itself that they ran
  std::int64_t disk_mib = 0;  ///< for tests of a full disk: the home is a memory file system of this size,
                              ///< lost at a stop (not plain)
  WayOut way_out;    ///< in plain mode, which shares the computer's network, only its settings and proxies count
  std::string kept;  ///< folder on the computer of what outlives instances (kept.h), below DIR's own file system;
                     ///< empty: nothing does
};
Json to_json(const Spec& spec);
Result<Spec> spec_from(const Json& json);

/// How an instance stands, read from its folder; truthful also after any kill -9.
enum class State { absent, booting, running, stopped };
std::string_view name(State state);

struct Status {
  State state = State::absent;
  std::string address;     ///< IPv4 loopback address of its sshd, while booting (once known) or running
  int port = 0;            ///< 22 where this process may bind it and nobody has, else another
  std::string login_user;  ///< who can log in: Spec::login_user, or in plain mode this computer's own account
  std::int64_t pid = 0;    ///< host process
  std::string ended;       ///< when stopped: "poweroff" (asked from inside), "stopped" (asked by us), "died"
                           ///< (anything else)
  std::string why;         ///< of a "died": the cause, where it is known
};
/// Also ends what a dead host process left behind, if anything.
Status status(const os::Path& dir);

/// Starts the host process and returns once it holds the lock (not yet when sshd answers: see status()). The
/// instance gets a new loopback address, unless Spec::listen_address says which. Fails conflict if it runs
/// already, not_found where the computer has no sshd, unsupported where plain mode finds no account of its
/// own that can log in.
ferry::Status boot(const os::Path& dir, const Spec& spec);
/// Ends every process: SIGTERM inside, SIGKILL after `grace`. Returns when all are gone. Does nothing if it does not
/// run.
ferry::Status stop(const os::Path& dir, Millis grace);
/// stop() with half a second's grace, and removes the folder: no process and no file stays.
ferry::Status destroy(const os::Path& dir);
/// As a crash would: kill -9 of the host process; the disk stays.
ferry::Status crash(const os::Path& dir);

/// Lets who has the key (one line, as in authorized_keys) log in as the login user with connections made from
/// now on, for `limit` and no longer. One caller at a time.
ferry::Status lend_key(const os::Path& dir, const std::string& key, Millis limit);

/// Whose connections reach sshd, as a security group would have it.
struct Door {
  std::vector<std::string> from;  ///< IPv4 ranges, "a.b.c.d/n"
  std::string caller;             ///< what a connection from 127.0.0.1 counts as coming from
};
/// Holds for connections made from now on; the others are accepted and left without a word, so that whoever
/// knocks waits in vain. The machine's own address always passes. Before the first call everybody passes.
ferry::Status set_door(const os::Path& dir, const Door& door);

/// What an instance knows of the cloud around it, and what may change while it runs.
struct Live {
  Json metadata = Json::object();  ///< beside Spec::metadata, in the same form
  /// Where the cloud's S3 and its other services listen, on 127.0.0.1; 0: nowhere. With a network of its own, an
  /// instance reaches each at 127.0.0.1 and every port that was told since it booted, whatever its way out: its host
  /// process listens there and leads to the port that was told last. In plain mode they are reached anyway, as they
  /// are.
  int s3_port = 0, api_port = 0;
};
Json to_json(const Live& live);
Result<Live> live_from(const Json& json);
/// Holds at once where the instance runs, and for each later boot: a file of DIR (0600) that its host process reads.
/// It may be told before the first boot.
ferry::Status tell(const os::Path& dir, const Live& live);

/// The host process's main, reached through the hidden subcommand `ferry rehearsal-instance DIR`: boot() runs
/// this program with these two words. Goes on in the background and returns 0 once the host process is
/// recorded. Call before any thread is started.
int instance_main(const os::Path& dir);

}  // namespace ferry::sandbox
