#include "dtmf.hpp"
#include "dtmf_event.hpp"
#include "dtmf_presses.hpp"
#include "events.hpp"
#include "message.hpp"
#include "relay.hpp"
#include "text.hpp"
#include "waker.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

namespace sipbridge {

namespace {

struct Leg {
    DtmfPresses presses;
    bool reportedDrop = false;
};

// The media clock reads packets, and the SIP thread INFO.
std::mutex legsMutex;
Leg legs[PJSUA_MAX_CALLS];
// The calls in which a digit may be pressed that is not reported yet.
std::vector<int> held;
std::atomic<bool> anyHeld{false};

/** Report that digits of a leg are dropped, once per leg. */
void reportDrop(int call, const char *why) {
    if (legs[call].reportedDrop)
        return;
    legs[call].reportedDrop = true;
    push(EventDigitsDropped, call, 0, 0, why);
    wakeSipThread();
}

void report(int call, const DigitReport &report) {
    for (const char digit : report.digits)
        push(EventDigit, call, digit);
    if (!report.digits.empty())
        wakeSipThread();
    if (report.overRate)
        reportDrop(call, "more than 20 per second came from the far end");
}

void noteHeld(int call) {
    if (std::find(held.begin(), held.end(), call) == held.end())
        held.push_back(call);
    anyHeld = true;
}

bool mayBeIgnored(const pjsip_msg *message) {
    const pj_str_t name = pj_str(const_cast<char *>("Content-Disposition"));
    const auto *header = static_cast<pjsip_generic_string_hdr *>(pjsip_msg_find_hdr_by_name(message, &name, NULL));
    return header && isOptional(textOf(header->hvalue));
}

/** Read an INFO: return the status of the response, and the event if it has one. */
int readInfo(const pjsip_rx_data *rdata, std::optional<InfoEvent> *event) {
    const pjsip_msg *message = rdata->msg_info.msg;
    const pjsip_msg_body *body = message->body;
    // PJSIP has no body if that has no type, and no length for a body of several parts.
    const pjsip_clen_hdr *length = rdata->msg_info.clen;
    if (length ? length->len <= 0 : !body || !body->len)
        return PJSIP_SC_OK;
    if (!body)
        return PJSIP_SC_BAD_REQUEST;
    const std::string type = lower(textOf(body->content_type.type) + "/" + textOf(body->content_type.subtype));
    if (!isDtmfType(type))
        return mayBeIgnored(message) ? PJSIP_SC_OK : PJSIP_SC_UNSUPPORTED_MEDIA_TYPE;
    *event = readInfoBody(type, std::string(static_cast<const char *>(body->data), body->len));
    return *event ? PJSIP_SC_OK : PJSIP_SC_BAD_REQUEST;
}

}  // namespace

void noteDigitDropped(pjsua_call_id call, const char *why) {
    std::lock_guard<std::mutex> lock(legsMutex);
    reportDrop(call, why);
}

void forgetDigits(pjsua_call_id call) {
    std::lock_guard<std::mutex> lock(legsMutex);
    legs[call] = Leg();
}

void answerInfo(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata) {
    std::optional<InfoEvent> info;
    pjsip_dlg_respond(dialog, rdata, readInfo(rdata, &info), NULL, NULL, NULL);
    if (!info || !digitOf(info->event.event))
        return;
    std::lock_guard<std::mutex> lock(legsMutex);
    report(call, legs[call].presses.onInfo(*info, Clock::now()));
}

void reportLostEnds() {
    if (!anyHeld)
        return;
    std::lock_guard<std::mutex> lock(legsMutex);
    const Clock::time_point now = Clock::now();
    for (const int call : held)
        report(call, legs[call].presses.onTurn(now));
    const auto isOver = [](int call) { return !legs[call].presses.isHeld(); };
    held.erase(std::remove_if(held.begin(), held.end(), isOver), held.end());
    anyHeld = !held.empty();
}

}  // namespace sipbridge

extern "C" void sipbridgeEventPacket(int call, const pjmedia_rtp_hdr *header, const void *payload, unsigned length) {
    using namespace sipbridge;
    const std::optional<DtmfEvent> event = readEventPayload(payload, length);
    if (!event || !digitOf(event->event))
        return;
    const PressId id{pj_ntohl(header->ssrc), pj_ntohl(header->ts), event->event};
    std::lock_guard<std::mutex> lock(legsMutex);
    DtmfPresses &presses = legs[call].presses;
    report(call,
           presses.onEventPacket(id, header->m, *event, canRelayDigit(call, digitOf(event->event)), Clock::now()));
    if (presses.isRelayed(id))
        relayEvent(call, header, payload, event->duration);
    if (presses.isHeld())
        noteHeld(call);
}

extern "C" void sipbridgeAudioPacket(int call) {
    using namespace sipbridge;
    if (!anyHeld)
        return;
    std::lock_guard<std::mutex> lock(legsMutex);
    report(call, legs[call].presses.onAudioPacket(Clock::now()));
}
