#include "sipbridge_incoming.hpp"
#include "sipbridge_connections.hpp"
#include "sipbridge_message.hpp"

// PJSIP's own pjsip_tpmgr_receive_packet(), renamed by our build: it takes what it is given for one message.
extern "C" pj_ssize_t sipbridgeReceiveMessage(pjsip_tpmgr *manager, pjsip_rx_data *rdata);

namespace sipbridge {

static_assert(MAX_MESSAGE_BYTES == PJSIP_MAX_PKT_LEN, "config_site.h and sipbridge_framing.hpp agree");

namespace {

const Frame whole(FrameMessage);
const Frame *refusal = &whole;

void process(pjsip_rx_data *rdata, std::string &message) {
    char *const buffer = rdata->pkt_info.packet;
    rdata->pkt_info.packet = &message[0];
    rdata->pkt_info.len = static_cast<pj_ssize_t>(message.size());
    sipbridgeReceiveMessage(rdata->tp_info.transport->tpmgr, rdata);
    rdata->pkt_info.packet = buffer;
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
    return module;
}

pjsip_module incomingModule = makeModule();

}  // namespace

void watchIncoming() { pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &incomingModule); }

const Frame &currentRefusal() { return *refusal; }

void processFrame(pjsip_rx_data *rdata, Frame &frame) {
    if (frame.kind == FrameRefused)
        refusal = &frame;
    process(rdata, frame.text);
    refusal = &whole;
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
