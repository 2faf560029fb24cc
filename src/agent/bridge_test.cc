#include "agent/bridge.h"

#include <gtest/gtest.h>

#include "os/fd.h"

namespace ferry::agent {
namespace {

TEST(Bridge, WhatWasSaidBeforeTheOtherWayWasClosedIsDelivered) {
  auto in = os::make_pipe(), out = os::make_pipe(), ends = os::make_socketpair();
  ASSERT_TRUE(in && out && ends);
  ASSERT_TRUE(os::write_all(in->write.get(), "the last word"));
  in->write.reset();
  out->read.reset();
  ASSERT_TRUE(bridge(in->read.get(), out->write.get(), ends->read.get()));
  ends->read.reset();
  EXPECT_EQ(os::read_to_end(ends->write.get(), 100).value_or(""), "the last word");
}

}  // namespace
}  // namespace ferry::agent
