#include "gate.hpp"
#include "incoming.hpp"
#include "negotiation.hpp"
#include "requests.hpp"
#include "transfers.hpp"
#include "message.hpp"

#include <algorithm>

#define THIS_FILE "gate.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

namespace {

RequestGate *openGate = nullptr;
int tickets = 0;

pj_bool_t onRxRequest(pjsip_rx_data *rdata) {
    const pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    // ACK has no answer (RFC 3261, 17.1.1.3); CANCEL belongs to the transaction it cancels (9.2).
    if (!openGate || method == PJSIP_ACK_METHOD || method == PJSIP_CANCEL_METHOD)
        return PJ_FALSE;
    // In a dialog, or in a transaction already: not a matter of the gate.
    if (pjsip_rdata_get_dlg(rdata) || pjsip_rdata_get_tsx(rdata))
        return PJ_FALSE;
    // A To tag without a dialog is a stray: PJSIP answers 481 (RFC 3261, 12.2.2), but for REGISTER, which knows no dialog.
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

pjsip_module makeModule() {
    pjsip_module module;
    pj_bzero(&module, sizeof(module));
    module.name = pj_str(const_cast<char *>("mod-sipbridge-gate"));
    module.id = -1;
    // After the transaction and dialog layers, before PJSUA, which sits at APPLICATION.
    module.priority = PJSIP_MOD_PRIORITY_APPLICATION - 1;
    module.on_rx_request = &onRxRequest;
    return module;
}

pjsip_module gateModule = makeModule();

}  // namespace

int IncomingRequest::messageFault() const { return currentRefusal().status; }

std::string IncomingRequest::messageFaultText() const { return currentRefusal().reason; }

int IncomingRequest::methodFault() const { return sipbridge::methodFault(nullptr, rdata_->msg_info.msg); }

void IncomingRequest::listHeaders(pjsip_hdr *headers) const {
    pj_list_init(headers);
    pj_pool_t *pool = rdata_->tp_info.pool;
    for (const auto &header : headers_) {
        const pj_str_t name = borrowed(header.first), value = borrowed(header.second);
        pj_list_push_back(headers, pjsip_generic_string_hdr_create(pool, &name, &value));
    }
}

namespace {

// What refusals may keep: as many transactions at once, of half a minute each, of all sources and methods.
const long MAX_REFUSALS = 1000;
const long REFUSAL_MILLISECONDS = 32000;

/** True if another refusal may have a transaction. */
bool takeRefusal() {
    static long left = MAX_REFUSALS;
    static pj_time_val taken = {0, 0};
    pj_time_val now, passed;
    pj_gettickcount(&now);
    passed = now;
    PJ_TIME_VAL_SUB(passed, taken);
    const long back = PJ_TIME_VAL_MSEC(passed) * MAX_REFUSALS / REFUSAL_MILLISECONDS;
    if (back > 0) {
        left = std::min(MAX_REFUSALS, left + back);
        taken = now;
    }
    return left > 0 && left-- > 0;
}

}  // namespace

bool IncomingRequest::respond() {
    if (!code_)
        return false;
    pjsip_hdr headers;
    listHeaders(&headers);
    pj_str_t reason = pj_str(const_cast<char *>(reason_.c_str()));
    const pj_str_t *text = reason_.empty() ? NULL : &reason;
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    // Nor is there a transaction where its table is full, or CSeq names another method.
    if (stateless_ || !takeRefusal() ||
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
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &gateModule));
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
