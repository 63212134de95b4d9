#include "sipbridge_native.hpp"

#include <samplerate.h>
#include <sys/socket.h>

#define THIS_FILE "sipbridge_native.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

// ---------------------------------------------------------------- events

namespace {

std::mutex eventsMutex;
std::vector<CallEvent> events;
std::atomic<bool> anyEvents{false};
std::atomic<bool> woken{false};

void push(EventKind kind, int call, int number, int status = 0, const std::string &text = "", bool final = true) {
    std::lock_guard<std::mutex> lock(eventsMutex);
    events.push_back(CallEvent{kind, call, number, status, text, final});
    anyEvents = true;
}

}  // namespace

std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds) {
    pj_time_val start, now;
    pj_gettickcount(&start);
    long left = milliseconds;
    while (left >= 0 && !anyEvents && !woken) {
        // Negative where a signal cut the poll short; PJSIP itself sleeps where it fails for good.
        pj::Endpoint::instance().libHandleEvents(static_cast<unsigned>(left));
        pj_gettickcount(&now);
        PJ_TIME_VAL_SUB(now, start);
        left = milliseconds - PJ_TIME_VAL_MSEC(now);
    }
    if (anyEvents || woken) {
        pj_thread_sleep(static_cast<unsigned>(gatherMilliseconds));
        pj::Endpoint::instance().libHandleEvents(0);
    }
    woken = false;
    std::vector<CallEvent> taken;
    std::lock_guard<std::mutex> lock(eventsMutex);
    taken.swap(events);
    anyEvents = false;
    return taken;
}

// ---------------------------------------------------------------- the gate

namespace {

RequestGate *openGate = nullptr;
// The request that went through the gate last. PJSUA sees it in the same breath, before any other.
int lastTicket = 0;

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
    GateRequest request(rdata, ++lastTicket);
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
    woken = true;
    return PJ_TRUE;
}

}  // namespace

void keepFreedPools(int bytes) { pjsua_get_var()->cp.max_capacity = static_cast<pj_size_t>(bytes); }

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
            push(EventClipDone, -1, clip->token);
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

// ---------------------------------------------------------------- calls

namespace {

int audioSlot(const pjsua_call &call) {
    return call.audio_idx < 0 ? -1 : call.media[call.audio_idx].strm.a.conf_slot;
}

void onIncomingCall(pjsua_acc_id, pjsua_call_id id, pjsip_rx_data *) { push(EventIncoming, id, lastTicket); }

void onRejectedIncomingCall(const pjsua_on_rejected_incoming_call_param *param) {
    push(EventTurnedDown, -1, lastTicket, static_cast<int>(param->st_code));
}

void onCallState(pjsua_call_id id, pjsip_event *) {
    const pjsua_call &call = pjsua_var.calls[id];
    // PJSUA reports a call that we hang up as disconnected at once, and no more after that.
    if (call.hanging_up)
        push(EventEnded, id, 0, static_cast<int>(call.last_code));
    else if (call.inv && call.inv->state == PJSIP_INV_STATE_CONFIRMED)
        push(EventConfirmed, id, 0);
    else if (call.inv && call.inv->state == PJSIP_INV_STATE_DISCONNECTED)
        push(EventEnded, id, 0, static_cast<int>(call.inv->cause));
}

void onCallMediaState(pjsua_call_id id) { push(EventMedia, id, audioSlot(pjsua_var.calls[id])); }

void onTransferRequest(pjsua_call_id, const pj_str_t *, pjsip_status_code *code, pjsua_call_setting *) {
    *code = PJSIP_SC_FORBIDDEN;
}

void onTransferStatus(pjsua_call_id id, int status, const pj_str_t *text, pj_bool_t final, pj_bool_t *) {
    push(EventRefer, id, 0, status, std::string(text->ptr, static_cast<size_t>(text->slen)), final != 0);
}

/** Nobody wants digits yet; without a listener PJSUA would answer 400 to an INFO that carries one (RFC 6086). */
void onDtmf(pjsua_call_id, const pjsua_dtmf_event *) {}

bool breaksLine(const std::string &text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return true;
    return false;
}

pj_str_t borrowed(const std::string &text) {
    pj_str_t borrowed;
    borrowed.ptr = const_cast<char *>(text.data());
    borrowed.slen = static_cast<pj_ssize_t>(text.size());
    return borrowed;
}

/** Our headers for a message that PJSUA will make; PJSUA copies them. */
class MessageData {
public:
    explicit MessageData(const Headers &headers) : pool_(pjsua_pool_create("headers", 512, 512)) {
        pjsua_msg_data_init(&data);
        for (const auto &header : headers) {
            if (header.first.empty() || breaksLine(header.first) || breaksLine(header.second)) {
                pj_pool_release(pool_);
                PJSUA2_RAISE_ERROR3(PJ_EINVAL, "header", "a header would break its line");
            }
            const pj_str_t name = borrowed(header.first), value = borrowed(header.second);
            pj_list_push_back(&data.hdr_list, pjsip_generic_string_hdr_create(pool_, &name, &value));
        }
    }
    ~MessageData() { pj_pool_release(pool_); }
    MessageData(const MessageData &) = delete;
    MessageData &operator=(const MessageData &) = delete;

    pjsua_msg_data data;

private:
    pj_pool_t *pool_;
};

}  // namespace

void takeCallbacks() {
    pjsua_callback *cb = &pjsua_var.ua_cfg.cb;
    cb->on_incoming_call = &onIncomingCall;
    cb->on_rejected_incoming_call = &onRejectedIncomingCall;
    cb->on_call_state = &onCallState;
    cb->on_call_media_state = &onCallMediaState;
    cb->on_call_transfer_request2 = &onTransferRequest;
    cb->on_call_transfer_status = &onTransferStatus;
    cb->on_dtmf_event = &onDtmf;
    // Nobody here listens to these; the last two run on PJMEDIA's threads, which must never wait for Python.
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
    cb->on_acc_find_for_incoming = NULL;
    cb->on_media_event = NULL;
    cb->on_call_media_event = NULL;
}

void callAnswer(int call, int status, const Headers &headers) {
    MessageData message(headers);
    PJSUA2_CHECK_EXPR(pjsua_call_answer2(call, NULL, static_cast<unsigned>(status), NULL, &message.data));
}

void callHangup(int call, int status, const std::string &reason, const Headers &headers) {
    MessageData message(headers);
    const pj_str_t text = borrowed(reason);
    PJSUA2_CHECK_EXPR(
        pjsua_call_hangup(call, static_cast<unsigned>(status), reason.empty() ? NULL : &text, &message.data));
}

void callRefer(int call, const std::string &referTo, const Headers &headers) {
    if (breaksLine(referTo))
        PJSUA2_RAISE_ERROR3(PJ_EINVAL, "Refer-To", "the URI would break its line");
    MessageData message(headers);
    const pj_str_t target = borrowed(referTo);
    PJSUA2_CHECK_EXPR(pjsua_call_xfer(call, &target, &message.data));
}

int callDial(int account, const std::string &uri, const std::string &localUri, const Headers &headers) {
    MessageData message(headers);
    const pj_str_t target = borrowed(uri);
    message.data.local_uri = borrowed(localUri);
    pjsua_call_id call = PJSUA_INVALID_ID;
    PJSUA2_CHECK_EXPR(pjsua_call_make_call(account, &target, NULL, NULL, &message.data, &call));
    return call;
}

void connectSlots(int source, int sink) { PJSUA2_CHECK_EXPR(pjsua_conf_connect(source, sink)); }

}  // namespace sipbridge
