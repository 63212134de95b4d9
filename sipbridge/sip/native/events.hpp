/*
 * The events of calls and connections for Python.
 */
#ifndef SIPBRIDGE_EVENTS_HPP
#define SIPBRIDGE_EVENTS_HPP

#include <string>
#include <vector>

namespace sipbridge {

enum EventKind {
    // A call was admitted. number: its ticket.
    EventIncoming,
    // PJSUA rejected an INVITE that the gate had admitted. number: its ticket; status: that of the response.
    EventRejected,
    // Our 200 has been sent.
    EventAnswered,
    // The dialog is confirmed. final: it has audio; number: 1 if PJSIP is about to end it.
    EventConfirmed,
    // Our INVITE got a response.
    EventTrying,
    // The dialog is over. final: the far end ended it; status: the cause; number: a sum of AudioUse; text: the received
    // BYE, the Contacts of a 3xx (one per line), or PJSIP's description of the cause.
    EventEnded,
    // Offer and answer are complete. The conference slot of the audio may have changed (callAudio).
    EventMedia,
    // Our REFER was rejected. number: the one that callRefer was given; status: that of the response.
    EventReferRejected,
    // The far end's REFER was rejected before the gate could decide. status: that of the response; text: the reason.
    EventReferUnserved,
    // Our REFER was accepted, and nothing further will be known. number: as above; status: the final one of a NOTIFY,
    // or 0.
    EventReferEnded,
    // A ClipPlayer has played its last sample. number: its token.
    EventClipDone,
    // A host name is not in the name table (learnName). text: the name and the two lines of its author (peers.hpp).
    EventName,
    // A message waits for targets. number: for resolved(); status: the port, or 0; text: the transport or an empty
    // line, the host, and the two lines of its author (peers.hpp).
    EventResolve,
    // The far end pressed a DTMF digit. number: its character. Not reported if it was relayed to the joined call
    // (relay.hpp).
    EventDigit,
    // DTMF digits from or to the far end are dropped; reported once per call. text: the reason.
    EventDigitsDropped,
    // A TLS connection to us failed. text: its address and the reason, one per line; number: its port.
    EventTlsRefused,
    // A TLS connection of ours failed. text: the name in the URI and the reason, one per line; number: the port.
    EventTlsFailed,
    // We closed a connection. text: its address and the reason, one per line; number: its port.
    EventConnectionClosed,
    // Messages got no response, because the part that a response copies could not be read. number: how many since the
    // last such event; text: the source of one of them.
    EventUnreadable,
    // Messages in dialogs were rejected because of their source (sources.hpp). number: how many since the last such
    // event; text: the source and the method of one of them, one per line; status: its status, or 0.
    EventStranger,
};

/** The audio that the far end of a call sent or could send; known once the audio is closed. */
enum AudioUse {
    AudioHeard = 1,  // a valid RTP packet was received
    AudioDue = 2,    // offer and answer let the far end send audio at some time
};

/** An event of a call or a connection. In Python a tuple of these fields, in this order. */
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

/** True if an event is queued. */
bool anyEvent();
/** Take all queued events, in order. */
std::vector<CallEvent> takeEvents();

}  // namespace sipbridge

#endif
