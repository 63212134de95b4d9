#include "waker.hpp"
#include "byes.hpp"
#include "connections.hpp"
#include "pools.hpp"
#include "resources.hpp"
#include "unheard.hpp"

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <thread>

#define THIS_FILE "waker.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

namespace {

std::atomic<pj_sock_t> wakerSocket{PJ_INVALID_SOCKET};
pj_activesock_t *wakerReader = nullptr;
std::atomic<bool> wakePending{false}, woken{false};
using Clock = std::chrono::steady_clock;
Clock::time_point lastHandOver;

pj_bool_t onWakerRead(pj_activesock_t *, void *, pj_size_t, pj_status_t, pj_size_t *remainder) {
    *remainder = 0;
    wakePending = false;
    woken = true;
    return PJ_TRUE;
}

}  // namespace

void openWaker() {
    // A datagram socket connected to itself receives nothing from others.
    pj_sockaddr_in address;
    int length = sizeof(address);
    const pj_str_t loopback = pj_str(const_cast<char *>("127.0.0.1"));
    PJSUA2_CHECK_EXPR(pj_sockaddr_in_init(&address, &loopback, 0));
    pj_sock_t opened = PJ_INVALID_SOCKET;
    PJSUA2_CHECK_EXPR(pj_sock_socket(pj_AF_INET(), pj_SOCK_DGRAM(), 0, &opened));
    PJSUA2_CHECK_EXPR(pj_sock_bind(opened, &address, length));
    PJSUA2_CHECK_EXPR(pj_sock_getsockname(opened, &address, &length));
    PJSUA2_CHECK_EXPR(pj_sock_connect(opened, &address, length));
    pj_activesock_cb callbacks;
    pj_bzero(&callbacks, sizeof(callbacks));
    callbacks.on_data_read = &onWakerRead;
    pj_pool_t *pool = pjsua_get_var()->pool;
    PJSUA2_CHECK_EXPR(pj_activesock_create(pool, opened, pj_SOCK_DGRAM(), NULL,
                                           pjsip_endpt_get_ioqueue(pjsua_get_pjsip_endpt()), &callbacks, NULL,
                                           &wakerReader));
    PJSUA2_CHECK_EXPR(pj_activesock_start_read(wakerReader, pool, 16, 0));
    wakerSocket = opened;
}

void closeWaker() {
    // This comes first, because another file may get the number of a closed socket.
    wakerSocket = PJ_INVALID_SOCKET;
    if (wakerReader)
        pj_activesock_close(wakerReader);
    wakerReader = nullptr;
}

void wakeSipThread() {
    // Without PJLIB, because the caller may be a thread that is not registered with it.
    const pj_sock_t socket = wakerSocket;
    if (socket != PJ_INVALID_SOCKET && !wakePending.exchange(true))
        (void)::send(static_cast<int>(socket), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds) {
    giveUpUnheard();
    passLateByes();
    freeIdlePools();
    closeUntakenPorts();
    closeUnfinished();
    pj_time_val start, now;
    pj_gettickcount(&start);
    long left = milliseconds;
    // Not at 0: the clock counts whole milliseconds, so that polls without a wait would fill the last one.
    while (left > 0 && !anyEvent() && !woken) {
        // The result is not used: it is negative if a signal interrupts the poll, and PJSIP sleeps if the poll fails.
        pj::Endpoint::instance().libHandleEvents(static_cast<unsigned>(left));
        pj_gettickcount(&now);
        PJ_TIME_VAL_SUB(now, start);
        left = milliseconds - PJ_TIME_VAL_MSEC(now);
    }
    if (anyEvent() || woken) {
        const auto next = lastHandOver + std::chrono::milliseconds(gatherMilliseconds);
        if (Clock::now() < next) {
            std::this_thread::sleep_until(next);
            pj::Endpoint::instance().libHandleEvents(0);
        }
        lastHandOver = Clock::now();
    }
    woken = false;
    return takeEvents();
}

}  // namespace sipbridge
