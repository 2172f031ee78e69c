/** Bounds of calls and connections, over HTTP and over gRPC. */

/** As Triton's default `--http-max-input-size`. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024
/** A call that takes longer to arrive is a broken sender. */
export const REQUEST_TIMEOUT_MS = 60_000
/** Longer than clients keep idle connections, so that they close them and not this server. */
export const KEEP_ALIVE_MS = 75_000
