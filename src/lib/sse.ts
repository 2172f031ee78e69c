/** Server-sent events on the wire (WHATWG HTML, section 9.2): the writing side. */

export interface ServerEvent {
  readonly event: string
  /** Written as JSON, which has no line breaks of its own. */
  readonly data: unknown
  readonly id?: number
}

/** One event, ready to write. */
export function encodeEvent({ event, data, id }: ServerEvent): string {
  const head = id === undefined ? '' : `id: ${id}\n`
  return `${head}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/** A line that clients ignore: it keeps the connection in every table between here and there. */
export const SSE_HEARTBEAT = ': beat\n\n'
