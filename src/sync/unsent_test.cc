// What goes to a rented machine and what does not, and what is said of it.
#include <random>

#include "sync/secrets.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

constexpr const char* pem =
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAtestonlytestonlytestonlytestonlytestonly"
    "testonlytestonlytestonlytestonly\n-----END RSA PRIVATE KEY-----\n";

std::vector<std::string> files_of(const Tree& tree) {
  std::vector<std::string> files;
  for (const Entry& entry : tree.entries) {
    if (entry.type != Type::folder) files.push_back(entry.path);
  }
  return files;
}

std::vector<std::string> unsent_of(const Tree& tree, Unsent::Why why) {
  std::vector<std::string> lines;
  for (const Unsent& one : tree.unsent) {
    if (one.why == why) lines.push_back(one.path + (one.is_folder ? "/" : "") + " " + one.by + " " + one.rule);
  }
  return lines;
}

using Lines = std::vector<std::string>;

TEST(Sent, WhatARuleLeavesOutIsNamedWithTheFileAndTheLine) {
  const os::TempDir temp;
  write(temp.path() / ".gitignore", "data/\n*.csv  \n");
  write(temp.path() / "data/a", "x");
  write(temp.path() / "b.csv", "x");
  write(temp.path() / "sub/.ferryignore", "c\n");
  write(temp.path() / "sub/c", "x");
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(unsent_of(*tree, Unsent::Why::rule),
            (Lines{"b.csv .gitignore *.csv", "data/ .gitignore data/", "sub/c sub/.ferryignore c"}));
}

TEST(Sent, KeysAndPasswordsStayAtHomeWhateverTheyAreCalled) {
  const os::TempDir temp;
  write(temp.path() / "train.py", "print(1)\n");
  write(temp.path() / "my-key.pem", pem);
  write(temp.path() / "deep/er/id", std::string("comment\n") + pem);
  write(temp.path() / "gcp.json", std::string("{\n \"type\": \"service_account\",\n \"private_key\": \"") +
                                      "-----BEGIN PRIVATE KEY-----\\nMIIEvg" + std::string(80, 'x') + "\"}");
  write(temp.path() / "putty.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\n" + std::string(100, 'x'));
  for (const char* path : {".ssh/known_hosts", ".aws/credentials", ".gnupg/x", "sub/.kube/config", ".netrc"})
    write(temp.path() / path, "x");
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree), Lines{"train.py"});
  EXPECT_EQ(unsent_of(*tree, Unsent::Why::secret),
            (Lines{".aws/ AWS credentials ", ".gnupg/ GnuPG keys ", ".netrc passwords ", ".ssh/ ssh keys ",
                   "gcp.json a service account's key ", "my-key.pem a private key ", "putty.ppk a PuTTY key ",
                   "deep/er/id a private key ", "sub/.kube/ Kubernetes credentials "}));
}

TEST(Sent, APublicKeyACertificateAndCodeThatSpeaksOfKeysGo) {
  const os::TempDir temp;
  write(temp.path() / "ca.pem", "-----BEGIN CERTIFICATE-----\n" + std::string(200, 'x'));
  write(temp.path() / "id.pub", "ssh-ed25519 AAAA" + std::string(100, 'x') + " me\n");
  write(temp.path() / "keys.py", std::string("KEY = '''\n") + pem + "'''\n");
  write(temp.path() / "notes", "a key begins with \"-----BEGIN PRIVATE KEY-----\"" + std::string(100, '.'));
  write(temp.path() / "page.json", "{\"a\": \"-----BEGIN PRIVATE KEY-----\"}" + std::string(100, ' '));
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree).size(), 5U);
  EXPECT_TRUE(tree->unsent.empty());
}

TEST(Sent, WhoInsistsInFerryignoreSendsAKeyAndGitsFilesCannotInsist) {
  const os::TempDir temp;
  write(temp.path() / "a.pem", pem);
  write(temp.path() / "b.pem", pem);
  write(temp.path() / ".ssh/id", pem);
  write(temp.path() / ".aws/credentials", "x");
  write(temp.path() / ".gitignore", "!b.pem\n!.aws/\n");
  write(temp.path() / ".ferryignore", "!/a.pem\n!.ssh/\n");
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree), (Lines{".ferryignore", ".gitignore", ".ssh/id", "a.pem"}));
}

Listing folder_of(const std::vector<std::string>& files) {
  Listing all;
  for (const auto& name : files) {
    all.items.push_back({.begin = all.names.size(), .length = static_cast<std::uint32_t>(name.size())});
    all.names += name;
  }
  return all;
}

TEST(Sent, OnlySmallFilesThatCanBeKeysAreOpenedAndFewAmongMany) {
  const KeySearch few(folder_of({"a", "b"}));
  for (const char* name : {"id_rsa", "server.key", ".hidden", "note.txt", "x"})
    EXPECT_TRUE(few.opens(name, 400, 0644)) << name;
  for (const char* name : {"x.py", "x.JPG", "x.csv", "x.c", "x.yml", "x.bmp", "x.npy", "x.wav"})
    EXPECT_FALSE(few.opens(name, 400, 0644)) << name;
  EXPECT_FALSE(few.opens("id_rsa", 99, 0644));
  EXPECT_FALSE(few.opens("id_rsa", 1 << 20, 0644));
  std::vector<std::string> table;
  for (int i = 0; i < 100; ++i) table.push_back(std::to_string(i) + ".txt");
  const KeySearch many(folder_of(table));
  EXPECT_FALSE(many.opens("7.txt", 400, 0644));
  EXPECT_TRUE(many.opens("7.txt", 400, 0600));
  EXPECT_TRUE(many.opens("my-key.txt", 400, 0644));
  for (std::string& name : table) name += ".py";
  EXPECT_TRUE(KeySearch(folder_of(table)).opens("7.txt", 400, 0644));
}

TEST(Sent, ALinkOutOfTheTreeIsNamedAndOnRequestGoesAsWhatItLeadsTo) {
  const os::TempDir temp;
  const os::Path work = temp.path() / "work", disk = temp.path() / "disk";
  write(work / "train.py", "x");
  write(work / "raw/one", "1");
  write(disk / "data/two", "22");
  write(disk / "data/sub/three", "333");
  write(disk / "file", "4444");
  write(disk / "id_rsa", pem);
  const auto link = [&](const os::Path& to, const os::Path& at) { std::filesystem::create_symlink(to, at); };
  link(disk / "data", work / "data");
  link("../disk/file", work / "file");
  link(work / "raw", work / "inside");          // by its full path
  link(disk / "file", disk / "data/sub/more");  // behind another one
  link(disk, disk / "data/circle");
  link(work, disk / "data/back");
  link("/etc/hostname", work / "system");
  link("nowhere/at/all", work / "dangling");
  link(disk / "id_rsa", work / "harmless");
  auto tree = scan(work, {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree),
            (Lines{"dangling", "data", "file", "harmless", "inside", "raw/one", "system", "train.py"}));
  EXPECT_EQ(unsent_of(*tree, Unsent::Why::link), (Lines{"data/ " + (disk / "data").string() + " ", "file ../disk/file ",
                                                        "harmless " + (disk / "id_rsa").string() + " "}));
  for (const Entry& entry : tree->entries) {
    if (entry.path != "inside") continue;
    EXPECT_EQ(entry.target, "raw");
  }

  tree = scan(work, {.ignore_rules = true, .follow = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree), (Lines{"dangling", "data/back", "data/circle", "data/sub/more", "data/sub/three",
                                    "data/two", "file", "inside", "raw/one", "system", "train.py"}));
}

TEST(Sent, SocketsPipesAndDevicesAreOneLine) {
  const os::TempDir temp;
  write(temp.path() / "a", "");
  for (int i = 0; i < 20; ++i) ASSERT_EQ(::mkfifo((temp.path() / ("pipe" + std::to_string(10 + i))).c_str(), 0600), 0);
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(tree->skipped, Lines{"skipped 20 sockets, pipes and devices: pipe10, pipe11, pipe12, pipe13, pipe14, …"});
}

TEST(Sent, ARepositoryInTheTreeGoesByItsOwnRulesAndIndex) {
  const os::TempDir temp;
  const auto shell = [&](const std::string& command) {
    return std::system(("cd " + shell_quoted(temp.path().string()) + " && " + command).c_str());
  };
  write(temp.path() / ".gitignore", "*.csv\n/weights/\n");
  write(temp.path() / ".ferryignore", "huge\n");
  write(temp.path() / "weights/kept", "tracked");
  write(temp.path() / "weights/not", "");
  write(temp.path() / "huge", "tracked, and ferry's own file leaves it out");
  write(temp.path() / "lib/a.csv", "the outer rules do not apply here");
  write(temp.path() / "lib/.gitignore", "*.o\n");
  write(temp.path() / "lib/b.o", "tracked there");
  write(temp.path() / "lib/c.o", "");
  write(temp.path() / "lib/huge", "");
  ASSERT_EQ(shell("git init -q . && git add -f weights/kept huge && git init -q lib && cd lib && git add -f b.o"), 0);
  const auto tree = scan(temp.path(), {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree),
            (Lines{".ferryignore", ".gitignore", "lib/.gitignore", "lib/a.csv", "lib/b.o", "weights/kept"}));
}

TEST(Sent, AFolderThatItsRepositoryLeavesOutIsSentAllTheSameWhenItIsTheWorkdir) {
  const os::TempDir temp;
  write(temp.path() / ".gitignore", "exp/\n*.csv\n");
  write(temp.path() / "exp/one/train.py", "");
  write(temp.path() / "exp/one/data.csv", "");
  write(temp.path() / "exp/one/x.o", "");
  write(temp.path() / "exp/one/.gitignore", "*.o\n");
  ASSERT_EQ(std::system(("git init -q " + shell_quoted(temp.path().string())).c_str()), 0);
  const auto tree = scan(temp.path() / "exp/one", {.ignore_rules = true});
  ASSERT_OK(tree);
  EXPECT_EQ(files_of(*tree), (Lines{".gitignore", "data.csv", "train.py"}));
}

}  // namespace
}  // namespace ferry::sync
