#include "sipbridge_native.hpp"

#define THIS_FILE "sipbridge_native.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

// ---------------------------------------------------------------- the gate

namespace {

InviteGate *openGate = nullptr;

pj_bool_t onRxRequest(pjsip_rx_data *rdata) {
    const pjsip_msg *msg = rdata->msg_info.msg;
    if (!openGate || msg->line.req.method.id != PJSIP_INVITE_METHOD)
        return PJ_FALSE;
    // In a dialog, or already somebody's transaction: not ours to judge.
    if (pjsip_rdata_get_dlg(rdata) || pjsip_rdata_get_tsx(rdata))
        return PJ_FALSE;
    // A To tag without a dialog is a stray re-INVITE: PJSUA answers 481 (RFC 3261, 12.2.2).
    if (rdata->msg_info.to && rdata->msg_info.to->tag.slen)
        return PJ_FALSE;
    GateRequest request(rdata);
    openGate->onInvite(request);
    return request.respond() ? PJ_TRUE : PJ_FALSE;
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

bool GateRequest::respond() {
    if (!code_)
        return false;
    pjsip_hdr headers;
    pj_list_init(&headers);
    pj_pool_t *pool = rdata_->tp_info.pool;
    for (const auto &header : headers_) {
        pj_str_t name = pj_str(const_cast<char *>(header.first.c_str()));
        pj_str_t value = pj_str(const_cast<char *>(header.second.c_str()));
        pj_list_push_back(&headers, pjsip_generic_string_hdr_create(pool, &name, &value));
    }
    pj_str_t reason = pj_str(const_cast<char *>(reason_.c_str()));
    pjsip_endpt_respond(pjsua_get_pjsip_endpt(), NULL, rdata_, code_, reason_.empty() ? NULL : &reason,
                        &headers, NULL, NULL);
    return true;
}

void InviteGate::open() {
    openGate = this;
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &gateModule));
}

void InviteGate::close() {
    openGate = nullptr;
    if (gateModule.id != -1)
        pjsip_endpt_unregister_module(pjsua_get_pjsip_endpt(), &gateModule);
}

// ---------------------------------------------------------------- clips

namespace {

std::mutex finishedMutex;
std::vector<int> finishedTokens;
std::atomic<bool> anyFinished{false};

/** A PJMEDIA port that reads a clip. Owned by its pool, which the conference releases last. */
struct ClipPort {
    pjmedia_port base;
    pj_pool_t *pool;
    std::shared_ptr<const std::vector<int16_t>> samples;
    size_t position;
    int token;
    bool done;
};

pj_status_t clipGetFrame(pjmedia_port *port, pjmedia_frame *frame) {
    ClipPort *clip = reinterpret_cast<ClipPort *>(port);
    const size_t wanted = PJMEDIA_PIA_SPF(&port->info);
    const size_t left = clip->samples->size() - clip->position;
    if (!left) {
        frame->type = PJMEDIA_FRAME_TYPE_NONE;
        frame->size = 0;
        // One frame later than the last sample: by now it is in an RTP packet.
        if (!clip->done) {
            clip->done = true;
            std::lock_guard<std::mutex> lock(finishedMutex);
            finishedTokens.push_back(clip->token);
            anyFinished = true;
        }
        return PJ_SUCCESS;
    }
    const size_t count = left < wanted ? left : wanted;
    int16_t *out = static_cast<int16_t *>(frame->buf);
    pjmedia_copy_samples(out, clip->samples->data() + clip->position, static_cast<unsigned>(count));
    if (count < wanted)
        pjmedia_zero_samples(out + count, static_cast<unsigned>(wanted - count));
    clip->position += count;
    frame->type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame->size = wanted * 2;
    return PJ_SUCCESS;
}

pj_status_t clipDestroy(pjmedia_port *port) {
    ClipPort *clip = reinterpret_cast<ClipPort *>(port);
    pj_pool_t *pool = clip->pool;
    clip->samples.~shared_ptr();
    pj_pool_release(pool);
    return PJ_SUCCESS;
}

}  // namespace

ClipPlayer::ClipPlayer(const Clip &source, int token) {
    pj_pool_t *pool = pjsua_pool_create("clip%p", 1024, 512);
    if (!pool)
        PJSUA2_RAISE_ERROR(PJ_ENOMEM);
    ClipPort *clip = PJ_POOL_ZALLOC_T(pool, ClipPort);
    new (&clip->samples) std::shared_ptr<const std::vector<int16_t>>(source.samples());
    clip->pool = pool;
    clip->token = token;
    pj_str_t name = pj_str(const_cast<char *>("clip"));
    const unsigned rate = pjsua_var.media_cfg.clock_rate;
    pjmedia_port_info_init(&clip->base.info, &name, PJMEDIA_SIG_CLASS_APP('C', 'L', 'P'), rate, 1, 16,
                           rate * pjsua_var.media_cfg.audio_frame_ptime / 1000);
    clip->base.get_frame = &clipGetFrame;
    clip->base.on_destroy = &clipDestroy;
    pj_status_t status = pjmedia_port_init_grp_lock(&clip->base, pool, NULL);
    if (status != PJ_SUCCESS) {
        clipDestroy(&clip->base);
        PJSUA2_RAISE_ERROR(status);
    }
    try {
        registerMediaPort2(&clip->base, pool);
    } catch (...) {
        pjmedia_port_destroy(&clip->base);
        throw;
    }
    // The conference holds its own reference from here on.
    pjmedia_port_dec_ref(&clip->base);
}

ClipPlayer::~ClipPlayer() {
    try {
        unregisterMediaPort();
    } catch (...) {
        // The endpoint is gone, and the conference with it.
    }
}

std::vector<int> ClipPlayer::takeFinished() {
    std::vector<int> taken;
    if (anyFinished) {
        std::lock_guard<std::mutex> lock(finishedMutex);
        taken.swap(finishedTokens);
        anyFinished = false;
    }
    return taken;
}

// ---------------------------------------------------------------- PJSUA, cheaply

void unhookUnusedCallbacks() {
    pjsua_callback *cb = &pjsua_var.ua_cfg.cb;
    cb->on_call_tsx_state = NULL;
    cb->on_call_sdp_created = NULL;
    cb->on_stream_precreate = NULL;
    cb->on_stream_created2 = NULL;
    cb->on_stream_destroyed = NULL;
    cb->on_call_rx_offer = NULL;
    cb->on_call_rx_reinvite = NULL;
    cb->on_call_tx_offer = NULL;
    cb->on_call_redirected = NULL;
    cb->on_call_media_transport_state = NULL;
    cb->on_create_media_transport = NULL;
    cb->on_call_replace_request2 = NULL;
    cb->on_call_replaced = NULL;
    cb->on_media_event = NULL;
    cb->on_call_media_event = NULL;
    cb->on_acc_find_for_incoming = NULL;
}

int invState(int callId) {
    const pjsua_call &call = pjsua_var.calls[callId];
    return call.inv ? static_cast<int>(call.inv->state) : -1;
}

int endCause(int callId) {
    const pjsua_call &call = pjsua_var.calls[callId];
    return call.inv ? static_cast<int>(call.inv->cause) : static_cast<int>(call.last_code);
}

int audioSlot(int callId) {
    const pjsua_call &call = pjsua_var.calls[callId];
    return call.audio_idx < 0 ? -1 : call.media[call.audio_idx].strm.a.conf_slot;
}

bool heldByPeer(int callId) {
    const pjsua_call &call = pjsua_var.calls[callId];
    return call.audio_idx >= 0 && !(call.media[call.audio_idx].dir & PJMEDIA_DIR_ENCODING);
}

void connectSlots(int source, int sink) { PJSUA2_CHECK_EXPR(pjsua_conf_connect(source, sink)); }
void disconnectSlots(int source, int sink) { PJSUA2_CHECK_EXPR(pjsua_conf_disconnect(source, sink)); }

}  // namespace sipbridge
