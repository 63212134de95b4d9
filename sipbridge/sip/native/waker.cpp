#include "waker.hpp"
#include "byes.hpp"
#include "connections.hpp"
#include "pools.hpp"
#include "resources.hpp"
#include "unheard.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#define THIS_FILE "waker.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

namespace {

std::atomic<int> wakerSocket{-1};
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
    // Of the Unix domain: over the loopback a wake would cost a pass through the IP stack, on the event loop's time.
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) != 0)
        PJSUA2_RAISE_ERROR(pj_get_os_error());
    pj_activesock_cb callbacks;
    pj_bzero(&callbacks, sizeof(callbacks));
    callbacks.on_data_read = &onWakerRead;
    pj_pool_t *pool = pjsua_get_var()->pool;
    // Before anything that may raise, so that `closeWaker` closes it.
    wakerSocket = pair[0];
    PJSUA2_CHECK_EXPR(pj_activesock_create(pool, pair[1], pj_SOCK_DGRAM(), NULL,
                                           pjsip_endpt_get_ioqueue(pjsua_get_pjsip_endpt()), &callbacks, NULL,
                                           &wakerReader));
    PJSUA2_CHECK_EXPR(pj_activesock_start_read(wakerReader, pool, 16, 0));
}

void closeWaker() {
    // This comes first, because another file may get the number of a closed socket.
    const int socket = wakerSocket.exchange(-1);
    if (socket >= 0)
        ::close(socket);
    if (wakerReader)
        pj_activesock_close(wakerReader);
    wakerReader = nullptr;
}

void wakeSipThread() {
    // Without PJLIB, because the caller may be a thread that is not registered with it.
    const int socket = wakerSocket;
    if (socket >= 0 && !wakePending.exchange(true))
        (void)::send(socket, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
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
