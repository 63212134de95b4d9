#include "peers.hpp"

#include "message.hpp"
#include "resolver.hpp"

// In sip_ua_layer.c, by our patch: the dialog that PJSIP will give a message to.
extern "C" pjsip_dialog *sipbridgeDialogOf(pjsip_rx_data *rdata);

namespace sipbridge {

namespace {

pjsip_rx_data *inProgress = nullptr;

/** The target of our INVITE; empty for a call to us, and outside a dialog. */
std::string targetOf(const pjsip_dialog *dialog) {
    const auto *call = dialog ? static_cast<const pjsua_call *>(dialog->mod_data[pjsua_var.mod.id]) : nullptr;
    return call ? dialledTarget(call->index) : "";
}

std::string author(const std::string &farEnd, const pjsip_cid_hdr *callId) {
    return farEnd + "\n" + (callId ? textOf(callId->id) : "");
}

}  // namespace

void setMessageInProgress(const pjsip_rx_data *rdata) { inProgress = const_cast<pjsip_rx_data *>(rdata); }

std::string authorOfNames() {
    if (!inProgress)
        return "\n";
    const std::string target = targetOf(sipbridgeDialogOf(inProgress));
    return author(target.empty() ? inProgress->pkt_info.src_name : target, inProgress->msg_info.cid);
}

std::string authorOfDestination(const pjsip_tx_data *tdata) {
    const auto find = [tdata](pjsip_hdr_e type) { return pjsip_msg_find_hdr(tdata->msg, type, NULL); };
    const auto *callId = static_cast<const pjsip_cid_hdr *>(find(PJSIP_H_CALL_ID));
    const auto *from = static_cast<const pjsip_from_hdr *>(find(PJSIP_H_FROM));
    const auto *to = static_cast<const pjsip_to_hdr *>(find(PJSIP_H_TO));
    if (!callId || !from || !to)
        return author("", callId);
    const bool request = tdata->msg->type == PJSIP_REQUEST_MSG;
    const pj_str_t &local = request ? from->tag : to->tag, &remote = request ? to->tag : from->tag;
    return author(targetOf(pjsip_ua_find_dialog(&callId->id, &local, &remote, PJ_FALSE)), callId);
}

}  // namespace sipbridge
