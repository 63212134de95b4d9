/* Our headers for the messages that PJSIP makes, and texts from and for PJSIP. */
#ifndef SIPBRIDGE_MESSAGE_HPP
#define SIPBRIDGE_MESSAGE_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>
#include <utility>
#include <vector>

namespace sipbridge {

/** Header names and values. In Python a dict of str. */
typedef std::vector<std::pair<std::string, std::string>> Headers;

/** True if the text has a control character, which would end or spoil its line. */
bool breaksLine(const std::string &text);

/** A text for PJSIP, valid while the string is. */
pj_str_t borrowed(const std::string &text);

/** A copy of a text of PJSIP's. */
std::string textOf(const pj_str_t &text);

/** Our headers for a message that PJSUA will make; PJSUA copies them. */
class MessageData {
public:
    /** Raises pj::Error where a header would break its line. */
    explicit MessageData(const Headers &headers);
    ~MessageData() { pj_pool_release(pool_); }
    MessageData(const MessageData &) = delete;
    MessageData &operator=(const MessageData &) = delete;

    pjsua_msg_data data;

private:
    pj_pool_t *pool_;
};

}  // namespace sipbridge

#endif
