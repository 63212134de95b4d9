/*
 * The socket of one WebSocket agent, read and written past Python: messages with audio, both ways. It includes nothing
 * of PJSIP. The event loop alone calls it.
 */
#ifndef SIPBRIDGE_AGENT_SOCKET_HPP
#define SIPBRIDGE_AGENT_SOCKET_HPP

#include "audio_queue.hpp"
#include "media_message.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace sipbridge {

/**
 * Usual messages with audio go from the socket to the queue. Everything else that the agent sends is for Python: in
 * order, and from the first such frame to the end of the read, because a message may change what the next one means.
 */
class AgentSocket {
public:
    /**
     * @param descriptor  of a socket that stays open as long as this object, between two frames of the agent; -1 if
     * Python reads and writes it, as over TLS.
     */
    AgentSocket(int descriptor, std::string streamSid, std::shared_ptr<AudioQueue> queue)
        : descriptor(descriptor), streamSid_(std::move(streamSid)), queue_(std::move(queue)) {}

    const int descriptor;
    // False while Python sends: then bytes of an earlier message wait there, which this would overtake.
    bool sends = true;
    // False while Python reads, or pauses.
    bool watched = false;
    // True if Python has to know how much of the agent's audio has been played, whenever there is audio of the caller.
    bool reportsPlayed = false;
    MediaCounts counts;

    /**
     * Read so many times at most, READ_BYTES each, until something is for Python; append that to `rest`. False if the
     * socket has ended or failed.
     */
    bool read(int reads, std::string *rest);

    /** Take bytes that Python has read; append to `rest` what is for Python. */
    void sift(std::string_view bytes, std::string *rest);

    /** Send audio of the caller, in messages of 20 ms. Append to `unsent` what Python has to send. */
    void send(std::string_view audio, std::string *unsent);

    /** Return the bytes that were read and not used yet: the begin of a frame. */
    std::string takePartial() { return std::move(partial_); }

private:
    bool readOnce(std::string *rest, bool *mayHaveMore);
    size_t sort(std::string_view bytes, std::string *rest);
    bool takeMessage(std::string_view message);

    const std::string streamSid_;
    const std::shared_ptr<AudioQueue> queue_;
    std::string partial_;      // bytes that were read, from the begin of a frame
    size_t passing_ = 0;       // bytes of the present frame that are still to come, and for Python
    bool fragmented_ = false;  // more frames of a message are to come
};

}  // namespace sipbridge

#endif
