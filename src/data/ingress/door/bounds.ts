/** Bounds of one connection at the fast door. */

/** A head in more pieces than this is left to node:http, which reads on where it stood. */
export const MAX_PIECES = 8
/** Bytes of pipelined requests that wait for the answer before them. */
export const MAX_AHEAD_BYTES = 64 * 1024
/** A body of up to so many bytes, still arriving under a head that came before, is looked up before it is served. */
export const MAX_HELD_BYTES = 1 << 20

/** Who has connected before the port closes, and asked nothing yet, has so long. */
export const NEW_MS = 1000
