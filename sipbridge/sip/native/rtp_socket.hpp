/*
 * The RTP sockets of legs without SRTP, read and written past PJLIB's I/O queue, which costs as much as the
 * kernel. The I/O queue still watches them, and reads the packets that the media clock has left.
 */
#ifndef SIPBRIDGE_RTP_SOCKET_HPP
#define SIPBRIDGE_RTP_SOCKET_HPP

#include <pjsua-lib/pjsua.h>

#include <mutex>

namespace sipbridge {

class RtpLeg;

class RtpSocket {
public:
    /** Take the socket of a leg's transport, unless that is SRTP's. On the SIP thread. */
    explicit RtpSocket(pjmedia_transport *transport);
    ~RtpSocket() { close(); }
    RtpSocket(const RtpSocket &) = delete;
    RtpSocket &operator=(const RtpSocket &) = delete;

    /** Use it no more: its transport may close it, and then another call's socket has its number. From any thread. */
    void close();

    // The media clock calls these.

    /** Let readySockets() return the leg when a packet has arrived. */
    void watch(RtpLeg *leg);
    /** Read a packet; return its size, or -1 if there is none. */
    ssize_t receive(void *packet, size_t most, pj_sockaddr *source);
    /** Send a packet. False if the socket is not used, so that the transport has to send it. */
    bool send(const void *packet, size_t size, const pj_sockaddr &to);

private:
    // No thread holds it for longer than a system call.
    std::mutex mutex_;
    int socket_ = -1;
    bool watched_ = false;
};

const int MOST_READY = 64;

/** The legs for which packets have arrived, at most MOST_READY; return how many. */
int readySockets(RtpLeg **legs);

}  // namespace sipbridge

#endif
