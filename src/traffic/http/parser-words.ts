/** A report of llhttp, the parser of Node, about bytes that are no request. */
export interface ParserFault {
  readonly code?: string;
  /** A constant of the parser; it has no bytes of the peer. */
  readonly reason?: string;
}

/** The codes of llhttp and what they mean. */
const FAULTS: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD: 'the first bytes are no method of HTTP',
  HPE_INVALID_URL: 'the path has a character that has to be percent-encoded, or does not begin with /',
  HPE_INVALID_CONSTANT: 'the request line does not end with HTTP/1.1 after one method and one path',
  HPE_INVALID_VERSION: 'the version of the request line is not HTTP/1.1, or the line ends with a bare line feed',
  HPE_INVALID_HEADER_TOKEN: 'a header has a character that is not allowed there, no colon, or goes on in a second line',
  HPE_LF_EXPECTED: 'a line ends with a bare carriage return',
  HPE_CR_EXPECTED: 'a line ends with a bare line feed',
  HPE_INVALID_CONTENT_LENGTH: 'the Content-Length is no number, too large, or stands beside Transfer-Encoding',
  HPE_UNEXPECTED_CONTENT_LENGTH: 'there are two headers Content-Length',
  HPE_INVALID_TRANSFER_ENCODING: 'the Transfer-Encoding is not chunked alone, or stands beside Content-Length',
  HPE_INVALID_CHUNK_SIZE: 'the size of a chunk is no hexadecimal number, or too large',
  HPE_UNEXPECTED_SPACE: 'a space or tab stands before the first header',
  HPE_STRICT: 'a line does not end with CR LF, a chunk does not end where its size says, or its extension is not allowed',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'the extension of a chunk is too large',
  HPE_HEADER_OVERFLOW: 'the head is too large',
  HPE_CLOSED_CONNECTION: 'bytes came after a request that said `Connection: close`',
  HPE_INVALID_EOF_STATE: 'the connection ended within a request',
  HPE_PAUSED_H2_UPGRADE: 'the preface of HTTP/2 came behind requests of HTTP/1.1',
};

/** Says in one clause why bytes are no request, with the parser's own words for a search. */
export function wordsOfParser({ code = 'unknown', reason }: ParserFault): string {
  const words = FAULTS[code] ?? 'the bytes are no request of HTTP/1.1';
  return `${words} (${reason === undefined ? code : `${code}: ${reason}`})`;
}
