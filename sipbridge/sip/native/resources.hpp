/*
 * What a new leg or connection needs of the machine: two UDP ports for its audio, and file descriptors. Everything here
 * belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_RESOURCES_HPP
#define SIPBRIDGE_RESOURCES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

enum Room {
    Available,
    RoomNoPorts,        // each pair of the account's RTP range is bound, by us or by others
    RoomNoDescriptors,  // the next leg would take descriptors that are kept for others
};

/**
 * Find a pair of ports for the audio of the next leg, and have PJSUA take it: by itself it tries 100 pairs, and answers
 * 500. Both of its sockets have descriptors below `firstKept`: the kernel gives the lowest that is free (POSIX, open(2)),
 * so that those from there on stay for whoever is less modest.
 *
 * Where all ports are taken that is found out four times a second and when a leg has ended, and else said as it was: to
 * try 5,000 pairs takes some milliseconds.
 */
Room roomForLeg(int account, int firstKept);

/** The same for a call whose audio is opened when it is answered, for it came without an offer: keep a pair bound. */
void reservePorts(int call, int account);
/** It is about to be opened. */
void handOverPorts(int call);
/** The call is over, and what it has kept or used is free. */
void portsReleased(int call);

/**
 * From now on close every SIP connection (TCP, TLS) that comes and takes a descriptor from this one on. Where there is
 * none at all it is closed, too; PJSIP by itself would never accept a connection again. After Endpoint::libCreate.
 */
void reserveDescriptors(int first) PJSUA2_THROW(pj::Error);

}  // namespace sipbridge

#endif
