/** The settings of both ends of a connection (RFC 9113, section 6.5). */
import * as h2 from '../../../lib/http2/frames.ts'

const { ConnectionError } = h2

/** Streams that a client may have open at a time. */
export const MAX_STREAMS = 128
/** Bytes that may be on their way to one stream. */
export const STREAM_WINDOW = 256 * 1024

const SETTING_BYTES = 6
/** Bytes of the table of fields at first (RFC 9113, section 6.5.2). */
const DEFAULT_TABLE = 4096

/** The payload of our SETTINGS. */
export function ownSettings(maxHeadBytes: number): Buffer {
  const settings: readonly [id: number, value: number][] = [
    [h2.MAX_CONCURRENT_STREAMS, MAX_STREAMS],
    [h2.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
    [h2.MAX_HEADER_LIST_SIZE, maxHeadBytes],
  ]
  const payload = Buffer.alloc(settings.length * SETTING_BYTES)
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, i * SETTING_BYTES)
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2)
  }
  return payload
}

/** What the client has set, as far as we depend on it: our frames are never longer than any client takes, and no table is used. */
export class ClientSettings {
  /** Of each stream that it opens. */
  initialWindow = h2.DEFAULT_WINDOW
  /** Its table of fields is smaller than it was at first. */
  hasShrunkTable = false

  /** Takes a SETTINGS frame; returns by how much the windows of open streams grow. Throws `ConnectionError`. */
  take(flags: number, payload: Buffer): number {
    if (payload.length % SETTING_BYTES !== 0 || (flags & h2.ACK && payload.length > 0))
      throw new ConnectionError(h2.FRAME_SIZE_ERROR, 'SETTINGS')
    const before = this.initialWindow
    for (let at = 0; at < payload.length; at += SETTING_BYTES)
      this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    return this.initialWindow - before
  }

  #set(id: number, value: number): void {
    if (id === h2.ENABLE_PUSH && value > 1)
      throw new ConnectionError(h2.PROTOCOL_ERROR, 'SETTINGS_ENABLE_PUSH')
    if (id === h2.MAX_FRAME_SIZE && (value < h2.DEFAULT_FRAME_BYTES || value > 2 ** 24 - 1))
      throw new ConnectionError(h2.PROTOCOL_ERROR, 'SETTINGS_MAX_FRAME_SIZE')
    if (id === h2.HEADER_TABLE_SIZE && value < DEFAULT_TABLE) this.hasShrunkTable = true
    if (id !== h2.INITIAL_WINDOW_SIZE) return
    if (value > h2.MAX_WINDOW)
      throw new ConnectionError(h2.FLOW_CONTROL_ERROR, 'SETTINGS_INITIAL_WINDOW_SIZE')
    this.initialWindow = value
  }
}
