/*
 * The sockets of WebSocket agents that are read and written past Python (agent_socket.hpp), by the number of their
 * audio stream. The event loop alone calls these functions.
 */
#ifndef SIPBRIDGE_AGENT_SOCKETS_HPP
#define SIPBRIDGE_AGENT_SOCKETS_HPP

#include "agent_socket.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sipbridge {

/** The data of a socket for Python. In Python a tuple of these fields, in this order. */
struct SocketTurn {
    int stream;
    std::string received;  // bytes that are not usual audio, from the begin of a frame or going on in one
    bool ended;            // the socket has ended or failed, and is read no more
};

/** Read all sockets for which data has arrived; return what they have for Python. */
std::vector<SocketTurn> readSockets();

/** Take bytes that Python has read; return those that are not usual audio. */
std::string siftSocket(int stream, const std::string &bytes);
/** Read from a socket, or no more. At first it is not read. */
void socketReads(int stream, bool reads);
/** Leave sending to Python until `sends` is true again. */
void socketSends(int stream, bool sends);
/** Return each turn of the stream in takeAudio(), also those whose audio was sent. */
void socketReports(int stream, bool reports);
/** Count messages, those with audio among them, and bytes of audio, that Python sends or skips. */
MediaCounts socketCounts(int stream, int messages, int chunks, int bytes);
/** Use the socket no more; return bytes that were read and that Python has to read next. */
std::string closeSocket(int stream);

#ifndef SWIG
/** Write this socket from now on, and read it from socketReads(). */
void openSocket(int stream, const std::shared_ptr<AudioQueue> &queue, int descriptor, const std::string &streamSid);
/**
 * Send audio of the caller, and take it out of `audio`, unless Python has to send it. `unsent` gets the bytes that
 * Python has to send. True if nothing is left for Python.
 */
bool sendToSocket(int stream, std::string *audio, std::string *unsent);
/** True if data of an agent has arrived. From any thread. */
bool socketsReady();
/** True if there are sockets. From any thread. */
bool anySocket();
#endif

}  // namespace sipbridge

#endif
