#include "agent_socket.hpp"

#include "websocket_frame.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace sipbridge {

namespace {

// The most bytes of one read, and of a frame that is read here; longer ones are Python's.
const size_t READ_BYTES = 4096;

}  // namespace

bool AgentSocket::read(int reads, std::string *rest) {
    bool mayHaveMore = true;
    bool open = true;
    while (open && mayHaveMore && rest->empty() && reads-- > 0)
        open = readOnce(rest, &mayHaveMore);
    return open;
}

bool AgentSocket::readOnce(std::string *rest, bool *mayHaveMore) {
    // Of all sockets: between two reads, a socket has only the begin of a frame.
    static char buffer[2 * READ_BYTES];
    const size_t before = partial_.copy(buffer, READ_BYTES);
    const ssize_t count = ::recv(descriptor, buffer + before, READ_BYTES, MSG_DONTWAIT);
    *mayHaveMore = count == READ_BYTES;
    if (count <= 0)
        return count < 0 && (errno == EAGAIN || errno == EINTR);
    const std::string_view bytes(buffer, before + static_cast<size_t>(count));
    partial_ = bytes.substr(sort(bytes, rest));
    return true;
}

void AgentSocket::sift(std::string_view bytes, std::string *rest) {
    std::string whole = std::move(partial_);
    whole.append(bytes);
    partial_ = whole.substr(sort(whole, rest));
}

/** Sort bytes into audio and what is for Python; return how many were used. The begin of a frame waits. */
size_t AgentSocket::sort(std::string_view bytes, std::string *rest) {
    size_t done = 0;
    bool mine = !passing_;
    while (true) {
        const size_t passed = std::min(passing_, bytes.size() - done);
        rest->append(bytes.substr(done, passed));
        done += passed;
        passing_ -= passed;
        FrameHeader header;
        if (passing_ || !readFrameHeader(bytes.substr(done), &header))
            break;
        const bool usual = header.first == FrameHeader::TEXT && !header.masked && !fragmented_ &&
                           header.payload <= READ_BYTES - header.size;
        const size_t size = header.size + (usual ? header.payload : 0);
        if (bytes.size() - done < size)
            break;
        if (usual && mine && takeMessage(bytes.substr(done + header.size, header.payload))) {
            done += size;
            continue;
        }
        mine = false;
        fragmented_ = (fragmented_ && !header.endsFragments()) || header.opensFragments();
        rest->append(bytes.substr(done, header.size));
        done += header.size;
        passing_ = header.payload;
    }
    return done;
}

bool AgentSocket::takeMessage(std::string_view message) {
    std::string audio;
    return readMedia(message, streamSid_, &audio) &&
           queue_->writeWhole(reinterpret_cast<const uint8_t *>(audio.data()), audio.size(), Clock::now());
}

void AgentSocket::send(std::string_view audio, std::string *unsent) {
    std::string message, frames;
    for (size_t begin = 0; begin < audio.size(); begin += FRAME_BYTES) {
        message.clear();
        appendMedia(audio.substr(begin, FRAME_BYTES), streamSid_, &counts, &message);
        appendTextFrame(message, &frames);
    }
    if (descriptor < 0) {
        unsent->append(frames);
        return;
    }
    const ssize_t sent = ::send(descriptor, frames.data(), frames.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // A socket that has failed fails again when Python writes to it, and is handled there.
    const size_t taken = static_cast<size_t>(std::max<ssize_t>(sent, 0));
    if (taken == frames.size())
        return;
    sends = false;
    unsent->append(frames, taken);
}

}  // namespace sipbridge
