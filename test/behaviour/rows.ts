// What a client saw of Envoy as the egress, and what it sees of this one, case by case. A data
// file: long, and without statements. The names are those of the recording. `TLSv1.3` is a
// handshake that the client finished; the text ends at an alert.
import type { EndReason } from '../../src/base/refusal.ts';

/** What a difference means to a client. */
export type Mark = 'better' | 'less' | 'other';

export interface Why {
  readonly mark: Mark;
  readonly text: string;
}

export type Row = readonly [name: string, envoy: string, ours: string, record: EndReason, why?: Why];

const why = (mark: Mark, text: string): Why => ({ mark, text });

export const ALERT: Why = why('better', 'an alert that its TLS library turns into words, and an orderly end');
export const AT_ONCE: Why = why('better', 'ended when it is denied, and not when it first speaks');
const BOTH_ENDPOINTS = why('better', 'endpoints of two versions behind one address are both kept, so that a version has one');
export const NEXT_ENDPOINT: Why = why('better', 'the next endpoint is tried within the session');
export const ORDERLY: Why = why(
  'better',
  'the end of TLS, and no reset that its next write runs into; the reason is in the record',
);
const OVERLONG = why('better', 'no TLS has such a record, so nothing more is waited for');
const RESET = why('better', 'a reset is passed on as a reset: close_notify would look like an orderly end');

const DESTINATION = why('other', 'it is the destination that says so: a sidecar in the recording, Node here');
const FIN_TOO = why(
  'other',
  'FIN comes with close_notify; what the client sends after it still reaches the service, as with Envoy',
);
const KEPT_LESS = why('other', 'the recording kept the bytes and the end of TCP, no more');
const LOOKED_NO_FURTHER = why('other', 'the client is the one that closes; the recording looked no further');
const FIRST_BYTE = why('better', 'the first byte shows that it is not TLS, so nothing more is waited for');
export const READ: Why = why('other', 'what was sent was read and not only looked at, so the kernel has no reason for a reset');

export const ROWS: readonly Row[] = [
  ['connect_and_say_nothing_16s', 'FIN after 15 s', 'same', 'hello-timeout'],
  ['connect_and_close', 'open', 'FIN', 'client-gone', LOOKED_NO_FURTHER],
  ['plain_http', 'RST', 'FIN', 'not-tls', READ],
  ['garbage_100_zero_bytes', 'RST', 'FIN', 'not-tls', READ],
  ['garbage_4_bytes_then_wait', 'RST after 15 s', 'FIN', 'not-tls', FIRST_BYTE],
  ['tls_record_header_only', 'RST after 15 s', 'FIN after 15 s', 'hello-timeout', READ],
  ['alert_record_first', 'RST', 'FIN', 'not-tls', READ],
  ['sslv2_hello', 'RST', 'FIN', 'not-tls', READ],
  ['no_sni', 'RST', 'alert unrecognized name', 'no-sni', ALERT],
  ['unknown_sni', 'RST', 'alert unrecognized name', 'no-route', ALERT],
  ['known_service_without_mesh', 'RST', 'alert unrecognized name', 'no-route', ALERT],
  ['sni_upper_case', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['sni_mixed_case_passthrough', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['sni_trailing_dot', 'RST', 'alert unrecognized name', 'no-route', ALERT],
  ['sni_tags_in_other_order', 'RST', 'alert unrecognized name', 'no-route', ALERT],
  ['passthrough_ok', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['passthrough_ok_v1', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['passthrough_ok_v2', 'no handshake; RST', 'TLSv1.3; "ping\\n"; open', 'closed', BOTH_ENDPOINTS],
  ['passthrough_no_client_cert', 'TLSv1.3; alert certificate required', 'same', 'closed'],
  ['passthrough_client_cert_of_other_mesh', 'TLSv1.3; alert unknown ca', 'TLSv1.3; FIN', 'closed', DESTINATION],
  ['passthrough_unknown_version', 'RST', 'alert unrecognized name', 'no-route', ALERT],
  ['passthrough_es_in_other_zone', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['terminate_ok_tls13', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['terminate_ok_tls12', 'TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256; "ping\\n"; open', 'same', 'closed'],
  ['terminate_tls12_cbc_only', 'alert handshake failure', 'same', 'handshake-failed'],
  ['terminate_tls12_rsa_kex_only', 'alert handshake failure', 'same', 'handshake-failed'],
  ['terminate_tls12_aes256', 'TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384; "ping\\n"; open', 'same', 'closed'],
  ['terminate_tls12_chacha', 'TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305; "ping\\n"; open', 'same', 'closed'],
  ['terminate_tls11_only', 'alert protocol version', 'same', 'handshake-failed'],
  ['terminate_alpn_kuma', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  [
    'terminate_alpn_h2_http11',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET /x with host=localhost, x-forwarded-proto, x-request-id, x-envoy-original-host=a; close_notify; FIN',
    'same',
    'closed',
  ],
  ['no_client_cert_tls13', 'TLSv1.3; alert certificate required', 'same', 'no-client-certificate'],
  ['no_client_cert_tls12', 'alert handshake failure', 'same', 'no-client-certificate'],
  ['client_cert_of_other_mesh_ca', 'TLSv1.3; alert unknown ca', 'same', 'wrong-mesh'],
  ['client_cert_of_other_mesh_ca_with_our_san', 'TLSv1.3; alert unknown ca', 'same', 'client-not-trusted'],
  ['client_cert_of_other_mesh_ca_tls12', 'alert unknown ca', 'same', 'wrong-mesh'],
  ['client_cert_san_of_other_mesh', 'TLSv1.3; alert certificate unknown', 'same', 'wrong-mesh'],
  ['client_cert_san_of_other_mesh_tls12', 'alert certificate unknown', 'same', 'wrong-mesh'],
  ['client_cert_san_prefix_trick', 'TLSv1.3; alert certificate unknown', 'same', 'wrong-mesh'],
  ['client_cert_without_spiffe', 'TLSv1.3; alert certificate unknown', 'same', 'client-not-trusted'],
  ['client_cert_dns_san_only', 'TLSv1.3; alert certificate unknown', 'same', 'client-not-trusted'],
  ['client_cert_expired', 'TLSv1.3; alert certificate expired', 'same', 'client-not-trusted'],
  ['client_cert_expired_tls12', 'alert certificate expired', 'same', 'client-not-trusted'],
  ['client_cert_not_yet_valid', 'TLSv1.3; alert certificate expired', 'same', 'client-not-trusted'],
  ['client_cert_server_eku_only', 'TLSv1.3; alert unsupported certificate', 'same', 'client-not-trusted'],
  ['client_cert_without_eku', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['rbac_denied_tcp', 'TLSv1.3; close_notify; FIN', 'same', 'denied'],
  ['rbac_denied_tcp_no_data', 'TLSv1.3; open', 'TLSv1.3; close_notify; FIN', 'denied', AT_ONCE],
  ['rbac_allowed_tcp_nobody', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['rbac_denied_http', 'TLSv1.3; close_notify; FIN', 'same', 'denied'],
  [
    'rbac_allowed_http_nobody',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET / with host=a, x-forwarded-proto, x-request-id; close_notify; FIN',
    'same',
    'closed',
  ],
  ['rbac_team_red_frontend', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['rbac_team_blue', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['rbac_team_nobody', 'TLSv1.3; close_notify; FIN', 'same', 'denied'],
  ['mtp_allowed_tcp', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mtp_denied_tcp', 'TLSv1.3; close_notify; FIN', 'same', 'denied'],
  [
    'mtp_allowed_http_tag',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET / with host=a, x-forwarded-proto, x-request-id; close_notify; FIN',
    'same',
    'closed',
  ],
  [
    'mtp_denied_http_403',
    'TLSv1.3; HTTP/1.1 403 Forbidden (server: envoy) "RBAC: access denied"; close_notify; FIN after 1 s',
    'same',
    'denied',
  ],
  ['mtp_shadow_deny', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['no_permission_tcp', 'TLSv1.3; close_notify; FIN', 'same', 'denied'],
  [
    'no_permission_http',
    'TLSv1.3; HTTP/1.1 403 Forbidden (server: envoy) "RBAC: access denied"; close_notify; FIN after 1 s',
    'same',
    'denied',
  ],
  ['mes_tcp', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  [
    'mes_http',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET /x with host=localhost, x-forwarded-proto, x-request-id, x-envoy-original-host=mes-http.extsvc.mesh.local; close_notify; FIN',
    'same',
    'closed',
  ],
  ['mes_forbidden_tcp', 'TLSv1.3; close_notify; FIN', 'same', 'denied'],
  [
    'mes_forbidden_http',
    'TLSv1.3; HTTP/1.1 403 Forbidden (server: envoy) "RBAC: access denied"; close_notify; FIN after 1 s',
    'same',
    'denied',
  ],
  ['mes_tls_secured', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mes_tls_skipall', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mes_tls_skipca', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mes_tls_skipsan', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mes_tls_system_ca_untrusted', 'TLSv1.3; RST', 'TLSv1.3; close_notify; FIN', 'upstream-tls-failed', ORDERLY],
  ['mes_tls_mutual', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mes_prio_first_attempt', 'TLSv1.3; RST', 'TLSv1.3; "ping\\n"; open', 'closed', NEXT_ENDPOINT],
  ['mes_prio_second_attempt', 'TLSv1.3; RST', 'TLSv1.3; "ping\\n"; open', 'closed', NEXT_ENDPOINT],
  ['mes_prio_third_attempt', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['mes_prio_fourth_attempt', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['es_tls_origination', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['es_tls_no_ca', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['es_tls_wrong_san', 'TLSv1.3; RST', 'TLSv1.3; close_notify; FIN', 'upstream-tls-failed', ORDERLY],
  [
    'es_https',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET /x with host=localhost, x-forwarded-proto, x-request-id, x-envoy-original-host=a; close_notify; FIN',
    'same',
    'closed',
  ],
  ['es_twin_1', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['es_twin_2', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  [
    'http_hostname_host_rewrite',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET /path?q=1 with host=localhost, x-kuma-tags, x-forwarded-for, x-request-id, x-forwarded-proto, x-envoy-foo, x-envoy-original-host=es-http.mesh; close_notify; FIN',
    'same',
    'closed',
  ],
  [
    'http_ip_no_host_rewrite',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to GET / with host=es-http-ip.mesh:80, x-forwarded-proto, x-request-id; close_notify; FIN',
    'same',
    'closed',
  ],
  [
    'http_lower_header_case_and_order',
    'TLSv1.3; HTTP/1.1 200 OK (server: envoy) to POST /p with host=h, b-header, a-header, x-forwarded-proto, x-request-id, content-length; close_notify; FIN',
    'same',
    'closed',
  ],
  [
    'http_bad_request',
    'TLSv1.3; HTTP/1.1 400 Bad Request (server: envoy) "Bad Request"; close_notify; FIN after 1 s',
    'same',
    'malformed-request',
  ],
  ['http_no_host', 'TLSv1.3; HTTP/1.1 400 Bad Request (server: envoy); close_notify; FIN after 1 s', 'same', 'malformed-request'],
  [
    'http_10',
    'TLSv1.3; HTTP/1.1 426 Upgrade Required (server: envoy) "Upgrade Required"; close_notify; FIN after 1 s',
    'same',
    'malformed-request',
  ],
  ['http_h2_preface', 'TLSv1.3; HTTP/2 SETTINGS; open', 'same', 'closed'],
  [
    'http_connection_upgrade',
    'TLSv1.3; HTTP/1.1 403 Forbidden (server: envoy); close_notify; FIN after 1 s',
    'same',
    'malformed-request',
  ],
  [
    'http_upstream_refused',
    'TLSv1.3; HTTP/1.1 503 Service Unavailable (server: envoy) "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"; close_notify; FIN',
    'same',
    'connect-refused',
  ],
  ['upstream_refused_tcp', 'TLSv1.3; FIN', 'TLSv1.3; close_notify; FIN', 'connect-refused', ORDERLY],
  [
    'upstream_refused_tcp_tls12',
    'no handshake; FIN',
    'TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256; close_notify; FIN',
    'connect-refused',
    ORDERLY,
  ],
  ['upstream_blackhole', 'TLSv1.3; FIN after 5 s', 'TLSv1.3; close_notify; FIN after 5 s', 'connect-timeout', ORDERLY],
  [
    'upstream_half_close_banner',
    'TLSv1.3; "banner\\n"; close_notify; open',
    'TLSv1.3; "banner\\n"; close_notify; FIN',
    'closed',
    FIN_TOO,
  ],
  ['upstream_rst_on_data', 'TLSv1.3; close_notify; RST', 'TLSv1.3; RST', 'endpoint-reset', RESET],
  ['client_half_close_notify_then_answer', 'TLSv1.3; "got 5 bytes\\n"; close_notify; FIN', 'same', 'closed'],
  ['client_half_close_notify_and_fin', 'TLSv1.3; "got 5 bytes\\n"; close_notify; FIN', 'same', 'closed'],
  [
    'client_tls12_half_close_notify',
    'TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256; "got 5 bytes\\n"; close_notify; FIN',
    'same',
    'closed',
  ],
  [
    'client_fin_without_close_notify',
    '"got 5 bytes\\n"; FIN',
    'TLSv1.3; "got 5 bytes\\n"; close_notify; FIN',
    'closed',
    KEPT_LESS,
  ],
  ['client_rst_after_data', 'the service read 5 bytes and an end', 'the service read 5 bytes and a reset', 'client-reset', RESET],
  ['hello_in_1_byte_segments', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['hello_in_1_byte_segments_passthrough', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['hello_slow_within_15s', 'TLSv1.3; "ping\\n"; open', 'same', 'closed'],
  ['hello_slow_beyond_15s', 'FIN after 15 s', 'same', 'hello-timeout'],
  ['hello_16379_bytes_plus_header_16384', 'server hello; open', 'same', 'handshake-failed'],
  ['hello_16380_bytes_plus_header_16385', 'RST', 'alert decode error', 'hello-too-large', ALERT],
  ['hello_16384_bytes_one_record', 'RST', 'alert decode error', 'hello-too-large', ALERT],
  ['hello_20000_bytes_two_records', 'RST', 'alert decode error', 'hello-too-large', ALERT],
  ['hello_in_many_small_records', 'server hello; open', 'same', 'handshake-failed'],
  ['hello_record_version_0300', 'server hello; open', 'same', 'handshake-failed'],
  ['hello_record_length_over_16384', 'open', 'alert decode error', 'malformed-hello', OVERLONG],
  ['sni_255_bytes', 'RST', 'alert unrecognized name', 'no-route', ALERT],
  ['sni_256_bytes', 'RST', 'alert decode error', 'malformed-hello', ALERT],
  ['sni_with_nul', 'RST', 'alert decode error', 'malformed-hello', ALERT],
  ['big_transfer_10MB', '10485760 bytes each way', 'same', 'closed'],
  ['session_resumption_tls13', 'the second session is resumed', 'same', 'closed'],
  ['session_resumption_tls12', 'the second session is resumed', 'same', 'closed'],
  [
    'server_certificate_chain',
    'spiffe://default/zone-egress, kuma://kuma.io/service/zone-egress; issuer Kuma/Mesh/default',
    'same',
    'closed',
  ],
  ['client_cert_of_other_mesh_ca_tls13_no_payload', 'TLSv1.3; alert unknown ca', 'same', 'wrong-mesh'],
  ['client_cert_san_of_other_mesh_tls13_no_payload', 'TLSv1.3; alert certificate unknown', 'same', 'wrong-mesh'],
  ['client_cert_san_prefix_trick_tls13_no_payload', 'TLSv1.3; alert certificate unknown', 'same', 'wrong-mesh'],
  ['client_cert_without_spiffe_tls13_no_payload', 'TLSv1.3; alert certificate unknown', 'same', 'client-not-trusted'],
  ['client_cert_dns_san_only_tls13_no_payload', 'TLSv1.3; alert certificate unknown', 'same', 'client-not-trusted'],
  ['client_cert_expired_tls13_no_payload', 'TLSv1.3; alert certificate expired', 'same', 'client-not-trusted'],
  ['client_cert_not_yet_valid_tls13_no_payload', 'TLSv1.3; alert certificate expired', 'same', 'client-not-trusted'],
  ['client_cert_server_eku_only_tls13_no_payload', 'TLSv1.3; alert unsupported certificate', 'same', 'client-not-trusted'],
];
