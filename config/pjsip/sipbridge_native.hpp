/*
 * What sipbridge adds to pjsua2 in C++. Everything here belongs to the SIP thread, except what
 * PJMEDIA's threads call (ClipPlayer's port); those never enter Python.
 */
#ifndef SIPBRIDGE_NATIVE_HPP
#define SIPBRIDGE_NATIVE_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace sipbridge {

/** The version of PJSIP, like "2.17". */
inline std::string builtVersion() { return pj_get_version(); }

/** How many legs this build of PJSIP carries (PJSUA_MAX_CALLS). */
inline int builtMaxLegs() { return PJSUA_MAX_CALLS; }

/** How much PJSIP prints, 0 (nothing) to 6. Before Endpoint::libCreate it would print to standard output. */
inline void setLogLevel(int level) { pj_log_set_level(level); }

/** One request at the gate, and what is decided about it. Valid during RequestGate::onRequest only. */
class GateRequest {
public:
    GateRequest(pjsip_rx_data *rdata, int ticket) : rdata_(rdata), ticket_(ticket) {}

    /** What the events about this request will be known by: Incoming, or TurnedDown where PJSUA would not have it. */
    int ticket() const { return ticket_; }

    /** The method, as sent. */
    std::string method() const {
        const pj_str_t &name = rdata_->msg_info.msg->line.req.method.name;
        return std::string(name.ptr, static_cast<size_t>(name.slen));
    }
    /** The message as received; shorter than Content-Length says where the datagram was cut. */
    std::string message() const {
        return std::string(rdata_->msg_info.msg_buf, static_cast<size_t>(rdata_->msg_info.len));
    }
    std::string sourceAddress() const { return rdata_->pkt_info.src_name; }
    int sourcePort() const { return rdata_->pkt_info.src_port; }
    /** "UDP", "TCP" or "TLS". */
    std::string transport() const { return rdata_->tp_info.transport->type_name; }

    void refuse(int code, const std::string &reason) { code_ = code; reason_ = reason; }
    void addHeader(const std::string &name, const std::string &value) { headers_.emplace_back(name, value); }

    /** Answer a refused request, with a transaction that absorbs retransmissions (RFC 3261, 17.2.1). */
    bool respond();

private:
    pjsip_rx_data *rdata_;
    int ticket_;
    int code_ = 0;
    std::string reason_;
    std::vector<std::pair<std::string, std::string>> headers_;
};

/**
 * Sees every request outside a dialog before PJSUA does. For an INVITE PJSUA would open sockets, a dialog and a call
 * slot, and judge the SDP, before asking anybody; a request refused here costs a transaction and no more.
 */
class RequestGate {
public:
    virtual ~RequestGate() {}
    /** Decide; leave the request alone to let it in. */
    virtual void onRequest(GateRequest &request) { (void)request; }
    /** Put the gate in front of PJSUA; once, after Endpoint::libInit. */
    void open() PJSUA2_THROW(pj::Error);
    /** Take it away; before Endpoint::libDestroy. */
    void close();
};

enum EventKind {
    EventIncoming,    // a call was let in: number is its ticket
    EventTurnedDown,  // PJSUA refused what the gate let in: number is its ticket, status the answer
    EventConfirmed,   // the dialog is confirmed
    EventEnded,       // the dialog is over: status is the cause
    EventMedia,       // offer and answer are done: number is the audio's conference slot, or -1
    EventRefer,       // our REFER: status and text are what is known, final whether more will come
    EventClipDone,    // number is the token of a ClipPlayer whose last sample has left
};

/** Something that happened to a call. In Python a tuple of these, in this order. */
struct CallEvent {
    EventKind kind;
    int call;
    int number;
    int status;
    std::string text;
    bool final;
};

/**
 * Take PJSUA's callbacks for calls away from pjsua2, and queue them for pollEvents; once, after Endpoint::libInit.
 *
 * pjsua2 copies the whole message and the SDP as text for every callback and takes the GIL for each. Here a call costs
 * Python one look at a list. A REFER from the far end is refused: PJSUA would else call whatever number it names.
 */
void takeCallbacks();

/**
 * Run PJSIP until something happens that Python wants to know, wakeSipThread() is called, or the time is over; returns
 * what happened, in order. What happens within gatherMilliseconds of the first is waited for: a hand-over between
 * threads costs more than most messages do.
 */
std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds);

/** Keep freed memory pools for reuse, up to so many bytes: PJSUA gives each back to malloc. After Endpoint::libCreate. */
void keepFreedPools(int bytes);

/** Make wakeSipThread() work: once, after Endpoint::libInit. */
void openWaker() PJSUA2_THROW(pj::Error);
/** Before Endpoint::libDestroy. */
void closeWaker();
/** End the SIP thread's poll at once. From any thread; cheap, and does nothing where a wake-up is already due. */
void wakeSipThread();

/** Header names and values. In Python a dict of str. */
typedef std::vector<std::pair<std::string, std::string>> Headers;

/** Answer an incoming call. Like all below it refuses, with pj::Error, a header that would break its line. */
void callAnswer(int call, int status, const Headers &headers) PJSUA2_THROW(pj::Error);
/** End a call whatever its state; status is for one that is not answered yet. */
void callHangup(int call, int status, const std::string &reason, const Headers &headers) PJSUA2_THROW(pj::Error);
/** Send REFER; referTo goes out as given, so it is in angle brackets. */
void callRefer(int call, const std::string &referTo, const Headers &headers) PJSUA2_THROW(pj::Error);
/** Send an INVITE; returns the call. */
int callDial(int account, const std::string &uri, const std::string &localUri, const Headers &headers)
    PJSUA2_THROW(pj::Error);

/** Sixteen-bit mono audio at another rate, by libsamplerate's band-limited converter. Rates in Hz. */
std::string resample(const std::string &pcm, int fromRate, int toRate) PJSUA2_THROW(pj::Error);

/** Sixteen-bit mono audio at 8 kHz, shared by all who play it. */
class Clip {
public:
    explicit Clip(const std::string &pcm)
        : samples_(std::make_shared<std::vector<int16_t>>(
              reinterpret_cast<const int16_t *>(pcm.data()),
              reinterpret_cast<const int16_t *>(pcm.data()) + pcm.size() / 2)) {}
    std::shared_ptr<const std::vector<int16_t>> samples() const { return samples_; }

private:
    std::shared_ptr<const std::vector<int16_t>> samples_;
};

/** Plays a clip once into the conference, then silence. */
class ClipPlayer : public pj::AudioMedia {
public:
    /** @param token  what the ClipDone event carries when the last sample has left. */
    ClipPlayer(const Clip &clip, int token) PJSUA2_THROW(pj::Error);
    virtual ~ClipPlayer();
};

/** Connect two conference slots in one direction. */
void connectSlots(int source, int sink) PJSUA2_THROW(pj::Error);

}  // namespace sipbridge

#endif
