/*
 * Messages of which PJSIP's parser cannot read a part. It drops them whole; here they are written again, for a second try:
 * without what a message can do without (RFC 3261, 8.2.2), and of requests that cannot, what a response needs. Text only.
 */
#ifndef SIPBRIDGE_UNREADABLE_HPP
#define SIPBRIDGE_UNREADABLE_HPP

#include "framing.hpp"

#include <string>
#include <vector>

namespace sipbridge {

/** The most values of one list header that PJSIP reads. */
const size_t MAX_LIST_VALUES = 32;

/**
 * The message (`bytes`) for the next try; `places` are where the headers begin that could not be read, 0 is the start line.
 * FrameRefused is a request that must be rejected: its text has stand-ins for what a response copies and PJSIP cannot
 * read. FrameNone: no response is possible, or nothing is left to change.
 */
Frame withoutUnreadable(const std::string &bytes, const std::vector<int> &places);

}  // namespace sipbridge

#endif
