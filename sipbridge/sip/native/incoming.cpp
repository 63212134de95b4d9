#include "incoming.hpp"
#include "connections.hpp"
#include "message.hpp"
#include "modules.hpp"
#include "events.hpp"
#include "peers.hpp"
#include "rate_limits.hpp"
#include "responses.hpp"
#include "unreadable.hpp"

#include <vector>

// PJSIP's own pjsip_tpmgr_receive_packet(), renamed by patches/0029: it processes the bytes as one message.
extern "C" pj_ssize_t sipbridgeReceiveMessage(pjsip_tpmgr *manager, pjsip_rx_data *rdata);

namespace sipbridge {

static_assert(MAX_MESSAGE_BYTES == PJSIP_MAX_PKT_LEN, "config_site.h and framing.hpp agree");
static_assert(MAX_LIST_VALUES == PJSIP_GENERIC_ARRAY_MAX_COUNT, "PJSIP and unreadable.hpp agree");

namespace {

// One attempt may fail for the start line, the next for headers, another for headers that are still unreadable.
const int MAX_ATTEMPTS = 5;

const Frame whole(FrameMessage);
const Frame *refusal = &whole;
// The message that is being processed, as it was sent. The text that PJSIP parses may be another.
std::string *sent = nullptr;
pj_status_t dropped = PJ_SUCCESS;

void onDropped(pjsip_tp_dropped_data *data) { dropped = data->status; }

/** Let PJSIP process a message; return the positions at which the parts begin that it cannot read. */
std::vector<int> process(pjsip_rx_data *rdata, std::string &message) {
    dropped = PJ_SUCCESS;
    char *const buffer = rdata->pkt_info.packet;
    rdata->pkt_info.packet = &message[0];
    rdata->pkt_info.len = static_cast<pj_ssize_t>(message.size());
    sipbridgeReceiveMessage(rdata->tp_info.transport->tpmgr, rdata);
    setMessageInProgress(nullptr);
    rdata->pkt_info.packet = buffer;
    std::vector<int> places;
    if (dropped != PJSIP_EINVALIDMSG)
        return places;
    const pjsip_parser_err_report *const errors = &rdata->msg_info.parse_err;
    for (const auto *error = errors->next; error != errors; error = error->next) {
        const char *const end = message.data() + message.size();
        // A header line without a name is found without PJSIP. For the start line, the name is PJSIP's own text: 0.
        if (error->hname.slen)
            places.push_back(error->hname.ptr >= message.data() && error->hname.ptr < end
                                 ? static_cast<int>(error->hname.ptr - message.data())
                                 : 0);
    }
    return places;
}

/** Report messages that got no response, at most once in ten seconds. */
void noteDropped(const pjsip_rx_data *rdata) {
    static ReportedCount<10> count;
    if (const int messages = count.add(Clock::now()))
        push(EventUnreadable, -1, messages, 0, rdata->pkt_info.src_name);
}

/** From here on, our own readers and copies of the message get the text that was sent. */
void showSent(pjsip_rx_data *rdata) {
    rdata->pkt_info.packet = rdata->msg_info.msg_buf = &(*sent)[0];
    rdata->pkt_info.len = static_cast<pj_ssize_t>(sent->size());
    rdata->msg_info.len = static_cast<int>(sent->size());
}

pj_bool_t onResponse(pjsip_rx_data *rdata) {
    setMessageInProgress(rdata);
    showSent(rdata);
    return PJ_FALSE;
}

void respond(pjsip_rx_data *rdata) {
    pjsip_hdr headers;
    pj_list_init(&headers);
    appendWarning(&headers, rdata->tp_info.pool, refusal->reason);
    pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, refusal->status, NULL, &headers, NULL);
}

pj_bool_t onRequest(pjsip_rx_data *rdata) {
    setMessageInProgress(rdata);
    showSent(rdata);
    keepAsWritten(rdata, refusal->kind == FrameRefused);
    if (refusal->kind != FrameRefused)
        return PJ_FALSE;
    const pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    if (method == PJSIP_ACK_METHOD)
        return PJ_TRUE;
    if (method != PJSIP_CANCEL_METHOD && !rdata->msg_info.to->tag.slen)
        return PJ_FALSE;
    respond(rdata);
    return PJ_TRUE;
}

pjsip_module incomingModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-incoming", INCOMING_PRIORITY);
    module.on_rx_request = &onRequest;
    module.on_rx_response = &onResponse;
    return module;
}();

}  // namespace

void watchIncoming() {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    registerModule(&incomingModule);
    pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(endpoint), &onDropped);
}

const Frame &currentRefusal() { return *refusal; }

void processFrame(pjsip_rx_data *rdata, Frame &frame) {
    std::string original = frame.text;
    Frame current = frame;
    for (int attempts = 1;; ++attempts) {
        sent = &original;
        refusal = current.kind == FrameRefused ? &current : &whole;
        const std::vector<int> places = process(rdata, current.text);
        refusal = &whole;
        sent = nullptr;
        if (dropped != PJSIP_EINVALIDMSG)
            break;
        Frame next = attempts < MAX_ATTEMPTS ? withoutUnreadable(current.text, places) : Frame();
        if (next.kind == FrameNone)
            break;
        if (current.kind == FrameRefused) {
            next.kind = FrameRefused;
            next.status = current.status;
            next.reason = current.reason;
        }
        current = next;
    }
    if (dropped == PJSIP_EINVALIDMSG || dropped == PJSIP_EMISSINGHDR || dropped == PJSIP_EINVALIDSTATUS)
        noteDropped(rdata);
}

}  // namespace sipbridge

/** Process received bytes; every transport of PJSIP calls this. No bytes are left for the next call. */
extern "C" pj_ssize_t pjsip_tpmgr_receive_packet(pjsip_tpmgr *, pjsip_rx_data *rdata) {
    using namespace sipbridge;
    const pj_ssize_t size = rdata->pkt_info.len;
    const std::string bytes(rdata->pkt_info.packet, static_cast<size_t>(size));
    if (PJSIP_TRANSPORT_IS_RELIABLE(rdata->tp_info.transport)) {
        receiveFromConnection(rdata, bytes);
    } else {
        Frame frame = readDatagram(bytes);
        if (frame.kind != FrameNone)
            processFrame(rdata, frame);
    }
    return size;
}
