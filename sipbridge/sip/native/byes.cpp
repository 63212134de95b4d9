#include "byes.hpp"
#include "gate.hpp"
#include "modules.hpp"

#include <map>

namespace sipbridge {

namespace {

const long LATE_MILLISECONDS = 100;
// A held BYE is a copy of its packet. More than this many mean that the journal's writer hangs; further ones are not
// held.
const size_t MOST = 256;

struct Held {
    pjsip_rx_data *request;
    pj_time_val due;
};

std::map<int, Held> held;
bool holding = false;
int lastBye = 0;

bool isSameDialog(const pjsip_rx_data *one, const pjsip_rx_data *other) {
    return pj_strcmp(&one->msg_info.cid->id, &other->msg_info.cid->id) == 0 &&
           pj_strcmp(&one->msg_info.from->tag, &other->msg_info.from->tag) == 0;
}

bool isSame(const pjsip_rx_data *one, const pjsip_rx_data *other) {
    return one->msg_info.cseq->cseq == other->msg_info.cseq->cseq && isSameDialog(one, other);
}

/** Pass the held BYE of the same dialog, which would be out of order after this request (RFC 3261, 12.2.2). */
void passBefore(const pjsip_rx_data *request) {
    for (const auto &each : held)
        if (isSameDialog(each.second.request, request)) {
            passBye(each.first);
            return;
        }
}

/** The caller's call that this BYE ends; PJSUA_INVALID_ID if it ends none. */
pjsua_call_id callerOf(const pjsip_rx_data *bye) {
    pjsip_dialog *dialog =
        pjsip_ua_find_dialog(&bye->msg_info.cid->id, &bye->msg_info.to->tag, &bye->msg_info.from->tag, PJ_FALSE);
    // PJSIP rejects a BYE that is out of order (RFC 3261, 12.2.2).
    if (!dialog || bye->msg_info.cseq->cseq <= dialog->remote.cseq)
        return PJSUA_INVALID_ID;
    const pjsip_inv_session *session = pjsip_dlg_get_inv_session(dialog);
    if (!session || session->role != PJSIP_ROLE_UAS || session->state == PJSIP_INV_STATE_DISCONNECTED)
        return PJSUA_INVALID_ID;
    const auto *call = static_cast<const pjsua_call *>(session->mod_data[pjsua_var.mod.id]);
    return call && call->inv == session ? call->index : PJSUA_INVALID_ID;
}

pj_bool_t onRxBye(pjsip_rx_data *rdata) {
    const pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    if (method != PJSIP_BYE_METHOD && method != PJSIP_ACK_METHOD)
        passBefore(rdata);
    if (!holding || method != PJSIP_BYE_METHOD || held.size() >= MOST)
        return PJ_FALSE;
    for (const auto &each : held)
        if (isSame(each.second.request, rdata))
            return PJ_TRUE;  // a retransmission: the first one has no response yet
    const pjsua_call_id call = callerOf(rdata);
    if (call == PJSUA_INVALID_ID || !asksToHold(call, lastBye + 1))
        return PJ_FALSE;
    Held bye;
    if (pjsip_rx_data_clone(rdata, 0, &bye.request) != PJ_SUCCESS)
        return PJ_FALSE;
    pj_gettickcount(&bye.due);
    bye.due.msec += LATE_MILLISECONDS;
    pj_time_val_normalize(&bye.due);
    held[++lastBye] = bye;
    return PJ_TRUE;
}

pjsip_module byeModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-byes", BYES_PRIORITY);
    module.on_rx_request = &onRxBye;
    return module;
}();

void pass(pjsip_rx_data *bye) {
    pjsip_process_rdata_param onwards;
    pjsip_process_rdata_param_default(&onwards);
    onwards.start_mod = &byeModule;
    onwards.idx_after_start = 1;
    pj_bool_t handled = PJ_FALSE;
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    if (pjsip_endpt_process_rx_data(endpoint, bye, &onwards, &handled) != PJ_SUCCESS || !handled)
        pjsip_endpt_respond_stateless(endpoint, bye, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST, NULL, NULL, NULL);
    pjsip_rx_data_free_cloned(bye);
}

}  // namespace

void holdByes() {
    registerModule(&byeModule);
    holding = true;
}

void passBye(int ticket) {
    const auto found = held.find(ticket);
    if (found == held.end())
        return;
    pjsip_rx_data *bye = found->second.request;
    held.erase(found);
    pass(bye);
}

void passLateByes() {
    if (held.empty())
        return;
    pj_time_val now;
    pj_gettickcount(&now);
    while (!held.empty() && PJ_TIME_VAL_LTE(held.begin()->second.due, now))
        passBye(held.begin()->first);
}

void stopHoldingByes() {
    holding = false;
    while (!held.empty())
        passBye(held.begin()->first);
}

}  // namespace sipbridge
