#include "dtmf.hpp"
#include "events.hpp"
#include "waker.hpp"
#include "message.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace {

using sipbridge::push;
using sipbridge::textOf;
using Clock = std::chrono::steady_clock;

// RFC 4733, 3.2, table 3. Higher events, such as 16 (flash), are not digits.
const char DIGITS[] = "0123456789*#ABCD";
const int DIGIT_EVENTS = 16;
const int HIGHEST_EVENT = 255;
const auto LOST_AFTER = std::chrono::milliseconds(300);
// An INFO may come so much before or after the event that is the same press.
const auto PAIRED_WITHIN = std::chrono::seconds(1);
const size_t MOST_UNPAIRED = 16;
// The longest duration that a packet can state. A longer press goes on with another timestamp (RFC 4733, 2.5.1.3).
const uint32_t SEGMENT = 0xffff;
// Each digit may become a SIP request to another far end. A person presses fewer, and so does an autodialler.
const auto DIGIT_INTERVAL = std::chrono::milliseconds(50);
const int MAX_DIGITS_AT_ONCE = 40;
// Some senders begin the next segment a packet early, or one tick late.
const uint32_t SEGMENT_EARLY = 400, SEGMENT_LATE = 1;

enum class Way {
    Event,
    Info
};

/** All packets of one press carry the timestamp of its beginning (RFC 4733, 2.5.1). */
struct PressId {
    uint32_t ssrc = 0, timestamp = 0;
    int event = -1;

    bool operator==(const PressId &other) const {
        return ssrc == other.ssrc && timestamp == other.timestamp && event == other.event;
    }
};

struct Press {
    PressId id;
    uint32_t duration = 0;
    bool ended = false;
    bool reported = true;
    Clock::time_point began, heard;
};

/** A digit that was reported, and that came only one way so far. */
struct Unpaired {
    char digit;
    Way way;
    Clock::time_point at;
};

struct Leg {
    Press press;
    std::array<PressId, 8> earlier;
    size_t nextEarlier = 0;
    std::vector<Unpaired> unpaired;
    // Of a press that several INFOs report as RTP does: its event and duration so far.
    int infoEvent = -1;
    uint32_t infoDuration = 0;
    // The token bucket: when it is full again.
    Clock::time_point full;
    bool dropped = false;
};

// The media clock reads packets, the SIP thread INFO.
std::mutex mutex;
Leg legs[PJSUA_MAX_CALLS];
std::vector<int> held;
std::atomic<bool> anyHeld{false};

/** Take a token of the leg's bucket; false if it is empty. */
bool mayReport(Leg &leg, Clock::time_point now) {
    const Clock::time_point full = std::max(leg.full, now) + DIGIT_INTERVAL;
    if (full - now > MAX_DIGITS_AT_ONCE * DIGIT_INTERVAL)
        return false;
    leg.full = full;
    return true;
}

/** Report that digits of a leg are dropped, once per leg. */
void noteDropped(int call, const char *why) {
    if (legs[call].dropped)
        return;
    legs[call].dropped = true;
    push(sipbridge::EventDigitsDropped, call, 0, 0, why);
    sipbridge::wakeSipThread();
}

/**
 * Report a digit, unless it came the other way already: some trunks send each press both ways. Only a digit of the
 * other way ever counts as the same press, so that a far end that sends one way loses none.
 */
void report(int call, char digit, Way way, Clock::time_point began) {
    std::vector<Unpaired> &unpaired = legs[call].unpaired;
    const Clock::time_point now = Clock::now(), oldest = began - PAIRED_WITHIN;
    const auto twin = std::find_if(unpaired.begin(), unpaired.end(), [&](const Unpaired &each) {
        return each.digit == digit && each.way != way && each.at >= oldest;
    });
    if (twin != unpaired.end()) {
        unpaired.erase(twin);
        return;
    }
    if (unpaired.size() == MOST_UNPAIRED)
        unpaired.erase(unpaired.begin());
    unpaired.push_back(Unpaired{digit, way, now});
    if (!mayReport(legs[call], now)) {
        noteDropped(call, "more than 20 per second came from the far end");
        return;
    }
    push(sipbridge::EventDigit, call, digit);
    sipbridge::wakeSipThread();
}

void release(int call) {
    Press &press = legs[call].press;
    if (press.reported)
        return;
    press.reported = true;
    report(call, DIGITS[press.id.event], Way::Event, press.began);
}

/** Another timestamp, but the digit was not released: it begins where the press has been until now. */
bool goesOn(const Press &press, const PressId &id, bool marker) {
    if (press.ended || marker || id.ssrc != press.id.ssrc || id.event != press.id.event)
        return false;
    const uint32_t after = id.timestamp - press.id.timestamp;
    return after <= press.duration || (after >= SEGMENT - SEGMENT_EARLY && after <= SEGMENT + SEGMENT_LATE);
}

void forget(Leg &leg, const PressId &id) { leg.earlier[leg.nextEarlier++ % leg.earlier.size()] = id; }

void hold(int call) {
    if (std::find(held.begin(), held.end(), call) == held.end())
        held.push_back(call);
    anyHeld = true;
}

void heard(int call, const PressId &id, bool marker, bool end, uint32_t duration) {
    Leg &leg = legs[call];
    Press &press = leg.press;
    const Clock::time_point now = Clock::now();
    if (!(id == press.id)) {
        // Late, or sent again: the end of a press is sent three times, and the next may have begun.
        if (std::find(leg.earlier.begin(), leg.earlier.end(), id) != leg.earlier.end())
            return;
        const bool same = goesOn(press, id, marker);
        forget(leg, press.id);
        if (same) {
            press.id = id;
        } else {
            release(call);
            press = Press{id, 0, false, false, now, now};
            hold(call);
        }
        press.duration = 0;
    }
    press.heard = now;
    press.duration = std::max(press.duration, duration);
    press.ended = press.ended || end;
    if (press.ended)
        release(call);
}

}  // namespace

extern "C" void sipbridgeEventPacket(int call, const pjmedia_rtp_hdr *header, const void *payload, unsigned length) {
    const auto *bytes = static_cast<const uint8_t *>(payload);
    if (length < 4 || bytes[0] >= DIGIT_EVENTS)
        return;
    const PressId id{pj_ntohl(header->ssrc), pj_ntohl(header->ts), bytes[0]};
    std::lock_guard<std::mutex> lock(mutex);
    heard(call, id, header->m, bytes[1] & 0x80, static_cast<uint32_t>(bytes[2] << 8 | bytes[3]));
}

extern "C" void sipbridgeAudioPacket(int call) {
    if (!anyHeld)
        return;
    std::lock_guard<std::mutex> lock(mutex);
    release(call);
}

namespace sipbridge {

void noteDigitDropped(pjsua_call_id call, const char *why) {
    std::lock_guard<std::mutex> lock(mutex);
    noteDropped(call, why);
}

void forgetDigits(pjsua_call_id call) {
    std::lock_guard<std::mutex> lock(mutex);
    legs[call] = Leg();
}

void reportLostEnds() {
    if (!anyHeld)
        return;
    std::lock_guard<std::mutex> lock(mutex);
    const Clock::time_point silent = Clock::now() - LOST_AFTER;
    for (const int call : held)
        if (legs[call].press.heard <= silent)
            release(call);
    const auto isReported = [](int call) { return legs[call].press.reported; };
    held.erase(std::remove_if(held.begin(), held.end(), isReported), held.end());
    anyHeld = !held.empty();
}

}  // namespace sipbridge

// ---------------------------------------------------------------- INFO

namespace {

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

std::string trimmed(const std::string &text) {
    const char *blanks = " \t";
    const size_t first = text.find_first_not_of(blanks);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/** The event of a value such as `5`, `#`, `10` or `d`; -1 where it is none. */
int eventOf(const std::string &value) {
    if (value.empty() || value.size() > 3)
        return -1;
    if (std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c); })) {
        const int number = std::stoi(value);
        return number <= HIGHEST_EVENT ? number : -1;
    }
    // Asterisk writes flash so.
    if (value == "!")
        return 16;
    const std::string digits = DIGITS;
    const size_t found = value.size() == 1 ? digits.find(static_cast<char>(std::toupper(value[0]))) : std::string::npos;
    return found == std::string::npos ? -1 : static_cast<int>(found);
}

/** The event of a body: the value of its line `Signal=` or `event=`, or else its first line. */
int eventOfText(const std::string &body) {
    std::string first;
    for (size_t from = 0; from < body.size();) {
        const size_t end = std::min(body.find_first_of("\r\n", from), body.size());
        const std::string line = trimmed(body.substr(from, end - from));
        from = end + 1;
        const size_t sign = line.find_first_of("=:");
        const std::string name = lower(trimmed(line.substr(0, sign)));
        if (sign != std::string::npos && (name == "signal" || name == "event" || name == "events"))
            return eventOf(trimmed(line.substr(sign + 1)));
        if (first.empty())
            first = line;
    }
    return eventOf(first);
}

/** True if a body is a payload as in RTP (RFC 4733, 2.3). No text begins with so low a byte. */
bool isPayload(const std::string &body) { return body.size() == 4 && static_cast<uint8_t>(body[0]) < ' '; }

bool mayBeIgnored(const pjsip_msg *message) {
    const pj_str_t name = pj_str(const_cast<char *>("Content-Disposition"));
    const auto *header = static_cast<pjsip_generic_string_hdr *>(pjsip_msg_find_hdr_by_name(message, &name, NULL));
    if (!header)
        return false;
    std::string value = lower(textOf(header->hvalue));
    value.erase(std::remove_if(value.begin(), value.end(), [](unsigned char c) { return std::isspace(c); }),
                value.end());
    return value.find(";handling=optional") != std::string::npos;
}

/** What an INFO says: the response, and the event where it has one. */
struct Info {
    int code = PJSIP_SC_OK;
    int event = -1;
    // With the event as in RTP: it may come again until the digit is released.
    bool isPayload = false, end = true;
    uint32_t duration = 0;
};

Info readInfo(const pjsip_rx_data *rdata) {
    const pjsip_msg *message = rdata->msg_info.msg;
    const pjsip_msg_body *body = message->body;
    Info info;
    // PJSIP takes a body without a type for none, and says no length of one with parts.
    const pjsip_clen_hdr *length = rdata->msg_info.clen;
    if (length ? length->len <= 0 : !body || !body->len)
        return info;
    if (!body) {
        info.code = PJSIP_SC_BAD_REQUEST;
        return info;
    }
    const std::string type = lower(textOf(body->content_type.type) + "/" + textOf(body->content_type.subtype));
    if (type != "application/dtmf-relay" && type != "application/dtmf" && type != "audio/telephone-event") {
        info.code = mayBeIgnored(message) ? PJSIP_SC_OK : PJSIP_SC_UNSUPPORTED_MEDIA_TYPE;
        return info;
    }
    const std::string text(static_cast<const char *>(body->data), body->len);
    info.isPayload = type == "audio/telephone-event" && isPayload(text);
    if (info.isPayload) {
        const auto *bytes = reinterpret_cast<const uint8_t *>(text.data());
        info.event = bytes[0];
        info.end = bytes[1] & 0x80;
        info.duration = static_cast<uint32_t>(bytes[2] << 8 | bytes[3]);
    } else {
        info.event = eventOfText(text);
    }
    if (info.event < 0)
        info.code = PJSIP_SC_BAD_REQUEST;
    return info;
}

/** Report the digit of an INFO, where that is not another of a press that was reported. */
void hearInfo(int call, const Info &info) {
    std::lock_guard<std::mutex> lock(mutex);
    Leg &leg = legs[call];
    const bool again = info.isPayload && info.event == leg.infoEvent && (info.end || info.duration > leg.infoDuration);
    leg.infoEvent = info.end ? -1 : info.event;
    leg.infoDuration = info.duration;
    if (!again)
        report(call, DIGITS[info.event], Way::Info, Clock::now());
}

}  // namespace

void sipbridge::answerInfo(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata) {
    const Info info = readInfo(rdata);
    pjsip_dlg_respond(dialog, rdata, info.code, NULL, NULL, NULL);
    if (info.event >= 0 && info.event < DIGIT_EVENTS)
        hearInfo(call, info);
}
