/*
 * The SWIG interface of the module sipbridge_pjsip.pjsua2: PJSIP's own pjsua2, and what sipbridge adds.
 */
%module(package="sipbridge_pjsip", directors="1") pjsua2

/* Keep the GIL in every function but those that sleep or take long. To release it costs a hand-over of up to 5 ms if
 * the other thread is busy, and a call needs hundreds of these functions. PJMEDIA's threads never wait for Python, so
 * holding the GIL cannot cause a deadlock. Callbacks acquire it. */
%nothreadallow;
%threadallow pj::Endpoint::libCreate;
%threadallow pj::Endpoint::libInit;
%threadallow pj::Endpoint::libStart;
%threadallow sipbridge::pollEvents;
%threadallow pj::Endpoint::libDestroy;
%threadallow pj::Endpoint::transportCreate;
%threadallow sipbridge::stopMediaClock;
%threadallow sipbridge::resample;

%begin %{
#define PY_SSIZE_T_CLEAN
%}
%{
#include "byes.hpp"
#include "connections.hpp"
#include "framing.hpp"
#include "unreadable.hpp"
#include "agent_sockets.hpp"
#include "audio_streams.hpp"
#include "direct_audio.hpp"
#include "media.hpp"
#include "media_clock.hpp"
#include "media_ports.hpp"
#include "name_table.hpp"
#include "callbacks.hpp"
#include "commands.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "version.hpp"
#include "waker.hpp"
#include "negotiation.hpp"
#include "responses.hpp"
#include "transfers.hpp"
#include "pools.hpp"
#include "relay.hpp"
#include "resolver.hpp"
#include "resources.hpp"
#include "sdp.hpp"
#include "sources.hpp"
#include "tls.hpp"
%}

%include "swig/pjsua2.i"

%feature("director") sipbridge::RequestGate;
%ignore sipbridge::IncomingRequest::IncomingRequest;
%ignore sipbridge::IncomingRequest::respond;
%ignore sipbridge::Clip::samples;
%ignore sipbridge::Clip::looped;

/* Audio, SDP and messages are bytes in Python, and are copied once. */
%typemap(in) const std::string &pcm (std::string buffer) {
    char *data = NULL;
    Py_ssize_t length = 0;
    if (PyBytes_AsStringAndSize($input, &data, &length) < 0)
        SWIG_fail;
    buffer.assign(data, static_cast<size_t>(length));
    $1 = &buffer;
}
%typemap(freearg) const std::string &pcm ""
%typemap(typecheck, precedence=SWIG_TYPECHECK_STRING) const std::string &pcm { $1 = PyBytes_Check($input); }
%apply const std::string &pcm {
    const std::string &audio, const std::string &sdp, const std::string &bytes, const std::string &datagram
};

/* A message is bytes, because it need not be valid text. */
%typemap(out) std::string sipbridge::IncomingRequest::message {
    $result = PyBytes_FromStringAndSize($1.data(), static_cast<Py_ssize_t>($1.size()));
}
%typemap(out) std::string sipbridge::resample, std::string sipbridge::OfferAnswer::readOffer,
              std::string sipbridge::OfferAnswer::readAnswer, std::string sipbridge::OfferAnswer::writeOffer,
              std::string sipbridge::OfferAnswer::writeAnswer, std::string sipbridge::closeSocket,
              std::string sipbridge::siftSocket {
    $result = PyBytes_FromStringAndSize($1.data(), static_cast<Py_ssize_t>($1.size()));
}

%ignore sipbridge::AudioTurn;
%typemap(out) std::vector<sipbridge::AudioTurn> {
    $result = PyList_New(static_cast<Py_ssize_t>($1.size()));
    for (size_t i = 0; i < $1.size(); ++i) {
        const sipbridge::AudioTurn &turn = (&$1)->at(i);
        PyList_SetItem($result, static_cast<Py_ssize_t>(i),
                        Py_BuildValue("(iy#Ly#)", turn.stream, turn.heard.data(),
                                      static_cast<Py_ssize_t>(turn.heard.size()), turn.played, turn.unsent.data(),
                                      static_cast<Py_ssize_t>(turn.unsent.size())));
    }
}
%ignore sipbridge::SocketTurn;
%typemap(out) std::vector<sipbridge::SocketTurn> {
    $result = PyList_New(static_cast<Py_ssize_t>($1.size()));
    for (size_t i = 0; i < $1.size(); ++i) {
        const sipbridge::SocketTurn &turn = (&$1)->at(i);
        PyList_SetItem($result, static_cast<Py_ssize_t>(i),
                        Py_BuildValue("(iy#O)", turn.stream, turn.received.data(),
                                      static_cast<Py_ssize_t>(turn.received.size()), turn.ended ? Py_True : Py_False));
    }
}
/* Of headers that SWIG does not read. */
namespace sipbridge {
struct MediaCounts;
struct AudioPosition;
}
%typemap(out) sipbridge::MediaCounts {
    $result = Py_BuildValue("(LLL)", $1.sequence, $1.chunk, $1.bytes);
}
%typemap(out) sipbridge::AudioPosition {
    $result = Py_BuildValue("(LLd)", $1.written, $1.played,
                            std::chrono::duration<double>($1.over.time_since_epoch()).count());
}
%ignore sipbridge::AudioCounts;
%typemap(out) sipbridge::AudioCounts {
    $result = Py_BuildValue("(LLLL)", $1.underruns, $1.overruns, $1.late, $1.stray);
}

%ignore sipbridge::stayOnConnection;
%ignore sipbridge::returnToConnection;
%ignore sipbridge::noteTlsState;
%ignore sipbridge::admitsConnection;
%ignore sipbridge::decideRefer;
%ignore sipbridge::MessageData;
%ignore sipbridge::breaksLine;
%ignore sipbridge::borrowed;
%ignore sipbridge::textOf;
%ignore sipbridge::appendHeader;
%ignore sipbridge::appendWarning;
%ignore sipbridge::asksToHold;
%ignore sipbridge::passLateByes;
%ignore sipbridge::push;
%ignore sipbridge::CallEvent;
%typemap(out) std::vector<sipbridge::CallEvent> {
    $result = PyList_New(static_cast<Py_ssize_t>($1.size()));
    for (size_t i = 0; i < $1.size(); ++i) {
        const sipbridge::CallEvent &event = (&$1)->at(i);
        PyObject *text = PyUnicode_DecodeUTF8(event.text.data(), static_cast<Py_ssize_t>(event.text.size()), "replace");
        PyList_SetItem($result, static_cast<Py_ssize_t>(i),
                        Py_BuildValue("(iiiiNO)", static_cast<int>(event.kind), event.call, event.number, event.status,
                                      text, event.final ? Py_True : Py_False));
    }
}
%typemap(in) const sipbridge::Headers & (sipbridge::Headers headers) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    if (!PyDict_Check($input)) {
        PyErr_SetString(PyExc_TypeError, "headers must be a dict of str");
        SWIG_fail;
    }
    while (PyDict_Next($input, &position, &key, &value)) {
        const char *name = PyUnicode_AsUTF8AndSize(key, NULL);
        Py_ssize_t length = 0;
        const char *text = name ? PyUnicode_AsUTF8AndSize(value, &length) : NULL;
        if (!text)
            SWIG_fail;
        headers.emplace_back(name, std::string(text, static_cast<size_t>(length)));
    }
    $1 = &headers;
}
%typemap(freearg) const sipbridge::Headers & ""

/* A frame is a tuple in Python: kind, text, status, reason. */
%ignore sipbridge::Frame;
%typemap(out) sipbridge::Frame {
    $result = Py_BuildValue("(iy#is)", static_cast<int>($1.kind), $1.text.data(),
                            static_cast<Py_ssize_t>($1.text.size()), $1.status, $1.reason.c_str());
}
%include "framing.hpp"
%include "unreadable.hpp"

%include "message.hpp"
%ignore sipbridge::anyEvent;
%ignore sipbridge::lastTicket;
%include "version.hpp"
%include "events.hpp"
%include "waker.hpp"
%include "gate.hpp"
%include "callbacks.hpp"
%include "commands.hpp"
%ignore sipbridge::acceptRefer;
%include "transfers.hpp"
%ignore sipbridge::isSupported;
%ignore sipbridge::isAllowed;
%ignore sipbridge::keepAsWritten;
%include "responses.hpp"
%ignore sipbridge::cameFrom;
%ignore sipbridge::wentTo;
%ignore sipbridge::farEndOf;
%ignore sipbridge::noteAddresses;
%include "sources.hpp"
%ignore sipbridge::reservePorts;
%ignore sipbridge::handOverPorts;
%ignore sipbridge::closeUntakenPorts;
%ignore sipbridge::portsReleased;
%include "resources.hpp"
%ignore sipbridge::receiveFromConnection;
%ignore sipbridge::closeUnfinished;
%include "byes.hpp"
%include "connections.hpp"
%include "name_table.hpp"
%ignore sipbridge::ChosenTarget;
%ignore sipbridge::forgetTarget;
%include "resolver.hpp"
%ignore sipbridge::freeIdlePools;
%include "pools.hpp"
%include "relay.hpp"
%include "agent_sockets.hpp"
%include "audio_streams.hpp"
%include "direct_audio.hpp"
%include "media.hpp"
%include "media_clock.hpp"
%include "media_ports.hpp"
%include "tls.hpp"
%include "sdp.hpp"
%ignore sipbridge::readNewOffer;
%ignore sipbridge::keepNewOffer;
%include "negotiation.hpp"
