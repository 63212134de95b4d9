#include "sipbridge_native.hpp"

#include <samplerate.h>
#include <sys/socket.h>

#define THIS_FILE "sipbridge_native.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

// ---------------------------------------------------------------- the gate

namespace {

RequestGate *openGate = nullptr;

pj_bool_t onRxRequest(pjsip_rx_data *rdata) {
    const pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    // ACK has no answer (RFC 3261, 17.1.1.3); CANCEL belongs to the transaction it cancels (9.2).
    if (!openGate || method == PJSIP_ACK_METHOD || method == PJSIP_CANCEL_METHOD)
        return PJ_FALSE;
    // In a dialog, or already somebody's transaction: not ours to judge.
    if (pjsip_rdata_get_dlg(rdata) || pjsip_rdata_get_tsx(rdata))
        return PJ_FALSE;
    // A To tag without a dialog is a stray: PJSIP answers 481 (RFC 3261, 12.2.2).
    if (rdata->msg_info.to && rdata->msg_info.to->tag.slen)
        return PJ_FALSE;
    GateRequest request(rdata);
    openGate->onRequest(request);
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

void RequestGate::open() {
    openGate = this;
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &gateModule));
}

void RequestGate::close() {
    openGate = nullptr;
    if (gateModule.id != -1)
        pjsip_endpt_unregister_module(pjsua_get_pjsip_endpt(), &gateModule);
}

// ---------------------------------------------------------------- waking the SIP thread

namespace {

pj_sock_t wakerSocket = PJ_INVALID_SOCKET;
pj_activesock_t *wakerReader = nullptr;
std::atomic<bool> wakePending{false};

pj_bool_t onWakerRead(pj_activesock_t *, void *, pj_size_t, pj_status_t, pj_size_t *remainder) {
    *remainder = 0;
    wakePending = false;
    return PJ_TRUE;
}

}  // namespace

void openWaker() {
    // A datagram socket connected to itself hears nobody else.
    pj_sockaddr_in address;
    int length = sizeof(address);
    const pj_str_t loopback = pj_str(const_cast<char *>("127.0.0.1"));
    PJSUA2_CHECK_EXPR(pj_sockaddr_in_init(&address, &loopback, 0));
    PJSUA2_CHECK_EXPR(pj_sock_socket(pj_AF_INET(), pj_SOCK_DGRAM(), 0, &wakerSocket));
    PJSUA2_CHECK_EXPR(pj_sock_bind(wakerSocket, &address, length));
    PJSUA2_CHECK_EXPR(pj_sock_getsockname(wakerSocket, &address, &length));
    PJSUA2_CHECK_EXPR(pj_sock_connect(wakerSocket, &address, length));
    pj_activesock_cb callbacks;
    pj_bzero(&callbacks, sizeof(callbacks));
    callbacks.on_data_read = &onWakerRead;
    pj_pool_t *pool = pjsua_get_var()->pool;
    PJSUA2_CHECK_EXPR(pj_activesock_create(pool, wakerSocket, pj_SOCK_DGRAM(), NULL,
                                           pjsip_endpt_get_ioqueue(pjsua_get_pjsip_endpt()), &callbacks, NULL,
                                           &wakerReader));
    PJSUA2_CHECK_EXPR(pj_activesock_start_read(wakerReader, pool, 16, 0));
}

void closeWaker() {
    if (wakerReader)
        pj_activesock_close(wakerReader);
    wakerReader = nullptr;
    wakerSocket = PJ_INVALID_SOCKET;
}

void wakeSipThread() {
    // Not through PJLIB: the caller may be a thread that PJLIB does not know.
    if (wakerSocket != PJ_INVALID_SOCKET && !wakePending.exchange(true))
        (void)::send(static_cast<int>(wakerSocket), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// ---------------------------------------------------------------- clips

std::string resample(const std::string &pcm, int fromRate, int toRate) {
    const int16_t *samples = reinterpret_cast<const int16_t *>(pcm.data());
    const long count = static_cast<long>(pcm.size() / 2);
    const double ratio = static_cast<double>(toRate) / fromRate;
    std::vector<float> in(static_cast<size_t>(count)), out(static_cast<size_t>(count * ratio) + 64);
    src_short_to_float_array(samples, in.data(), static_cast<int>(count));
    SRC_DATA data;
    pj_bzero(&data, sizeof(data));
    data.data_in = in.data();
    data.input_frames = count;
    data.data_out = out.data();
    data.output_frames = static_cast<long>(out.size());
    data.src_ratio = ratio;
    if (src_simple(&data, SRC_SINC_MEDIUM_QUALITY, 1) != 0)
        PJSUA2_RAISE_ERROR(PJ_EINVAL);
    std::string result(static_cast<size_t>(data.output_frames_gen) * 2, '\0');
    src_float_to_short_array(out.data(), reinterpret_cast<short *>(&result[0]), static_cast<int>(data.output_frames_gen));
    return result;
}

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
            wakeSipThread();
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

std::vector<int> takeFinishedClips() {
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
    if (call.hanging_up)
        return PJSIP_INV_STATE_DISCONNECTED;
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

void connectSlots(int source, int sink) { PJSUA2_CHECK_EXPR(pjsua_conf_connect(source, sink)); }

}  // namespace sipbridge
