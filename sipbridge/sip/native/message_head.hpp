/*
 * The head of a SIP message: its end, its headers, and the part of it that a response needs. No sockets, and nothing of
 * PJSIP.
 */
#ifndef SIPBRIDGE_MESSAGE_HEAD_HPP
#define SIPBRIDGE_MESSAGE_HEAD_HPP

#include <cstddef>
#include <string>
#include <vector>

namespace sipbridge {

/** The longest rest of a message that is skipped, so that the connection can go on. */
const size_t MAX_SKIPPED_BYTES = 16 * 1024 * 1024;

/** A reader of the head of a message, byte by byte. It finds the end of the head and the length of the body. */
class HeadReader {
public:
    /** Read the next byte; true if it ends the head, as the last byte of the blank line. */
    bool take(char byte);
    /** True if the start line, as far as it is known, is not that of a SIP message. */
    bool isJunk() const { return junk_; }
    bool isResponse() const { return response_; }
    /** The fault of Content-Length, once the head has ended; empty if it has none, or if there is no such header. */
    std::string fault() const;
    bool hasLength() const { return !lengths_.empty(); }
    /** True if all Content-Length headers state one number. */
    bool agrees() const;
    /** That number, at most MAX_SKIPPED_BYTES + 1. Only if agrees(). */
    size_t length() const;

private:
    void endLine();

    std::string line_;  // the current line so far
    std::vector<std::string> lengths_;
    bool cut_ = false;  // line_ is incomplete
    bool first_ = true;
    bool inLength_ = false;
    bool junk_ = false;
    bool response_ = false;
};

/** The lines of a request, or of its beginning, that a response needs (RFC 3261, 8.2.6.2). */
struct EssentialLines {
    std::string lines;       // the start line and the needed headers
    std::string unfinished;  // the last line without its end, if it belongs to these or may belong to them
    bool complete = false;   // all needed headers are there
};

EssentialLines essentialLines(const std::string &head);

/**
 * The essential lines as a request without a body. Empty if a needed header is missing, or if the message is a
 * response. An unfinished last line is left out.
 */
std::string essentials(const std::string &head);

/** The name of a header in lower case, without its compact form if it is used here; empty if the line has none. */
std::string nameOf(const std::string &line);

}  // namespace sipbridge

#endif
