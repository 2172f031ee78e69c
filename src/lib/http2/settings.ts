/** The settings of both ends of a connection (RFC 9113, section 6.5). */
import * as h2 from './frames.ts'

const { ConnectionError } = h2

const SETTING_BYTES = 6

/** The payload of a SETTINGS frame. */
export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * SETTING_BYTES)
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, i * SETTING_BYTES)
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2)
  }
  return payload
}

/** What the peer has set, as far as it matters to us: our frames are never longer than any peer takes. */
export class PeerSettings {
  /** Of each stream. */
  initialWindow = h2.DEFAULT_WINDOW
  /** Streams that we may have open at a time. */
  maxStreams = Number.POSITIVE_INFINITY
  /** Bytes of its table of fields; and the fewest since the last SETTINGS frame. */
  tableBytes = h2.DEFAULT_TABLE_BYTES
  leastTableBytes = h2.DEFAULT_TABLE_BYTES
  readonly #isClient: boolean

  /** Only a client has a use for SETTINGS_ENABLE_PUSH. */
  constructor({ isClient }: { isClient: boolean }) {
    this.#isClient = isClient
  }

  /** Takes a SETTINGS frame; returns by how much the windows of open streams grow. Throws `ConnectionError`. */
  take(flags: number, payload: Buffer): number {
    if (payload.length % SETTING_BYTES !== 0 || (flags & h2.ACK && payload.length > 0))
      throw new ConnectionError(h2.FRAME_SIZE_ERROR, 'SETTINGS')
    const before = this.initialWindow
    this.leastTableBytes = this.tableBytes
    for (let at = 0; at < payload.length; at += SETTING_BYTES)
      this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    return this.initialWindow - before
  }

  #set(id: number, value: number): void {
    switch (id) {
      case h2.ENABLE_PUSH:
        if (value > (this.#isClient ? 1 : 0))
          throw new ConnectionError(h2.PROTOCOL_ERROR, 'SETTINGS_ENABLE_PUSH')
        return
      case h2.MAX_FRAME_SIZE:
        if (value < h2.DEFAULT_FRAME_BYTES || value > 2 ** 24 - 1)
          throw new ConnectionError(h2.PROTOCOL_ERROR, 'SETTINGS_MAX_FRAME_SIZE')
        return
      case h2.HEADER_TABLE_SIZE:
        this.tableBytes = value
        this.leastTableBytes = Math.min(this.leastTableBytes, value)
        return
      case h2.MAX_CONCURRENT_STREAMS:
        this.maxStreams = value
        return
      case h2.INITIAL_WINDOW_SIZE:
        if (value > h2.MAX_WINDOW)
          throw new ConnectionError(h2.FLOW_CONTROL_ERROR, 'SETTINGS_INITIAL_WINDOW_SIZE')
        this.initialWindow = value
    }
  }
}
