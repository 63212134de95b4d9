#include "resources.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <map>

#define THIS_FILE "resources.cpp"

namespace sipbridge {

using pj::Error;
using std::string;

// ---------------------------------------------------------------- ports

namespace {

const long LOOK_AGAIN_MILLISECONDS = 250;

/** A UDP socket that closes itself. */
class Socket {
public:
    Socket() = default;
    ~Socket() { close(); }
    Socket(Socket &&other) noexcept : socket_(other.socket_) { other.socket_ = PJ_INVALID_SOCKET; }
    Socket(const Socket &) = delete;
    Socket &operator=(const Socket &) = delete;

    /** Whether it could be had, with a number below `firstKept`. */
    bool open(int firstKept) {
        close();
        if (pj_sock_socket(pj_AF_INET(), pj_SOCK_DGRAM() | pj_SOCK_CLOEXEC(), 0, &socket_) != PJ_SUCCESS)
            socket_ = PJ_INVALID_SOCKET;
        return socket_ != PJ_INVALID_SOCKET && socket_ < firstKept;
    }
    bool bind(pj_sockaddr &address, unsigned port) {
        pj_sockaddr_set_port(&address, static_cast<pj_uint16_t>(port));
        return pj_sock_bind(socket_, &address, static_cast<int>(pj_sockaddr_get_len(&address))) == PJ_SUCCESS;
    }
    void close() {
        if (socket_ != PJ_INVALID_SOCKET)
            pj_sock_close(socket_);
        socket_ = PJ_INVALID_SOCKET;
    }

private:
    pj_sock_t socket_ = PJ_INVALID_SOCKET;
};

/** A bound pair: RTP takes the even port and RTCP the odd one above it (RFC 3550, 11). */
struct Pair {
    Socket rtp, rtcp;
    unsigned port = 0;
};

Room openPair(const pjsua_acc &account, int firstKept, Pair &pair) {
    const pjsua_transport_config &range = account.cfg.rtp_cfg;
    pj_sockaddr address;
    pj_sockaddr_init(pj_AF_INET(), &address, range.bound_addr.slen ? &range.bound_addr : NULL, 0);
    if (!pair.rtp.open(firstKept) || !pair.rtcp.open(firstKept))
        return RoomNoDescriptors;
    const unsigned pairs = (range.port_range + 1) / 2;
    // On from where PJSUA is, so that a port which has just been given back rests for as long as it can.
    const unsigned first = account.next_rtp_port < range.port ? 0 : (account.next_rtp_port - range.port) / 2;
    for (unsigned tried = 0; tried < pairs; ++tried) {
        pair.port = range.port + (first + tried) % pairs * 2;
        if (!pair.rtp.bind(address, pair.port))
            continue;
        if (pair.rtcp.bind(address, pair.port + 1))
            return Available;
        // A socket cannot be bound twice.
        if (!pair.rtp.open(firstKept))
            return RoomNoDescriptors;
    }
    return RoomNoPorts;
}

pj_time_val lookAgain = {0, 0};
// By PJSUA's slot.
std::map<int, Pair> kept;

}  // namespace

Room roomForLeg(int account, int firstKept) {
    pj_time_val now;
    pj_gettickcount(&now);
    if (PJ_TIME_VAL_LT(now, lookAgain))
        return RoomNoPorts;
    Pair pair;
    const Room room = openPair(pjsua_var.acc[account], firstKept, pair);
    if (room == Available)
        pjsua_var.acc[account].next_rtp_port = static_cast<pj_uint16_t>(pair.port);
    else if (room == RoomNoPorts) {
        lookAgain = now;
        lookAgain.msec += LOOK_AGAIN_MILLISECONDS;
        pj_time_val_normalize(&lookAgain);
    }
    return room;
}

void reservePorts(int call, int account) {
    Pair pair;
    if (openPair(pjsua_var.acc[account], INT_MAX, pair) == Available) {
        // The next one to ask looks behind it.
        pjsua_var.acc[account].next_rtp_port = static_cast<pj_uint16_t>(pair.port + 2);
        kept.emplace(call, std::move(pair));
    }
}

void handOverPorts(int call) {
    const auto found = kept.find(call);
    if (found == kept.end())
        return;
    pjsua_var.acc[pjsua_var.calls[call].acc_id].next_rtp_port = static_cast<pj_uint16_t>(found->second.port);
    kept.erase(found);
}

void portsReleased(int call) {
    kept.erase(call);
    lookAgain = {0, 0};
}

// ---------------------------------------------------------------- descriptors

namespace {

int firstKept = INT_MAX;
// Given up for a moment where no other is left, so that who waits at the door can be sent away.
int spare = -1;

int openSpare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

/** Accept a connection by means of the spare descriptor, and close it; whether that could be done. */
bool sendAway(int door) {
    if (spare >= 0)
        ::close(spare);
    const int connection = ::accept(door, NULL, NULL);
    if (connection >= 0)
        ::close(connection);
    spare = openSpare();
    return connection >= 0;
}

}  // namespace

void reserveDescriptors(int first) {
    firstKept = first;
    if (spare < 0)
        spare = openSpare();
    if (spare < 0)
        PJSUA2_RAISE_ERROR3(PJ_STATUS_FROM_OS(errno), "open", "no descriptor is left to keep");
}

}  // namespace sipbridge

/** In the place of accept(2) in PJLIB: returns a connection below `firstKept`, or -1 and errno as PJLIB can bear it. */
extern "C" int sipbridgeAccept(int door, struct sockaddr *address, socklen_t *length) {
    using namespace sipbridge;
    const socklen_t size = *length;
    for (;;) {
        *length = size;
        const int connection = ::accept(door, address, length);
        if (connection >= 0 && connection < firstKept)
            return connection;
        if (connection >= 0)
            ::close(connection);
        else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK)
            return -1;
        else if ((errno != EMFILE && errno != ENFILE) || !sendAway(door))
            break;
    }
    // No connection waits, or it cannot be accepted now. Without this, PJLIB closes a listener after 50 errors in a row.
    errno = EAGAIN;
    return -1;
}
