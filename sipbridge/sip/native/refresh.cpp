#include "refresh.hpp"

#define THIS_FILE "refresh.cpp"

namespace sipbridge {

namespace {

const long PAUSE_MILLISECONDS = 10000;

bool isFinalFailure(const pjsip_event *event) {
    const auto &state = event->body.tsx_state;
    return state.tsx->state >= PJSIP_TSX_STATE_COMPLETED && state.prev_state < PJSIP_TSX_STATE_COMPLETED &&
           state.tsx->status_code >= 300;
}

/** The random pause after 491, in units of 10 ms, which is longer for the side that called (RFC 3261, 14.1). */
long glarePause(const pjsip_dialog *dialog) {
    return dialog->role == PJSIP_ROLE_UAC ? 2100 + 10 * (pj_rand() % 191) : 10 * (pj_rand() % 201);
}

/** The value of Retry-After in milliseconds; -1 if there is none. */
long retryAfter(const pjsip_event *event) {
    if (event->body.tsx_state.type != PJSIP_EVENT_RX_MSG)
        return -1;
    const auto *header = static_cast<pjsip_retry_after_hdr *>(
        pjsip_msg_find_hdr(event->body.tsx_state.src.rdata->msg_info.msg, PJSIP_H_RETRY_AFTER, NULL));
    return header ? 1000L * PJ_MIN(PJ_MAX(header->ivalue, 0), 24 * 3600) : -1;
}

}  // namespace

void tryAgainAfterGlare(pjsua_call_id id, pjsip_transaction *transaction, pjsip_event *event) {
    pjsua_call &call = pjsua_var.calls[id];
    if (transaction->status_code == PJSIP_SC_REQUEST_PENDING && isFinalFailure(event) && call.inv)
        pjsua_call_schedule_reinvite_check(&call, static_cast<unsigned>(glarePause(call.inv->dlg)));
}

// PJSIP's session timer calls these (patches/0019).

/**
 * True if a refresh has failed and can be tried again later. After 401, 407 and 422, PJSIP sends it again at once; 408
 * and 481 end the call.
 */
extern "C" pj_bool_t sipbridgeRefreshFailed(const pjsip_event *event) {
    if (!isFinalFailure(event))
        return PJ_FALSE;
    switch (event->body.tsx_state.tsx->status_code) {
    case PJSIP_SC_UNAUTHORIZED:
    case PJSIP_SC_PROXY_AUTHENTICATION_REQUIRED:
    case PJSIP_SC_REQUEST_TIMEOUT:
    case PJSIP_SC_SESSION_TIMER_TOO_SMALL:
    case PJSIP_SC_CALL_TSX_DOES_NOT_EXIST:
        return PJ_FALSE;
    default:
        return PJ_TRUE;
    }
}

/**
 * Return the milliseconds until the next refresh, and set its form: UPDATE or re-INVITE, with or without an offer. Each
 * response has its own rule (RFC 4028, 10). Some far ends reject an UPDATE without an offer, and some reject UPDATE
 * although their Allow has it; for those the next form is tried at once.
 */
extern "C" long sipbridgeRefreshPause(const pjsip_inv_session *session, const pjsip_event *event, pj_bool_t *update,
                                      pj_bool_t *offers) {
    const int status = event->body.tsx_state.tsx->status_code;
    const long asked = retryAfter(event);
    if (status == PJSIP_SC_REQUEST_PENDING)
        return glarePause(session->dlg);
    if (asked >= 0)
        return asked;
    if (!*update || status == PJSIP_SC_SERVICE_UNAVAILABLE || status == PJSIP_SC_BAD_GATEWAY)
        return PAUSE_MILLISECONDS;
    *update = !*offers && status != PJSIP_SC_METHOD_NOT_ALLOWED && status != PJSIP_SC_NOT_IMPLEMENTED;
    *offers = PJ_TRUE;
    return 0;
}

}  // namespace sipbridge
