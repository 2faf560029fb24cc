// What root inside an instance is, and is not, on the computer.
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include "sandbox/ids.h"
#include "sandbox/machine.h"
#include "sandbox/test_instance.h"

namespace ferry::sandbox {

TEST(Sandbox, IdsInsideAreNobodysOnTheComputer) {
  if (TestInstance::mode() != Mode::root) GTEST_SKIP() << "ids are not translated here";
  TestInstance instance;
  instance.start();
  const auto as_root = [&](const std::string& script) { return instance.run("sudo sh -c " + shell_quoted(script)); };
  const auto first = first_id_for(instance.spec.instance_id);
  EXPECT_EQ(instance.said("read a b c </proc/self/uid_map; echo $a $b $c"), fmt::format("0 {} 65536", first));
  const std::string leave = "setsid -f sleep 4321 </dev/null >/dev/null 2>&1";
  ASSERT_EQ(as_root(leave).exit.code + instance.run(leave).exit.code, 0);
  std::set<std::uint32_t> outside;
  struct stat info;
  // What was left behind becomes "sleep" a moment later.
  const auto end = os::system_clock().steady_ms() + 10'000;
  while (outside.size() < 2 && os::system_clock().steady_ms() < end) {
    for (const pid_t pid : marked_processes(instance.spec.instance_id)) {
      const auto proc = "/proc/" + std::to_string(pid);
      const bool is_ours = os::read_file(proc + "/cmdline").value_or("").starts_with(std::string("sleep\0004321", 10));
      if (is_ours && ::stat(proc.c_str(), &info) == 0) outside.insert({info.st_uid, info.st_gid});
    }
    os::system_clock().sleep(Millis(20));
  }
  EXPECT_EQ(outside, (std::set<std::uint32_t>{first, first + login_uid}));
  // What is the computer's root's is not root's inside, should its mode let it.
  EXPECT_EQ(as_root("find /proc/sys/kernel /proc/sys/vm /sys/block /sys/devices -maxdepth 1 -user 0").out, "");
  EXPECT_EQ(as_root("readlink /proc/1/exe").out, "");
  // Files keep their ids on the disk, so that the next boot may translate others.
  EXPECT_EQ(instance.said("sudo touch /usr/roots mine; touch own; stat -c %u /usr/roots mine own | tr '\n' ' '"),
            "0 0 1000");
  for (const auto& [file, uid] :
       {std::pair{"layers/usr/up/roots", 0U}, {"root/home/ubuntu/mine", 0U}, {"root/home/ubuntu/own", login_uid}}) {
    ASSERT_EQ(::stat((instance.dir / "disk" / file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_uid, uid) << file;
  }
  ASSERT_TRUE(stop(instance.dir, Millis(5000)));
  instance.spec.mode = name(Mode::unmapped);
  instance.start();
  EXPECT_EQ(instance.said("stat -c %u /usr/roots mine own | tr '\n' ' '; sudo id -u"), "0 0 1000 0")
      << "the same disk, without a translation";
}

class WithRoot : public testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Sandbox, WithRoot, testing::Values(Mode::root, Mode::unmapped));

TEST_P(WithRoot, RootInsideIsNotRootOfTheComputer) {
  if (!has_root(TestInstance::mode()) || GetParam() < TestInstance::mode()) GTEST_SKIP() << "no such sandbox here";
  TestInstance instance;
  instance.spec.mode = name(GetParam());
  instance.start();
  // What is written is what stood there, should it be possible after all.
  const auto tries = [&](const std::string& proc) {
    return "f=" + proc + "/sys/kernel/core_pattern; v=$(cat $f); printf %s \"$v\" 2>/dev/null >$f && echo written; ";
  };
  const auto as_root = [&](const std::string& script) { return instance.run("sudo sh -c " + shell_quoted(script)); };
  EXPECT_EQ(as_root(tries("/proc")).out, "");
  EXPECT_EQ(as_root("mkdir -p /mnt/p; mount -t proc proc /mnt/p && " + tries("/mnt/p")).out, "");
  EXPECT_EQ(as_root("umount /proc/sys && echo gone; mount -o remount,rw,bind /proc/sys && echo open").out, "");
  for (const std::string with : {"-m", "-Um", "-Umr", "-Umrpf", "-pf", "-n"})
    EXPECT_EQ(
        as_root("unshare " + with + " sh -c " +
                shell_quoted("mount -t proc proc /proc; mount -t proc proc /mnt; " + tries("/proc") + tries("/mnt")))
            .out,
        "")
        << with;
  EXPECT_EQ(instance.run("unshare -Umrpf sh -c " + shell_quoted(tries("/proc"))).out, "") << "nor without sudo";
  EXPECT_EQ(as_root("printf h >/proc/sysrq-trigger && echo asked").out, "");
  EXPECT_EQ(as_root("head -c 1 /proc/kcore | wc -c; cat /proc/keys").out, "0\n");
  // Its devices are its own.
  EXPECT_EQ(as_root("chmod 600 /dev/full; stat -c %a /dev/full").out, "600\n");
  struct stat full;
  ASSERT_EQ(::stat("/dev/full", &full), 0);
  EXPECT_EQ(full.st_mode & 07777, 0666U);
  EXPECT_EQ(as_root("mknod /tmp/disk b 7 0 && echo made; date -s 2001-01-01 && echo set").out.find("made"),
            std::string::npos);
  const auto held = std::stoull("0" + as_root("grep ^CapEff /proc/self/status | cut -f2").out, nullptr, 16);
  for (const int capability : {CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_PTRACE,
                               CAP_SYS_ADMIN, CAP_SYS_TIME, CAP_MKNOD, CAP_BPF})
    EXPECT_EQ(held >> capability & 1, 0U) << capability;
  EXPECT_EQ(held >> CAP_SETUID & 1, 1U);
  // What a machine needs goes on.
  EXPECT_EQ(
      as_root("install -o ubuntu -g sudo -m 4755 /bin/true /usr/local/bin/t && stat -c '%U %G %a' /usr/local/bin/t; "
              "su ubuntu -c 'id -un'; python3 -c 'import threading as t; x = t.Thread(target=print, args=[1]); "
              "x.start(); x.join()'")
          .out,
      "ubuntu sudo 4755\nubuntu\n1\n");
}

}  // namespace ferry::sandbox
