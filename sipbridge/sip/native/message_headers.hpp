/*
 * The headers of a message as text, and the parts of their values.
 */
#ifndef SIPBRIDGE_MESSAGE_HEADERS_HPP
#define SIPBRIDGE_MESSAGE_HEADERS_HPP

#include <cstddef>
#include <string>
#include <vector>

namespace sipbridge {

struct HeaderText {
    size_t begin;      // its position in the message
    std::string name;  // in lower case; empty if the line has none
    std::string text;  // with its line ends
    bool done = false;
};

struct MessageText {
    std::string start;  // the start line
    std::vector<HeaderText> headers;
    std::string rest;  // from the blank line on
};

MessageText splitMessage(const std::string &text);

/** The value of a header, in one line. */
std::string valueOf(const HeaderText &header);
/** A header of that name and value, with its line end. */
std::string headerLine(const std::string &name, const std::string &value);
/** The parts of a value between separators that are not in quotes or angle brackets, without empty parts. */
std::vector<std::string> partsOf(const std::string &value, char separator);
/** The values with a separator between them. */
std::string joined(const std::vector<std::string> &values, const char *between);

/** True if the character may be in a token (RFC 3261, 25.1). */
bool isTokenByte(char c);
bool isToken(const std::string &text);

}  // namespace sipbridge

#endif
