#include "transfers.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "message.hpp"

#include <cctype>
#include <cstdint>
#include <map>

#define THIS_FILE "transfers.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

// ---------------------------------------------------------------- the far end's REFERs

namespace {

// Subscriptions to the outcome of a REFER, by its ticket. They outlive the call: a far end may send BYE after the 202.
std::map<int, pjsip_evsub *> transfers;

void onTransferSubscription(pjsip_evsub *subscription, pjsip_event *) {
    if (pjsip_evsub_get_state(subscription) != PJSIP_EVSUB_STATE_TERMINATED)
        return;
    for (auto each = transfers.begin(); each != transfers.end(); ++each)
        if (each->second == subscription) {
            transfers.erase(each);
            return;
        }
}

/** True unless Refer-Sub says that there is no subscription (RFC 4488). */
bool subscribes(const pjsip_msg *message) {
    const pj_str_t name = pj_str(const_cast<char *>("Refer-Sub"));
    const auto *header =
        static_cast<const pjsip_generic_string_hdr *>(pjsip_msg_find_hdr_by_name(message, &name, NULL));
    return !header || pj_strnicmp2(&header->hvalue, "false", 5) != 0;
}

}  // namespace

void acceptRefer(pjsip_dialog *dialog, pjsip_rx_data *rdata, int ticket) {
    if (!subscribes(rdata->msg_info.msg)) {
        IncomingRequest answer(rdata, ticket);
        answer.refuse(PJSIP_SC_ACCEPTED, "");
        answer.addHeader("Refer-Sub", "false");
        answer.respond(dialog);
        return;
    }
    pjsip_evsub_user callbacks;
    pj_bzero(&callbacks, sizeof(callbacks));
    callbacks.on_evsub_state = &onTransferSubscription;
    pjsip_evsub *subscription = nullptr;
    if (pjsip_xfer_create_uas(dialog, &callbacks, rdata, &subscription) != PJ_SUCCESS) {
        pjsip_dlg_respond(dialog, rdata, PJSIP_SC_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
        return;
    }
    transfers[ticket] = subscription;
    pjsip_hdr none;
    pj_list_init(&none);
    pjsip_xfer_accept(subscription, rdata, PJSIP_SC_ACCEPTED, &none);
    pjsip_tx_data *notify = nullptr;
    if (pjsip_xfer_notify(subscription, PJSIP_EVSUB_STATE_ACTIVE, 100, NULL, &notify) == PJ_SUCCESS)
        pjsip_xfer_send_request(subscription, notify);
}

void notifyTransfer(int ticket, int status, const std::string &reason) {
    const auto found = transfers.find(ticket);
    if (found == transfers.end())
        return;
    const pj_str_t text = borrowed(reason);
    pjsip_tx_data *notify = nullptr;
    pjsip_evsub *subscription = found->second;
    PJSUA2_CHECK_EXPR(pjsip_xfer_notify(subscription, PJSIP_EVSUB_STATE_TERMINATED, status, &text, &notify));
    PJSUA2_CHECK_EXPR(pjsip_xfer_send_request(subscription, notify));
}

// ---------------------------------------------------------------- our REFERs

namespace {

/** The status in the body of a NOTIFY; 0 if there is none that can be read (RFC 3515, 2.4.5; RFC 3420). */
int statusOf(const pjsip_msg *notify) {
    static const char VERSION[] = "SIP/2.0 ";
    const size_t length = sizeof(VERSION) - 1;
    const pjsip_msg_body *body = notify->body;
    if (!body || pj_stricmp2(&body->content_type.type, "message") != 0 ||
        pj_stricmp2(&body->content_type.subtype, "sipfrag") != 0)
        return 0;
    const std::string text(static_cast<const char *>(body->data), body->len);
    if (text.size() < length + 3 || pj_ansi_strnicmp(text.c_str(), VERSION, length) != 0)
        return 0;
    int status = 0;
    for (size_t at = length; at < length + 3; ++at) {
        if (!std::isdigit(static_cast<unsigned char>(text[at])))
            return 0;
        status = 10 * status + (text[at] - '0');
    }
    const bool ends = text.size() == length + 3 || std::isspace(static_cast<unsigned char>(text[length + 3]));
    return ends && status < 700 ? status : 0;
}

bool isMethod(const pjsip_transaction *transaction, const pjsip_method *method) {
    return pjsip_method_cmp(&transaction->method, method) == 0;
}

/** Report the outcome of our REFER once. The subscription may continue, but is not reported again. */
void reportOutcome(pjsip_evsub *subscription, EventKind kind, int status) {
    const int module = pjsua_var.mod.id;
    const auto number = reinterpret_cast<intptr_t>(pjsip_evsub_get_mod_data(subscription, module));
    if (!number)
        return;
    pjsip_evsub_set_mod_data(subscription, module, NULL);
    push(kind, -1, static_cast<int>(number), status);
}

/**
 * The callback for the subscription of our REFER. The first final status is the outcome. If the subscription ends
 * without one, the outcome is unknown: the last NOTIFY had 100, no body or another type of body, or none came in time.
 */
void onReferState(pjsip_evsub *subscription, pjsip_event *event) {
    const bool over = pjsip_evsub_get_state(subscription) == PJSIP_EVSUB_STATE_TERMINATED;
    const pjsip_transaction *transaction = event->type == PJSIP_EVENT_TSX_STATE ? event->body.tsx_state.tsx : nullptr;
    const bool received = transaction && event->body.tsx_state.type == PJSIP_EVENT_RX_MSG;
    if (received && isMethod(transaction, pjsip_get_refer_method())) {
        const pjsip_msg *response = event->body.tsx_state.src.rdata->msg_info.msg;
        const int status = response->line.status.code;
        if (status >= 300 && status != PJSIP_SC_REQUEST_TIMEOUT) {
            reportOutcome(subscription, EventReferRejected, status);
        } else if (status / 100 == 2 && !subscribes(response)) {
            reportOutcome(subscription, EventReferEnded, 0);
            pjsip_evsub_terminate(subscription, PJ_FALSE);
            return;
        }
    } else if (received && isMethod(transaction, pjsip_get_notify_method())) {
        const int status = statusOf(event->body.tsx_state.src.rdata->msg_info.msg);
        if (status >= 200)
            reportOutcome(subscription, EventReferEnded, status);
    }
    if (over)
        reportOutcome(subscription, EventReferEnded, 0);
}

}  // namespace

void callRefer(int call, int number, const std::string &referTo, const Headers &headers) {
    if (breaksLine(referTo))
        PJSUA2_RAISE_ERROR3(PJ_EINVAL, "Refer-To", "the URI contains a control character");
    MessageData message(headers);
    pjsip_inv_session *session = pjsua_var.calls[call].inv;
    if (!session || session->state != PJSIP_INV_STATE_CONFIRMED)
        PJSUA2_RAISE_ERROR3(PJ_EINVALIDOP, "REFER", "the call is over");
    pjsip_dialog *dialog = session->dlg;
    pjsip_evsub_user callbacks;
    pj_bzero(&callbacks, sizeof(callbacks));
    callbacks.on_evsub_state = &onReferState;
    pjsip_evsub *subscription = nullptr;
    PJSUA2_CHECK_EXPR(pjsip_xfer_create_uac(dialog, &callbacks, &subscription));
    const pj_str_t target = borrowed(referTo), referredBy = pj_str(const_cast<char *>("Referred-By"));
    pjsip_tx_data *request = nullptr;
    pj_status_t status = pjsip_xfer_initiate(subscription, &target, &request);
    if (status == PJ_SUCCESS) {
        pjsip_msg_add_hdr(request->msg, reinterpret_cast<pjsip_hdr *>(pjsip_generic_string_hdr_create(
                                            request->pool, &referredBy, &dialog->local.info_str)));
        pjsua_process_msg_data(request, &message.data);
        pjsip_evsub_set_mod_data(subscription, pjsua_var.mod.id,
                                 reinterpret_cast<void *>(static_cast<intptr_t>(number)));
        status = pjsip_xfer_send_request(subscription, request);
    }
    if (status != PJ_SUCCESS) {
        pjsip_evsub_set_mod_data(subscription, pjsua_var.mod.id, NULL);
        pjsip_evsub_terminate(subscription, PJ_FALSE);
        PJSUA2_CHECK_EXPR(status);
    }
}

}  // namespace sipbridge
