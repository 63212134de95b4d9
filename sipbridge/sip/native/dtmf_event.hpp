/*
 * Telephone events (RFC 4733) as RTP packets and INFO requests carry them: bytes in, events out.
 */
#ifndef SIPBRIDGE_DTMF_EVENT_HPP
#define SIPBRIDGE_DTMF_EVENT_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace sipbridge {

struct DtmfEvent {
    int event;              // its number; those from 16 on, such as 16 (flash), are not digits
    bool end = true;        // the digit has been released
    uint32_t duration = 0;  // so far, in units of the RTP timestamp
};

/** An event in the body of an INFO. */
struct InfoEvent {
    DtmfEvent event;
    // The body is a payload as in RTP, so that further INFOs may report the same press until the digit is released.
    bool isPayload = false;
};

/** The digit of an event: 0 to 9, `*`, `#` or A to D; 0 if the event is not a digit. */
char digitOf(int event);

/** Read the payload of an RTP packet (RFC 4733, 2.3); none if it is too short. */
std::optional<DtmfEvent> readEventPayload(const void *payload, size_t length);

/** True if bodies of this type, in lower case, carry DTMF digits. */
bool isDtmfType(const std::string &type);

/** Read the body of an INFO of such a type; none if it has no event. */
std::optional<InfoEvent> readInfoBody(const std::string &type, const std::string &body);

/** True if a Content-Disposition lets the receiver ignore a body that it does not support (RFC 3261, 20.11). */
bool isOptional(const std::string &disposition);

}  // namespace sipbridge

#endif
