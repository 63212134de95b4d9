"""What is changed of PJSIP's own source, as it has no setting for it: the file, what stands there, what shall."""

EDITS = (
    # Mu-law has two zeros (ITU-T G.711, table 2). The second gets a sample of its own, -1, one part in 32,768: audio
    # between a mu-law caller and a mu-law agent then passes bit for bit, though the conference mixes samples.
    (
        "pjmedia/src/pjmedia/alaw_ulaw_table.c",
        r"(pjmedia_linear2ulaw_tab\[16384\] =\s*\{[^}]*)0x7e(\s*\};)",
        r"\g<1>0x7f\g<2>",
    ),
    (
        "pjmedia/src/pjmedia/alaw_ulaw_table.c",
        r"(pjmedia_ulaw2linear_tab\[256\] =\s*\{[^}]*?-8,\s+)0,",
        r"\g<1>-1,",
    ),
    # Every offer of ours would have a line for real-time text (T.140), which no trunk and no agent here wants.
    ("pjsip/src/pjsua-lib/pjsua_call.c", r"(opt->txt_cnt = )1;", r"\g<1>0;"),
    # A socket has one packet a turn. Asking each for another at once is a system call for nothing.
    (
        "pjmedia/src/pjmedia/transport_udp.c",
        r"(udp->rtp_pkt, &bytes_read, )0(,\s+&udp->rtp_src_addr,\s+&udp->rtp_addrlen\);\s+if \(status)",
        r"\g<1>PJ_IOQUEUE_ALWAYS_ASYNC\g<2>",
    ),
    # Each port of the conference has room for as many listeners as there are ports: with 2,000 calls 48 kB, and a call
    # has two or three ports. Who more than MAX_LISTENERS would listen to is refused.
    (
        "pjmedia/src/pjmedia/conference.c",
        r"(listener_slots = \(SLOT_TYPE\*\) pj_pool_zalloc\(pool,\s+)conf->max_ports",
        r"\g<1>SIPBRIDGE_MAX_LISTENERS",
    ),
    (
        "pjmedia/src/pjmedia/conference.c",
        r"(listener_adj_level = \(unsigned \*\) pj_pool_zalloc\(pool,\s+)conf->max_ports",
        r"\g<1>SIPBRIDGE_MAX_LISTENERS",
    ),
    (
        "pjmedia/src/pjmedia/conference.c",
        r"(\n    src_port->listener_slots\[src_port->listener_cnt\] = sink_slot;)",
        r"\n    if (src_port->listener_cnt >= SIPBRIDGE_MAX_LISTENERS)\n        return PJ_ETOOMANY;\n\g<1>",
    ),
    # With no descriptor left, a connection that waits would be found again and again; after 50 errors in a row nobody
    # would ever be let in again. sipbridge_room.cpp sends away who cannot be let in.
    (
        "pjlib/src/pj/sock_bsd.c",
        r"(\*newsock = )accept(\(serverfd, \(struct sockaddr\*\)addr, \(socklen_t\*\)addrlen\);)",
        r"{ extern int sipbridgeAccept(int, struct sockaddr *, socklen_t *); \g<1>sipbridgeAccept\g<2> }",
    ),
    # An accept that finds nobody at the door any more is no error.
    (
        "pjlib/src/pj/activesock.c",
        r"(asock->err_counter >= PJ_ACTIVESOCK_MAX_CONSECUTIVE_ACCEPT_ERROR)\)",
        r"\g<1> && status != PJ_STATUS_FROM_OS(OSERR_EWOULDBLOCK))",
    ),
    # Who came over a connection is told to come back over one, though the Contact of some says nothing of a transport.
    # PJSUA would tell them UDP, and refuse the call with 500 where it has none.
    (
        "pjsip/src/pjsua-lib/pjsua_acc.c",
        r"(pjsua_acc_create_uas_contact\( pj_pool_t \*pool,[\s\S]*?)(\n +)(/\* If the URI uses sips scheme)",
        (
            r"\g<1>\g<2>if (rdata->tp_info.transport->flag & PJSIP_TRANSPORT_RELIABLE)"
            r"\g<2>    tp_type = (pjsip_transport_type_e)(rdata->tp_info.transport->key.type & ~PJSIP_TRANSPORT_IPV6);"
            r"\g<2>\g<3>"
        ),
    ),
    # An offer whose SRTP is not ours is not acceptable here: 488 (RFC 3261, 21.4.26). PJSUA would say 480 or 406.
    (
        "pjsip/src/pjsua-lib/pjsua_media.c",
        r"(pjmedia_transport_media_create\(\s+call_med->tp, tmp_pool,[\s\S]*?code = )PJSIP_SC_TEMPORARILY_UNAVAILABLE;",
        r"\g<1>PJSIP_SC_NOT_ACCEPTABLE_HERE;",
    ),
    (
        "pjsip/src/pjsua-lib/pjsua_media.c",
        r"(pjmedia_transport_encode_sdp\(call_med->tp, pool,[\s\S]*?sip_err_code = )PJSIP_SC_NOT_ACCEPTABLE;",
        r"\g<1>PJSIP_SC_NOT_ACCEPTABLE_HERE;",
    ),
    # Of a certificate that has alternative names, the common name counts for nothing (RFC 5922, 7.1).
    (
        "pjsip/src/pjsip/sip_transport_tls.c",
        r"if \(!matched\)( \{\s+matched = !pj_stricmp\(remote_name, &serv_cert->subject\.cn\);)",
        r"if (!matched && !serv_cert->subj_alt_name.cnt)\g<1>",
    ),
    # An INVITE within a dialog whose session is over, or has not begun to ring, was answered by nobody, and kept the
    # dialog for ever. The dialog itself answers what its usages do not.
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        r"(if \(method->id == PJSIP_INVITE_METHOD\) \{\s+return )PJ_TRUE;(\s+\}\s+/\* BYE and CANCEL must have)",
        r"\g<1>inv && inv->state > PJSIP_INV_STATE_INCOMING && inv->state < PJSIP_INV_STATE_DISCONNECTED;\g<2>",
    ),
    # A subscription that a REFER makes lasts as long as its far end says, months if it likes, and its dialog with it.
    # One that a far end's REFER made is over after ten minutes, the package's own time. One of ours is looked at each
    # 32 s, and never refreshed: it is over with its time or with the call, and its NOTIFY is not waited for any more.
    (
        "pjsip/src/pjsip-simple/evsub.c",
        r"(\n    )(if \(timer_id != TIMER_TYPE_NONE && seconds != PJSIP_EXPIRES_NOT_SPECIFIED\))",
        (
            r"\g<1>if (timer_id == TIMER_TYPE_UAC_REFRESH && seconds > 32)"
            r"\g<1>    seconds = 32;"
            r"\g<1>else if (seconds > sub->pkg->pkg_expires && seconds != PJSIP_EXPIRES_NOT_SPECIFIED)"
            r"\g<1>    seconds = sub->pkg->pkg_expires;"
            r"\g<1>\g<2>"
        ),
    ),
    (
        "pjsip/src/pjsip-simple/evsub.c",
        r"(case TIMER_TYPE_UAC_REFRESH:)(\n +)(/\* Time for UAC to refresh subscription \*/)",
        (
            r"\g<1> {"
            r"\g<2>extern pj_bool_t sipbridgeSessionGoesOn(pjsip_dialog *);"
            r"\g<2>pj_time_val now, left = sub->refresh_time;"
            r"\g<2>pj_gettimeofday(&now);"
            r"\g<2>PJ_TIME_VAL_SUB(left, now);"
            r"\g<2>if ((left.sec > 0 || (left.sec == 0 && left.msec > 0)) && sipbridgeSessionGoesOn(sub->dlg))"
            r"\g<2>    set_timer(sub, TIMER_TYPE_UAC_REFRESH, (pj_uint32_t)left.sec + 1);"
            r"\g<2>else"
            r"\g<2>    set_state(sub, PJSIP_EVSUB_STATE_TERMINATED, NULL, NULL, NULL);"
            r"\g<2>break;"
            r"\g<2>}"
            r"\g<2>\g<3>"
        ),
    ),
    # `Expires: 0` in the response to our REFER: one NOTIFY more, which comes at once if it comes (RFC 6665, 4.4.3).
    (
        "pjsip/src/pjsip-simple/evsub.c",
        r"(set_timer\(sub, TIMER_TYPE_UAC_TERMINATE, )TIME_UAC_TERMINATE\)",
        r"\g<1>1)",
    ),
    # A re-INVITE that cannot be agreed on is rejected by 488, and the call goes on as it was (RFC 3261, 14.2). PJSIP
    # would say 500, and 415 of SDP that it cannot read. A body that is not SDP had its 415 in sipbridge_requests.cpp.
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        r"(reason = pj_str\(\"SDP negotiation failed\"\);\s+rc = pjsip_dlg_create_response\(dlg, rdata, )500,",
        r"\g<1>PJSIP_SC_NOT_ACCEPTABLE_HERE,",
    ),
    ("pjsip/src/pjsip-ua/sip_inv.c", r"\(status == PJMEDIA_SDP_EINSDP\)\?415:488,", r"PJSIP_SC_NOT_ACCEPTABLE_HERE,"),
    # A CANCEL after a final response has no effect (RFC 3261, 9.2): the session is not being cancelled.
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        r"(\n +)(inv->cancelling = PJ_TRUE;)(\s+/\* Always answer CANCEL)",
        r"\g<1>if (invite_tsx->status_code < 200)\g<1>    \g<2>\g<3>",
    ),
    # Methods are case-sensitive (RFC 3261, 7.1): `invite` is unknown. PJSIP would serve it, and answer an INVITE.
    (
        "pjsip/src/pjsip/sip_msg.c",
        r"pj_stricmp(\(str, method_names\[i\]\))",
        r"pj_strcmp\g<1>",
    ),
    # The warn-agent of PJSIP's own Warning headers is that of ours, not the machine's name (RFC 3261, 20.43).
    (
        "pjsip/src/pjsua-lib/pjsua_core.c",
        r"(pjsip_endpt_create\(&pjsua_var\.cp\.factory,\s+)pj_gethostname\(\)->ptr",
        r'\g<1>"sipbridge"',
    ),
    # A PRACK of nothing that was sent reliably gets 481 (RFC 3262, 3), not 400 or 200.
    (
        "pjsip/src/pjsip-ua/sip_100rel.c",
        (
            r"const pj_str_t reason = pj_str\(\"Unexpected PRACK\"\);"
            r"(\s+status = pjsip_dlg_create_response\(inv->dlg, rdata, )400,\s+&reason,"
        ),
        r"\g<1>PJSIP_SC_CALL_TSX_DOES_NOT_EXIST, NULL,",
    ),
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        (
            r"(if \(status != PJ_SUCCESS\) \{\s+status = pjsip_dlg_create_response\(inv->dlg, rdata, )PJSIP_SC_OK"
            r"(, NULL,\s+&tdata\);\s+goto on_return;\s+\}\s+/\* No SDP in the PRACK)"
        ),
        r"\g<1>PJSIP_SC_CALL_TSX_DOES_NOT_EXIST\g<2>",
    ),
    # What no usage of a dialog answers is mostly a request in a session that is over: 481 (RFC 3261, 12.2.2), not 500.
    (
        "pjsip/src/pjsip/sip_dialog.c",
        (
            r"const pj_str_t reason = \{ \"Unhandled by dialog usages\", 26\};"
            r"([\s\S]*?pjsip_dlg_create_response\(dlg, rdata, )500, &reason,"
        ),
        r"extern int sipbridgeUnhandledStatus(pjsip_dialog *);\g<1>sipbridgeUnhandledStatus(dlg), NULL,",
    ),
    # A refresh of the session that fails is tried again, by the rule of the response that it got, until the session has
    # run out (RFC 4028, 10). PJSIP asks again at once, and then no more; or ends the call.
    (
        "pjsip/src/pjsip-ua/sip_timer.c",
        (
            r"\} else if \(pjsip_method_cmp\(&rdata->msg_info\.cseq->method,\s+&pjsip_update_method\) == 0 &&"
            r"\s+msg->line\.status\.code >= 400[\s\S]*?timer_cb\(NULL, &inv->timer->timer\);\s+\}\s+\}"
        ),
        r"}",
    ),
    (
        "pjsip/src/pjsip-ua/sip_timer.c",
        (
            r"pjsip_tx_data \*bye;\s+pj_status_t status;(\s+st_code =[\s\S]*?)"
            r"if \(st_code == 503 &&[\s\S]*?status = pjsip_inv_send_msg\(inv, bye\);(\s+)\}"
        ),
        (
            r"extern long sipbridgeRefreshPause(const pjsip_inv_session *, const pjsip_event *,"
            r" pj_bool_t *, pj_bool_t *);"
            r"\g<2>pj_time_val delay = {0, 0};\g<1>"
            r"inv->timer->refresh_tdata = NULL;"
            r"\g<2>delay.msec = sipbridgeRefreshPause(inv, event, &inv->timer->use_update, &inv->timer->with_sdp);"
            r"\g<2>pj_time_val_normalize(&delay);"
            r"\g<2>inv->timer->timer.id = 1;"
            r"\g<2>pjsip_endpt_schedule_timer(inv->dlg->endpt, &inv->timer->timer, &delay);"
        ),
    ),
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        r"(/\* Process 502/503 error \*/\s+else if \()\(tsx->state == PJSIP_TSX_STATE_TERMINATED\) &&[^{]*?\)\)(\s+\{)",
        r"\g<1>sipbridgeRefreshFailed(e))\g<2>",
    ),
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        r"(error for session timer refresh \*/\s+if \()tsx->status_code == 503 \|\| tsx->status_code == 502\)",
        r"\g<1>sipbridgeRefreshFailed(e))",
    ),
    (
        "pjsip/src/pjsip-ua/sip_inv.c",
        r"(#define THIS_FILE\s+\"sip_inv\.c\")",
        r"\g<1>\npj_bool_t sipbridgeRefreshFailed(const pjsip_event *);",
    ),
    # A TLS listener reads its certificate once. Counting this number up has each read anew with its next connection
    # (renewCredentials); connections hold on to the SSL_CTX that they began with.
    (
        "pjlib/src/pj/ssl_sock_ossl.c",
        r"(static pj_status_t ssl_create\(pj_ssl_sock_t \*ssock\)\n)",
        r"int pj_ssl_sock_credentials = 1;\n\n\g<1>",
    ),
    (
        "pjlib/src/pj/ssl_sock_ossl.c",
        r"(\n +)(if \(!server_ctx\) \{\s+status = init_ossl_ctx\(ssock->parent\);)",
        (
            r"\g<1>if (server_ctx && ((ossl_sock_t *)ssock->parent)->own_ctx != pj_ssl_sock_credentials) {"
            r"\g<1>    SSL_CTX_free(server_ctx);"
            r"\g<1>    server_ctx = ((ossl_sock_t *)ssock->parent)->ossl_ctx = NULL;"
            r"\g<1>}"
            r"\g<1>\g<2>"
        ),
    ),
    ("pjlib/src/pj/ssl_sock_ossl.c", r"(ssock->parent\)->own_ctx = )PJ_TRUE;", r"\g<1>pj_ssl_sock_credentials;"),
    # Credentials that a server has refused would be sent twice more, each to a new nonce, which most servers make for
    # each response; some lock an account for less. Only `stale` says that they were right (RFC 7616, 3.3).
    (
        "pjsip/src/pjsip/sip_auth_client.c",
        r"(stale = hchal->challenge\.digest\.stale;\s+if \()(!stale\))",
        r"\g<1>PJ_FALSE && \g<2>",
    ),
    # One that challenges each request with another realm would be answered for ever.
    (
        "pjsip/src/pjsip/sip_auth_client.c",
        r"(\n        )(if \(!cached_auth\) \{\s+cached_auth = PJ_POOL_ZALLOC_T\(sess->pool, pjsip_cached_auth\);)",
        (
            r"\g<1>if (!cached_auth && pj_list_size(&sess->cached_auth) >= 4) {"
            r"\g<1>    last_auth_err = PJSIP_EAUTHSTALECOUNT;"
            r"\g<1>    hdr = hdr->next;"
            r"\g<1>    continue;"
            r"\g<1>}"
            r"\g<1>\g<2>"
        ),
    ),
    # PJLIB would ask DNS on the SIP thread, for names that any peer may write (sipbridge_names.hpp).
    (
        "pjlib/src/pj/addr_resolv_sock.c",
        r"(/\* Call getaddrinfo\(\) \*/[^;]*;[^;]*;[^;]*;\s+rc = )getaddrinfo\(nodecopy, NULL, &hint, &res\)",
        r"\g<1>sipbridge_getaddrinfo(nodecopy, &hint, &res)",
    ),
    (
        "pjlib/src/pj/addr_resolv_sock.c",
        r"(#define THIS_FILE\s+\"addr_resolv_sock.c\")",
        r"\g<1>\nint sipbridge_getaddrinfo(const char *node, const struct addrinfo *hint, struct addrinfo **found);",
    ),
    # Whoever sends more RTP to a call than its far end would be taken for it. That is right for what SRTP has proven;
    # sipbridge_origin.hpp judges all else.
    (
        "pjmedia/include/pjmedia/transport.h",
        r"(pj_bool_t +rem_switch;\n)(\s*\} pjmedia_tp_cb_param;)",
        r"\g<1>\n    /** Is it proven who has sent it? */\n    pj_bool_t           proven;\n\g<2>",
    ),
    (
        "pjmedia/src/pjmedia/transport_udp.c",
        r"(param\.rem_switch = )(PJ_FALSE;\s+\(\*cb2\)\(&param\);)",
        r"\g<1>param.proven = \g<2>",
    ),
    (
        "pjmedia/src/pjmedia/transport_srtp.c",
        r"(\n +)(param2\.size = len;)",
        r"\g<1>\g<2>\g<1>param2.proven = PJ_TRUE;",
    ),
    (
        "pjmedia/src/pjmedia/stream_imp_common.c",
        r"(\n    )(if \(param->src_addr)(\) \{\s+pj_uint32_t peer_ssrc)",
        (
            r"\g<1>\g<2> && !param->proven) {"
            r"\g<1>    extern pj_bool_t sipbridgeIsFarEnd(pjmedia_stream_common *, pjmedia_tp_cb_param *);"
            r"\g<1>    if (!sipbridgeIsFarEnd(c_strm, param))"
            r"\g<1>        return;"
            r"\g<1>} else \g<2>\g<3>"
        ),
    ),
    # PJMEDIA drops packets of events that come out of order, and a press whose end alone arrives after the same digit.
    # Of a press whose end was lost it reports nothing. sipbridge_dtmf.cpp is given every packet.
    (
        "pjmedia/src/pjmedia/stream.c",
        r"(    if \(hdr->pt == stream->rx_event_pt\) \{\n)([\s\S]*?\n    \}\n)",
        (
            r"    if (stream->dtmf_event_cb) {\n"
            r"        extern void sipbridgeEventPacket(int, const pjmedia_rtp_hdr *, const void *, unsigned);\n"
            r"        extern void sipbridgeAudioPacket(int);\n"
            r"        const int call = (int)(pj_ssize_t)stream->dtmf_event_cb_user_data;\n"
            r"        if (hdr->pt == stream->rx_event_pt) {\n"
            r"            sipbridgeEventPacket(call, hdr, payload, payloadlen);\n"
            r"            goto on_return;\n"
            r"        }\n"
            r"        sipbridgeAudioPacket(call);\n"
            r"    }\n"
            r"\g<1>\g<2>"
        ),
    ),
    # RTCP goes along with RTP, one port above it (RFC 3550, 11), whoever has sent us some before.
    (
        "pjmedia/src/pjmedia/transport_udp.c",
        r"\} else if \(!pj_sockaddr_has_addr\(&udp->rtcp_src_addr\)\) \{",
        r"} else {",
    ),
    # Which dialog a message belongs to is asked before any layer has taken it (sipbridge_sources.hpp).
    (
        "pjsip/src/pjsip/sip_ua_layer.c",
        r"(\n/\* On received requests\. \*/\nstatic pj_bool_t mod_ua_on_rx_request)",
        (
            r"\npjsip_dialog *sipbridgeDialogOf(pjsip_rx_data *rdata)\n{\n"
            r"    struct dlg_set *dlg_set;\n"
            r"    pjsip_dialog *dlg;\n"
            r"    pj_mutex_lock(mod_ua.mutex);\n"
            r"    dlg_set = find_dlg_set_for_msg(rdata);\n"
            r"    dlg = dlg_set ? dlg_set->dlg_list.next : NULL;\n"
            r"    pj_mutex_unlock(mod_ua.mutex);\n"
            r"    return dlg;\n}\n\g<1>"
        ),
    ),
    # RFC 3261, 18.2.2 has a response follow `maddr`: whoever writes one would aim our answers at somebody else.
    (
        "pjsip/src/pjsip/sip_util.c",
        r"(\} else if \()(rdata->msg_info.via->maddr_param.slen\) \{)",
        r"\g<1>PJ_FALSE && \g<2>",
    ),
    # Messages of 65,535 bytes (RFC 3261, 18.1.1) that cost nothing at rest. PJSIP has room for the longest in each
    # connection and in each message that it sends or copies. Here connections read into a small buffer, and
    # sipbridge_incoming.cpp puts messages together: it hands PJSIP one at a time, whole. A message of ours is printed
    # into one place, and then takes what it needs.
    ("pjsip/include/pjsip/sip_transport.h", r"char +packet\[PJSIP_MAX_PKT_LEN\];", r"char                    *packet;"),
    (
        "pjsip/src/pjsip/sip_transport.c",
        r"PJ_DEF\(pj_ssize_t\) pjsip_tpmgr_receive_packet\(",
        (
            r"pj_ssize_t sipbridgeReceiveMessage(pjsip_tpmgr *mgr, pjsip_rx_data *rdata);\n"
            r"PJ_DEF(pj_ssize_t) sipbridgeReceiveMessage("
        ),
    ),
    (
        "pjsip/src/pjsip/sip_transport.c",
        r"if \(\(tr->flag & PJSIP_TRANSPORT_DATAGRAM\) == 0\)( \{\s+pj_status_t msg_status;)",
        r"if (PJ_FALSE)\g<1>",
    ),
    (
        "pjsip/src/pjsip/sip_transport.c",
        r"(\n +)(pj_memcpy\(&dst->pkt_info, &src->pkt_info, sizeof\(src->pkt_info\)\);)",
        (
            r"\g<1>\g<2>"
            r"\g<1>dst->pkt_info.packet = (char*)pj_pool_zalloc(pool, src->pkt_info.len + 1);"
            r"\g<1>pj_memcpy(dst->pkt_info.packet, src->pkt_info.packet, src->pkt_info.len);"
        ),
    ),
    *(
        (
            f"pjsip/src/pjsip/sip_transport_{name}.c",
            rf"size = sizeof\({name}->rdata\.pkt_info\.packet\);(\s+readbuf\[0\] = )({name}->rdata\.pkt_info\.packet);",
            (
                r"size = SIPBRIDGE_READ_BYTES;"
                rf"\g<1>\g<2> = (char*)pj_pool_alloc({name}->base.pool, SIPBRIDGE_READ_BYTES);"
            ),
        )
        for name in ("tcp", "tls")
    ),
    *(
        (
            "pjsip/src/pjsip/sip_transport_tls.c",
            (
                r"if \(ssock_param(->|\.)send_buffer_size < PJSIP_MAX_PKT_LEN\)[^;]*;"
                r"\s+if \(ssock_param(?:->|\.)read_buffer_size < PJSIP_MAX_PKT_LEN\)[^;]*;"
            ),
            r"ssock_param\g<1>read_buffer_size = SIPBRIDGE_READ_BYTES;",
        ),
    )
    * 2,
    *(
        (
            "pjsip/src/pjsip/sip_transport_udp.c",
            r"sizeof\((?:rdata|tp->rdata\[i\])->pkt_info\.packet\)",
            r"PJSIP_MAX_PKT_LEN",
        ),
    )
    * 2,
    (
        "pjsip/src/pjsip/sip_transport_udp.c",
        r"(\n +)(pj_pool_reset\(rdata_pool\);\s+init_rdata\(rdata_tp, rdata_index, rdata_pool, &rdata\);)",
        r"\g<1>char *packet = rdata->pkt_info.packet;\g<1>\g<2>\g<1>rdata->pkt_info.packet = packet;",
    ),
    (
        "pjsip/src/pjsip/sip_transport_udp.c",
        r"(\n +)(init_rdata\(tp, i, rdata_pool, NULL\);)",
        r"\g<1>\g<2>\g<1>tp->rdata[i]->pkt_info.packet = (char*)pj_pool_alloc(tp->base.pool, PJSIP_MAX_PKT_LEN + 1);",
    ),
    (
        "pjsip/src/pjsip/sip_transport.c",
        r"(pjsip_tx_data_encode\(pjsip_tx_data \*tdata\)\n\{)[\s\S]*?\n\}\n",
        r"""\g<1>
    static char printed[PJSIP_MAX_PKT_LEN];
    pj_ssize_t size;

    if (pjsip_tx_data_is_valid(tdata) && tdata->buf.start)
        return PJ_SUCCESS;
    size = pjsip_msg_print(tdata->msg, printed, sizeof(printed));
    if (size < 0)
        return PJSIP_EMSGTOOLONG;
    if (tdata->buf.end - tdata->buf.start <= size) {
        tdata->buf.start = (char*)pj_pool_alloc(tdata->pool, size + 1);
        tdata->buf.end = tdata->buf.start + size + 1;
    }
    pj_memcpy(tdata->buf.start, printed, size);
    tdata->buf.cur = tdata->buf.start + size;
    *tdata->buf.cur = 0;
    return PJ_SUCCESS;
}
""",
    ),
    # What a peer of a connection has not read is counted (sipbridge_connections.cpp).
    (
        "pjsip/src/pjsip/sip_transport.c",
        r"(\n +&transport_send_callback\);\n\n)",
        (
            r"\g<1>    if (status == PJ_EPENDING) {\n"
            r"        extern void sipbridgeCountUnsent(pjsip_transport *, int);\n"
            r"        sipbridgeCountUnsent(tr, 1);\n"
            r"    }\n"
        ),
    ),
    (
        "pjsip/src/pjsip/sip_transport.c",
        r"(static void transport_send_callback\([^{]*\{\s+pjsip_tx_data [^;]*;\n\n    )PJ_UNUSED_ARG\(transport\);",
        r"\g<1>extern void sipbridgeCountUnsent(pjsip_transport *, int);\n    sipbridgeCountUnsent(transport, -1);",
    ),
    # PJSIP tells the socket of a TCP connection, and not that of a TLS connection.
    (
        "pjlib/src/pj/ssl_sock_imp_common.c",
        r"\Z",
        r"\npj_sock_t sipbridgeSocketOfSsl(pj_ssl_sock_t *ssock) { return ssock->sock; }\n",
    ),
    (
        "pjsip/src/pjsip/sip_transport_tls.c",
        r"(\n#endif[^\n]*\s*)\Z",
        (
            r"\npj_sock_t sipbridgeTlsSocket(pjsip_transport *transport)\n{\n"
            r"    extern pj_sock_t sipbridgeSocketOfSsl(pj_ssl_sock_t *ssock);\n"
            r"    return sipbridgeSocketOfSsl(((struct tls_transport*)transport)->ssock);\n}\n\g<1>"
        ),
    ),
    # A connection that its peer has reset, and that transactions still hold, wakes each poll; a poll that finds nothing
    # to do then sleeps 10 ms, and with it all SIP. Nothing more will come of it: take it out.
    (
        "pjlib/src/pj/ioqueue_epoll.c",
        r"(\s+TRACE_WARN\(\(THIS_FILE, \"     UNHANDLED event)",
        (
            r"\n        if ((events[i].events & (EPOLLHUP | EPOLLERR)) && !IS_CLOSING(h))"
            r" os_epoll_ctl(ioqueue->epfd, EPOLL_CTL_DEL, h->fd, &h->ev);\g<1>"
        ),
    ),
)
