#include "ending.hpp"
#include "direct_audio.hpp"
#include "events.hpp"
#include "relay.hpp"

#include <algorithm>

namespace sipbridge {

namespace {

// Sums of AudioUse, by PJSUA's slot; only the SIP thread reads and writes them.
int uses[PJSUA_MAX_CALLS];

bool isAudio(const pjmedia_sdp_media *line) { return pj_stricmp2(&line->desc.media, "audio") == 0 && line->desc.port; }

}  // namespace

bool endedByPeer(const pjsip_inv_session *session, const pjsip_event *event) {
    if (event->type != PJSIP_EVENT_TSX_STATE)
        return false;
    const auto &change = event->body.tsx_state;
    const bool ofInvite = change.tsx->method.id == PJSIP_INVITE_METHOD;
    if (change.type == PJSIP_EVENT_RX_MSG) {
        const pjsip_msg *message = change.src.rdata->msg_info.msg;
        if (message->type == PJSIP_REQUEST_MSG)
            return message->line.req.method.id == PJSIP_BYE_METHOD;
        return ofInvite && session->role == PJSIP_ROLE_UAC;
    }
    // After a CANCEL, PJSIP sends 487, which ends the session (RFC 3261, 9.2). We send 487 for no other reason.
    return ofInvite && session->role == PJSIP_ROLE_UAS && change.type == PJSIP_EVENT_TX_MSG &&
           change.tsx->status_code == PJSIP_SC_REQUEST_TERMINATED;
}

bool isUsable(const pjsip_inv_session *session) {
    const pjmedia_sdp_session *local = nullptr, *remote = nullptr;
    // An ACK that should have an SDP answer and has none (RFC 3261, 13.2.1) leaves no active description.
    if (session->cancelling || !session->neg || pjmedia_sdp_neg_get_active_local(session->neg, &local) != PJ_SUCCESS ||
        pjmedia_sdp_neg_get_active_remote(session->neg, &remote) != PJ_SUCCESS)
        return false;
    const unsigned lines = std::min(local->media_count, remote->media_count);
    for (unsigned line = 0; line < lines; ++line)
        if (isAudio(local->media[line]) && isAudio(remote->media[line]))
            return true;
    return false;
}

void forgetAudio(pjsua_call_id call) { uses[call] = 0; }

int audioUse(pjsua_call_id call) { return uses[call]; }

void noteAgreed(pjsua_call_id call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    if (slot.audio_idx >= 0 && (slot.media[slot.audio_idx].dir & PJMEDIA_DIR_DECODING))
        uses[call] |= AudioDue;
}

void onStreamDestroyed(pjsua_call_id call, pjmedia_stream *stream, unsigned) {
    leaveRelaySocket(call, stream);
    leaveDirectSocket(call, stream);
    pjmedia_rtcp_stat statistics;
    if (pjmedia_stream_get_stat(stream, &statistics) == PJ_SUCCESS && statistics.rx.pkt)
        uses[call] |= AudioHeard;
}

}  // namespace sipbridge
