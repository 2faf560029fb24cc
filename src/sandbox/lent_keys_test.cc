#include "sandbox/lent_keys.h"

#include "sandbox/control.h"
#include "sandbox/test_instance.h"

namespace ferry::sandbox {

TEST(LentKeys, OpenTheAccountForTheirTimeOnly) {
  for (const Mode mode : {Mode::root, Mode::user, Mode::plain}) {
    if (mode < TestInstance::mode() || (mode == Mode::plain && !check_own_account())) continue;
    TestInstance instance, guest, late;
    instance.spec.mode = name(mode);
    instance.start();
    const auto as = [&](const TestInstance& who) {
      auto argv = instance.client();
      argv[4] = (who.dir.parent_path() / "key").string();
      argv.insert(argv.end(), {instance.host(), "echo in"});
      return std::string(trim(os::run_command({.argv = argv})->out));
    };
    EXPECT_EQ(as(guest), "") << name(mode);
    ASSERT_TRUE(lend_key(instance.dir, guest.spec.authorized_keys[0], Millis(3'600'000)));
    EXPECT_EQ(as(guest), "in") << name(mode);
    EXPECT_EQ(as(late), "") << name(mode);
    ASSERT_TRUE(lend_key(instance.dir, late.spec.authorized_keys[0], Millis(3'000)));
    // One connection sees the key go: nothing else has to happen.
    const auto word = split(late.spec.authorized_keys[0], ' ')[1];
    EXPECT_EQ(instance.said("F=/run/ferry/lent-keys; [ -f $F ] || F=$HOME/../../run/ferry/lent-keys; "
                            "for i in $(seq 600); do grep -q " +
                            word + " $F || break; sleep 0.1; done; grep -c ssh- $F"),
              "1")
        << name(mode);
    EXPECT_EQ(as(late), "") << name(mode);
    EXPECT_EQ(as(guest), "in") << name(mode);
    EXPECT_EQ(instance.run("true").exit.code, 0) << "its own key still opens it";
  }
}

TEST(LentKeys, AreReadBackWhileTheyAreGood) {
  const auto text = text_of({{5, "ssh-ed25519 a b"}, {6, "ssh-rsa c"}});
  EXPECT_EQ(lent_keys_from(text, 4).size(), 2U);
  ASSERT_EQ(lent_keys_from(text, 5).size(), 1U);
  EXPECT_EQ(lent_keys_from(text, 5)[0].line, "ssh-rsa c");
  EXPECT_TRUE(lent_keys_from("nothing\n7\nx y\n", 0).empty());
}

}  // namespace ferry::sandbox
