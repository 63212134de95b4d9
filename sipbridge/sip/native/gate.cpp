#include "gate.hpp"
#include "incoming.hpp"
#include "negotiation.hpp"
#include "rate_limits.hpp"
#include "requests.hpp"
#include "transfers.hpp"
#include "message.hpp"
#include "modules.hpp"

namespace sipbridge {

namespace {

RequestGate *openGate = nullptr;
int tickets = 0;
// The transactions of refusals, of all sources and methods: each lasts 32 s, so there are at most 1,000 at a time.
TokenBucket<32, 1000> refusals;

pj_bool_t onRxRequest(pjsip_rx_data *rdata) {
    const pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    // An ACK gets no response (RFC 3261, 17.1.1.3), and a CANCEL belongs to the transaction that it cancels (9.2).
    if (!openGate || method == PJSIP_ACK_METHOD || method == PJSIP_CANCEL_METHOD)
        return PJ_FALSE;
    // The gate does not decide about requests in a dialog or in an existing transaction.
    if (pjsip_rdata_get_dlg(rdata) || pjsip_rdata_get_tsx(rdata))
        return PJ_FALSE;
    // A To tag of no dialog: PJSIP responds with 481 (RFC 3261, 12.2.2). REGISTER has no dialogs, so its tag is
    // ignored.
    if (method != PJSIP_REGISTER_METHOD && rdata->msg_info.to && rdata->msg_info.to->tag.slen)
        return PJ_FALSE;
    IncomingRequest request(rdata, ++tickets);
    openGate->onRequest(request);
    if (request.respond())
        return PJ_TRUE;
    if (method == PJSIP_INVITE_METHOD)
        readNewOffer(rdata);
    return PJ_FALSE;
}

pjsip_module gateModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-gate", GATE_PRIORITY);
    module.on_rx_request = &onRxRequest;
    return module;
}();

}  // namespace

int IncomingRequest::messageFault() const { return currentRefusal().status; }

std::string IncomingRequest::messageFaultText() const { return currentRefusal().reason; }

int IncomingRequest::methodFault() const { return sipbridge::methodFault(nullptr, rdata_->msg_info.msg); }

void IncomingRequest::listHeaders(pjsip_hdr *headers) const {
    pj_list_init(headers);
    for (const auto &header : headers_)
        appendHeader(headers, rdata_->tp_info.pool, header.first, header.second);
}

bool IncomingRequest::respond() {
    if (!code_)
        return false;
    pjsip_hdr headers;
    listHeaders(&headers);
    pj_str_t reason = pj_str(const_cast<char *>(reason_.c_str()));
    const pj_str_t *text = reason_.empty() ? NULL : &reason;
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    // The transaction cannot be made if the table is full or the CSeq has another method.
    if (stateless_ || !refusals.take(Clock::now()) ||
        pjsip_endpt_respond(endpoint, NULL, rdata_, code_, text, &headers, NULL, NULL) != PJ_SUCCESS)
        pjsip_endpt_respond_stateless(endpoint, rdata_, code_, text, &headers, NULL);
    return true;
}

bool IncomingRequest::respond(pjsip_dialog *dialog) {
    if (!code_)
        return false;
    pjsip_hdr headers;
    listHeaders(&headers);
    pj_str_t reason = pj_str(const_cast<char *>(reason_.c_str()));
    pjsip_dlg_respond(dialog, rdata_, code_, reason_.empty() ? NULL : &reason, &headers, NULL);
    return true;
}

bool admitsConnection(const std::string &source) { return !openGate || openGate->onConnection(source); }

bool asksToHold(int call, int ticket) { return openGate && openGate->onBye(call, ticket); }

void RequestGate::open() {
    openGate = this;
    registerModule(&gateModule);
}

void RequestGate::close() { openGate = nullptr; }

void decideRefer(pjsua_call_id id, pjsip_dialog *dialog, pjsip_rx_data *rdata) {
    IncomingRequest request(rdata, ++tickets);
    if (openGate)
        openGate->onRefer(id, request);
    else
        request.refuse(PJSIP_SC_FORBIDDEN, "");
    if (!request.respond(dialog))
        acceptRefer(dialog, rdata, request.ticket());
}

int lastTicket() { return tickets; }

}  // namespace sipbridge
