#include "call_audio.hpp"

#include "audio_queue.hpp"
#include "g711.hpp"

#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

namespace {

pjmedia_stream *streamOf(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    return slot.inv && !slot.hanging_up && slot.audio_idx >= 0 ? slot.media[slot.audio_idx].strm.a.stream : nullptr;
}

}  // namespace

pjmedia_stream *g711StreamOf(int call) {
    pjmedia_stream *stream = streamOf(call);
    pjmedia_stream_info info;
    if (!stream || pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS)
        return nullptr;
    return info.fmt.pt == PCMU || info.fmt.pt == PCMA ? stream : nullptr;
}

size_t packetBytesTo(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    const unsigned line = static_cast<unsigned>(slot.audio_idx);
    const pjmedia_sdp_session *theirs = nullptr;
    if (pjmedia_sdp_neg_get_active_remote(slot.inv->neg, &theirs) != PJ_SUCCESS || line >= theirs->media_count)
        return FRAME_BYTES;
    const pjmedia_sdp_attr *asked = pjmedia_sdp_media_find_attr2(theirs->media[line], "ptime", NULL);
    const size_t milliseconds = asked ? pj_strtoul(&asked->value) : 0;
    const bool fits =
        milliseconds && milliseconds % 10 == 0 && milliseconds <= MAX_PACKET_BYTES / SAMPLES_PER_MILLISECOND;
    return fits ? SAMPLES_PER_MILLISECOND * milliseconds : FRAME_BYTES;
}

int conferenceSlot(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    return slot.audio_idx < 0 ? PJSUA_INVALID_ID : slot.media[slot.audio_idx].strm.a.conf_slot;
}

void dropUnheard(int call) {
    pjmedia_stream *stream = streamOf(call);
    pjmedia_conf_port_info info;
    const int slot = conferenceSlot(call);
    if (!stream || slot == PJSUA_INVALID_ID ||
        pjmedia_conf_get_port_info(pjsua_var.mconf, static_cast<unsigned>(slot), &info) != PJ_SUCCESS)
        return;
    if (info.listener_cnt > 0 && info.rx_setting == PJMEDIA_PORT_ENABLE)
        return;
    const auto *common = reinterpret_cast<const pjmedia_stream_common *>(stream);
    pj_mutex_lock(common->jb_mutex);
    pjmedia_jbuf_reset(common->jb);
    pj_mutex_unlock(common->jb_mutex);
}

void serveInConference(int slot, pjmedia_port_op op) { pjmedia_conf_configure_port(pjsua_var.mconf, slot, op, op); }

}  // namespace sipbridge
