#include "negotiation.hpp"

#include "message.hpp"
#include "modules.hpp"
#include "name_table.hpp"
#include "sdp.hpp"
#include "sdp_text.hpp"
#include "text.hpp"

#include <sys/socket.h>

#include <memory>

namespace sipbridge {

namespace {

// PJSIP's own descriptions, of one audio line, take some 700 bytes.
const size_t MAX_PRINTED = 8192;

// The session of the latest admitted INVITE. PJSUA makes its dialog before it sees another message.
std::unique_ptr<OfferAnswer> newSession;

extern pjsip_module descriptionsModule;

pjsip_media_type sdpType() {
    pjsip_media_type type;
    pjsip_media_type_init2(&type, const_cast<char *>("application"), const_cast<char *>("sdp"));
    return type;
}

/** The body, or the part of a multipart body, that PJSIP reads as SDP; null if there is none. */
pjsip_msg_body *sdpOf(const pjsip_rx_data *rdata) {
    pjsip_msg_body *body = rdata->msg_info.msg->body;
    if (!body || !rdata->msg_info.ctype)
        return nullptr;
    const pjsip_media_type sdp = sdpType(), &type = rdata->msg_info.ctype->media;
    if (pjsip_media_type_cmp(&type, &sdp, PJ_FALSE) == 0)
        return body;
    if (pj_stricmp2(&type.type, "multipart") != 0)
        return nullptr;
    const pjsip_multipart_part *part = pjsip_multipart_find_part(body, &sdp, NULL);
    return part ? part->body : nullptr;
}

std::string bytesOf(const pjsip_msg_body *body) { return std::string(static_cast<char *>(body->data), body->len); }

void replace(pjsip_msg_body *body, pj_pool_t *pool, const std::string &text) {
    // PJMEDIA's scanner needs a zero after the last byte.
    char *copy = static_cast<char *>(pj_pool_alloc(pool, text.size() + 1));
    pj_memcpy(copy, text.c_str(), text.size() + 1);
    body->data = copy;
    body->len = static_cast<unsigned>(text.size());
}

std::unique_ptr<OfferAnswer> sessionFor(pjsua_acc_id account) {
    std::string codecs;
    pjsua_codec_info all[PJMEDIA_CODEC_MGR_MAX_CODECS];
    unsigned count = PJ_ARRAY_SIZE(all);
    if (pjsua_enum_codecs(all, &count) != PJ_SUCCESS)
        count = 0;
    for (unsigned i = 0; i < count; ++i)
        if (all[i].priority) {
            const std::string id = textOf(all[i].codec_id);
            codecs += id.substr(0, id.find('/')) + " ";
        }
    return std::make_unique<OfferAnswer>(pjsua_var.acc[account].cfg.use_srtp, codecs);
}

void keep(pjsip_dialog *dialog, std::unique_ptr<OfferAnswer> session) {
    const auto remove = [](void *kept) { delete static_cast<OfferAnswer *>(kept); };
    OfferAnswer *kept = session.release();
    pjsip_dlg_set_mod_data(dialog, descriptionsModule.id, kept);
    // A NULL pool means that of the lock. The dialog's own pool is released by a handler that runs before this one.
    pj_grp_lock_add_handler(dialog->grp_lock_, NULL, kept, remove);
}

/** The session of a call's dialog, made if there is none yet; null for a dialog without a call. */
OfferAnswer *sessionOf(pjsip_dialog *dialog) {
    const pjsip_inv_session *call = dialog ? pjsip_dlg_get_inv_session(dialog) : nullptr;
    const auto *owner = call ? static_cast<pjsua_call *>(call->mod_data[pjsua_var.mod.id]) : nullptr;
    if (!owner)
        return nullptr;
    if (!pjsip_dlg_get_mod_data(dialog, descriptionsModule.id))
        keep(dialog, sessionFor(owner->acc_id));
    return static_cast<OfferAnswer *>(pjsip_dlg_get_mod_data(dialog, descriptionsModule.id));
}

bool isUpdate(const pjsip_method &method) { return pj_strcmp2(&method.name, "UPDATE") == 0; }

bool carriesSdp(const pjsip_method &method) {
    return method.id == PJSIP_INVITE_METHOD || method.id == PJSIP_ACK_METHOD || isUpdate(method) ||
           pjsip_method_cmp(&method, pjsip_get_prack_method()) == 0;
}

/** True if the SDP of a request is an answer: an ACK or a PRACK after our offer in a 2xx or a reliable 1xx. */
bool isAnswer(pjsip_dialog *dialog, const pjsip_method &method) {
    if (method.id == PJSIP_INVITE_METHOD || isUpdate(method))
        return false;
    const pjsip_inv_session *call = pjsip_dlg_get_inv_session(dialog);
    return call->neg && pjmedia_sdp_neg_get_state(call->neg) == PJMEDIA_SDP_NEG_STATE_LOCAL_OFFER;
}

/** False if an offer's c= line has a host name that is not known; PJMEDIA checks an invalid c= line. */
bool hasKnownHost(const std::string &offer) {
    const SdpText text(offer);
    const SdpLines parts = words(text.connection);
    if (parts.size() != 3)
        return true;
    const std::string host(parts[2].substr(0, parts[2].find('/')));
    return isKnownHost(host, isSame(parts[1], "IP6") ? AF_INET6 : AF_INET);
}

/**
 * Read an offer within a dialog; return the SDP for PJSIP. For an unknown host, that is text that PJSIP rejects with
 * 488: PJSUA would end the call if it could not open the audio.
 */
std::string laterOffer(OfferAnswer &session, const std::string &sdp, int number) {
    const std::string offer = session.readOffer(sdp, number);
    return hasKnownHost(offer) ? offer : "?\r\n";
}

pj_bool_t onRequest(pjsip_rx_data *rdata) {
    const auto &info = rdata->msg_info;
    pjsip_msg_body *body = sdpOf(rdata);
    if (!body || !info.to->tag.slen || !carriesSdp(info.msg->line.req.method))
        return PJ_FALSE;
    pjsip_dialog *dialog = pjsip_ua_find_dialog(&info.cid->id, &info.to->tag, &info.from->tag, PJ_FALSE);
    if (OfferAnswer *session = sessionOf(dialog)) {
        const std::string sdp = bytesOf(body);
        replace(body, rdata->tp_info.pool,
                isAnswer(dialog, info.msg->line.req.method) ? session->readAnswer(sdp)
                                                            : laterOffer(*session, sdp, info.cseq->cseq));
    }
    return PJ_FALSE;
}

pj_bool_t onResponse(pjsip_rx_data *rdata) {
    pjsip_msg_body *body = sdpOf(rdata);
    if (!body || !carriesSdp(rdata->msg_info.cseq->method))
        return PJ_FALSE;
    pj_str_t key;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, PJSIP_ROLE_UAC, &rdata->msg_info.cseq->method, rdata) !=
        PJ_SUCCESS)
        return PJ_FALSE;
    // If the transaction is over (a retransmitted 200), PJSIP does not read the body.
    pjsip_transaction *transaction = pjsip_tsx_layer_find_tsx(&key, PJ_FALSE);
    // All our requests with SDP have offers, so the response has an answer.
    if (OfferAnswer *session = sessionOf(transaction ? pjsip_tsx_get_dlg(transaction) : nullptr))
        replace(body, rdata->tp_info.pool, session->readAnswer(bytesOf(body)));
    return PJ_FALSE;
}

/**
 * Print a body that OfferAnswer has written. This function marks such a body, as a message may be sent more than once.
 */
int printWritten(pjsip_msg_body *body, char *buffer, pj_size_t size) {
    return pjsip_print_text_body(body, buffer, size);
}

pj_status_t onSent(pjsip_tx_data *message) {
    pjsip_msg_body *body = message->msg->body;
    const pjsip_media_type sdp = sdpType();
    const auto *cseq = static_cast<pjsip_cseq_hdr *>(pjsip_msg_find_hdr(message->msg, PJSIP_H_CSEQ, NULL));
    if (!body || body->print_body == &printWritten || !cseq || !carriesSdp(cseq->method) ||
        pjsip_media_type_cmp(&body->content_type, &sdp, PJ_FALSE) != 0)
        return PJ_SUCCESS;
    OfferAnswer *session = sessionOf(pjsip_tdata_get_dlg(message));
    std::string printed(MAX_PRINTED, '\0');
    const int length = session ? body->print_body(body, &printed[0], printed.size()) : -1;
    if (length < 0)
        return PJ_SUCCESS;
    printed.resize(static_cast<size_t>(length));
    const bool isRequest = message->msg->type == PJSIP_REQUEST_MSG;
    // This makes PJSIP keep its own form of the offer, which it needs again if another fork answers (RFC 3261, 12.1).
    if (isRequest)
        pjsip_tdata_get_sdp_info(message);
    const std::string text = isRequest ? session->writeOffer(printed) : session->writeAnswer(printed, cseq->cseq);
    auto *written = PJ_POOL_ZALLOC_T(message->pool, pjsip_msg_body);
    pjsip_media_type_cp(message->pool, &written->content_type, &body->content_type);
    written->print_body = &printWritten;
    written->clone_data = &pjsip_clone_text_data;
    replace(written, message->pool, text);
    message->msg->body = written;
    return PJ_SUCCESS;
}

pjsip_module descriptionsModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-descriptions", DESCRIPTIONS_PRIORITY);
    module.on_rx_request = &onRequest;
    module.on_rx_response = &onResponse;
    module.on_tx_request = &onSent;
    module.on_tx_response = &onSent;
    return module;
}();

}  // namespace

void watchDescriptions() { registerModule(&descriptionsModule); }

void readNewOffer(pjsip_rx_data *rdata) {
    newSession.reset();
    pjsip_msg_body *body = sdpOf(rdata);
    if (!body)
        return;
    newSession = sessionFor(pjsua_var.default_acc);
    const std::string offer = newSession->readOffer(bytesOf(body), rdata->msg_info.cseq->cseq);
    // An unknown name is looked up while the bridge reaches the agent.
    hasKnownHost(offer);
    replace(body, rdata->tp_info.pool, offer);
}

void keepNewOffer(pjsip_dialog *dialog) {
    if (newSession)
        keep(dialog, std::move(newSession));
}

}  // namespace sipbridge
