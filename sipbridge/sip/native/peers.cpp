#include "peers.hpp"

#include "message.hpp"
#include "sources.hpp"

// In sip_ua_layer.c, by our patch: the dialog that PJSIP will give a message to.
extern "C" pjsip_dialog *sipbridgeDialogOf(pjsip_rx_data *rdata);
// In lock.c, by our patch: true if this thread holds the lock.
extern "C" pj_bool_t sipbridgeHoldsLock(const pj_grp_lock_t *lock);

namespace sipbridge {

namespace {

pjsip_rx_data *inProgress = nullptr;

/** The dialog that a command or a timer works on: PJSIP holds its lock. Null if there is none. */
const pjsip_dialog *lockedDialog() {
    for (unsigned i = 0; i < pjsua_var.ua_cfg.max_calls; ++i) {
        const pjsip_inv_session *session = pjsua_var.calls[i].inv;
        if (session && sipbridgeHoldsLock(session->dlg->grp_lock_))
            return session->dlg;
    }
    return nullptr;
}

/** A dialog that is not noted yet, and a message outside a dialog, have the sender of the message in progress. */
std::string author(const pjsip_dialog *dialog, const pjsip_cid_hdr *callId) {
    std::string farEnd = dialog ? farEndOf(dialog) : "";
    if (farEnd.empty() && inProgress)
        farEnd = inProgress->pkt_info.src_name;
    return farEnd + "\n" + (callId ? textOf(callId->id) : "");
}

}  // namespace

void setMessageInProgress(const pjsip_rx_data *rdata) { inProgress = const_cast<pjsip_rx_data *>(rdata); }

std::string authorOfNames() {
    if (inProgress)
        return author(sipbridgeDialogOf(inProgress), inProgress->msg_info.cid);
    const pjsip_dialog *dialog = lockedDialog();
    return author(dialog, dialog ? dialog->call_id : nullptr);
}

std::string authorOfDestination(const pjsip_tx_data *tdata) {
    const auto find = [tdata](pjsip_hdr_e type) { return pjsip_msg_find_hdr(tdata->msg, type, NULL); };
    const auto *callId = static_cast<const pjsip_cid_hdr *>(find(PJSIP_H_CALL_ID));
    const auto *from = static_cast<const pjsip_from_hdr *>(find(PJSIP_H_FROM));
    const auto *to = static_cast<const pjsip_to_hdr *>(find(PJSIP_H_TO));
    if (!callId || !from || !to)
        return author(nullptr, callId);
    const bool request = tdata->msg->type == PJSIP_REQUEST_MSG;
    const pj_str_t &local = request ? from->tag : to->tag, &remote = request ? to->tag : from->tag;
    return author(pjsip_ua_find_dialog(&callId->id, &local, &remote, PJ_FALSE), callId);
}

}  // namespace sipbridge
