#include "dtmf_presses.hpp"

#include <algorithm>

namespace sipbridge {

namespace {

constexpr auto LOST_AFTER = std::chrono::milliseconds(300);
// An INFO may come so much before or after the RTP event of the same press.
constexpr auto PAIRED_WITHIN = std::chrono::seconds(1);
const size_t MAX_UNPAIRED = 16;
// The longest duration that a packet can state. A longer press goes on with another timestamp (RFC 4733, 2.5.1.3).
const uint32_t SEGMENT = 0xffff;
// Some senders begin the next segment a packet early, or one tick late.
const uint32_t SEGMENT_EARLY = 400, SEGMENT_LATE = 1;

}  // namespace

DigitReport DtmfPresses::onEventPacket(const PressId &id, bool marker, const DtmfEvent &event, Clock::time_point now) {
    DigitReport report;
    if (!(id == press_.id)) {
        // A late packet or a retransmission: the end of a press is sent three times, and the next press may have begun.
        if (std::find(earlier_.begin(), earlier_.end(), id) != earlier_.end())
            return report;
        const bool same = goesOn(id, marker);
        earlier_[nextEarlier_++ % earlier_.size()] = press_.id;
        if (same) {
            press_.id = id;
        } else {
            finish(now, &report);
            press_ = Press{id, 0, false, false, now, now};
        }
        press_.duration = 0;
    }
    press_.latest = now;
    press_.duration = std::max(press_.duration, event.duration);
    press_.ended = press_.ended || event.end;
    if (press_.ended)
        finish(now, &report);
    return report;
}

DigitReport DtmfPresses::onAudioPacket(Clock::time_point now) {
    DigitReport report;
    finish(now, &report);
    return report;
}

DigitReport DtmfPresses::onTurn(Clock::time_point now) {
    DigitReport report;
    if (press_.latest <= now - LOST_AFTER)
        finish(now, &report);
    return report;
}

DigitReport DtmfPresses::onInfo(const InfoEvent &info, Clock::time_point now) {
    const DtmfEvent &event = info.event;
    const bool again = info.isPayload && event.event == infoEvent_ && (event.end || event.duration > infoDuration_);
    infoEvent_ = event.end ? -1 : event.event;
    infoDuration_ = event.duration;
    DigitReport report;
    if (!again)
        add(digitOf(event.event), Way::Info, now, now, &report);
    return report;
}

/** True if a packet with another timestamp belongs to the press, because it begins where that has been so far. */
bool DtmfPresses::goesOn(const PressId &id, bool marker) const {
    if (press_.ended || marker || id.ssrc != press_.id.ssrc || id.event != press_.id.event)
        return false;
    const uint32_t after = id.timestamp - press_.id.timestamp;
    return after <= press_.duration || (after >= SEGMENT - SEGMENT_EARLY && after <= SEGMENT + SEGMENT_LATE);
}

/** Report the press, unless it has been reported. */
void DtmfPresses::finish(Clock::time_point now, DigitReport *report) {
    if (press_.reported)
        return;
    press_.reported = true;
    add(digitOf(press_.id.event), Way::Rtp, press_.began, now, report);
}

/**
 * Report a digit, unless it has already come the other way: some trunks send each press both ways. Two digits that come
 * the same way are never one press, so a far end that uses one way loses none.
 */
void DtmfPresses::add(char digit, Way way, Clock::time_point began, Clock::time_point now, DigitReport *report) {
    const Clock::time_point oldest = began - PAIRED_WITHIN;
    const auto twin = std::find_if(unpaired_.begin(), unpaired_.end(), [&](const Unpaired &each) {
        return each.digit == digit && each.way != way && each.at >= oldest;
    });
    if (twin != unpaired_.end()) {
        unpaired_.erase(twin);
        return;
    }
    if (unpaired_.size() == MAX_UNPAIRED)
        unpaired_.erase(unpaired_.begin());
    unpaired_.push_back(Unpaired{digit, way, now});
    if (rate_.take(now))
        report->digits += digit;
    else
        report->overRate = true;
}

}  // namespace sipbridge
