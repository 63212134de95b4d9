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

/** How many legs this build of PJSIP carries (PJSUA_MAX_CALLS). */
inline int builtMaxLegs() { return PJSUA_MAX_CALLS; }

/** The longest SIP message this build reads from a datagram, in bytes (PJSIP_MAX_PKT_LEN). */
inline int builtMaxMessageBytes() { return PJSIP_MAX_PKT_LEN; }

/** One new INVITE at the gate, and what is decided about it. Valid during InviteGate::onInvite only. */
class GateRequest {
public:
    explicit GateRequest(pjsip_rx_data *rdata) : rdata_(rdata) {}

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
    int code_ = 0;
    std::string reason_;
    std::vector<std::pair<std::string, std::string>> headers_;
};

/**
 * Sees every INVITE that opens a dialog before PJSUA does. PJSUA would open sockets, a dialog and a call slot,
 * and judge the SDP, before asking anybody; a request refused here costs a transaction and no more.
 */
class InviteGate {
public:
    virtual ~InviteGate() {}
    /** Decide; leave the request alone to let it in. */
    virtual void onInvite(GateRequest &request) { (void)request; }
    /** Put the gate in front of PJSUA; once, after Endpoint::libInit. */
    void open();
    /** Take it away; before Endpoint::libDestroy. */
    void close();
};

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
    /** @param token  what ClipPlayer::takeFinished reports when the last sample has left. */
    ClipPlayer(const Clip &clip, int token);
    virtual ~ClipPlayer();

    /** Tokens of players whose last sample has left since the last call. */
    static std::vector<int> takeFinished();
};

/**
 * Unhook the PJSUA callbacks that nobody here listens to. pjsua2 copies the whole message, and the SDP as text,
 * for each of them before it calls an empty virtual method; one also runs on PJMEDIA's threads, which must never
 * wait for Python.
 */
void unhookUnusedCallbacks();

/** State of the INVITE session (pjsip_inv_state), or -1 when the slot is free. */
int invState(int callId);

/** Final status of the call's INVITE session: the cause that ended it (RFC 3261 codes), or 0. */
int endCause(int callId);

/** Conference slot of the call's audio, or -1. */
int audioSlot(int callId);

/** True while the far end holds the call or sends no audio (RFC 3264, 8.4). */
bool heldByPeer(int callId);

/** Connect two conference slots in one direction; raises pj::Error. */
void connectSlots(int source, int sink);
void disconnectSlots(int source, int sink);

}  // namespace sipbridge

#endif
