#include "responses.hpp"
#include "message.hpp"
#include "modules.hpp"

#include <cstring>
#include <string>

namespace sipbridge {

namespace {

// ---------------------------------------------------------------- methods and extensions

// The only list of what we serve. A REFER on the trunk is a served method, and gets 403.
const char *const METHODS[] = {"INVITE", "ACK",    "CANCEL", "BYE",    "OPTIONS",
                               "INFO",   "UPDATE", "PRACK",  "NOTIFY", "REFER"};
const char *const EXTENSIONS[] = {"100rel", "timer", "norefersub"};
const char *const BODIES[] = {
    "application/sdp",  "multipart/mixed",       "multipart/alternative",      "application/dtmf-relay",
    "application/dtmf", "audio/telephone-event", "message/sipfrag;version=2.0"};
const char *const EVENTS[] = {"refer"};

template <size_t COUNT> void state(const pjsip_hdr *header, const char *const (&values)[COUNT]) {
    static_assert(COUNT <= PJSIP_GENERIC_ARRAY_MAX_COUNT, "PJSIP's header has no space for more");
    if (!header)
        return;
    auto *list = reinterpret_cast<pjsip_generic_array_hdr *>(const_cast<pjsip_hdr *>(header));
    list->count = COUNT;
    for (size_t at = 0; at < COUNT; ++at)
        list->values[at] = pj_str(const_cast<char *>(values[at]));
}

const pjsip_hdr *capability(int type) { return pjsip_endpt_get_capability(pjsua_get_pjsip_endpt(), type, NULL); }

template <size_t COUNT> bool holds(const char *const (&values)[COUNT], const pj_str_t &value, bool anyCase) {
    for (const char *each : values)
        if (anyCase ? pj_stricmp2(&value, each) == 0 : pj_strcmp2(&value, each) == 0)
            return true;
    return false;
}

void carry(pjsip_tx_data *response, const pjsip_hdr *header) {
    if (header && !pjsip_msg_find_hdr_by_name(response->msg, &header->name, NULL))
        pjsip_msg_add_hdr(response->msg, static_cast<pjsip_hdr *>(pjsip_hdr_clone(response->pool, header)));
}

/** Add the headers that a response must or may have about us (RFC 3261, 20.1, 20.5, 20.37; RFC 6665, 8.3.2). */
pj_status_t onTxResponse(pjsip_tx_data *response) {
    if (pjsip_tx_data_is_valid(response))
        return PJ_SUCCESS;  // a retransmission, which is printed already
    const int code = response->msg->line.status.code;
    const auto *sequence = static_cast<pjsip_cseq_hdr *>(pjsip_msg_find_hdr(response->msg, PJSIP_H_CSEQ, NULL));
    const bool options = code == PJSIP_SC_OK && sequence && sequence->method.id == PJSIP_OPTIONS_METHOD;
    if (options || code == PJSIP_SC_METHOD_NOT_ALLOWED || code == PJSIP_SC_NOT_IMPLEMENTED)
        carry(response, capability(PJSIP_H_ALLOW));
    if (options || code == PJSIP_SC_UNSUPPORTED_MEDIA_TYPE)
        carry(response, capability(PJSIP_H_ACCEPT));
    if (options || code == PJSIP_SC_BAD_EXTENSION)
        carry(response, capability(PJSIP_H_SUPPORTED));
    if (options || code == PJSIP_SC_BAD_EVENT)
        carry(response, pjsip_evsub_get_allow_events_hdr(NULL));
    return PJ_SUCCESS;
}

// ---------------------------------------------------------------- From and To as they were written

/**
 * A From or To header that prints as its sender wrote it. PJSIP's struct comes first, so that PJSIP can use it as such.
 */
struct WrittenHeader {
    pjsip_fromto_hdr header;
    pj_str_t text;
    bool hasTag;
};

void *cloneWritten(pj_pool_t *pool, const void *original);
int printWritten(void *original, char *buffer, pj_size_t size);

pjsip_hdr_vptr writtenHeader = {&cloneWritten, &cloneWritten, &printWritten};

void *cloneWritten(pj_pool_t *pool, const void *original) {
    const auto *from = static_cast<const WrittenHeader *>(original);
    auto *written = static_cast<WrittenHeader *>(pj_pool_alloc(pool, sizeof(WrittenHeader)));
    *written = *from;
    pj_list_init(&written->header);
    written->header.uri = static_cast<pjsip_uri *>(pjsip_uri_clone(pool, from->header.uri));
    pj_strdup(pool, &written->header.tag, &from->header.tag);
    pjsip_param_clone(pool, &written->header.other_param, &from->header.other_param);
    pj_strdup(pool, &written->text, &from->text);
    return written;
}

int printWritten(void *original, char *buffer, pj_size_t size) {
    const auto *written = static_cast<const WrittenHeader *>(original);
    const pj_str_t *name = pjsip_cfg()->endpt.use_compact_form ? &written->header.sname : &written->header.name;
    const pj_str_t colon = pj_str(const_cast<char *>(": ")), tagged = pj_str(const_cast<char *>(";tag="));
    const bool addsTag = !written->hasTag && written->header.tag.slen;
    const pj_str_t nothing = {nullptr, 0};
    const pj_str_t *parts[] = {name, &colon, &written->text, addsTag ? &tagged : &nothing,
                               addsTag ? &written->header.tag : &nothing};
    pj_size_t length = 0;
    for (const pj_str_t *part : parts) {
        const auto more = static_cast<pj_size_t>(part->slen);
        if (size - length <= more)
            return -1;
        std::memcpy(buffer + length, part->ptr, more);
        length += more;
    }
    return static_cast<int>(length);
}

/**
 * The value of the header of that name in the head of a message, with folds as single spaces (RFC 3261, 7.3.1); empty
 * if there is none or more than one.
 */
std::string valueIn(const char *head, size_t length, const char *name, char compact) {
    std::string found;
    int times = 0;
    const char *const end = head + length;
    const auto isBlank = [](char c) { return c == ' ' || c == '\t'; };
    const char *at = static_cast<const char *>(std::memchr(head, '\n', length));
    while (at && ++at < end && *at != '\r' && *at != '\n') {
        std::string line;
        // The line, and the folded lines that continue it.
        do {
            const char *stop = at;
            while (stop < end && *stop != '\r' && *stop != '\n')
                ++stop;
            if (!line.empty()) {
                while (at < stop && isBlank(*at))
                    ++at;
                line += ' ';
            }
            line.append(at, stop);
            at = static_cast<const char *>(std::memchr(stop, '\n', static_cast<size_t>(end - stop)));
        } while (at && at + 1 < end && isBlank(at[1]) && ++at);
        const size_t colon = line.find(':');
        size_t last = colon == std::string::npos ? 0 : colon;
        while (last && isBlank(line[last - 1]))
            --last;
        const bool named = (last == std::strlen(name) && pj_ansi_strnicmp(line.c_str(), name, last) == 0) ||
                           (last == 1 && pj_tolower(line[0]) == compact);
        if (!named)
            continue;
        ++times;
        const size_t from = line.find_first_not_of(" \t", colon + 1), to = line.find_last_not_of(" \t");
        found = from == std::string::npos ? "" : line.substr(from, to - from + 1);
    }
    return times == 1 ? found : "";
}

/** Replace the header that PJSIP has parsed by one that prints as it was written. */
template <typename Header> void keepWritten(pjsip_rx_data *rdata, Header *&read, const char *name, char compact) {
    const std::string text = valueIn(rdata->msg_info.msg_buf, static_cast<size_t>(rdata->msg_info.len), name, compact);
    if (!read || text.empty())
        return;
    auto *written = static_cast<WrittenHeader *>(pj_pool_alloc(rdata->tp_info.pool, sizeof(WrittenHeader)));
    written->header = *read;
    pj_list_init(&written->header.other_param);
    pj_list_merge_last(&written->header.other_param, &read->other_param);
    written->header.vptr = &writtenHeader;
    written->hasTag = read->tag.slen > 0;
    const pj_str_t value = borrowed(text);
    pj_strdup(rdata->tp_info.pool, &written->text, &value);
    pj_list_insert_before(read, &written->header);
    pj_list_erase(read);
    read = &written->header;
}

/** A CSeq header that prints as its sender wrote it. */
struct WrittenSequence {
    pjsip_cseq_hdr header;
    pj_str_t text;
};

void *cloneSequence(pj_pool_t *pool, const void *original);
int printSequence(void *original, char *buffer, pj_size_t size);

pjsip_hdr_vptr writtenSequence = {&cloneSequence, &cloneSequence, &printSequence};

void *cloneSequence(pj_pool_t *pool, const void *original) {
    const auto *from = static_cast<const WrittenSequence *>(original);
    auto *written = static_cast<WrittenSequence *>(pj_pool_alloc(pool, sizeof(WrittenSequence)));
    *written = *from;
    pj_list_init(&written->header);
    pjsip_method_copy(pool, &written->header.method, &from->header.method);
    pj_strdup(pool, &written->text, &from->text);
    return written;
}

int printSequence(void *original, char *buffer, pj_size_t size) {
    const auto *written = static_cast<const WrittenSequence *>(original);
    const int length =
        pj_ansi_snprintf(buffer, size, "CSeq: %.*s", static_cast<int>(written->text.slen), written->text.ptr);
    return length < 0 || static_cast<pj_size_t>(length) >= size ? -1 : length;
}

void keepSequence(pjsip_rx_data *rdata) {
    pjsip_cseq_hdr *&read = rdata->msg_info.cseq;
    const std::string text = valueIn(rdata->msg_info.msg_buf, static_cast<size_t>(rdata->msg_info.len), "CSeq", '\0');
    if (text.empty())
        return;
    auto *written = static_cast<WrittenSequence *>(pj_pool_alloc(rdata->tp_info.pool, sizeof(WrittenSequence)));
    written->header = *read;
    written->header.vptr = &writtenSequence;
    const pj_str_t value = borrowed(text);
    pj_strdup(rdata->tp_info.pool, &written->text, &value);
    pj_list_insert_before(read, &written->header);
    pj_list_erase(read);
    read = &written->header;
}

pjsip_module responseModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-responses", RESPONSES_PRIORITY);
    module.on_tx_response = &onTxResponse;
    return module;
}();

}  // namespace

void watchResponses() {
    state(capability(PJSIP_H_ALLOW), METHODS);
    state(capability(PJSIP_H_SUPPORTED), EXTENSIONS);
    state(capability(PJSIP_H_ACCEPT), BODIES);
    state(pjsip_evsub_get_allow_events_hdr(NULL), EVENTS);
    registerModule(&responseModule);
}

void keepAsWritten(pjsip_rx_data *rdata, bool refused) {
    keepWritten(rdata, rdata->msg_info.from, "From", 'f');
    keepWritten(rdata, rdata->msg_info.to, "To", 't');
    if (refused)
        keepSequence(rdata);
}

bool isSupported(const pj_str_t &extension) { return holds(EXTENSIONS, extension, true); }

bool isAllowed(const pj_str_t &method) { return holds(METHODS, method, false); }

}  // namespace sipbridge
