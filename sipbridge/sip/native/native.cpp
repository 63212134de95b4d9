#include "byes.hpp"
#include "dtmf.hpp"
#include "ending.hpp"
#include "native.hpp"
#include "connections.hpp"
#include "incoming.hpp"
#include "negotiation.hpp"
#include "outgoing.hpp"
#include "pools.hpp"
#include "requests.hpp"
#include "resolver.hpp"
#include "resources.hpp"
#include "sources.hpp"
#include "tls.hpp"
#include "transfers.hpp"

#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

#define THIS_FILE "native.cpp"

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

}  // namespace

void push(EventKind kind, int call, int number, int status, const std::string &text, bool final) {
    std::lock_guard<std::mutex> lock(eventsMutex);
    events.push_back(CallEvent{kind, call, number, status, text, final});
    anyEvents = true;
}

// ---------------------------------------------------------------- INVITEs that nothing is heard of

namespace {

const long GIVE_UP_SECONDS = 2;

/** A transaction that was hung up before anything was heard of it: its key, for it may be gone, and when to look. */
struct Unheard {
    std::string key;
    pj_time_val due;
};

std::deque<Unheard> unheard;

void giveUpLater(const pjsip_transaction *invite) {
    pj_time_val due;
    pj_gettickcount(&due);
    due.sec += GIVE_UP_SECONDS;
    const pj_str_t &key = invite->transaction_key;
    unheard.push_back(Unheard{textOf(key), due});
}

void giveUpUnheard() {
    pj_time_val now;
    pj_gettickcount(&now);
    while (!unheard.empty() && PJ_TIME_VAL_LTE(unheard.front().due, now)) {
        const std::string key = unheard.front().key;
        unheard.pop_front();
        pj_str_t name = pj_str(const_cast<char *>(key.c_str()));
        pjsip_transaction *invite = pjsip_tsx_layer_find_tsx(&name, PJ_TRUE);
        if (!invite)
            continue;
        if (invite->status_code < 100)
            pjsip_tsx_terminate(invite, PJSIP_SC_REQUEST_TIMEOUT);
        pj_grp_lock_release(invite->grp_lock);
    }
}

}  // namespace

std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds) {
    giveUpUnheard();
    passLateByes();
    giveIdlePoolsBack();
    closeUnfinished();
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
    // A To tag without a dialog is a stray: PJSIP answers 481 (RFC 3261, 12.2.2), but for REGISTER, which knows no dialog.
    if (method != PJSIP_REGISTER_METHOD && rdata->msg_info.to && rdata->msg_info.to->tag.slen)
        return PJ_FALSE;
    GateRequest request(rdata, ++lastTicket);
    openGate->onRequest(request);
    if (request.respond())
        return PJ_TRUE;
    if (method == PJSIP_INVITE_METHOD)
        readNewOffer(rdata);
    return PJ_FALSE;
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

int GateRequest::messageFault() const { return currentRefusal().status; }

std::string GateRequest::messageFaultText() const { return currentRefusal().reason; }

int GateRequest::methodFault() const { return sipbridge::methodFault(nullptr, rdata_->msg_info.msg); }

void GateRequest::listHeaders(pjsip_hdr *headers) const {
    pj_list_init(headers);
    pj_pool_t *pool = rdata_->tp_info.pool;
    for (const auto &header : headers_) {
        const pj_str_t name = borrowed(header.first), value = borrowed(header.second);
        pj_list_push_back(headers, pjsip_generic_string_hdr_create(pool, &name, &value));
    }
}

namespace {

// What refusals may keep: as many transactions at once, of half a minute each, of all sources and methods.
const long MAX_REFUSALS = 1000;
const long REFUSAL_MILLISECONDS = 32000;

/** True if another refusal may have a transaction. */
bool takeRefusal() {
    static long left = MAX_REFUSALS;
    static pj_time_val taken = {0, 0};
    pj_time_val now, passed;
    pj_gettickcount(&now);
    passed = now;
    PJ_TIME_VAL_SUB(passed, taken);
    const long back = PJ_TIME_VAL_MSEC(passed) * MAX_REFUSALS / REFUSAL_MILLISECONDS;
    if (back > 0) {
        left = std::min(MAX_REFUSALS, left + back);
        taken = now;
    }
    return left > 0 && left-- > 0;
}

}  // namespace

bool GateRequest::respond() {
    if (!code_)
        return false;
    pjsip_hdr headers;
    listHeaders(&headers);
    pj_str_t reason = pj_str(const_cast<char *>(reason_.c_str()));
    const pj_str_t *text = reason_.empty() ? NULL : &reason;
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    // Nor is there a transaction where its table is full, or CSeq names another method.
    if (stateless_ || !takeRefusal() ||
        pjsip_endpt_respond(endpoint, NULL, rdata_, code_, text, &headers, NULL, NULL) != PJ_SUCCESS)
        pjsip_endpt_respond_stateless(endpoint, rdata_, code_, text, &headers, NULL);
    return true;
}

bool GateRequest::respond(pjsip_dialog *dialog) {
    if (!code_)
        return false;
    pjsip_hdr headers;
    listHeaders(&headers);
    pj_str_t reason = pj_str(const_cast<char *>(reason_.c_str()));
    pjsip_dlg_respond(dialog, rdata_, code_, reason_.empty() ? NULL : &reason, &headers, NULL);
    return true;
}

bool admitsConnection(const std::string &source) { return !openGate || openGate->onConnection(source); }

bool asksToHold(int call, int ticket) { return openGate && openGate->onBye(call, ticket); }

void RequestGate::open() {
    openGate = this;
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &gateModule));
}

void RequestGate::close() { openGate = nullptr; }

void judgeRefer(pjsua_call_id id, pjsip_dialog *dialog, pjsip_rx_data *rdata) {
    GateRequest request(rdata, ++lastTicket);
    if (openGate)
        openGate->onRefer(id, request);
    else
        request.refuse(PJSIP_SC_FORBIDDEN, "");
    if (!request.respond(dialog))
        acceptRefer(dialog, rdata, request.ticket());
}

// ---------------------------------------------------------------- waking the SIP thread

namespace {

std::atomic<pj_sock_t> wakerSocket{PJ_INVALID_SOCKET};
pj_activesock_t *wakerReader = nullptr;
std::atomic<bool> wakePending{false};

pj_bool_t onWakerRead(pj_activesock_t *, void *, pj_size_t, pj_status_t, pj_size_t *remainder) {
    *remainder = 0;
    wakePending = false;
    woken = true;
    return PJ_TRUE;
}

}  // namespace

void keepToTransport() { pjsip_cfg()->endpt.disable_tcp_switch = PJ_TRUE; }

void openWaker() {
    // A datagram socket connected to itself hears nobody else.
    pj_sockaddr_in address;
    int length = sizeof(address);
    const pj_str_t loopback = pj_str(const_cast<char *>("127.0.0.1"));
    PJSUA2_CHECK_EXPR(pj_sockaddr_in_init(&address, &loopback, 0));
    pj_sock_t opened = PJ_INVALID_SOCKET;
    PJSUA2_CHECK_EXPR(pj_sock_socket(pj_AF_INET(), pj_SOCK_DGRAM(), 0, &opened));
    PJSUA2_CHECK_EXPR(pj_sock_bind(opened, &address, length));
    PJSUA2_CHECK_EXPR(pj_sock_getsockname(opened, &address, &length));
    PJSUA2_CHECK_EXPR(pj_sock_connect(opened, &address, length));
    pj_activesock_cb callbacks;
    pj_bzero(&callbacks, sizeof(callbacks));
    callbacks.on_data_read = &onWakerRead;
    pj_pool_t *pool = pjsua_get_var()->pool;
    PJSUA2_CHECK_EXPR(pj_activesock_create(pool, opened, pj_SOCK_DGRAM(), NULL,
                                           pjsip_endpt_get_ioqueue(pjsua_get_pjsip_endpt()), &callbacks, NULL,
                                           &wakerReader));
    PJSUA2_CHECK_EXPR(pj_activesock_start_read(wakerReader, pool, 16, 0));
    wakerSocket = opened;
}

void closeWaker() {
    // First: the number may be another file's as soon as it is closed.
    wakerSocket = PJ_INVALID_SOCKET;
    if (wakerReader)
        pj_activesock_close(wakerReader);
    wakerReader = nullptr;
}

void wakeSipThread() {
    // Not through PJLIB: the caller may be a thread that PJLIB does not know.
    const pj_sock_t socket = wakerSocket;
    if (socket != PJ_INVALID_SOCKET && !wakePending.exchange(true))
        (void)::send(static_cast<int>(socket), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// ---------------------------------------------------------------- calls

namespace {

/** PJSUA would look for an account by the user part. All accounts but the default one are for calls of ours. */
void onAccountForIncoming(const pjsip_rx_data *, pjsua_acc_id *account) { *account = pjsua_acc_get_default(); }

void onIncomingCall(pjsua_acc_id account, pjsua_call_id id, pjsip_rx_data *rdata) {
    forgetDigits(id);
    forgetAudio(id);
    forgetTarget(id);
    cameFrom(pjsua_var.calls[id].inv->dlg, rdata);
    stayOnConnection(pjsua_var.calls[id].inv->dlg, rdata->tp_info.transport);
    keepNewOffer(pjsua_var.calls[id].inv->dlg);
    // With no offer PJSUA opens no audio before the answer, and by then there may be no port left.
    if (!pjsua_var.calls[id].inv->neg)
        keepRoom(id, account);
    push(EventIncoming, id, lastTicket);
}

/** The BYE that ended the call, as it came. */
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
    push(EventTurnedDown, -1, lastTicket, static_cast<int>(param->st_code));
}

void onCallState(pjsua_call_id id, pjsip_event *event) {
    const pjsua_call &call = pjsua_var.calls[id];
    // Before the ACK goes out.
    if (call.inv && call.inv->role == PJSIP_ROLE_UAC && call.inv->invite_tsx && event->type == PJSIP_EVENT_TSX_STATE &&
        event->body.tsx_state.type == PJSIP_EVENT_RX_MSG)
        stayOnConnection(call.inv->dlg, call.inv->invite_tsx->transport);
    // PJSUA reports a call that we hang up as disconnected at once, and no more after that.
    if (call.hanging_up || (call.inv && call.inv->state == PJSIP_INV_STATE_DISCONNECTED))
        roomIsBack(id);
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

/** By default PJSUA would call whatever a REFER names; judgeRefer has answered those that are ours to judge. */
void onTransferRequest(pjsua_call_id, const pj_str_t *, pjsip_status_code *code) { *code = PJSIP_SC_FORBIDDEN; }

/** Never called: dtmf.cpp takes all that PJSIP would call it for. PJSUA looks for it when it makes a stream. */
void onDtmf(pjsua_call_id, const pjsua_dtmf_event *) {}

}  // namespace

void takeCallbacks() {
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
    // Nobody here listens to these; the last two run on PJMEDIA's threads, which must never wait for Python.
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

void callAnswer(int call, int status, const Headers &headers) {
    MessageData message(headers);
    // Only these make PJSUA open audio.
    if (status == PJSIP_SC_PROGRESS || status / 100 == 2)
        giveRoomBack(call);
    const pj_status_t sent = pjsua_call_answer2(call, NULL, static_cast<unsigned>(status), NULL, &message.data);
    // PJSUA itself rejects an INVITE whose audio it cannot open: that end comes as an event, with its status.
    const pjsip_inv_session *session = pjsua_var.calls[call].inv;
    if (session && session->state != PJSIP_INV_STATE_DISCONNECTED)
        PJSUA2_CHECK_EXPR(sent);
}

void callHangup(int call, int status, const std::string &reason, const Headers &headers) {
    MessageData message(headers);
    const pj_str_t text = borrowed(reason);
    const pjsip_inv_session *session = pjsua_var.calls[call].inv;
    if (session && session->role == PJSIP_ROLE_UAC && session->invite_tsx && session->invite_tsx->status_code < 100)
        giveUpLater(session->invite_tsx);
    PJSUA2_CHECK_EXPR(
        pjsua_call_hangup(call, static_cast<unsigned>(status), reason.empty() ? NULL : &text, &message.data));
}

// PJSIP's own C asks these (patches/).

extern "C" pj_bool_t sipbridgeSessionGoesOn(pjsip_dialog *dialog) {
    const pjsip_inv_session *session = pjsip_dlg_get_inv_session(dialog);
    return session && session->state < PJSIP_INV_STATE_DISCONNECTED;
}

int callDial(int account, const std::string &uri, const std::string &target, const std::vector<std::string> &sources,
             const std::string &localUri, const Headers &headers, const std::string &username,
             const std::string &password) {
    MessageData message(headers);
    const pj_str_t remote = borrowed(uri);
    message.data.local_uri = borrowed(localUri);
    const ChosenTarget chosen(target);
    pjsua_call_id call = PJSUA_INVALID_ID;
    PJSUA2_CHECK_EXPR(pjsua_call_make_call(account, &remote, NULL, NULL, &message.data, &call));
    chosen.keepFor(call);
    // None where the INVITE could not even be sent.
    if (const pjsip_inv_session *session = pjsua_var.calls[call].inv) {
        wentTo(session->dlg, sources);
        if (!username.empty())
            useCredentials(session->dlg, username, password);
    }
    forgetDigits(call);
    forgetAudio(call);
    return call;
}

void callDigit(int call, int digit) {
    char text = static_cast<char>(digit);
    pjsua_call_send_dtmf_param param;
    pjsua_call_send_dtmf_param_default(&param);
    param.digits.ptr = &text;
    param.digits.slen = 1;
    param.method = PJSUA_DTMF_METHOD_RFC2833;
    const pj_status_t status = pjsua_call_send_dtmf(call, &param);
    if (status == PJ_ETOOMANY)
        noteDigitDropped(call, "the queue to the far end is full");
    // PJ_EINVALIDOP: there is no audio, and so nothing agreed for events.
    if (status != PJMEDIA_RTP_EREMNORFC2833 && status != PJ_EINVALIDOP)
        return;
    param.method = PJSUA_DTMF_METHOD_SIP_INFO;
    PJSUA2_CHECK_EXPR(pjsua_call_send_dtmf(call, &param));
}

int callAudio(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    if (!slot.inv || slot.hanging_up || slot.inv->state == PJSIP_INV_STATE_DISCONNECTED || slot.audio_idx < 0)
        return -1;
    return slot.media[slot.audio_idx].strm.a.conf_slot;
}

int bytesWaiting() {
    uint32_t most = 0;
    for (const auto &each : pjsua_var.tpdata) {
        if (each.type != PJSIP_TRANSPORT_UDP || !each.data.tp)
            continue;
        uint32_t memory[SK_MEMINFO_VARS];
        socklen_t size = sizeof(memory);
        const int socket = static_cast<int>(pjsip_udp_transport_get_socket(each.data.tp));
        if (getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0)
            most = std::max(most, memory[SK_MEMINFO_RMEM_ALLOC]);
    }
    return static_cast<int>(most);
}

int freeCalls() { return static_cast<int>(pjsua_var.ua_cfg.max_calls - pjsua_var.call_cnt); }

std::string sipCallId(int call) {
    const pjsip_inv_session *session = pjsua_var.calls[call].inv;
    return session ? textOf(session->dlg->call_id->id) : "";
}

int callPackets(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    if (slot.audio_idx < 0)
        return -1;
    const pjsua_call_media &media = slot.media[slot.audio_idx];
    // A far end that holds by sendonly may play music, and need not.
    if (media.dir != PJMEDIA_DIR_ENCODING_DECODING || !media.strm.a.stream)
        return -1;
    pjmedia_rtcp_stat statistics;
    if (pjmedia_stream_get_stat(media.strm.a.stream, &statistics) != PJ_SUCCESS)
        return -1;
    return static_cast<int>(statistics.rx.pkt & 0x7fffffff);
}

}  // namespace sipbridge
