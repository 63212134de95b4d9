/*
 * PJSIP compiled for sipbridge: thousands of 8 kHz G.711 calls in one process,
 * one thread on the SIP side. PJSIP's own defaults are those of a softphone.
 */

/* Calls. PJSUA allocates this many only if max_calls asks for them. A caller may need a second leg (a SIP agent) and for
 * a while a third (an `invite` transfer): 8,192 legs are 2,709 callers. */
#define PJSUA_MAX_CALLS                 8192
/* A leg is one port; what plays to it or listens to it is another. */
#define PJSUA_MAX_CONF_PORTS            (3 * PJSUA_MAX_CALLS)
/* Who may listen to a leg or to what plays: a WebSocket agent, the leg it is joined to, for a moment both and the next
 * (patches/0004 puts it into PJMEDIA's conference). */
#define SIPBRIDGE_MAX_LISTENERS         16
#define PJSUA_MAX_ACC                   8
#define PJSUA_MAX_BUDDIES               1
#define PJSUA_MAX_PLAYERS               1
#define PJSUA_MAX_RECORDERS             1

/* Sockets: RTP and RTCP for every leg; TCP connections of trunks, and of those who only hold them open. Each of either
 * costs 0.4 kB from the start. */
#define PJ_IOQUEUE_MAX_HANDLES          (2 * PJSUA_MAX_CALLS + 1024)
#define PJSIP_MAX_TRANSPORTS            12288
/* Connections that wait to be accepted. Of 5, PJSIP's own, a sixth at once comes a second later (its SYN sent again). */
#define PJSIP_TCP_TRANSPORT_BACKLOG     511
#define PJSIP_TLS_TRANSPORT_BACKLOG     511
/* Who opens a connection and sends no message or ping within so many seconds loses it; slow senders too. */
#define PJSIP_TCP_INITIAL_TIMEOUT       10
#define PJSIP_TRANSPORT_SERVER_IDLE_TIME_FIRST 10
/* A turn of the media clock reads the packets of all calls. */
#define PJ_IOQUEUE_MAX_EVENTS_IN_SINGLE_POLL 64

/* Hash tables of the SIP stack: a transaction outlives its call by 32 s (RFC 3261, 17). */
#define PJSIP_MAX_TSX_COUNT             (64 * 1024 - 1)
#define PJSIP_MAX_DIALOG_COUNT          (32 * 1024 - 1)

/* What a message may have (RFC 3261, 18.1.1), those that come and those that go. Nothing is kept that is as large as this but
 * a buffer of each UDP transport: patches/0029 has connections read into a small one, and messages of ours take
 * what they need. */
#define PJSIP_MAX_PKT_LEN               65535
#define SIPBRIDGE_READ_BYTES            4096
#define PJSIP_MAX_URL_SIZE              2048

/* PJMEDIA sees one audio line of a description, and of that only what it uses: sdp.hpp reads the rest. Every
 * leg holds 1.3 kB for each m= line, and several copies of its SDP, each with room for this many codecs. */
#define PJMEDIA_MAX_SDP_MEDIA           1
#define PJMEDIA_MAX_SDP_FMT             20

/* Telephone audio: no resampling to 16 kHz and back, no echo canceller on a bridge. */
#define PJSUA_DEFAULT_CLOCK_RATE        8000
#define PJSUA_DEFAULT_EC_TAIL_LEN       0
#define PJMEDIA_HAS_VIDEO               0
#define PJMEDIA_HAS_SRTP                1

/* No RTCP that comes moves where ours goes: it goes along with our RTP (origin.hpp). */
#define PJMEDIA_RTCP_NAT_PROBATION_CNT  0xFFFFFFFF

/* TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325, 4.2); all suites of TLS 1.3 are so. */
#define PJ_SSL_SOCK_OSSL_CIPHERS        "ECDHE+AESGCM:ECDHE+CHACHA20"

/* Levels above this cost time even where they print nothing. */
#define PJ_LOG_MAX_LEVEL                4
