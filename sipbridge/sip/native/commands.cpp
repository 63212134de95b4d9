#include "commands.hpp"
#include "dtmf.hpp"
#include "ending.hpp"
#include "outgoing.hpp"
#include "resolver.hpp"
#include "resources.hpp"
#include "sources.hpp"
#include "unheard.hpp"
#include "message.hpp"

#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <algorithm>

#define THIS_FILE "commands.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

void callAnswer(int call, int status, const Headers &headers) {
    MessageData message(headers);
    // Only these responses make PJSUA open the audio.
    if (status == PJSIP_SC_PROGRESS || status / 100 == 2)
        handOverPorts(call);
    const pj_status_t sent = pjsua_call_answer2(call, NULL, static_cast<unsigned>(status), NULL, &message.data);
    // PJSUA itself rejects an INVITE whose audio it cannot open. An event reports that, with the status.
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
    // There is no session if the INVITE could not be sent.
    if (const pjsip_inv_session *session = pjsua_var.calls[call].inv) {
        wentTo(session->dlg, target, sources);
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
    // PJ_EINVALIDOP: the call has no audio, so there is no payload type for events.
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
    // A far end that holds the call with sendonly may send music, but need not.
    if (media.dir != PJMEDIA_DIR_ENCODING_DECODING || !media.strm.a.stream)
        return -1;
    pjmedia_rtcp_stat statistics;
    if (pjmedia_stream_get_stat(media.strm.a.stream, &statistics) != PJ_SUCCESS)
        return -1;
    return static_cast<int>(statistics.rx.pkt & 0x7fffffff);
}

}  // namespace sipbridge
