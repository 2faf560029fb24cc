#include "ssh/keys.h"

#include "base/hash.h"
#include "base/text.h"
#include "os/process.h"

namespace ferry::ssh {

Result<Key> make_key(const os::Path& folder, const std::string& comment) {
  const os::Path file = folder / (".key-" + random_name(8)), public_file = file.string() + ".pub";
  os::SpawnOptions keygen;
  keygen.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file.string()};
  const auto done = os::run_command(keygen);
  auto private_text = os::read_file(file), public_line = os::read_file(public_file);
  (void)os::remove_all(file);
  (void)os::remove_all(public_file);
  if (!done) return fail("make an ssh key", done.error());
  if (done->exit.code != 0) return fail(Kind::io, "ssh-keygen could not make a key", printable(trim(done->err)));
  if (!private_text) return tl::unexpected<Error>(std::move(private_text).error());
  if (!public_line) return tl::unexpected<Error>(std::move(public_line).error());
  return Key{std::move(*private_text), std::string(trim(*public_line))};
}

Result<Key> ensure_key(const os::Path& file, const std::string& comment) {
  const os::Path public_file = file.string() + ".pub";
  if (os::exists(file) && os::exists(public_file)) {
    TRY_SET(private_text, "", os::read_file(file));
    TRY_SET(public_line, "", os::read_file(public_file));
    return Key{std::move(private_text), std::string(trim(public_line))};
  }
  TRY("", os::make_dirs(file.parent_path(), 0700));
  TRY_SET(key, "", make_key(file.parent_path(), comment));
  TRY("", os::write_file(file, key.private_text, 0600));
  TRY("", os::write_file(public_file, key.public_line + "\n", 0644));
  return key;
}

Result<std::string> public_half(const os::Path& file) {
  if (!os::exists(file))
    return fail(Kind::not_found, "there is no private key " + file.string(), {}, "give its file with --key-file");
  os::SpawnOptions keygen;
  keygen.argv = {"ssh-keygen", "-y", "-P", "", "-f", file.string()};
  TRY_SET(done, "read the key " + file.string(), os::run_command(keygen, {}, Millis(10'000)));
  if (done.exit.code == 0) return std::string(trim(done.out));
  if (done.err.find("UNPROTECTED") != std::string::npos || done.err.find("too open") != std::string::npos)
    return fail(Kind::denied, "others may read the private key " + file.string(), "ssh uses no such key",
                "chmod 600 " + shell_quoted(file.string()));
  if (const auto beside = os::read_file(file.string() + ".pub", 64 * 1024)) return std::string(trim(*beside));
  return fail(Kind::bad_input, "no ssh key can be read from " + file.string(), printable(trim(done.err)),
              "a key with a passphrase needs " + file.string() + ".pub beside it");
}

bool same_key(std::string_view one, std::string_view other) {
  const auto a = split(trim(one), ' '), b = split(trim(other), ' ');
  return a.size() >= 2 && b.size() >= 2 && a[0] == b[0] && a[1] == b[1];
}

std::string known_hosts_line(const std::string& alias, const std::string& public_line) {
  const auto words = split(public_line, ' ');
  return alias + " " + words[0] + " " + (words.size() > 1 ? words[1] : "") + "\n";
}

}  // namespace ferry::ssh
