#include "incoming.hpp"
#include "connections.hpp"
#include "message.hpp"
#include "events.hpp"
#include "peers.hpp"
#include "responses.hpp"
#include "unreadable.hpp"

#include <vector>

// PJSIP's own pjsip_tpmgr_receive_packet(), renamed by our build: it takes what it is given for one message.
extern "C" pj_ssize_t sipbridgeReceiveMessage(pjsip_tpmgr *manager, pjsip_rx_data *rdata);

namespace sipbridge {

static_assert(MAX_MESSAGE_BYTES == PJSIP_MAX_PKT_LEN, "config_site.h and framing.hpp agree");
static_assert(MAX_LIST_VALUES == PJSIP_GENERIC_ARRAY_MAX_COUNT, "PJSIP and unreadable.hpp agree");

namespace {

// A start line, then headers, then what was mended of them and still cannot be read.
const int MOST_TRIES = 5;
const long TELL_SECONDS = 10;

const Frame whole(FrameMessage);
const Frame *refusal = &whole;
// The message that is being processed, as it was sent: PJSIP may have been given another text of it.
std::string *sent = nullptr;
pj_status_t dropped = PJ_SUCCESS;

void onDropped(pjsip_tp_dropped_data *data) { dropped = data->status; }

/** Have PJSIP read a message; returns where what it cannot read begins. */
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
        // Without a name it is one of the headers that have none; the name of the start line is PJSIP's own text.
        if (error->hname.slen)
            places.push_back(error->hname.ptr >= message.data() && error->hname.ptr < end
                                 ? static_cast<int>(error->hname.ptr - message.data())
                                 : 0);
    }
    return places;
}

/** Tell of messages that got no response, at most once in ten seconds. */
void noteDropped(const pjsip_rx_data *rdata) {
    static long tellAt = 0;
    static int untold = 0;
    pj_time_val now;
    pj_gettickcount(&now);
    ++untold;
    if (now.sec < tellAt)
        return;
    tellAt = now.sec + TELL_SECONDS;
    push(EventUnreadable, -1, untold, 0, rdata->pkt_info.src_name);
    untold = 0;
}

/** From here on the message is what was sent: our own readers, and copies of it, get that. */
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
    const std::string text = "399 sipbridge \"" + refusal->reason + "\"";
    const pj_str_t name = pj_str(const_cast<char *>("Warning")), value = borrowed(text);
    pj_list_push_back(&headers, pjsip_generic_string_hdr_create(rdata->tp_info.pool, &name, &value));
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

pjsip_module makeModule() {
    pjsip_module module;
    pj_bzero(&module, sizeof(module));
    module.name = pj_str(const_cast<char *>("mod-sipbridge-incoming"));
    module.id = -1;
    // After the connections have noted a sign of life, before the transaction layer.
    module.priority = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER - 1;
    module.on_rx_request = &onRequest;
    module.on_rx_response = &onResponse;
    return module;
}

pjsip_module incomingModule = makeModule();

}  // namespace

void watchIncoming() {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    pjsip_endpt_register_module(endpoint, &incomingModule);
    pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(endpoint), &onDropped);
}

const Frame &currentRefusal() { return *refusal; }

void processFrame(pjsip_rx_data *rdata, Frame &frame) {
    std::string original = frame.text;
    Frame current = frame;
    for (int tries = 1;; ++tries) {
        sent = &original;
        refusal = current.kind == FrameRefused ? &current : &whole;
        const std::vector<int> places = process(rdata, current.text);
        refusal = &whole;
        sent = nullptr;
        if (dropped != PJSIP_EINVALIDMSG)
            break;
        Frame next = tries < MOST_TRIES ? withoutUnreadable(current.text, places) : Frame();
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

/** Every transport of PJSIP calls this with the bytes that have come; all of them are taken. */
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
