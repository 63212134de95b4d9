/*
 * Messages that PJSIP's parser cannot read in part. PJSIP drops such a message as a whole. Here it is rewritten for
 * another attempt: without unreadable headers that it does not need (RFC 3261, 8.2.2), or, for a request that needs one
 * of them, as the part that a response needs. Text only.
 */
#ifndef SIPBRIDGE_UNREADABLE_HPP
#define SIPBRIDGE_UNREADABLE_HPP

#include "framing.hpp"

#include <string>
#include <vector>

namespace sipbridge {

/** The largest number of values in a list header that PJSIP reads. */
const size_t MAX_LIST_VALUES = 32;

/**
 * Return the message for the next attempt. `places` are the positions of the unreadable headers; 0 is the start line.
 * FrameRefused is a request that must be rejected: its text has placeholders for unreadable headers that a response
 * copies. FrameNone means that no response is possible, or that there is nothing to change.
 */
Frame withoutUnreadable(const std::string &bytes, const std::vector<int> &places);

}  // namespace sipbridge

#endif
