/** What the HTTP/2 client sets for the backends, and how it writes the fields of requests. */
import type { ReceiveWindows } from '../../lib/http2/flow.ts'
import { ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE } from '../../lib/http2/frames.ts'
import { encodeSettings } from '../../lib/http2/settings.ts'
import { MAX_HEAD_BYTES } from './reply-head.ts'

/**
 * A stream's window is what its reader may leave untaken. That of the connection is for what is on its way, so that a slow reader
 * holds up nobody else.
 */
export const WINDOWS: ReceiveWindows = { connection: 4 * 1024 * 1024, stream: 256 * 1024 }

/** The payload of our SETTINGS. */
export const SETTINGS = encodeSettings([
  [ENABLE_PUSH, 0],
  [INITIAL_WINDOW_SIZE, WINDOWS.stream],
  [MAX_HEADER_LIST_SIZE, MAX_HEAD_BYTES],
])

/** Fields that the calls of many callers have in common, and that are no secret of any: the backend's table may keep them. */
export const COMMON_FIELDS: ReadonlySet<string> = new Set([
  ':authority',
  ':path',
  'content-type',
  'grpc-accept-encoding',
  'grpc-encoding',
  'te',
  'user-agent',
])
