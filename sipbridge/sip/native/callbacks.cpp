#include "callbacks.hpp"
#include "dtmf.hpp"
#include "ending.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "negotiation.hpp"
#include "outgoing.hpp"
#include "resolver.hpp"
#include "resources.hpp"
#include "requests.hpp"
#include "sources.hpp"
#include "tls.hpp"
#include "transfers.hpp"
#include "message.hpp"

namespace sipbridge {

namespace {

/** Use the default account; all others are for our own calls. PJSUA would look for an account by the user part. */
void onAccountForIncoming(const pjsip_rx_data *, pjsua_acc_id *account) { *account = pjsua_acc_get_default(); }

void onIncomingCall(pjsua_acc_id account, pjsua_call_id id, pjsip_rx_data *rdata) {
    forgetDigits(id);
    forgetAudio(id);
    forgetTarget(id);
    cameFrom(pjsua_var.calls[id].inv->dlg, rdata);
    stayOnConnection(pjsua_var.calls[id].inv->dlg, rdata->tp_info.transport);
    keepNewOffer(pjsua_var.calls[id].inv->dlg);
    // Without an offer, PJSUA opens the audio with our answer, and by then there may be no free port.
    if (!pjsua_var.calls[id].inv->neg)
        reservePorts(id, account);
    push(EventIncoming, id, lastTicket());
}

/** The BYE that ended the call, as it was received; empty if no BYE did. */
std::string byeMessage(const pjsip_event *event) {
    if (!event || event->type != PJSIP_EVENT_TSX_STATE || event->body.tsx_state.type != PJSIP_EVENT_RX_MSG)
        return "";
    const pjsip_rx_data *rdata = event->body.tsx_state.src.rdata;
    const pjsip_msg *message = rdata->msg_info.msg;
    if (message->type != PJSIP_REQUEST_MSG || message->line.req.method.id != PJSIP_BYE_METHOD)
        return "";
    return std::string(rdata->msg_info.msg_buf, static_cast<size_t>(rdata->msg_info.len));
}

void onRejectedIncomingCall(const pjsua_on_rejected_incoming_call_param *param) {
    push(EventRejected, -1, lastTicket(), static_cast<int>(param->st_code));
}

void onCallState(pjsua_call_id id, pjsip_event *event) {
    const pjsua_call &call = pjsua_var.calls[id];
    // This callback comes before the ACK is sent.
    if (call.inv && call.inv->role == PJSIP_ROLE_UAC && call.inv->invite_tsx && event->type == PJSIP_EVENT_TSX_STATE &&
        event->body.tsx_state.type == PJSIP_EVENT_RX_MSG)
        stayOnConnection(call.inv->dlg, call.inv->invite_tsx->transport);
    // PJSUA reports a call that we hang up as disconnected at once, and reports nothing after that.
    if (call.hanging_up || (call.inv && call.inv->state == PJSIP_INV_STATE_DISCONNECTED))
        portsReleased(id);
    if (call.hanging_up) {
        push(EventEnded, id, 0, static_cast<int>(call.last_code));
    } else if (call.inv && call.inv->state == PJSIP_INV_STATE_CONNECTING && call.inv->role == PJSIP_ROLE_UAS) {
        push(EventAnswered, id, 0);
    } else if (call.inv && call.inv->state == PJSIP_INV_STATE_CONFIRMED) {
        push(EventConfirmed, id, call.inv->cancelling, 0, "", isUsable(call.inv));
    } else if (call.inv && call.inv->state == PJSIP_INV_STATE_DISCONNECTED) {
        const bool byPeer = endedByPeer(call.inv, event);
        const std::string text = byPeer ? byeMessage(event) + redirection(event) : textOf(call.inv->cause_text);
        push(EventEnded, id, audioUse(id), static_cast<int>(call.inv->cause), text, byPeer);
    }
}

void onCallMediaState(pjsua_call_id id) {
    noteAgreed(id);
    push(EventMedia, id, 0);
}

/** Reject any REFER that decideRefer has not responded to. By default, PJSUA would call the URI of a REFER. */
void onTransferRequest(pjsua_call_id, const pj_str_t *, pjsip_status_code *code) { *code = PJSIP_SC_FORBIDDEN; }

/**
 * Never called, because dtmf.cpp reads all DTMF digits first. PJSUA gives streams a callback for digits only if the
 * application has this one.
 */
void onDtmf(pjsua_call_id, const pjsua_dtmf_event *) {}

}  // namespace

void installCallbacks() {
    pjsua_callback *cb = &pjsua_var.ua_cfg.cb;
    cb->on_acc_find_for_incoming = &onAccountForIncoming;
    cb->on_incoming_call = &onIncomingCall;
    cb->on_rejected_incoming_call = &onRejectedIncomingCall;
    cb->on_call_state = &onCallState;
    cb->on_call_media_state = &onCallMediaState;
    cb->on_call_redirected = &onRedirected;
    cb->on_call_tsx_state = &onTransaction;
    cb->on_call_transfer_request = &onTransferRequest;
    cb->on_call_transfer_request2 = NULL;
    cb->on_call_transfer_status = NULL;
    cb->on_dtmf_event = &onDtmf;
    cb->on_stream_destroyed = &onStreamDestroyed;
    // Not used. pjsua2 would run the last two on PJMEDIA's threads, which must never wait for Python.
    cb->on_call_sdp_created = NULL;
    cb->on_stream_precreate = NULL;
    cb->on_stream_created2 = NULL;
    cb->on_call_rx_offer = NULL;
    cb->on_call_rx_reinvite = NULL;
    cb->on_call_tx_offer = NULL;
    cb->on_call_media_transport_state = NULL;
    cb->on_create_media_transport = NULL;
    cb->on_call_replace_request2 = NULL;
    cb->on_call_replaced = NULL;
    cb->on_media_event = NULL;
    cb->on_call_media_event = NULL;
}

// PJSIP calls this (patches/0011).
extern "C" pj_bool_t sipbridgeSessionGoesOn(pjsip_dialog *dialog) {
    const pjsip_inv_session *session = pjsip_dlg_get_inv_session(dialog);
    return session && session->state < PJSIP_INV_STATE_DISCONNECTED;
}

}  // namespace sipbridge
