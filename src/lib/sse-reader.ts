/** Server-sent events on the wire (WHATWG HTML, section 9.2): the reading side. */

const LINE_FEED = 0x0a
const RETURN = 0x0d

/**
 * Cuts a stream of bytes behind events, however it arrives: lines end with LF, CR LF or CR, and an event with an empty line.
 * What it gives adds up to what it got, byte by byte.
 */
export class EventSplitter {
  readonly #maxBytes: number
  #pieces: Uint8Array[] = []
  #held = 0
  #isLineEmpty = true
  #isAfterReturn = false
  /** The byte read last ended an event. */
  #isAfterEvent = false

  /** `maxBytes`: the longest event. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The bytes up to the end of the last event that is complete; undefined: none has become so. Throws RangeError: one is too long. */
  push(chunk: Uint8Array): Uint8Array | undefined {
    const end = this.#lastEnd(chunk)
    if (end > 0) {
      const complete = this.#joined(end === chunk.length ? chunk : chunk.subarray(0, end))
      this.#hold(chunk.subarray(end))
      return complete
    }
    this.#hold(chunk)
    return undefined
  }

  /** What is behind the last event. */
  rest(): Uint8Array {
    return this.#joined(NOTHING)
  }

  /** The index behind the last empty line; 0: there is none. */
  #lastEnd(chunk: Uint8Array): number {
    let end = 0
    for (let i = 0; i < chunk.length; i++) {
      const c = chunk[i]
      if (c === LINE_FEED && this.#isAfterReturn) {
        // The second half of a line's end belongs to the first.
        if (this.#isAfterEvent) end = i + 1
        this.#isAfterReturn = false
        this.#isAfterEvent = false
        continue
      }
      this.#isAfterReturn = c === RETURN
      const isLineEnd = c === LINE_FEED || c === RETURN
      this.#isAfterEvent = isLineEnd && this.#isLineEmpty
      if (this.#isAfterEvent) end = i + 1
      this.#isLineEmpty = isLineEnd
    }
    return end
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#pieces.push(bytes)
    this.#held += bytes.length
    if (this.#held > this.#maxBytes) throw new RangeError(`an event of more than ${this.#maxBytes} bytes`)
  }

  #joined(last: Uint8Array): Uint8Array {
    if (this.#held === 0) return last
    const bytes = Buffer.concat([...this.#pieces, last])
    this.#pieces = []
    this.#held = 0
    return bytes
  }
}

const NOTHING = new Uint8Array(0)

/** An event, and where it is in its text. */
export interface ReadEvent {
  /** Its name; empty where it has none. */
  readonly event: string
  /** The lines of data, with LF between them. */
  readonly data: string
  readonly start: number
  readonly end: number
}

/** The events of a text; one that does not end with an empty line is none. Comments are skipped. */
export function eventsIn(text: string): readonly ReadEvent[] {
  const events: ReadEvent[] = []
  let event = ''
  let data: string | undefined
  // A byte order mark.
  let start = text.charCodeAt(0) === 0xfeff ? 1 : 0
  const lineEnd = text.includes('\r') ? endOfLine : endOfFeed
  for (let at = start; at < text.length; ) {
    const end = lineEnd(text, at)
    const next = text.startsWith('\r\n', end) ? end + 2 : end + 1
    if (end === text.length) break
    if (end === at) {
      if (data !== undefined) events.push({ event, data, start, end: next })
      event = ''
      data = undefined
      start = next
    } else if (text.startsWith('data', at)) {
      const value = valueOf(text, at + 4, end)
      if (value !== undefined) data = data === undefined ? value : `${data}\n${value}`
    } else if (text.startsWith('event', at)) event = valueOf(text, at + 5, end) ?? event
    at = next
  }
  return events
}

function endOfLine(text: string, at: number): number {
  const end = endOfFeed(text, at)
  for (let i = at; i < end; i++) if (text.charCodeAt(i) === RETURN) return i
  return end
}

/** The same for a text without CR, as most are. */
function endOfFeed(text: string, at: number): number {
  const feed = text.indexOf('\n', at)
  return feed < 0 ? text.length : feed
}

/** The value of a field whose name ends at `from`; undefined: the name is longer. */
function valueOf(text: string, from: number, end: number): string | undefined {
  if (from === end) return ''
  if (text[from] !== ':') return undefined
  return text.slice(text[from + 1] === ' ' ? from + 2 : from + 1, end)
}
