// Images.
#include "os/clock.h"
#include "rehearsal/actions.h"

namespace ferry::rehearsal {
namespace {

Facts facts_of(const Image& image) {
  Facts facts;
  facts.add("image-id", image.id)
      .add("name", image.name)
      .add("description", image.description)
      .add("architecture", image.arch);
  facts.add("owner-id", image.owner_id)
      .add("owner-alias", image.owner_alias)
      .add("state", "available")
      .add("is-public", true);
  facts.add("image-type", "machine")
      .add("root-device-type", "ebs")
      .add("root-device-name", image.root_device)
      .add("hypervisor", "xen");
  facts.add("virtualization-type", "hvm")
      .add("creation-date", image.created)
      .add("ena-support", true)
      .add("image-allowed", true);
  facts.add("platform-details", "Linux/UNIX")
      .add("block-device-mapping.snapshot-id", image.snapshot_id)
      .add("block-device-mapping.volume-type", "gp3");
  return facts;
}

void write_image(Xml& xml, const Image& image) {
  xml.text("imageId", image.id)
      .text("imageLocation", (image.owner_alias.empty() ? image.owner_id : image.owner_alias) + "/" + image.name);
  xml.text("imageState", "available")
      .text("imageOwnerId", image.owner_id)
      .text("creationDate", image.created)
      .flag("isPublic", true);
  xml.text("architecture", image.arch)
      .text("imageType", "machine")
      .some("imageOwnerAlias", image.owner_alias)
      .text("name", image.name);
  xml.text("description", image.description).text("rootDeviceType", "ebs").text("rootDeviceName", image.root_device);
  const std::array<const Image*, 1> disks = {&image};
  xml.list("blockDeviceMapping", disks, [&](const Image* disk) {
    xml.text("deviceName", disk->root_device).node("ebs", [&] {
      xml.text("snapshotId", disk->snapshot_id).number("volumeSize", disk->gib).flag("deleteOnTermination", true);
      xml.text("volumeType", "gp3").number("iops", 3000).number("throughput", 125).flag("encrypted", false);
    });
  });
  xml.text("virtualizationType", "hvm")
      .text("hypervisor", "xen")
      .flag("enaSupport", true)
      .text("sriovNetSupport", "simple");
  xml.text("platformDetails", "Linux/UNIX")
      .text("usageOperation", "RunInstances")
      .text("bootMode", image.arch == "arm64" ? "uefi" : "uefi-preferred");
  xml.text("imdsSupport", "v2.0").text("deprecationTime", image.deprecated);
}

}  // namespace

Api<Xml> describe_images(Call& call) {
  API_SET(filters, Filters::read(call.params, {"image-id",
                                               "name",
                                               "description",
                                               "architecture",
                                               "owner-id",
                                               "owner-alias",
                                               "state",
                                               "is-public",
                                               "image-type",
                                               "root-device-type",
                                               "root-device-name",
                                               "hypervisor",
                                               "virtualization-type",
                                               "creation-date",
                                               "ena-support",
                                               "image-allowed",
                                               "platform-details",
                                               "block-device-mapping.snapshot-id",
                                               "block-device-mapping.volume-type",
                                               "platform",
                                               "product-code"}));
  const auto wanted = call.params.list("ImageId"), owners = call.params.list("Owner");
  API_TRY(check_ids(wanted, {"ami-", "InvalidAMIID", "image id"},
                    [](const std::string& id) { return find_image(id) != nullptr; }));
  // ISO times sort as texts. AWS shows deprecated images of others only to whoever asks for them.
  const bool with_deprecated = call.params.get("IncludeDeprecated") == "true";
  const auto now = os::iso_time(call.now_ms, true);
  std::vector<std::string> found;
  for (const auto& image : images()) {
    const bool asked = wanted.empty() || std::find(wanted.begin(), wanted.end(), image.id) != wanted.end();
    const bool owned = owners.empty() || std::any_of(owners.begin(), owners.end(), [&](const std::string& owner) {
                         return owner == image.owner_id || (!image.owner_alias.empty() && owner == image.owner_alias);
                       });
    if (asked && owned && (with_deprecated || image.deprecated > now) && filters.match(facts_of(image)))
      found.push_back(image.id);
  }
  std::sort(found.begin(), found.end());
  API_SET(page, page_of(call.params, found, 1));
  Xml xml;
  xml.list("imagesSet", page.keys, [&](const std::string& id) { write_image(xml, *find_image(id)); });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
