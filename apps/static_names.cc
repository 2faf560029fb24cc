// For static programs: names of users and hosts are looked up by what is built in, files and DNS. glibc would otherwise
// load the system's own modules (sss, systemd, mdns4 …) as /etc/nsswitch.conf says, and those fit the system's own
// glibc only: with another one the program can crash. Who needs such a module for a name sets HOME and USER, or uses a
// ferry that was linked with the system's libraries.
#include <nss.h>

namespace {

[[gnu::constructor]] void use_what_is_built_in() {
  __nss_configure_lookup("hosts", "files dns");
  __nss_configure_lookup("passwd", "files");
  __nss_configure_lookup("group", "files");
  __nss_configure_lookup("services", "files");
}

}  // namespace
