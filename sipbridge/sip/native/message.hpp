/* Our headers in the messages that PJSIP makes, and strings from and for PJSIP. */
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

/** True if the text has a control character, such as a line break, which is invalid in a header. */
bool breaksLine(const std::string &text);

/** A string of PJSIP's that shares the bytes of `text` and is valid as long as those. */
pj_str_t borrowed(const std::string &text);

/** A copy of a string of PJSIP's. */
std::string textOf(const pj_str_t &text);

/** Append a header to a list, in memory of `pool`. */
void appendHeader(pjsip_hdr *list, pj_pool_t *pool, const std::string &name, const std::string &value);

/** Append a Warning of ours (RFC 3261, 20.43). */
void appendWarning(pjsip_hdr *list, pj_pool_t *pool, const std::string &text);

/** Our headers for a message that PJSUA will make; PJSUA copies them. */
class MessageData {
public:
    /** Copy the headers; raise pj::Error if one contains a control character. */
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
