/*
 * The events of calls and connections, on their way to Python.
 */
#ifndef SIPBRIDGE_EVENTS_HPP
#define SIPBRIDGE_EVENTS_HPP

#include <string>
#include <vector>

namespace sipbridge {

enum EventKind {
    EventIncoming,    // a call was admitted: number is its ticket
    EventRejected,  // PJSUA rejected an INVITE that the gate admitted: number is its ticket, status the response
    EventAnswered,    // our 200 has been sent
    EventConfirmed,   // the dialog is confirmed: final if it has audio, number if PJSIP is about to end it
    EventTrying,      // a response came to our INVITE
    EventEnded,  // the dialog is over: final if the far end did it, status is the cause, text the BYE that came, or the
    // Contacts of a 3xx, a line each, or what PJSIP says of the cause; number is a sum of AudioUse
    EventMedia,  // offer and answer are done: the audio's conference slot may be another, see callAudio
    EventReferRejected,  // our REFER was rejected: number is the one it was given, status the response's
    EventReferUnserved,  // the far end's REFER was rejected before it could be judged: status is the response's, text why
    EventReferEnded,  // our REFER was accepted and more will not be known: status is the final one of a NOTIFY, or 0
    EventClipDone,  // number is the token of a ClipPlayer whose last sample has left
    EventName,  // a host name is not known, see learnName: text has it and its author (peers.hpp), a line each
    EventResolve,  // a message waits: number is for resolved(), status the port or 0; text has the transport or an empty
    // line, the host, and who named it (peers.hpp)
    EventDigit,  // the far end pressed a DTMF digit: number is its character
    EventDigitsDropped,  // DTMF digits from or to the far end are dropped, reported once per call: text says why
    EventTlsRefused,  // a TLS connection to us failed: text is its address, a line break, and why; number is its port
    EventTlsFailed,  // one of ours failed: text is the name in the URI, a line break, and why; number is the port
    EventConnectionClosed,  // we closed one: text is its address, a line break, and why; number is its port
    EventUnreadable,  // messages got no response, for it could not be read to whom: number says how many since the last
    // event, text is the source of one
    EventStranger,  // messages in dialogs were not taken (sources.hpp): number says how many since the last
    // event, text the source and method of one, a line each, status its status or 0
};

/** What the far end of a call has done with its audio, and could do; known once the audio is closed. */
enum AudioUse {
    AudioHeard = 1,  // an RTP packet that counts has come
    AudioDue = 2,  // offer and answer have let it send, at some time
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

/** True if an event waits. */
bool anyEvent();
/** Return the events that wait, in order; none waits then. */
std::vector<CallEvent> takeEvents();

}  // namespace sipbridge

#endif
