/** Bounds of one connection at the fast door. */

/** A head in more pieces than this is left to node:http, whose parser is incremental. */
export const MAX_PIECES = 8
/** Bytes of pipelined requests that wait for the answer before them. */
export const MAX_AHEAD_BYTES = 64 * 1024
/** A body of up to this length that arrives in pieces under a known head is tried as a memory hit before it is served. */
export const MAX_HELD_BYTES = 1 << 20

/** At a drain, how long a connection without a request yet may still send one. */
export const NEW_MS = 1000
