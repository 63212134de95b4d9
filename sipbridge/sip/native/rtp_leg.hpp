/*
 * A leg with G.711 whose packets pass PJMEDIA's jitter buffer and conference: those of a relay (relay_leg.hpp) and those
 * of a WebSocket agent's caller (direct_call.hpp). Without SRTP they pass PJLIB's I/O queue and PJMEDIA's transport, too.
 */
#ifndef SIPBRIDGE_RTP_LEG_HPP
#define SIPBRIDGE_RTP_LEG_HPP

#include "rtp_socket.hpp"

#include <pjsua-lib/pjsua.h>

namespace sipbridge {

/** The constructor, and what is const, is for any thread; all else belongs to the media clock. */
class RtpLeg {
public:
    RtpLeg(int call, pjmedia_stream *stream, const pjmedia_stream_info &info);
    /** The stream's memory stays until here; the stream itself may have been destroyed, and then sends nothing. */
    virtual ~RtpLeg();
    RtpLeg(const RtpLeg &) = delete;
    RtpLeg &operator=(const RtpLeg &) = delete;

    const int call;
    pjmedia_stream *const stream;

    /** Use the socket no more, because the stream or its use here ends. From any thread. */
    void closeSocket() { socket_.close(); }

    /** Load what readPacket() reads into the processor's cache. */
    virtual void prefetch() const;
    /** Read a packet of the far end from the socket, and take its audio. */
    void readPacket();
    /** Take a packet with audio of the far end, in either law. */
    virtual void takeAudio(const pjmedia_rtp_hdr *header, const void *payload, size_t length) = 0;

protected:
    /** True if the far end can get packets of ours. DTMF digits of our own go out by put_frame(), and replace them. */
    bool takesPackets() const;
    /** Send a packet with this header, after the session was advanced, and count it in the stream's reports. */
    void transmit(const pjmedia_rtp_hdr &header, const uint8_t *payload, size_t length);

    pjmedia_stream_common &common_;  // the same stream
    pjmedia_port *port_ = nullptr;
    RtpSocket socket_;
    const unsigned law_;  // PCMU or PCMA, which the far end gets

private:
    bool takeNext(const uint8_t *packet, size_t size, const pj_sockaddr &source);
};

/** Read packets of all legs whose sockets are watched; false if none has arrived. For the media clock. */
bool readLegs();

}  // namespace sipbridge

#endif
