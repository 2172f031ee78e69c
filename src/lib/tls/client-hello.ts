/**
 * Reads the server name from the first bytes of a TLS connection (RFC 8446, section 4.1.2; RFC 6066, section 3), before TLS
 * begins: it chooses the certificate. It judges nothing: what is malformed has no name here, and is refused by TLS itself.
 */

/** What a connection begins with. */
export type FirstBytes =
  | { readonly kind: 'tls'; readonly serverName: string | undefined }
  | { readonly kind: 'http' }
  /** More bytes are needed. */
  | { readonly kind: 'partial' }
  | { readonly kind: 'other' }

/** A ClientHello that is longer, or in more records, is left to TLS without its name. Those of browsers have 2 KiB. */
const MAX_HELLO_BYTES = 16 * 1024
const MAX_RECORDS = 16

const HANDSHAKE_RECORD = 0x16
const RECORD_HEAD_BYTES = 5
const CLIENT_HELLO = 1
const MESSAGE_HEAD_BYTES = 4
const SERVER_NAME = 0
const HOST_NAME = 0
/** Protocol version and random. */
const BEFORE_SESSION_ID = 2 + 32

export function readFirstBytes(bytes: Buffer): FirstBytes {
  const [first = 0] = bytes
  if (first >= 0x41 && first <= 0x5a) return { kind: 'http' }
  if (first !== HANDSHAKE_RECORD) return { kind: 'other' }
  const message = handshakeMessage(bytes)
  if (message) return { kind: 'tls', serverName: serverNameIn(message) }
  return bytes.length > MAX_HELLO_BYTES ? { kind: 'tls', serverName: undefined } : { kind: 'partial' }
}

/**
 * The first handshake message, which may span records; undefined: more bytes are needed. It is joined once a call, and of few
 * records: a hello that comes in records of a byte each must not cost the square of its length.
 */
function handshakeMessage(bytes: Buffer): Buffer | undefined {
  const fragments: Buffer[] = []
  let isOver = false
  for (let at = 0; at + RECORD_HEAD_BYTES <= bytes.length && !isOver; ) {
    const end = at + RECORD_HEAD_BYTES + bytes.readUInt16BE(at + 3)
    // Anything but a further handshake record ends the message early.
    isOver = bytes[at] !== HANDSHAKE_RECORD || fragments.length === MAX_RECORDS
    if (!isOver) fragments.push(bytes.subarray(at + RECORD_HEAD_BYTES, end))
    at = end
  }
  const message = Buffer.concat(fragments)
  if (isOver) return message
  if (message.length < MESSAGE_HEAD_BYTES) return undefined
  if (message[0] !== CLIENT_HELLO) return message
  const whole = MESSAGE_HEAD_BYTES + message.readUIntBE(1, 3)
  return message.length < whole ? undefined : message
}

function serverNameIn(message: Buffer): string | undefined {
  try {
    if (message[0] !== CLIENT_HELLO) return undefined
    const hello = new HelloCursor(message.subarray(MESSAGE_HEAD_BYTES))
    hello.skip(BEFORE_SESSION_ID)
    hello.vector(1) // session id
    hello.vector(2) // cipher suites
    hello.vector(1) // compression methods
    const extensions = new HelloCursor(hello.vector(2))
    while (!extensions.isAtEnd) {
      const type = extensions.number(2)
      const content = extensions.vector(2)
      if (type === SERVER_NAME) return hostNameIn(content)
    }
  } catch {
    // It ends too early: TLS refuses it.
  }
  return undefined
}

function hostNameIn(extension: Buffer): string | undefined {
  const names = new HelloCursor(new HelloCursor(extension).vector(2))
  while (!names.isAtEnd) {
    const type = names.number(1)
    const name = names.vector(2)
    if (type === HOST_NAME) return name.toString('latin1').toLowerCase()
  }
  return undefined
}

/** Reads numbers and vectors in order. Throws RangeError beyond the end. */
class HelloCursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  number(size: number): number {
    const value = this.#bytes.readUIntBE(this.#at, size)
    this.#at += size
    return value
  }

  /** Bytes behind their length, which has `size` bytes. */
  vector(size: number): Buffer {
    const length = this.number(size)
    const start = this.#at
    this.skip(length)
    return this.#bytes.subarray(start, this.#at)
  }

  skip(length: number): void {
    this.#at += length
    if (this.#at > this.#bytes.length) throw new RangeError('the message ends too early')
  }
}
