#include "requests.hpp"
#include "dtmf.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "message.hpp"
#include "refresh.hpp"
#include "responses.hpp"
#include "tls.hpp"
#include "transfers.hpp"

#include <string>
#include <utility>
#include <vector>

#define THIS_FILE "requests.cpp"

namespace sipbridge {

namespace {

// Methods that get 405, since they are known but not served. Unknown methods get 501 (RFC 3261, 21.4.6 and 21.5.2).
const char *const KNOWN_METHODS[] = {"REGISTER", "MESSAGE", "PUBLISH"};

const char NOT_SUPPORTED[] = "Require names an extension that is not supported";

/** A rejection: its status, headers for the reason, and the reason in words. The status 0 means none. */
struct Rejection {
    int status = 0;
    std::vector<std::pair<const char *, std::string>> headers;
    std::string why;
};

const pjsip_hdr *find(const pjsip_msg *message, const char *name, const char *compact = "") {
    const pj_str_t full = pj_str(const_cast<char *>(name)), brief = pj_str(const_cast<char *>(compact));
    return static_cast<const pjsip_hdr *>(pjsip_msg_find_hdr_by_names(message, &full, &brief, NULL));
}

/** The extensions that the request requires and that are not served (RFC 3261, 8.2.2.3). */
std::string unsupported(const pjsip_msg *message) {
    std::string names;
    const void *from = nullptr;
    while (const auto *header = static_cast<const pjsip_require_hdr *>(
               pjsip_msg_find_hdr(message, PJSIP_H_REQUIRE, const_cast<void *>(from)))) {
        for (unsigned at = 0; at < header->count; ++at)
            if (!isSupported(header->values[at]))
                names += (names.empty() ? "" : ", ") + textOf(header->values[at]);
        from = header->next;
        if (from == &message->hdr)
            break;
    }
    return names;
}

/**
 * The status for the event of a NOTIFY or SUBSCRIBE: 489 if it is not served (RFC 6665, 4.2.1.3 and 8.3.2). Without a
 * subscription, the event `refer` gets 481 in a NOTIFY (RFC 6665, 4.1.3) and 403 in a SUBSCRIBE, since only a REFER
 * creates one (RFC 3515, 3).
 */
int eventFault(const pjsip_dialog *dialog, const pjsip_msg *message, int withoutSubscription) {
    const auto *event = reinterpret_cast<const pjsip_event_hdr *>(find(message, "Event", "o"));
    if (!event || pj_stricmp2(&event->event_type, "refer") != 0)
        return PJSIP_SC_BAD_EVENT;
    // PJSIP checks which subscription it is, and whether that is over.
    const bool subscribed = dialog && pjsip_dlg_has_usage(const_cast<pjsip_dialog *>(dialog), pjsip_evsub_instance());
    return subscribed ? 0 : withoutSubscription;
}

Rejection rejectionOf(const pjsip_dialog *dialog, pjsip_rx_data *rdata) {
    const pjsip_msg *message = rdata->msg_info.msg;
    const std::string method = textOf(message->line.req.method.name);
    // A request that ends a call or a transaction is always served.
    if (method == "BYE" || method == "CANCEL")
        return {};
    if (const int status = methodFault(dialog, message))
        return {status, {}, ""};
    if (method == "SUBSCRIBE")
        return {};
    const std::string extensions = unsupported(message);
    if (!extensions.empty())
        return {PJSIP_SC_BAD_EXTENSION, {{"Unsupported", extensions}}, NOT_SUPPORTED};
    if (method == "NOTIFY")
        return {eventFault(dialog, message, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST), {}, ""};
    // No package of INFO is supported (RFC 6086, 4.2.2).
    if (method == "INFO" && find(message, "Info-Package"))
        return {469, {{"Recv-Info", ""}}, ""};
    const bool offers = method == "INVITE" || method == "UPDATE" || method == "PRACK";
    if (offers && message->body && !pjsip_rdata_get_sdp_info(rdata)->body.ptr)
        return {PJSIP_SC_UNSUPPORTED_MEDIA_TYPE, {}, ""};
    // An SBC checks with OPTIONS that the call is still in progress (RFC 3261, 11.2). PJSIP would respond with 500.
    if (method == "OPTIONS")
        return {PJSIP_SC_OK, {}, ""};
    return {};
}

void respond(pjsip_dialog *dialog, pjsip_rx_data *rdata, const Rejection &rejection) {
    pjsip_hdr headers;
    pj_list_init(&headers);
    for (const auto &each : rejection.headers)
        appendHeader(&headers, rdata->tp_info.pool, each.first, each.second);
    if (!rejection.why.empty())
        appendWarning(&headers, rdata->tp_info.pool, rejection.why);
    const pj_str_t reason = pj_str(const_cast<char *>("Bad Info Package"));
    const pj_str_t *text = rejection.status == 469 ? &reason : NULL;
    pjsip_dlg_respond(dialog, rdata, rejection.status, text, &headers, NULL);
}

}  // namespace

int methodFault(const pjsip_dialog *dialog, const pjsip_msg *message) {
    const pjsip_method &method = message->line.req.method;
    if (pj_strcmp2(&method.name, "SUBSCRIBE") == 0)
        return eventFault(dialog, message, PJSIP_SC_FORBIDDEN);
    if (!isAllowed(method.name)) {
        for (const char *known : KNOWN_METHODS)
            if (pj_strcmp2(&method.name, known) == 0)
                return PJSIP_SC_METHOD_NOT_ALLOWED;
        return PJSIP_SC_NOT_IMPLEMENTED;
    }
    const bool mayBegin = method.id == PJSIP_INVITE_METHOD || method.id == PJSIP_OPTIONS_METHOD;
    return dialog || mayBegin ? 0 : PJSIP_SC_CALL_TSX_DOES_NOT_EXIST;
}

void onTransaction(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event) {
    if (event->type != PJSIP_EVENT_TSX_STATE)
        return;
    if (transaction->role == PJSIP_ROLE_UAC) {
        if (transaction->method.id == PJSIP_INVITE_METHOD && event->body.tsx_state.type == PJSIP_EVENT_RX_MSG)
            push(EventTrying, call, 0);
        tryAgainAfterGlare(call, transaction, event);
        return;
    }
    if (transaction->state != PJSIP_TSX_STATE_TRYING || event->body.tsx_state.type != PJSIP_EVENT_RX_MSG)
        return;
    pjsip_rx_data *rdata = event->body.tsx_state.src.rdata;
    pjsip_dialog *dialog = pjsua_var.calls[call].inv->dlg;
    returnToConnection(dialog, rdata->tp_info.transport);
    // The gate decides about the INVITE that creates the dialog.
    if (transaction == pjsua_var.calls[call].inv->invite_tsx)
        return;
    const Rejection rejection = rejectionOf(dialog, rdata);
    const bool isRefer = pjsip_method_cmp(&transaction->method, pjsip_get_refer_method()) == 0;
    if (rejection.status) {
        respond(dialog, rdata, rejection);
        // An agent has asked for a handoff, although in a form that is not served.
        if (isRefer)
            push(EventReferUnserved, call, 0, rejection.status, rejection.why);
    } else if (isRefer)
        decideRefer(call, dialog, rdata);
    else if (pjsip_method_cmp(&transaction->method, &pjsip_info_method) == 0)
        answerInfo(call, dialog, rdata);
}

// PJSIP asks this for the status for a request that no usage of the dialog handles (patches/0018).
extern "C" int sipbridgeUnhandledStatus(pjsip_dialog *dialog) {
    const pjsip_inv_session *session = pjsip_dlg_get_inv_session(dialog);
    const bool goesOn = session && session->state < PJSIP_INV_STATE_DISCONNECTED;
    const auto *call = session ? static_cast<pjsua_call *>(dialog->mod_data[pjsua_var.mod.id]) : nullptr;
    if (!goesOn || !call || call->inv != session || call->hanging_up)
        return PJSIP_SC_CALL_TSX_DOES_NOT_EXIST;
    return PJSIP_SC_INTERNAL_SERVER_ERROR;
}

}  // namespace sipbridge
