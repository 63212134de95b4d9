#include "media_clock.hpp"
#include "agent_sockets.hpp"
#include "audio_streams.hpp"
#include "direct_audio.hpp"
#include "dtmf.hpp"
#include "relay.hpp"
#include "rtp_leg.hpp"

#include <atomic>

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define THIS_FILE "media_clock.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

namespace {

const size_t FRAME_SAMPLES = FRAME_BYTES;  // a byte of mu-law is a sample
const long FRAME_NANOSECONDS = 20 * 1000 * 1000;
// The clock's tick while there are calls that go past the conference. A tick costs the event loop and this thread a
// wake each, and a packet waits for half a tick on average.
const long DIRECT_TICK_NANOSECONDS = FRAME_NANOSECONDS / 4;
// The limits of reading packets within a tick: a flood of them must not stop the audio of all calls. The sockets that
// are read here and those of the I/O queue, as of calls with SRTP, have limits of their own, so that a flood at one of
// the former leaves time for the latter.
const long MAX_READING_NANOSECONDS = DIRECT_TICK_NANOSECONDS / 2;
const long MAX_POLLING_NANOSECONDS = DIRECT_TICK_NANOSECONDS / 4;
// If the clock is further behind, it skips the missed turns. To send their RTP in a burst would help no call.
const long MAX_BEHIND_NANOSECONDS = 10 * FRAME_NANOSECONDS;

pj_thread_t *clockThread = nullptr;
std::atomic<bool> clockRunning{false};
pjmedia_port *conference = nullptr;
Clock::time_point presentTurn;

long long nowNanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/** Call a function until it returns false, for so long at most. */
template <typename Function> void repeat(long nanoseconds, const Function &function) {
    const long long until = nowNanoseconds() + nanoseconds;
    while (function() && nowNanoseconds() < until)
        ;
}

/**
 * Read the received RTP. With a thread that wakes up for each packet, a call with audio would cost a fifth to a third
 * more.
 */
void readPackets() {
    pj_ioqueue_t *queue = pjmedia_endpt_get_ioqueue(pjsua_get_pjmedia_endpt());
    const pj_time_val now = {0, 0};
    repeat(MAX_READING_NANOSECONDS, &readLegs);
    repeat(MAX_POLLING_NANOSECONDS, [&] { return pj_ioqueue_poll(queue, &now) > 0; });
}

/**
 * Ask for real-time priority, if the system permits it: this thread had to wait up to 38 ms for others without it. The
 * event loop and the SIP thread have the lowest one (thread_priority.py), and are busy for longer.
 */
void askForPriority() {
    const int lowest = sched_get_priority_min(SCHED_RR);
    for (const int wanted : {lowest + 1, lowest}) {
        sched_param priority;
        pj_bzero(&priority, sizeof(priority));
        priority.sched_priority = wanted;
        if (pthread_setschedparam(pthread_self(), SCHED_RR, &priority) == 0)
            return;
    }
}

/** Let the conference move 20 ms of the audio of all calls in it. */
void turnConference(pj_timestamp *timestamp) {
    int16_t samples[FRAME_SAMPLES];
    pjmedia_frame frame;
    pj_bzero(&frame, sizeof(frame));
    frame.buf = samples;
    frame.size = sizeof(samples);
    frame.timestamp = *timestamp;
    pjmedia_port_get_frame(conference, &frame);
    timestamp->u64 += FRAME_SAMPLES;
}

void sleepUntil(long long nanoseconds) {
    const timespec until = {static_cast<time_t>(nanoseconds / 1000000000LL),
                            static_cast<long>(nanoseconds % 1000000000LL)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/** Account for a late clock: count it, and return the time that is to be skipped. */
long long skippedTime(long long behind) {
    if (behind > FRAME_NANOSECONDS)
        ++audioCounters().late;
    return behind > MAX_BEHIND_NANOSECONDS ? behind : 0;
}

/** True if there are calls that go past the conference, or agents' sockets to read. */
bool beginFastTick() {
    const bool direct = beginDirectTick();
    return beginRelayTick() || direct || anySocket();
}

int runClock(void *) {
    askForPriority();
    long long due = nowNanoseconds();
    long long turn = due + FRAME_NANOSECONDS;  // of the conference
    pj_timestamp timestamp;
    timestamp.u64 = 0;
    while (clockRunning) {
        due = beginFastTick() ? due + DIRECT_TICK_NANOSECONDS : turn;
        const bool isTurn = due == turn;
        if (isTurn) {
            const long long skipped = skippedTime(nowNanoseconds() - due);
            due += skipped;
            turn += skipped + FRAME_NANOSECONDS;
        }
        sleepUntil(due);
        const Clock::time_point tick{std::chrono::nanoseconds(due)};
        readPackets();
        passDirectAudio(tick);
        notifyTurn();
        sendDirectAudio(tick);
        if (!isTurn)
            continue;
        reportLostEnds();
        presentTurn = tick;
        fillRelays(tick);
        turnConference(&timestamp);
        notifyTurn();
    }
    return 0;
}

}  // namespace

Clock::time_point turnTime() { return presentTurn; }

void startMediaClock() {
    audioDescriptor();
    // PJMEDIA always starts a thread for its sockets; ours replaces it.
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
    releaseRelays();
    releaseDirectAudio();
}

}  // namespace sipbridge
