#include "message.hpp"

#define THIS_FILE "message.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
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

MessageData::MessageData(const Headers &headers) : pool_(pjsua_pool_create("headers", 512, 512)) {
    pjsua_msg_data_init(&data);
    for (const auto &header : headers) {
        if (header.first.empty() || breaksLine(header.first) || breaksLine(header.second)) {
            pj_pool_release(pool_);
            PJSUA2_RAISE_ERROR3(PJ_EINVAL, "header", "a header would break its line");
        }
        const pj_str_t name = borrowed(header.first), value = borrowed(header.second);
        pj_list_push_back(&data.hdr_list, pjsip_generic_string_hdr_create(pool_, &name, &value));
    }
}

}  // namespace sipbridge
