/** An arena's memory, and where in it everything lies: state, index, fingerprints and cells, one behind the other. */
import { RING_STATE } from './ring.ts'

/** Plain data: what `postMessage` carries to other threads where it is shared. */
export interface ArenaBytes {
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  readonly maxBytes: number
}

/** The index and the fingerprints are sized for records of this many bytes on average. */
const MEAN_RECORD_BYTES = 192
export const SLOT_BYTES = 8

/** What changes as a whole, by its place among the 64-bit numbers at the start. */
export const STATE = { bytes: 0, evictions: 1, count: 2, small: 3, main: 3 + RING_STATE, mixes: 3 + 2 * RING_STATE }
export const STATE_SIZE = 16
/** The lock of a shared arena, as the place of a 32-bit word: the last of the state. */
export const LOCK_WORD = (STATE_SIZE - 1) * 2

/** Bytes from the start; `slots`, `ghosts` and `cells` are counts. */
export function layoutOf(maxBytes: number) {
  const slots = Math.floor(maxBytes / MEAN_RECORD_BYTES / 0.8)
  const ghosts = Math.floor(slots / 2)
  const index = STATE_SIZE * 8
  const prints = index + slots * SLOT_BYTES
  const first = Math.ceil((prints + ghosts * 4) / 8) * 8
  const cells = Math.floor((maxBytes - first) / 8)
  return { slots, ghosts, index, prints, first, cells, end: first + cells * 8 }
}
