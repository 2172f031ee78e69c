/** What the door sets for its clients (RFC 9113, section 6.5). */
import type { ReceiveWindows } from '../../../lib/http2/flow.ts'
import {
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_HEADER_LIST_SIZE,
} from '../../../lib/http2/frames.ts'
import { encodeSettings } from '../../../lib/http2/settings.ts'

/** Streams that a client may have open at a time. */
export const MAX_STREAMS = 128
export const WINDOWS: ReceiveWindows = { connection: 1024 * 1024, stream: 256 * 1024 }

/** The payload of our SETTINGS. */
export function ownSettings(maxHeadBytes: number): Buffer {
  return encodeSettings([
    [MAX_CONCURRENT_STREAMS, MAX_STREAMS],
    [INITIAL_WINDOW_SIZE, WINDOWS.stream],
    [MAX_HEADER_LIST_SIZE, maxHeadBytes],
  ])
}
