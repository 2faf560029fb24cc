#pragma once
/// \file
/// Tags: reading them from requests, writing them into answers, and what may carry them.

#include <string>
#include <string_view>

#include "rehearsal/model.h"
#include "rehearsal/query.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// "instance" for "i-…", "key-pair" for "key-…", "" if such a resource does not exist.
std::string_view resource_type(const State& state, const std::string& id);
/// The tags of PREFIX.Tag.N; AWS's complaints about keys that are empty, doubled, too long or reserved.
Api<Tags> read_tags(const Params& params, const std::string& prefix);
/// TagSpecification.N for resource types out of `allowed`, by resource type. `list`: as the request calls it.
Api<std::map<std::string, Tags>> read_tag_specifications(const Params& params,
                                                         std::initializer_list<std::string_view> allowed,
                                                         const std::string& list = "TagSpecification");
/// <tagSet>
void write_tags(Xml& xml, const State& state, const std::string& id);
/// The tags of a resource; none if it has none.
const Tags& tags_of(const State& state, const std::string& id);
/// Stores tags for a new resource, unless there are none.
void set_tags(State& state, const std::string& id, const Tags& tags);

}  // namespace ferry::rehearsal
