/*
 * The resources of a new leg or connection: two UDP ports for its audio, and file descriptors. Call these on the SIP
 * thread.
 */
#ifndef SIPBRIDGE_RESOURCES_HPP
#define SIPBRIDGE_RESOURCES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** The free resources for another leg, or the shortage. */
enum Resources {
    Available,
    NoPorts,        // all pairs of the account's RTP range are bound, by us or by other programs
    NoDescriptors,  // the next leg would take reserved file descriptors
};

/**
 * Open a pair of ports for the audio of the next leg, which PJSUA takes: on its own it tries 100 pairs and then responds
 * with 500. Both sockets of the pair must get descriptors below `reservedFrom`, so that the ones from there on stay free
 * for other uses. The kernel assigns the lowest free descriptor (POSIX, open(2)). The leg must begin in the same turn.
 *
 * If all ports are in use, the result is valid for 250 ms or until a leg ends: to try 5,000 pairs takes some
 * milliseconds.
 */
Resources resourcesForLeg(int account, int reservedFrom);

/** Keep a pair of ports for an INVITE without an offer, because PJSUA opens its audio with our answer. */
void reservePorts(int call, int account);
/** Let PJSUA take that pair now. */
void handOverPorts(int call);
/** Close the pair that no leg has taken. Each poll calls it. */
void closeUntakenPorts();
/** Note that the ports of a call are free, because it is over. */
void portsReleased(int call);

/**
 * From now on close each new SIP connection (TCP, TLS) whose descriptor is `first` or higher, and those for which no
 * descriptor is left. Without the latter, PJSIP would never accept a connection again. Call it after
 * Endpoint::libCreate.
 */
void reserveDescriptors(int first) PJSUA2_THROW(pj::Error);

}  // namespace sipbridge

#endif
