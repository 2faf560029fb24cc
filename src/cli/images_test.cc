// What ferry looks for, the rehearsal cloud has: a wish that could not be rehearsed would be found out only when
// it costs.
#include "cloud/images.h"

#include <fnmatch.h>
#include <gtest/gtest.h>

#include "plan/plan.h"
#include "rehearsal/catalog.h"

namespace ferry::cli::images_test {
namespace {

bool is_there(const cloud::ImageSource& source, const std::string& arch) {
  for (const auto& image : rehearsal::images()) {
    if (image.arch != arch) continue;
    if (image.owner_id != source.owner && image.owner_alias != source.owner) continue;
    if (::fnmatch(source.pattern.c_str(), image.name.c_str(), 0) == 0) return true;
  }
  return false;
}

bool has_parameter(const std::string& name) {
  for (const auto& image : rehearsal::images()) {
    for (const auto& parameter : image.parameters)
      if (parameter == name) return true;
  }
  return false;
}

TEST(Images, EveryOneThatFerryLooksForFirstIsOnTheRehearsalCloud) {
  for (const auto& type : plan::Catalog::builtin().types()) {
    for (const char* framework : {"", "pytorch", "tensorflow"}) {
      const cloud::ImageQuery query{
          .type = type.name, .arch = type.arch, .gpu = type.accelerator_count > 0, .framework = framework};
      const auto first = cloud::image_sources(query).front();
      EXPECT_TRUE(is_there(first, type.arch)) << type.name << " " << framework << ": " << first.pattern;
      EXPECT_TRUE(first.parameter.empty() || has_parameter(first.parameter)) << first.parameter;
    }
  }
}

TEST(Images, EveryOneThatATaskCanNameIsOnTheRehearsalCloud) {
  for (const char* arch : {"x86_64", "arm64"}) {
    for (const char* flavour : {"base", "pytorch", "tensorflow"}) {
      for (const char* system : {"", "ubuntu-24.04", "ubuntu-22.04"}) {
        const cloud::ImageQuery query{.type = std::string_view(arch) == "arm64" ? "g5g.xlarge" : "g5.xlarge",
                                      .arch = arch,
                                      .gpu = true,
                                      .image = {.flavour = flavour, .system = system}};
        const auto first = cloud::image_sources(query).front();
        EXPECT_TRUE(is_there(first, arch)) << arch << " " << flavour << " " << system << ": " << first.pattern;
      }
    }
  }
  for (const bool gpu : {true, false}) {
    const auto first = cloud::image_sources({.type = gpu ? "g5.xlarge" : "m5.large",
                                             .arch = "x86_64",
                                             .gpu = gpu,
                                             .image = {.system = "amazon-linux-2023"}})
                           .front();
    EXPECT_TRUE(is_there(first, "x86_64")) << first.pattern;
    EXPECT_TRUE(has_parameter(first.parameter)) << first.parameter;
  }
}

}  // namespace
}  // namespace ferry::cli::images_test
