#pragma once
/// \file
/// One boot of an instance, as the code that makes it sees it.

#include "sandbox/folder.h"

namespace ferry::sandbox {

struct Machine {
  Spec spec;
  Mode mode = Mode::plain;
  Folder folder;            ///< out of sight once the instance has its own root
  os::Path root;            ///< what stands for the instance's / : Folder::root() from outside and in plain mode, "/"
                            ///< from inside
  std::string login_user;   ///< spec.login_user; in plain mode this computer's own account
  std::string address;      ///< of this boot
  std::string imds_url;     ///< plain mode: where its metadata is served; else empty (169.254.169.254)
  bool fresh_disk = false;  ///< nothing was ever written to the disk
  bool is_trial = false;    ///< nobody is let in, so nothing need be hidden
  std::uint32_t first_id = 0;  ///< root mode: what root inside is outside
  os::Fd network{};            ///< root mode, until open_disk(): what make_id_space() made
  os::Fd owner{};              ///< root mode, from then on: the user namespace with these ids

  bool isolated() const { return mode != Mode::plain; }
  bool has_root() const { return sandbox::has_root(mode); }
  /// A path inside ("etc/passwd", no leading slash) as this process reaches it now.
  os::Path at(std::string_view inside) const { return root / inside; }
  os::Path home() const { return at("home/" + spec.login_user); }
  os::Path shims() const { return at("usr/local/sbin"); }
  /// Of sessions and of everything the machine starts by itself.
  std::map<std::string, std::string> environment() const;
};

/// uid and gid of the login user inside (root and user mode).
inline constexpr unsigned login_uid = 1000;

}  // namespace ferry::sandbox
