#include "sandbox/ids.h"

#include <gtest/gtest.h>

namespace ferry::sandbox {

TEST(Ids, TheRangeOfAnInstanceIsAlwaysTheSameAndOneOfThoseForContainers) {
  const auto first = first_id_for("i-0123456789abcdef0", {});
  EXPECT_EQ(first, first_id_for("i-0123456789abcdef0", {}));
  EXPECT_NE(first, first_id_for("i-0123456789abcdef1", {}));
  EXPECT_EQ(first % ids_of_an_instance, 0U);
  for (int i = 0; i < 1000; ++i) {
    const auto one = first_id_for("i-" + std::to_string(i), {});
    EXPECT_GE(one, 0x0008'0000U);
    EXPECT_LE(one, 0x6fff'0000U);
  }
}

TEST(Ids, ARangeThatSomebodyHasAnIdOfIsNotTaken) {
  const auto wanted = first_id_for("i-1", {});
  for (const IdRange& taken :
       {IdRange{wanted, wanted}, {wanted + 65'535, wanted + 65'535}, {wanted - 10, wanted + 10}, {0, wanted}})
    EXPECT_NE(first_id_for("i-1", {{1, 5}, taken}), wanted);
  EXPECT_EQ(first_id_for("i-1", {{0, wanted - 1}, {wanted + 65'536, UINT32_MAX}}), wanted);
  EXPECT_EQ(first_id_for("i-1", {{0, UINT32_MAX}}), wanted) << "who has them all has none";
}

TEST(Ids, AccountsAndSubordinateIdsAreRead) {
  const auto ids = ids_in("root:x:0:0:root:/root:/bin/bash\n# no\n+::::::\nme:x:1000:1000::/:/bin/sh\n",
                          "me:100000:65536\nyou:165536:0\nbroken:x\n:4294967290:100\n");
  EXPECT_EQ(ids, (std::vector<IdRange>{{0, 0}, {1000, 1000}, {100000, 165535}, {4294967290, UINT32_MAX}}));
}

}  // namespace ferry::sandbox
