/*
 * The message `media` of Twilio Media Streams, which carries audio both ways
 * (twilio.com/docs/voice/media-streams/websocket-messages). Text in, text out. All other messages are Python's.
 */
#ifndef SIPBRIDGE_MEDIA_MESSAGE_HPP
#define SIPBRIDGE_MEDIA_MESSAGE_HPP

#include <string>
#include <string_view>

namespace sipbridge {

/** The numbers of a stream's messages to the agent. */
struct MediaCounts {
    long long sequence = 0;  // messages of any kind
    long long chunk = 0;     // messages with audio
    long long bytes = 0;     // of the caller's audio, and of audio that was skipped
};

/**
 * Read the audio of an agent's message. False unless it is a usual one: it names this stream, has audio, and has no
 * other fields and no escaped characters. Python has the rules for the others.
 */
bool readMedia(std::string_view message, std::string_view streamSid, std::string *audio);

/** Append a message with audio of the caller, the next one of the stream. */
void appendMedia(std::string_view audio, std::string_view streamSid, MediaCounts *counts, std::string *out);

}  // namespace sipbridge

#endif
