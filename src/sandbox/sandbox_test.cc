#include "sandbox/sandbox.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "os/env.h"
#include "os/socket.h"
#include "sandbox/control.h"
#include "sandbox/machine.h"
#include "sandbox/test_instance.h"

namespace ferry::sandbox {

namespace {

bool plain() { return TestInstance::mode() == Mode::plain; }
bool root() { return has_root(TestInstance::mode()); }

/// bash alone: not every computer has curl. `ask PATH` prints the answer's body, `status PATH` its code without
/// a token.
constexpr const char* ask_metadata =
    "E=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254:80}; E=${E#http://}\n"
    "http() { exec 9<>/dev/tcp/${E%:*}/${E##*:}\n"
    "  printf '%s /latest/%s HTTP/1.1\\r\\nHost: m\\r\\nConnection: close\\r\\n%b\\r\\n' \"$@\" >&9\n"
    "  cat <&9; exec 9>&-; }\n"
    "body() { sed '1,/^\\r$/d'; }\n"
    "T=$(http PUT api/token 'X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n' | body)\n"
    "ask() { http GET \"$1\" \"X-aws-ec2-metadata-token: $T\\\\r\\\\n\" | body; }\n"
    "status() { http GET \"$1\" '' | head -n 1 | cut -d' ' -f2; }\n";

}  // namespace

TEST(Sandbox, AnInstanceLetsItsUserInAndLooksLikeAMachineOfItsOwn) {
  TestInstance instance;
  instance.start();
  EXPECT_TRUE(instance.now().address.starts_with("127."));
  EXPECT_EQ(instance.said("whoami"), instance.now().login_user);
  EXPECT_EQ(instance.said("cd && pwd"), instance.said("echo $HOME"));
  EXPECT_EQ(instance.said("umask; stat -c %a ~"), "0022\n755");
  if (plain()) return;
  EXPECT_EQ(instance.said("hostname; id -u; echo $HOME; nproc >/dev/null && ls -d /proc/1"),
            "ip-10-0-0-10\n1000\n/home/ubuntu\n/proc/1");
  EXPECT_EQ(instance.said("getent hosts ip-10-0-0-10"), "10.0.0.10       ip-10-0-0-10");
}

TEST(Sandbox, SudoWorksWithoutAPassword) {
  TestInstance instance;
  instance.start();
  EXPECT_EQ(instance.said("sudo -n sh -c 'echo $((6 * 7))'"), "42");
  EXPECT_EQ(instance.said("sudo id -u"), root() ? "0" : instance.said("id -u"));
}

TEST(Sandbox, ATerminalSftpAndForwardingWork) {
  TestInstance instance;
  instance.start();
  auto terminal = instance.client();
  terminal.insert(terminal.end(), {"-tt", instance.host(), "tty"});
  EXPECT_NE(os::run_command({.argv = terminal})->out.find("/dev/pts/"), std::string::npos);

  os::TempDir local("sftp");
  ASSERT_TRUE(os::write_file(local.path() / "from", "some bytes"));
  auto copy = instance.client("scp");
  copy.insert(copy.end(), {(local.path() / "from").string(), instance.host() + ":to"});
  EXPECT_EQ(os::run_command({.argv = copy})->exit.code, 0);
  EXPECT_EQ(instance.said("cat to"), "some bytes");

  auto forward = instance.client();
  const std::string socket = instance.said("echo $HOME/remote.sock");
  forward.insert(forward.end(), {"-oExitOnForwardFailure=yes", "-R", socket + ":" + (local.path() / "none").string(),
                                 instance.host(), "test -S ~/remote.sock && echo there"});
  const auto forwarded = os::run_command({.argv = forward});
  EXPECT_EQ(trim(forwarded->out), "there") << forwarded->err;
}

TEST(Sandbox, TheHostsFilesAreInvisibleAndUntouched) {
  if (plain()) GTEST_SKIP() << "plain mode shares the file system";
  TestInstance instance;
  instance.start();
  EXPECT_EQ(instance.said("ls /home"), "ubuntu");
  EXPECT_EQ(instance.said("ls -A /tmp; ls -A /srv /opt /mnt | grep -v : | tr -d '\\n'"), "");
  EXPECT_EQ(instance.said("test -e " + instance.dir.string() + " || echo hidden"), "hidden");
  EXPECT_EQ(instance.said("sudo cat /etc/shadow 2>/dev/null | grep -vc ':[*]:' || true"), "0");
  EXPECT_EQ(instance.said("sudo sh -c 'ls -A /root; ls /etc/ssh/*key*' 2>&1"),
            "/etc/ssh/ssh_host_ed25519_key\n/etc/ssh/ssh_host_ed25519_key.pub");
  EXPECT_EQ(instance.said("echo mine > /tmp/x && echo mine > /var/tmp/x && cat /tmp/x"), "mine");
  EXPECT_EQ(instance.said("ps -e -o pid= | wc -l | xargs test 15 -gt && echo few"), "few");
  if (!root()) return;
  EXPECT_EQ(instance.said("sudo rm /usr/bin/scp && ! test -e /usr/bin/scp && sudo touch /usr/made && echo done"),
            "done");
  EXPECT_TRUE(os::exists("/usr/bin/scp"));
  EXPECT_FALSE(os::exists("/usr/made"));
}

TEST(Sandbox, PythonRunsWithTheHostsLibraries) {
  TestInstance instance;
  instance.start();
  EXPECT_EQ(instance.said("python3 -c 'import ssl, multiprocessing as m; m.Lock(); print(m.cpu_count() > 0)'"), "True");
}

TEST(Sandbox, MetadataIsServedWithATokenOnly) {
  TestInstance instance;
  instance.start();
  const auto now = instance.now();
  EXPECT_EQ(instance.said(std::string(ask_metadata) + "ask meta-data/instance-id"), instance.spec.instance_id);
  EXPECT_EQ(instance.said(std::string(ask_metadata) + "ask meta-data/public-ipv4; echo; ask meta-data/local-ipv4"),
            now.address + "\n10.0.0.10");
  EXPECT_EQ(instance.said(std::string(ask_metadata) + "status meta-data/"), "401");
  EXPECT_EQ(instance.said(std::string(ask_metadata) + "ask user-data | grep -c 404"), "1");
}

TEST(Sandbox, AUserDataScriptRunsOnTheFirstBootOnly) {
  TestInstance instance;
  instance.spec.user_data = "#!/bin/sh\necho \"runs as $(id -u) in $PWD\"; echo once >> $HOME/ran\n";
  instance.start();
  ASSERT_TRUE(eventually([&] { return instance.console().find("cloud-init: finished") != std::string::npos; }));
  if (root()) {
    EXPECT_NE(instance.console().find("runs as 0 in /"), std::string::npos) << instance.console();
    EXPECT_NE(instance.said("cat /var/log/cloud-init-output.log").find("runs as 0"), std::string::npos);
  }
  ASSERT_TRUE(stop(instance.dir, Millis(2000)));
  instance.start();
  ASSERT_TRUE(eventually([&] { return instance.console().find("cloud-init: finished") != std::string::npos; }));
  EXPECT_EQ(instance.said("sudo sh -c 'cat ~/ran'"), "once");
}

TEST(Sandbox, CloudConfigSetsHostKeyFilesAndCommandsInOrder) {
  os::TempDir keys("keys");
  const std::string key = (keys.path() / "host").string();
  ASSERT_TRUE(os::run_command({.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key}}));
  std::string indented;
  for (const auto& line : split(*os::read_file(key), '\n')) indented += "    " + line + "\n";
  const std::string home = plain() ? "$HOME" : "/home/ubuntu";

  TestInstance instance;
  instance.spec.user_data =
      "#cloud-config\nssh_keys:\n  ed25519_private: |\n" + indented +
      "  ed25519_public: " + *os::read_file(key + ".pub") +
      "hostname: named\n"
      "bootcmd: [\"echo booted >> " +
      home +
      "/order\"]\n"
      "write_files: [{path: /home/ubuntu/note, content: aGk=, encoding: b64, permissions: '0600'}]\n"
      "runcmd:\n  - echo ran >> " +
      home + "/order\n  - [touch, " + (plain() ? std::string("done") : "/home/ubuntu/done") + "]\n";
  instance.start();
  EXPECT_NE(instance.console().find(trim(*os::read_file(key + ".pub"))), std::string::npos) << instance.console();
  ASSERT_TRUE(eventually([&] { return instance.run("test -e done").exit.code == 0; })) << instance.console();
  EXPECT_EQ(instance.said("cat order"), "booted\nran");
  EXPECT_EQ(instance.said("sudo cat note; sudo stat -c %a note"), "hi600");
  if (!plain()) {
    EXPECT_EQ(instance.said("hostname"), "named");
  }
}

TEST(Sandbox, AStopKeepsTheDiskAndAStartChangesTheAddress) {
  TestInstance instance;
  instance.start();
  const auto before = instance.now();
  ASSERT_EQ(instance.said("echo kept > file; (setsid sleep 1000 </dev/null >/dev/null 2>&1 &); echo ok"), "ok");
  ASSERT_TRUE(stop(instance.dir, Millis(5000)));
  EXPECT_EQ(instance.now().state, State::stopped);
  EXPECT_EQ(instance.now().ended, "stopped");
  EXPECT_EQ(instance.processes(), 0U);
  EXPECT_FALSE(os::connect_tcp(before.address, before.port, Millis(500)));
  ASSERT_TRUE(stop(instance.dir, Millis(0))) << "stopping twice is calm";

  instance.start();
  EXPECT_NE(instance.now().address, before.address);
  EXPECT_EQ(instance.said("cat file"), "kept");
}

TEST(Sandbox, DestroyLeavesNoProcessAndNoFile) {
  TestInstance instance;
  instance.start();
  ASSERT_EQ(
      instance.said("(setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &); echo ok"),
      "ok");
  EXPECT_GT(instance.processes(), 0U);
  const auto gone = destroy(instance.dir);
  ASSERT_TRUE(gone) << describe(gone.error());
  EXPECT_EQ(instance.processes(), 0U);
  EXPECT_FALSE(os::exists(instance.dir));
  EXPECT_EQ(instance.now().state, State::absent);
  EXPECT_TRUE(destroy(instance.dir)) << "destroying twice is calm";
}

TEST(Sandbox, APoweroffFromInsideEndsTheInstance) {
  TestInstance instance;
  instance.start();
  if (root()) {
    EXPECT_NE(instance.run("poweroff").exit.code, 0) << "only root may";
  }
  (void)instance.run("sudo shutdown -h now");
  ASSERT_TRUE(eventually([&] { return instance.now().state == State::stopped; })) << instance.console();
  EXPECT_EQ(instance.now().ended, "poweroff");
  EXPECT_TRUE(eventually([&] { return instance.processes() == 0; })) << "the host process ends last";
}

TEST(Sandbox, AScheduledShutdownCanBeCancelled) {
  TestInstance instance;
  instance.start();
  EXPECT_NE(instance.run("sudo shutdown -h +1").err.find("scheduled"), std::string::npos);
  EXPECT_EQ(instance.run("sudo shutdown -c").exit.code, 0);
  EXPECT_EQ(instance.now().state, State::running);
}

TEST(Sandbox, ARebootFromInsideComesBackAtTheSameAddress) {
  TestInstance instance;
  instance.start();
  const auto before = instance.now();
  EXPECT_EQ(instance.said("echo kept > file"), "");
  (void)instance.run("sudo reboot");
  ASSERT_TRUE(eventually([&] {
    const std::string console = instance.console();
    return console.find("BEGIN SSH HOST KEY FINGER") != console.rfind("BEGIN SSH HOST KEY FINGER");
  }));
  ASSERT_TRUE(eventually([&] { return instance.now().state == State::running; }));
  EXPECT_EQ(instance.now().address, before.address);
  EXPECT_EQ(instance.now().pid, before.pid);
  EXPECT_EQ(instance.said("cat file"), "kept");
}

TEST(Sandbox, AKillOfTheHostProcessKillsEverythingInside) {
  TestInstance instance;
  instance.start();
  ASSERT_EQ(instance.said("(setsid sleep 1000 </dev/null >/dev/null 2>&1 &); echo kept > file"), "");
  const auto pid = static_cast<pid_t>(instance.now().pid);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return instance.now().state == State::stopped; }));
  EXPECT_EQ(instance.now().ended, "died");
  EXPECT_EQ(instance.processes(), 0U);
  instance.start();
  EXPECT_EQ(instance.said("cat file"), "kept");
  ASSERT_TRUE(crash(instance.dir));
  EXPECT_EQ(instance.now().ended, "died");
  EXPECT_EQ(instance.processes(), 0U);
}

TEST(Sandbox, ASecondBootOfARunningInstanceIsAConflict) {
  TestInstance instance;
  instance.start();
  const auto again = boot(instance.dir, instance.spec);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, Kind::conflict);
}

TEST(Sandbox, ASlowBootIsBootingAndRefusesUntilItsTime) {
  TestInstance instance;
  instance.spec.boot_ms = 600;
  const auto began = os::system_clock().steady_ms();
  ASSERT_TRUE(boot(instance.dir, instance.spec));
  ASSERT_TRUE(eventually([&] { return instance.now().port != 0; }));
  const auto now = instance.now();
  EXPECT_EQ(now.state, State::booting);
  EXPECT_FALSE(os::connect_tcp(now.address, now.port, Millis(200)));
  ASSERT_TRUE(eventually([&] { return instance.now().state == State::running; }));
  EXPECT_GE(os::system_clock().steady_ms() - began, 600);
  EXPECT_TRUE(os::connect_tcp(now.address, now.port, Millis(1000)));
}

TEST(Sandbox, ADeadSshdResetsConnections) {
  TestInstance instance;
  instance.start();
  ASSERT_TRUE(os::write_file(instance.dir / "fault-no-sshd", ""));
  EXPECT_EQ(instance.run("true").exit.code, 255);
  ASSERT_TRUE(os::remove_all(instance.dir / "fault-no-sshd"));
  EXPECT_EQ(instance.run("true").exit.code, 0);
}

TEST(Sandbox, ADoorThatIsClosedToSomebodySaysNothing) {
  TestInstance instance;
  instance.start();
  ASSERT_TRUE(set_door(instance.dir, {{"203.0.113.7/32"}, "203.0.113.8"}));
  const auto now = instance.now();
  auto waiting = os::connect_tcp(now.address, now.port, Millis(1000));
  ASSERT_TRUE(waiting);
  EXPECT_FALSE(os::wait_readable(waiting->get(), Millis(300))) << "no greeting, no refusal";
  ASSERT_TRUE(set_door(instance.dir, {{"203.0.113.8/32"}, "203.0.113.8"}));
  EXPECT_EQ(instance.said("echo in"), "in");
}

TEST(Sandbox, ASmallDiskFillsUp) {
  if (plain()) GTEST_SKIP() << "plain mode has no disk of its own";
  TestInstance instance;
  instance.spec.disk_mib = 2;
  instance.start();
  EXPECT_NE(instance.run("head -c 4M /dev/zero > big").err.find("No space left"), std::string::npos);
}

TEST(Sandbox, AnAddressThatIsToldIsTakenAndSharedByPort) {
  TestInstance one, two;
  for (TestInstance* instance : {&one, &two}) {
    instance->spec.private_ip = instance->spec.listen_address = "127.80.7.10";
    instance->spec.has_public_ip = false;
    ASSERT_TRUE(boot(instance->dir, instance->spec));
  }
  for (TestInstance* instance : {&one, &two}) {
    ASSERT_TRUE(eventually([&] { return instance->now().state == State::running; })) << instance->console();
    EXPECT_EQ(instance->now().address, "127.80.7.10");
    EXPECT_EQ(instance->said("echo $FERRY_INSTANCE"), instance->spec.instance_id);
    EXPECT_EQ(
        instance->said(std::string(ask_metadata) + "ask meta-data/local-ipv4; ask meta-data/public-ipv4 | grep -c 404"),
        "127.80.7.101");
  }
  EXPECT_NE(one.now().port, two.now().port);
}

TEST(Sandbox, AnotherKeyIsRefused) {
  TestInstance instance, other;
  instance.start();
  instance.spec.authorized_keys.clear();
  auto argv = instance.client();
  argv[4] = (other.dir.parent_path() / "key").string();
  argv.insert(argv.end(), {instance.host(), "true"});
  EXPECT_EQ(os::run_command({.argv = argv})->exit.code, 255);
}

TEST(Sandbox, TenInstancesRunAtOnce) {
  std::vector<std::unique_ptr<TestInstance>> instances;
  for (int i = 0; i < 10; ++i) {
    instances.push_back(std::make_unique<TestInstance>());
    ASSERT_TRUE(boot(instances.back()->dir, instances.back()->spec));
  }
  std::set<std::string> addresses;
  for (const auto& instance : instances) {
    ASSERT_TRUE(eventually([&] { return instance->now().state == State::running; })) << instance->console();
    addresses.insert(instance->now().address);
    EXPECT_EQ(instance->said("echo $FERRY_INSTANCE"), instance->spec.instance_id);
  }
  EXPECT_EQ(addresses.size(), 10U);
}

TEST(Sandbox, EverySandboxPossibleHereServesAWholeLife) {
  for (const Mode mode : {Mode::root, Mode::unmapped, Mode::user, Mode::plain}) {
    if (mode < TestInstance::mode() || (mode == Mode::plain && !check_own_account())) continue;
    TestInstance instance;
    instance.spec.mode = name(mode);
    instance.start();
    EXPECT_EQ(instance.said("echo $FERRY_INSTANCE; sudo whoami"),
              instance.spec.instance_id + "\n" + (has_root(mode) ? "root" : instance.now().login_user))
        << name(mode);
    (void)instance.run("sudo poweroff");
    EXPECT_TRUE(eventually([&] { return instance.now().state == State::stopped; })) << instance.console();
    EXPECT_EQ(instance.now().ended, "poweroff") << name(mode);
    EXPECT_TRUE(destroy(instance.dir));
    EXPECT_EQ(instance.processes(), 0U) << name(mode);
  }
}

TEST(Sandbox, AFolderWithAnOddNameIsFine) {
  TestInstance instance("odd, name: \\ here");
  instance.start();
  EXPECT_EQ(instance.said("echo in"), "in");
}

TEST(Sandbox, WhatIsMountedInItsFolderIsLetGoOfAndNothingInItIsRemoved) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root mounts";
  os::TempDir temp;
  const auto precious = temp.path() / "precious", dir = temp.path() / "i 1", at = dir / "disk/a place";
  ASSERT_TRUE(os::make_dirs(precious));
  ASSERT_TRUE(os::write_file(precious / "model", "m"));
  ASSERT_TRUE(os::make_dirs(at));
  if (::mount(precious.c_str(), at.c_str(), nullptr, MS_BIND, nullptr) < 0) GTEST_SKIP() << "nothing can be mounted";
  ASSERT_TRUE(os::exists(at / "model"));
  EXPECT_TRUE(destroy(dir));
  EXPECT_FALSE(os::exists(dir));
  EXPECT_EQ(os::read_file(precious / "model").value_or("(gone)"), "m");
}

TEST(Sandbox, ASpecSurvivesItsFile) {
  Spec spec;
  spec.instance_id = "i-1";
  spec.user_data = std::string("\0\xff#!", 4);
  spec.authorized_keys = {"ssh-ed25519 AAAA me"};
  spec.boot_ms = 7;
  const auto back = spec_from(to_json(spec));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->user_data, spec.user_data);
  EXPECT_EQ(back->authorized_keys, spec.authorized_keys);
  EXPECT_EQ(back->boot_ms, 7);
  EXPECT_FALSE(spec_from(Json::object()));
}

}  // namespace ferry::sandbox

/// The host process of an instance is this program too.
int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "rehearsal-instance") return ferry::sandbox::instance_main(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
