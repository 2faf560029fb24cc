#include "rehearsal/way_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace ferry::rehearsal {

namespace {

Result<sandbox::WayOut> found(std::map<std::string, std::string> variables, const std::vector<std::string>& files = {},
                              const std::vector<std::string>& reach = {}) {
  return way_out_of(
      [variables](const char* name) {
        const auto at = variables.find(name);
        return at == variables.end() ? std::optional<std::string>() : at->second;
      },
      files, reach);
}

std::string named_by(const sandbox::WayOut& way) {
  std::string out;
  for (const auto& target : way.named) out += target.text() + " ";
  return out;
}

}  // namespace

TEST(PersonsWayOut, PipsFilesAreReadAsPipReadsThemAndVariablesAreStronger) {
  const auto way = found(
      {{"PIP_TRUSTED_HOST", "index.example"}},
      {"[global]\nindex-url = https://old/simple\n",
       "; mine\n[install]\nextra_index_url: http://a:81/simple\n"
       "   https://me:pass@b/simple\n\n[global]\n# no\nindex-url=https://index.example/simple\ntrusted-host = no\n"
       "[list]\nindex-url = https://never/\n"});
  ASSERT_TRUE(way);
  EXPECT_TRUE(way->is_open);
  EXPECT_EQ(way->settings.at("PIP_INDEX_URL"), "https://index.example/simple");
  EXPECT_EQ(way->settings.at("PIP_EXTRA_INDEX_URL"), "http://a:81/simple https://me:pass@b/simple");
  EXPECT_EQ(way->settings.at("PIP_TRUSTED_HOST"), "index.example");
  EXPECT_EQ(named_by(*way), "index.example:443 a:81 b:443 ");
}

TEST(PersonsWayOut, UvsIndexesProxiesAndCertificatesThatShowInsideArePassedOn) {
  const auto way = found({{"UV_INDEX", "ours=https://uv.example:8443/simple"},
                          {"HTTPS_PROXY", "http://up:1"},
                          {"https_proxy", "http://low:1"},
                          {"ALL_PROXY", "http://all:1"},
                          {"NO_PROXY", "x"},
                          {"PIP_CERT", "/etc/ssl/certs/c.crt"},
                          {"SSL_CERT_FILE", "/home/me/c.pem"},
                          {"AWS_SECRET_ACCESS_KEY", "never"}});
  ASSERT_TRUE(way);
  EXPECT_EQ(way->https_proxy, "http://low:1");
  EXPECT_EQ(way->http_proxy, "http://all:1");
  EXPECT_EQ(way->no_proxy, "x");
  EXPECT_EQ(named_by(*way), "uv.example:8443 ");
  EXPECT_EQ(way->settings.size(), 2U);
  EXPECT_EQ(way->settings.at("PIP_CERT"), "/etc/ssl/certs/c.crt");
}

TEST(PersonsWayOut, WhatIsToBeReachedIsAHostAndAPort) {
  EXPECT_EQ(named_by(*found({}, {}, {"LocalHost:8080", "10.0.0.5:80", "localhost:8080"})),
            "localhost:8080 10.0.0.5:80 ");
  for (const char* wrong :
       {"localhost", "http://localhost:80", "localhost:x", "*:80", "10.0.0.0/8:80", "[::1]:80", ""}) {
    const auto refused = found({}, {}, {wrong});
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().kind, Kind::bad_input);
    EXPECT_FALSE(refused.error().advice.empty());
  }
}

TEST(PersonsWayOut, NowhereIsWhereNoRouteNoProxyAndNoIndexLead) {
  const std::string head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n";
  const std::string near = head + "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
  const std::string nowhere6 =
      std::string(32, '0') + " 00 " + std::string(32, '0') + " 00 " + std::string(32, '0') + " ffffffff 1 0 00200200 ";
  const sandbox::WayOut plain{.is_open = true, .named = {}, .settings = {}};
  EXPECT_THAT(why_nowhere(plain, near, nowhere6 + "      lo\n"), testing::HasSubstr("no way to the internet"));
  EXPECT_EQ(why_nowhere(plain, near + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", ""), "");
  EXPECT_EQ(why_nowhere(plain, near, nowhere6 + "    eth0\n"), "");
  EXPECT_EQ(why_nowhere(*found({{"http_proxy", "http://p:1"}}), near, ""), "");
  EXPECT_EQ(why_nowhere(*found({{"PIP_INDEX_URL", "http://localhost:3141/simple"}}), near, ""), "");
}

TEST(PersonsWayOut, ANoteIsPrivateAndOnlyItsOwnWordLeadsToIt) {
  const os::TempDir dir("ways");
  const auto way = *found({{"PIP_INDEX_URL", "https://me:secret@index.example/simple"}});
  const auto word = note_way_out(dir.path() / "r", way);
  ASSERT_TRUE(word) << describe(word.error());
  struct stat info;
  ASSERT_EQ(::stat((ways_out(dir.path() / "r") / (*word + ".json")).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(noted_way_out(dir.path() / "r", *word).settings, way.settings);
  for (const char* other : {"closed", "", "../ways-out/x", "0123456789abcdef"})
    EXPECT_FALSE(noted_way_out(dir.path() / "r", other).is_open) << other;
  EXPECT_EQ(note_way_out(dir.path() / "r", {}).value(), "closed");
}

}  // namespace ferry::rehearsal
