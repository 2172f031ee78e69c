/** The memory layout of an arena: header, index, fingerprints and cells, one behind the other. */
import { RING_STATE } from './ring.ts'

/** Plain data, which `postMessage` passes to other threads where the memory is shared. */
export interface ArenaBytes {
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  readonly maxBytes: number
}

/** The index and the fingerprints are sized for records of this many bytes on average. */
const MEAN_RECORD_BYTES = 192
export const SLOT_BYTES = 8

const HEADER_BYTES = 512
/** Counters in the header: 64-bit numbers, by their index as such. */
export const NUMBERS = { bytes: 0, evictions: 1, worth: 8 } as const
/** State in the header: 32-bit words, by their index as such. */
export const WORDS = { count: 4, small: 5, main: 5 + RING_STATE, mixes: 5 + 2 * RING_STATE } as const
/** The lock of a shared arena, as the index of a 32-bit word. */
export const LOCK_WORD = HEADER_BYTES / 4 - 1

/** Offsets in bytes from the start; `slots`, `ghosts` and `cells` are counts. */
export function layoutOf(maxBytes: number) {
  const slots = Math.floor(maxBytes / MEAN_RECORD_BYTES / 0.8)
  const ghosts = Math.floor(slots / 2)
  const index = HEADER_BYTES
  const prints = index + slots * SLOT_BYTES
  const first = Math.ceil((prints + ghosts * 4) / 8) * 8
  const cells = Math.floor((maxBytes - first) / 8)
  return { slots, ghosts, index, prints, first, cells, end: first + cells * 8 }
}
