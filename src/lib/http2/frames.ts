/** The frames of HTTP/2 (RFC 9113, section 6), and the errors that end a stream or a connection (section 7). */

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PUSH_PROMISE = 5
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

/** Flags; of SETTINGS and PING the first means that it is an acknowledgement. */
export const END_STREAM = 1
export const ACK = 1
export const END_HEADERS = 4
export const PADDED = 8
export const WITH_PRIORITY = 32

/** Settings. */
export const HEADER_TABLE_SIZE = 1
export const ENABLE_PUSH = 2
export const MAX_CONCURRENT_STREAMS = 3
export const INITIAL_WINDOW_SIZE = 4
export const MAX_FRAME_SIZE = 5
export const MAX_HEADER_LIST_SIZE = 6

/** Error codes. */
export const NO_ERROR = 0
export const PROTOCOL_ERROR = 1
export const INTERNAL_ERROR = 2
export const FLOW_CONTROL_ERROR = 3
export const STREAM_CLOSED = 5
export const FRAME_SIZE_ERROR = 6
export const REFUSED_STREAM = 7
export const CANCEL = 8
export const COMPRESSION_ERROR = 9
export const ENHANCE_YOUR_CALM = 11
export const HTTP_1_1_REQUIRED = 13

const ERROR_NAMES: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
]

/** An error code, for people. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `code ${code}`
}

export const FRAME_HEAD_BYTES = 9
/** Of the payload of a frame, and of a window, unless a setting says otherwise. */
export const DEFAULT_FRAME_BYTES = 16_384
export const DEFAULT_WINDOW = 65_535
/** Of a table of fields (RFC 9113, section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096
export const MAX_WINDOW = 2 ** 31 - 1
export const MAX_STREAM_ID = 2 ** 31 - 1

/** What a client begins with (RFC 9113, section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** Something that ends the connection, with the code that its GOAWAY has. */
export class ConnectionError extends Error {
  readonly code: number
  constructor(code: number, reason: string) {
    super(reason)
    this.name = 'ConnectionError'
    this.code = code
  }
}

/** Writes the head of a frame; returns the offset behind it. */
export function writeFrameHead(
  to: Buffer,
  at: number,
  { length, type, flags, stream }: { length: number; type: number; flags: number; stream: number },
): number {
  to[at] = length >>> 16
  to[at + 1] = (length >>> 8) & 255
  to[at + 2] = length & 255
  to[at + 3] = type
  to[at + 4] = flags
  return to.writeUInt32BE(stream, at + 5)
}
