#include "rtp_socket.hpp"

#include <atomic>

#include <sys/epoll.h>
#include <sys/socket.h>

namespace sipbridge {

namespace {

std::atomic<int> watched{0};  // sockets

int watching() {
    static const int descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor;
}

}  // namespace

RtpSocket::RtpSocket(pjmedia_transport *transport) {
    pjmedia_transport_info info;
    pjmedia_transport_info_init(&info);
    if (transport->type != PJMEDIA_TRANSPORT_TYPE_UDP || pjmedia_transport_get_info(transport, &info) != PJ_SUCCESS)
        return;
    // SRTP's transport has the type of the one below it.
    if (!pjmedia_transport_info_get_spc_info(&info, PJMEDIA_TRANSPORT_TYPE_SRTP))
        socket_ = static_cast<int>(info.sock_info.rtp_sock);
}

void RtpSocket::close() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (watched_) {
        epoll_ctl(watching(), EPOLL_CTL_DEL, socket_, nullptr);
        --watched;
    }
    watched_ = false;
    socket_ = -1;
}

void RtpSocket::watch(RtpLeg *leg) {
    std::lock_guard<std::mutex> lock(mutex_);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = leg;
    if (watched_ || socket_ < 0 || epoll_ctl(watching(), EPOLL_CTL_ADD, socket_, &event) != 0)
        return;
    watched_ = true;
    ++watched;
}

ssize_t RtpSocket::receive(void *packet, size_t most, pj_sockaddr *source) {
    std::lock_guard<std::mutex> lock(mutex_);
    socklen_t length = sizeof(*source);
    return socket_ < 0 ? -1
                       : ::recvfrom(socket_, packet, most, MSG_DONTWAIT, reinterpret_cast<sockaddr *>(source), &length);
}

bool RtpSocket::send(const void *packet, size_t size, const pj_sockaddr &to) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (socket_ < 0)
        return false;
    // A packet for which the socket's buffer has no space is lost, as one in the network.
    const ssize_t sent = ::sendto(socket_, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr *>(&to), pj_sockaddr_get_len(&to));
    return sent >= 0 || errno == EAGAIN;
}

int readySockets(RtpLeg **legs) {
    if (!watched)
        return 0;
    epoll_event events[MOST_READY];
    const int count = epoll_wait(watching(), events, MOST_READY, 0);
    for (int i = 0; i < count; ++i)
        legs[i] = static_cast<RtpLeg *>(events[i].data.ptr);
    return count;
}

}  // namespace sipbridge
