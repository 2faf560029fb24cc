#include "sandbox/volume.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "os/private_dir.h"
#include "sandbox/folder.h"

namespace ferry::sandbox {
namespace {

struct VolumeFolder : testing::Test {
  os::Path top = std::filesystem::temp_directory_path() / ("ferry-volume." + std::to_string(::getpid()));
  os::Path store = top / "volumes", one = top / "i-1", two = top / "i-2";
  void SetUp() override {
    for (const auto& dir : {store, one, two}) ASSERT_TRUE(os::make_dirs(dir));
  }
  void TearDown() override { std::filesystem::remove_all(top); }
  static os::Path shown(const os::Path& dir) { return Folder{dir}.root() / "srv/rehearsal-volumes/vol-1"; }
};

TEST_F(VolumeFolder, IsWhereItIsAttachedAndNowhereElseAndKeepsWhatItHolds) {
  ASSERT_TRUE(give_volume(one, store, "vol-1"));
  ASSERT_TRUE(os::write_file(shown(one) / "model", "42"));
  EXPECT_TRUE(give_volume(one, store, "vol-1")) << "a second call is calm";
  EXPECT_FALSE(os::exists(store / "vol-1"));
  ASSERT_TRUE(take_volume(one, store, "vol-1"));
  EXPECT_TRUE(take_volume(one, store, "vol-1")) << "a second call is calm";
  EXPECT_FALSE(os::exists(shown(one)));
  ASSERT_TRUE(give_volume(two, store, "vol-1"));
  EXPECT_EQ(os::read_file(shown(two) / "model", 16).value_or(""), "42");
}

TEST_F(VolumeFolder, IsMovedThroughNoLinkThatAnInstanceMade) {
  ASSERT_TRUE(os::make_dirs(Folder{one}.root() / "srv"));
  ASSERT_TRUE(os::make_dirs(top / "elsewhere"));
  std::filesystem::create_directory_symlink(top / "elsewhere", Folder{one}.root() / "srv/rehearsal-volumes");
  EXPECT_FALSE(give_volume(one, store, "vol-1"));
  EXPECT_FALSE(os::exists(top / "elsewhere/vol-1"));
}

}  // namespace
}  // namespace ferry::sandbox
