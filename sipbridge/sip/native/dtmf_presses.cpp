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

DigitReport DtmfPresses::onEventPacket(const PressId &id, bool marker, const DtmfEvent &event, bool canRelay,
                                       Clock::time_point now) {
    DigitReport report;
    if (!(id == press_.id)) {
        // A late packet or a retransmission: the end of a press is sent three times, and the next press may have begun.
        const auto isThis = [&](const Press &each) { return each.id == id; };
        if (std::any_of(earlier_.begin(), earlier_.end(), isThis))
            return report;
        const bool same = goesOn(id, marker);
        earlier_[nextEarlier_++ % earlier_.size()] = press_;
        if (same) {
            press_.id = id;
        } else {
            finish(now, &report);
            const bool hasTwin = twinOf(digitOf(id.event), Way::Rtp, now) != unpaired_.end();
            press_ = Press{id, 0, false, false, canRelay && !hasTwin, now, now};
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

bool DtmfPresses::isRelayed(const PressId &id) const {
    if (press_.id == id)
        return press_.relayed;
    return std::any_of(earlier_.begin(), earlier_.end(),
                       [&](const Press &each) { return each.id == id && each.relayed; });
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
    const bool relayed = !press_.reported && press_.relayed && press_.id.event == event.event;
    if (!again)
        add(Unpaired{digitOf(event.event), Way::Info, now}, now, relayed, &report);
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
    add(Unpaired{digitOf(press_.id.event), Way::Rtp, now}, press_.began, press_.relayed, report);
}

/**
 * Report a digit, unless it has already come the other way: some trunks send each press both ways. Two digits that come
 * the same way are never one press, so a far end that uses one way loses none.
 */
void DtmfPresses::add(const Unpaired &digit, Clock::time_point began, bool relayed, DigitReport *report) {
    const auto twin = twinOf(digit.digit, digit.way, began);
    if (twin != unpaired_.end()) {
        unpaired_.erase(twin);
        return;
    }
    if (unpaired_.size() == MAX_UNPAIRED)
        unpaired_.erase(unpaired_.begin());
    unpaired_.push_back(digit);
    if (relayed)
        return;
    if (rate_.take(digit.at))
        report->digits += digit.digit;
    else
        report->overRate = true;
}

/** The same digit as it came the other way, from a second before the press began. */
std::vector<DtmfPresses::Unpaired>::iterator DtmfPresses::twinOf(char digit, Way way, Clock::time_point began) {
    const Clock::time_point oldest = began - PAIRED_WITHIN;
    return std::find_if(unpaired_.begin(), unpaired_.end(), [&](const Unpaired &each) {
        return each.digit == digit && each.way != way && each.at >= oldest;
    });
}

}  // namespace sipbridge
