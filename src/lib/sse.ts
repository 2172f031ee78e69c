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

/** A comment, which clients ignore. It keeps the connection from being closed as idle by what lies between. */
export const SSE_HEARTBEAT = ': beat\n\n'
