#include "media_clock.hpp"
#include "audio_streams.hpp"
#include "dtmf.hpp"

#include <atomic>

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define THIS_FILE "media_clock.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

namespace {

const size_t FRAME_SAMPLES = FRAME_BYTES;  // a byte of mu-law is a sample
const long FRAME_NANOSECONDS = 20 * 1000 * 1000;
// What reading packets may take of a turn: a flood of them must not stop the audio of all calls.
const long MOST_READING_NANOSECONDS = FRAME_NANOSECONDS / 2;
// Further behind than this, the clock starts again from now: what it missed is gone, and a burst of RTP helps no call.
const long MOST_BEHIND_NANOSECONDS = 10 * FRAME_NANOSECONDS;

pj_thread_t *clockThread = nullptr;
std::atomic<bool> clockRunning{false};
pjmedia_port *conference = nullptr;

long long nowNanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/**
 * Read the RTP that has come. The jitter buffers need it once a turn and not before, and a thread that wakes for each
 * packet costs a call with audio a fifth to a third more.
 */
void readPackets() {
    pj_ioqueue_t *queue = pjmedia_endpt_get_ioqueue(pjsua_get_pjmedia_endpt());
    const pj_time_val now = {0, 0};
    const long long began = nowNanoseconds();
    while (pj_ioqueue_poll(queue, &now) > 0 && nowNanoseconds() - began < MOST_READING_NANOSECONDS)
        ;
}

/** Run before threads that have no clock to keep, where the system lets us; 38 ms of waiting for one were seen. */
void goFirst() {
    sched_param priority;
    pj_bzero(&priority, sizeof(priority));
    priority.sched_priority = sched_get_priority_min(SCHED_RR);
    pthread_setschedparam(pthread_self(), SCHED_RR, &priority);
}

int runClock(void *) {
    goFirst();
    int16_t samples[FRAME_SAMPLES];
    long long due = nowNanoseconds();
    pj_timestamp timestamp;
    timestamp.u64 = 0;
    while (clockRunning) {
        due += FRAME_NANOSECONDS;
        const long long behind = nowNanoseconds() - due;
        if (behind > FRAME_NANOSECONDS)
            ++audioCounters().late;
        if (behind > MOST_BEHIND_NANOSECONDS)
            due += behind;
        const timespec until = {static_cast<time_t>(due / 1000000000LL), static_cast<long>(due % 1000000000LL)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
        readPackets();
        reportLostEnds();
        pjmedia_frame frame;
        pj_bzero(&frame, sizeof(frame));
        frame.buf = samples;
        frame.size = sizeof(samples);
        frame.timestamp = timestamp;
        pjmedia_port_get_frame(conference, &frame);
        timestamp.u64 += FRAME_SAMPLES;
        notifyTurn();
    }
    return 0;
}

}  // namespace

void startMediaClock() {
    audioDescriptor();
    // PJMEDIA insists on a thread of its own for its sockets; ours takes its place.
    PJSUA2_CHECK_EXPR(pjmedia_endpt_stop_threads(pjsua_get_pjmedia_endpt()));
    conference = pjsua_set_no_snd_dev();
    clockRunning = true;
    const pj_status_t status =
        pj_thread_create(pjsua_get_var()->pool, "media clock", &runClock, NULL, 0, 0, &clockThread);
    if (status != PJ_SUCCESS) {
        clockRunning = false;
        PJSUA2_RAISE_ERROR(status);
    }
}

void stopMediaClock() {
    if (!clockRunning.exchange(false))
        return;
    pj_thread_join(clockThread);
    pj_thread_destroy(clockThread);
}

}  // namespace sipbridge
