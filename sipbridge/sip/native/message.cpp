#include "message.hpp"

#define THIS_FILE "message.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

bool breaksLine(const std::string &text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return true;
    return false;
}

pj_str_t borrowed(const std::string &text) {
    pj_str_t borrowed;
    borrowed.ptr = const_cast<char *>(text.data());
    borrowed.slen = static_cast<pj_ssize_t>(text.size());
    return borrowed;
}

std::string textOf(const pj_str_t &text) { return std::string(text.ptr, static_cast<size_t>(text.slen)); }

void appendHeader(pjsip_hdr *list, pj_pool_t *pool, const std::string &name, const std::string &value) {
    const pj_str_t headerName = borrowed(name), headerValue = borrowed(value);
    pj_list_push_back(list, pjsip_generic_string_hdr_create(pool, &headerName, &headerValue));
}

void appendWarning(pjsip_hdr *list, pj_pool_t *pool, const std::string &text) {
    appendHeader(list, pool, "Warning", "399 sipbridge \"" + text + "\"");
}

MessageData::MessageData(const Headers &headers) : pool_(pjsua_pool_create("headers", 512, 512)) {
    pjsua_msg_data_init(&data);
    for (const auto &header : headers) {
        if (header.first.empty() || breaksLine(header.first) || breaksLine(header.second)) {
            pj_pool_release(pool_);
            PJSUA2_RAISE_ERROR3(PJ_EINVAL, "header", "a header contains a control character or has no name");
        }
        appendHeader(&data.hdr_list, pool_, header.first, header.second);
    }
}

}  // namespace sipbridge
