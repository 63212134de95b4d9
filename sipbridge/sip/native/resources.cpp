#include "resources.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <map>
#include <utility>

#define THIS_FILE "resources.cpp"

namespace sipbridge {

using pj::Error;
using std::string;

// ---------------------------------------------------------------- ports

namespace {

// For so long no search is repeated that has found no free ports.
const long NO_PORTS_MILLISECONDS = 250;

/** A UDP socket that closes itself. */
class Socket {
public:
    Socket() = default;
    ~Socket() { close(); }
    Socket(Socket &&other) noexcept : socket_(other.release()) {}
    Socket &operator=(Socket &&other) noexcept {
        close();
        socket_ = other.release();
        return *this;
    }
    Socket(const Socket &) = delete;
    Socket &operator=(const Socket &) = delete;

    /** Open it; false if there is no descriptor below `reservedFrom`. */
    bool open(int reservedFrom) {
        close();
        if (pj_sock_socket(pj_AF_INET(), pj_SOCK_DGRAM() | pj_SOCK_CLOEXEC(), 0, &socket_) != PJ_SUCCESS)
            socket_ = PJ_INVALID_SOCKET;
        return socket_ != PJ_INVALID_SOCKET && socket_ < reservedFrom;
    }
    /** Return the descriptor, which the caller closes. */
    pj_sock_t release() { return std::exchange(socket_, PJ_INVALID_SOCKET); }
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

/** A bound pair: RTP has the even port and RTCP the odd one above it (RFC 3550, 11). */
struct Pair {
    Socket rtp, rtcp;
    unsigned port = 0;
};

Resources openPair(const pjsua_acc &account, int reservedFrom, Pair &pair) {
    const pjsua_transport_config &range = account.cfg.rtp_cfg;
    pj_sockaddr address;
    pj_sockaddr_init(pj_AF_INET(), &address, range.bound_addr.slen ? &range.bound_addr : NULL, 0);
    if (!pair.rtp.open(reservedFrom) || !pair.rtcp.open(reservedFrom))
        return NoDescriptors;
    const unsigned pairs = (range.port_range + 1) / 2;
    // The search goes on from PJSUA's position, so that a released port stays unused for as long as possible.
    const unsigned first = account.next_rtp_port < range.port ? 0 : (account.next_rtp_port - range.port) / 2;
    for (unsigned tried = 0; tried < pairs; ++tried) {
        pair.port = range.port + (first + tried) % pairs * 2;
        if (!pair.rtp.bind(address, pair.port))
            continue;
        if (pair.rtcp.bind(address, pair.port + 1))
            return Available;
        // A bound socket cannot be bound to another port.
        if (!pair.rtp.open(reservedFrom))
            return NoDescriptors;
    }
    return NoPorts;
}

const int NO_ACCOUNT = -1;

pj_time_val nextSearch = {0, 0};
// The pair for the next leg of an account, until the end of the turn.
Pair next;
int nextAccount = NO_ACCOUNT;
// By PJSUA's slot.
std::map<int, Pair> reserved;

/** Let PJSUA take the pair for the next leg of that account. */
void offer(int account, Pair &&pair) {
    pjsua_var.acc[account].next_rtp_port = static_cast<pj_uint16_t>(pair.port);
    next = std::move(pair);
    nextAccount = account;
}

/** Take the pair for the next leg of that account; false if there is none. */
bool take(int account, Pair &pair) {
    if (nextAccount != account)
        return false;
    nextAccount = NO_ACCOUNT;
    pair = std::move(next);
    return true;
}

}  // namespace

Resources resourcesForLeg(int account, int reservedFrom) {
    closeUntakenPorts();
    pj_time_val now;
    pj_gettickcount(&now);
    if (PJ_TIME_VAL_LT(now, nextSearch))
        return NoPorts;
    Pair pair;
    const Resources found = openPair(pjsua_var.acc[account], reservedFrom, pair);
    if (found == Available)
        offer(account, std::move(pair));
    else if (found == NoPorts) {
        nextSearch = now;
        nextSearch.msec += NO_PORTS_MILLISECONDS;
        pj_time_val_normalize(&nextSearch);
    }
    return found;
}

void reservePorts(int call, int account) {
    Pair pair;
    if (take(account, pair) || openPair(pjsua_var.acc[account], INT_MAX, pair) == Available) {
        // The next search begins after it.
        pjsua_var.acc[account].next_rtp_port = static_cast<pj_uint16_t>(pair.port + 2);
        reserved.emplace(call, std::move(pair));
    }
}

void handOverPorts(int call) {
    const auto found = reserved.find(call);
    if (found == reserved.end())
        return;
    offer(pjsua_var.calls[call].acc_id, std::move(found->second));
    reserved.erase(found);
}

void closeUntakenPorts() {
    if (nextAccount == NO_ACCOUNT)
        return;
    nextAccount = NO_ACCOUNT;
    next = Pair();
}

void portsReleased(int call) {
    reserved.erase(call);
    nextSearch = {0, 0};
}

// ---------------------------------------------------------------- descriptors

namespace {

int firstReserved = INT_MAX;
// Closed for a moment if no other descriptor is left, so that a waiting connection can be accepted and closed.
int spare = -1;

int openSpare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

/** Accept a connection with the spare descriptor and close it; false if that fails. */
bool closeWaiting(int listener) {
    if (spare >= 0)
        ::close(spare);
    const int connection = ::accept(listener, NULL, NULL);
    if (connection >= 0)
        ::close(connection);
    spare = openSpare();
    return connection >= 0;
}

}  // namespace

void reserveDescriptors(int first) {
    firstReserved = first;
    if (spare < 0)
        spare = openSpare();
    if (spare < 0)
        PJSUA2_RAISE_ERROR3(PJ_STATUS_FROM_OS(errno), "open", "no file descriptor is free");
}

}  // namespace sipbridge

/**
 * Take the sockets of the next leg's audio, RTP first, if they are open for that account and port; PJSUA calls this
 * before it opens a pair (patches/0048). Returns 0 if there are none.
 */
extern "C" int sipbridgeTakePorts(int account, unsigned port, pj_sock_t sockets[2]) {
    using namespace sipbridge;
    Pair pair;
    if (port != next.port || !take(account, pair))
        return 0;
    sockets[0] = pair.rtp.release();
    sockets[1] = pair.rtcp.release();
    return 1;
}

/**
 * Accept a connection whose descriptor is not reserved; PJLIB calls this instead of accept(2) (patches/0005). Returns
 * -1 with an errno after which PJLIB goes on.
 */
extern "C" int sipbridgeAccept(int listener, struct sockaddr *address, socklen_t *length) {
    using namespace sipbridge;
    const socklen_t size = *length;
    for (;;) {
        *length = size;
        const int connection = ::accept(listener, address, length);
        if (connection >= 0 && connection < firstReserved)
            return connection;
        if (connection >= 0)
            ::close(connection);
        else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK)
            return -1;
        else if ((errno != EMFILE && errno != ENFILE) || !closeWaiting(listener))
            break;
    }
    // No connection waits, or it cannot be accepted now. After 50 other errors in a row, PJLIB would close the
    // listener.
    errno = EAGAIN;
    return -1;
}
