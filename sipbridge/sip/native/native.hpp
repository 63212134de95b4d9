/*
 * What sipbridge adds to pjsua2 in C++: the gate, the events of calls, the commands on them. Everything here belongs to
 * the SIP thread; audio is in media_*.hpp and audio_*.hpp.
 */
#ifndef SIPBRIDGE_NATIVE_HPP
#define SIPBRIDGE_NATIVE_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include "message.hpp"

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

    /**
     * What is known of this request later: by an Incoming event, or TurnedDown where PJSUA would not have it; for a REFER
     * by notifyTransfer.
     */
    int ticket() const { return ticket_; }

    /** The method, as sent. */
    std::string method() const { return textOf(rdata_->msg_info.msg->line.req.method.name); }
    /** The message as received, or, of one that is refused as such, what a response needs. */
    std::string message() const {
        return std::string(rdata_->msg_info.msg_buf, static_cast<size_t>(rdata_->msg_info.len));
    }
    std::string sourceAddress() const { return rdata_->pkt_info.src_name; }
    int sourcePort() const { return rdata_->pkt_info.src_port; }
    /** "UDP", "TCP" or "TLS". */
    std::string transport() const { return rdata_->tp_info.transport->type_name; }

    /** The status by which the message itself has to be refused, 400, 416, 505 or 513; 0 if it can be read. */
    int messageFault() const;
    /** What is wrong with the message, if anything is. */
    std::string messageFaultText() const;

    /** The status by which the request has to be refused for its method; 0 for INVITE and OPTIONS. */
    int methodFault() const;

    void refuse(int code, const std::string &reason) { code_ = code; reason_ = reason; }
    /** Refuse without a transaction (RFC 3261, 8.2.7): it costs no memory, however many there are. */
    void refuseStateless(int code) { code_ = code; stateless_ = true; }
    void addHeader(const std::string &name, const std::string &value) { headers_.emplace_back(name, value); }

    /**
     * Answer a refused request, with a transaction that absorbs retransmissions (RFC 3261, 17.2.1), or without if it says
     * so, or if there have been many: a transaction is kept for 32 s.
     */
    bool respond();
    /** The same for one in a dialog. */
    bool respond(pjsip_dialog *dialog);

private:
    void listHeaders(pjsip_hdr *headers) const;

    pjsip_rx_data *rdata_;
    int ticket_;
    int code_ = 0;
    bool stateless_ = false;
    std::string reason_;
    std::vector<std::pair<std::string, std::string>> headers_;
};

/**
 * Sees every request outside a dialog before PJSUA does. For an INVITE PJSUA would open sockets, a dialog and a call
 * slot, and judge the SDP, before asking anybody; a request refused here costs a transaction and no more.
 *
 * Sees every REFER in a dialog too: PJSUA would call whatever number it names.
 */
class RequestGate {
public:
    virtual ~RequestGate() {}
    /** Decide about a TCP or TLS connection that somebody has opened; false closes it before a byte was read. */
    virtual bool onConnection(const std::string &source) { (void)source; return true; }
    /** Decide; leave the request alone to let it in. */
    virtual void onRequest(GateRequest &request) { (void)request; }
    /**
     * Decide about a REFER with one Refer-To, from the far end of a call. Left alone it is answered 202 and NOTIFY with
     * 100 (RFC 3515, 2.4.4); what becomes of it is told by notifyTransfer.
     */
    virtual void onRefer(int call, GateRequest &request) { (void)call; request.refuse(PJSIP_SC_FORBIDDEN, ""); }
    /** Hold a caller's BYE until passBye is called with the ticket, or a moment is over (byes.hpp). */
    virtual bool onBye(int call, int ticket) { (void)call; (void)ticket; return false; }
    /** Put the gate in front of PJSUA; once, after Endpoint::libInit. */
    void open() PJSUA2_THROW(pj::Error);
    /** Take it away; after Endpoint::libDestroy, which takes a second, and requests come until then. */
    void close();
};

/** What the open gate says of a connection; yes where none is open. */
bool admitsConnection(const std::string &source);
/** What the open gate says of a BYE; no where none is open. */
bool asksToHold(int call, int ticket);

/** Answer a REFER in a dialog as the open gate says. */
void judgeRefer(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata);

enum EventKind {
    EventIncoming,    // a call was let in: number is its ticket
    EventTurnedDown,  // PJSUA refused what the gate let in: number is its ticket, status the answer
    EventAnswered,    // our 200 has been sent
    EventConfirmed,   // the dialog is confirmed: final if it has audio, number if PJSIP is about to end it
    EventTrying,      // a response came to our INVITE
    EventEnded,       // the dialog is over: final if the far end did it, status is the cause, text the BYE that came, or the
                      // Contacts of a 3xx, a line each, or what PJSIP says of the cause; number is a sum of AudioUse
    EventMedia,       // offer and answer are done: the audio's conference slot may be another, see callAudio
    EventReferRejected,  // our REFER was rejected: number is the one it was given, status the response's
    EventReferUnserved,  // the far end's REFER was rejected before it could be judged: status is the response's, text why
    EventReferEnded,  // our REFER was accepted and more will not be known: status is the final one of a NOTIFY, or 0
    EventClipDone,    // number is the token of a ClipPlayer whose last sample has left
    EventName,        // a host name is not known, see learnName: text has it and its author (peers.hpp), a line each
    EventResolve,     // a message waits: number is for resolved(), status the port or 0; text has the transport or an empty
                      // line, the host, and who named it (peers.hpp)
    EventDigit,       // the far end pressed a DTMF digit: number is its character
    EventDigitsDropped,  // DTMF digits from or to the far end are dropped, reported once per call: text says why
    EventTlsRefused,  // a TLS connection to us failed: text is its address, a line break, and why; number is its port
    EventTlsFailed,   // one of ours failed: text is the name in the URI, a line break, and why; number is the port
    EventConnectionClosed,  // we closed one: text is its address, a line break, and why; number is its port
    EventUnreadable,  // messages got no response, for it could not be read to whom: number says how many since the last
                      // event, text is the source of one
    EventStranger,    // messages in dialogs were not taken (sources.hpp): number says how many since the last
                      // event, text the source and method of one, a line each, status its status or 0
};

/** What the far end of a call has done with its audio, and could do; known once the audio is closed. */
enum AudioUse {
    AudioHeard = 1,  // an RTP packet that counts has come
    AudioDue = 2,    // offer and answer have let it send, at some time
};

/** Something that happened to a call or a connection. In Python a tuple of these, in this order. */
struct CallEvent {
    EventKind kind;
    int call;
    int number;
    int status;
    std::string text;
    bool final;
};

/** Queue an event for pollEvents, from any thread. */
void push(EventKind kind, int call, int number, int status = 0, const std::string &text = "", bool final = true);

/**
 * Take PJSUA's callbacks for calls away from pjsua2, and queue them for pollEvents; once, after Endpoint::libInit.
 *
 * pjsua2 copies the whole message and the SDP as text for every callback and takes the GIL for each. Here a call costs
 * Python one look at a list.
 */
void takeCallbacks();

/**
 * Run PJSIP until something happens that Python wants to know, wakeSipThread() is called, or the time is over; returns
 * what happened, in order. What happens within gatherMilliseconds of the first is waited for: a hand-over between
 * threads costs more than most messages do.
 */
std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds);

/**
 * Send every request over the transport that its URI names. Over 1,300 bytes PJSIP would try TCP before UDP (RFC 3261,
 * 18.1.1), and wait for it where a firewall swallows the SYN; with a call's headers most INVITEs are longer.
 */
void keepToTransport();

/** Make wakeSipThread() work: once, after Endpoint::libInit. */
void openWaker() PJSUA2_THROW(pj::Error);
/** Before Endpoint::libDestroy. */
void closeWaker();
/** End the SIP thread's poll at once. From any thread; cheap, and does nothing where a wake-up is already due. */
void wakeSipThread();

/** Answer an incoming call. Like all below it refuses, with pj::Error, a header that would break its line. */
void callAnswer(int call, int status, const Headers &headers) PJSUA2_THROW(pj::Error);
/**
 * End a call whatever its state; status is for one that is not answered yet. An INVITE of ours that nothing was heard of
 * can have no CANCEL yet (RFC 3261, 9.1). Where still nothing is heard two seconds later it is given up: PJSIP would send
 * it for half a minute, and the call keep its place.
 */
void callHangup(int call, int status, const std::string &reason, const Headers &headers) PJSUA2_THROW(pj::Error);
/**
 * Send an INVITE to a target, as resolved() has them; returns the call. `sources` may speak for its far end (wentTo).
 * With a username its dialog answers challenges (useCredentials).
 */
int callDial(int account, const std::string &uri, const std::string &target, const std::vector<std::string> &sources,
             const std::string &localUri, const Headers &headers, const std::string &username,
             const std::string &password) PJSUA2_THROW(pj::Error);

/** Send a DTMF digit: by RFC 4733 if the far end has telephone-event, else by INFO. PJMEDIA queues 32; more are dropped. */
void callDigit(int call, int digit) PJSUA2_THROW(pj::Error);
/**
 * The conference slot of the call's audio, -1 where it has none. To be asked each time: PJMEDIA gives a slot to the next
 * call as soon as it is free, so that one which was kept, even in an event, may be somebody else's.
 */
int callAudio(int call);
/**
 * Bytes of what has come by UDP and waits to be read, at the fullest of the SIP sockets: as the kernel counts it, with
 * its own overhead, some 2,300 a message. 0 where it does not tell (before Linux 4.12).
 */
int bytesWaiting();
/** How many more calls PJSUA has room for; one that ends may keep its place for some seconds. */
int freeCalls();
/** The Call-ID of a call; empty if its dialog has ended. */
std::string sipCallId(int call);
/** RTP packets of audio that came so far; -1 while none are due (on hold, or no audio yet). */
int callPackets(int call);

}  // namespace sipbridge

#endif
