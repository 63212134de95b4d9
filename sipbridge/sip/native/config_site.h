/*
 * The limits and defaults of PJSIP for sipbridge: thousands of 8 kHz G.711 calls in one process, with one SIP thread.
 * PJSIP's own values are those of a softphone.
 */

/* PJSUA allocates as many calls as max_calls, up to this number. A caller may need a second leg (a SIP agent), and a
 * third during an `invite` transfer: 8,192 legs are enough for 2,709 callers. */
#define PJSUA_MAX_CALLS                 8192
/* A leg is one port; a clip or a WebSocket agent is another. */
#define PJSUA_MAX_CONF_PORTS            (3 * PJSUA_MAX_CALLS)
/* The listeners to one port: a WebSocket agent or the joined leg; for a moment, both and the next one
 * (patches/0004 uses this limit in PJMEDIA's conference). */
#define SIPBRIDGE_MAX_LISTENERS         16
#define PJSUA_MAX_ACC                   8
#define PJSUA_MAX_BUDDIES               1
#define PJSUA_MAX_PLAYERS               1
#define PJSUA_MAX_RECORDERS             1

/* Sockets: RTP and RTCP of every leg, and SIP connections of trunks and of idle peers. Each entry of either table costs
 * 0.4 kB from the start. */
#define PJ_IOQUEUE_MAX_HANDLES          (2 * PJSUA_MAX_CALLS + 1024)
#define PJSIP_MAX_TRANSPORTS            12288
/* Connections that wait to be accepted. With PJSIP's own limit of 5, a sixth connection at the same moment is
 * established a second later, when its SYN is sent again. */
#define PJSIP_TCP_TRANSPORT_BACKLOG     511
#define PJSIP_TLS_TRANSPORT_BACKLOG     511
/* A connection on which the peer sends no complete message and no ping within so many seconds is closed. */
#define PJSIP_TCP_INITIAL_TIMEOUT       10
#define PJSIP_TRANSPORT_SERVER_IDLE_TIME_FIRST 10
/* One thread polls each queue, so epoll need not choose among several; without that choice a change of a socket's events
 * is one system call instead of two. */
#define PJ_IOQUEUE_DEFAULT_EPOLL_FLAGS  0
/* A turn of the media clock reads the packets of all calls. */
#define PJ_IOQUEUE_MAX_EVENTS_IN_SINGLE_POLL 64

/* The sizes of the SIP stack's hash tables. A transaction outlives its call by 32 s (RFC 3261, 17). */
#define PJSIP_MAX_TSX_COUNT             (64 * 1024 - 1)
#define PJSIP_MAX_DIALOG_COUNT          (32 * 1024 - 1)

/* The longest SIP message, received or sent (RFC 3261, 18.1.1). Only UDP transports have a buffer of this size each.
 * With patches/0029, connections read into a small buffer, and our messages take as much memory as they have bytes. */
#define PJSIP_MAX_PKT_LEN               65535
#define SIPBRIDGE_READ_BYTES            4096
#define PJSIP_MAX_URL_SIZE              2048

/* PJMEDIA receives one audio line of a description, with the attributes that it uses; sdp.hpp keeps the rest. Every leg
 * has 1.3 kB for each m= line, and several copies of its SDP, each with space for this many codecs. */
#define PJMEDIA_MAX_SDP_MEDIA           1
#define PJMEDIA_MAX_SDP_FMT             10
/* No RTCP feedback, which is for video; every stream has two lists of it. */
#define PJMEDIA_RTCP_FB_MAX_CAP         1

/* The memory pools of a call grow in small steps, since the unused part of a step is held until the end of the call.
 * PJSIP rounds the first size up to a power of two. A leg keeps its ACK or its 2xx until its end. */
#define PJSIP_POOL_LEN_TDATA            2048
#define PJSIP_POOL_INC_TDATA            512
#define PJSIP_POOL_TSX_LEN              1024
#define PJMEDIA_STREAM_SIZE             4096
#define PJMEDIA_STREAM_INC              512

/* Telephone audio: no resampling to 16 kHz and back, no echo canceller on a bridge. */
#define PJSUA_DEFAULT_CLOCK_RATE        8000
#define PJSUA_DEFAULT_EC_TAIL_LEN       0
#define PJMEDIA_HAS_VIDEO               0
#define PJMEDIA_HAS_SRTP                1

/* Received RTCP does not change where our RTCP goes: that follows our RTP (patches/0026). */
#define PJMEDIA_RTCP_NAT_PROBATION_CNT  0xFFFFFFFF

/* TLS 1.2 only with forward secrecy and authenticated encryption (RFC 9325, 4.2), which every suite of TLS 1.3 has. */
#define PJ_SSL_SOCK_OSSL_CIPHERS        "ECDHE+AESGCM:ECDHE+CHACHA20"

/* Higher levels cost time even if nothing is printed. */
#define PJ_LOG_MAX_LEVEL                4
