#pragma once
/// \file
/// How instances and what hangs on them appear in answers.

#include "rehearsal/model.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// "ip-172-31-0-10.ec2.internal"
std::string private_dns(const Instance& instance);
/// The inside of one <item> of instancesSet.
void write_instance(Xml& xml, const State& state, const Instance& instance);
/// One reservation as RunInstances and DescribeInstances show it: ids, groups, <instancesSet>.
void write_reservation(Xml& xml, const State& state, const std::vector<const Instance*>& instances);
/// <groupSet>
void write_groups(Xml& xml, const State& state, const Instance& instance);

enum class InterfaceForm { within_instance, alone };
/// The members of a network interface. `alone`, as DescribeNetworkInterfaces has it, names the instance too.
void write_interface(Xml& xml, const State& state, const Instance& instance, InterfaceForm form);
/// <metadataOptions> or <instanceMetadataOptions>
void write_metadata_options(Xml& xml, std::string_view name, const MetadataOptions& options);

}  // namespace ferry::rehearsal
