/*
 * The frames of WebSocket (RFC 6455, 5.2), as an agent sends them and as it gets them. Bytes in, bytes out: no sockets.
 */
#ifndef SIPBRIDGE_WEBSOCKET_FRAME_HPP
#define SIPBRIDGE_WEBSOCKET_FRAME_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sipbridge {

/** The header of a frame. */
struct FrameHeader {
    // The first byte of an unmasked text message in one frame.
    static constexpr uint8_t TEXT = 0x81;

    uint8_t first;  // FIN, RSV and the opcode
    bool masked;
    size_t size;     // of the header; the key of a masked frame counts as payload
    size_t payload;  // of the rest of the frame; the largest number if it is longer than that

    /** True for a frame of a message that further frames continue. */
    bool opensFragments() const { return !(first & 0x80) && (first & 0x0f) != 0; }
    /** True for the last frame of a message that began with another frame. */
    bool endsFragments() const { return (first & 0x8f) == 0x80; }
};

/** Read a header; false if more bytes are needed. */
bool readFrameHeader(std::string_view bytes, FrameHeader *header);

/**
 * Append a text message in one frame, masked with four bytes that the agent cannot predict (RFC 6455, 5.3). It has at
 * most 65,535 bytes.
 */
void appendTextFrame(std::string_view message, std::string *out);

}  // namespace sipbridge

#endif
