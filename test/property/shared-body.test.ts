/** Readers that join, read, stop and leave as they like: each gets the body from its first byte, or an error. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Incoming } from '../../src/data/backend/incoming.ts'
import { SharedBody } from '../../src/data/backend/shared-body.ts'

const PIECES = 40
const MAX_PIECE = 9

type Step =
  | { readonly kind: 'send'; readonly size: number }
  | { readonly kind: 'join' }
  | { readonly kind: 'read' | 'leave'; readonly who: number }

const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('send' as const),
        size: fc.integer({ min: 1, max: MAX_PIECE }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('read' as const), who: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), who: fc.nat(9) }) },
  ),
  { maxLength: 3 * PIECES },
)

/** One who has not read is cut, and the other leaves. */
const CUT_UNREAD: Step[] = [
  { kind: 'read', who: 0 },
  { kind: 'join' },
  { kind: 'send', size: 2 },
  { kind: 'read', who: 0 },
  { kind: 'send', size: 1 },
  { kind: 'leave', who: 0 },
]

const settled = () => new Promise((resolve) => setImmediate(resolve))

/** One reader's side: what it has, and how it ended. */
class Client {
  text = ''
  fault: unknown
  hasLeft = false
  isOver = false
  #waiting = false
  readonly #pieces: AsyncIterator<Uint8Array, void>

  constructor(pieces: AsyncIterator<Uint8Array, void>) {
    this.#pieces = pieces
  }

  /** Asks for one piece; false: it waits for one already, or has no more to ask for. */
  read(): boolean {
    if (this.#waiting || this.isOver) return false
    this.#waiting = true
    void this.#pieces.next().then(
      ({ done, value }) => {
        this.#waiting = false
        if (this.hasLeft) return
        if (done) this.isOver = true
        else this.text += Buffer.from(value).toString()
      },
      (error: unknown) => {
        this.isOver = true
        this.fault = error
      },
    )
    return true
  }

  leave(): void {
    if (this.isOver) return
    this.isOver = this.hasLeft = true
    void this.#pieces.return?.()
  }
}

describe('a body that several read', () => {
  it('gives each its bytes in order, cuts only who is too far behind, and ends with the last', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 60 }), async (script: Step[], maxBytes) => {
        const ended: (Error | undefined)[] = []
        const source = new Incoming(
          { pause() {}, resume() {}, abort() {} },
          (error) => void ended.push(error),
        )
        const body = new SharedBody(source, maxBytes)
        const clients: Client[] = []
        let sent = ''
        const join = () => {
          const reader = body.join()
          if (reader) clients.push(new Client(reader[Symbol.asyncIterator]()))
          return reader !== undefined
        }
        expect(join()).toBe(true)
        for (const step of script) {
          const client = 'who' in step ? clients[step.who % clients.length] : undefined
          if (step.kind === 'send') {
            const text = String.fromCharCode(97 + (sent.length % 26)).repeat(step.size)
            if (ended.length === 0) sent += text
            source.push(Buffer.from(text))
          } else if (step.kind === 'join') {
            // Whoever comes while all is kept from the beginning, and somebody reads, is taken.
            const isKept = sent.length <= maxBytes && ended.length === 0
            const isTaken = join()
            if (isKept) expect(isTaken).toBe(true)
          } else if (step.kind === 'read') client?.read()
          else client?.leave()
          await settled()
          for (const { text } of clients) expect(sent.startsWith(text)).toBe(true)
          // Cancelled by the last to leave or to be cut, and by nobody else. Who is cut is told when it asks for more.
          if (ended.length > 0) for (const client of clients) client.read()
          await settled()
          expect(ended.length > 0).toBe(clients.every(({ hasLeft, fault }) => hasLeft || fault !== undefined))
        }
        source.end([])
        for (let left = clients.length; left > 0; ) {
          for (const client of clients) client.read()
          await settled()
          left = clients.filter(({ isOver }) => !isOver).length
        }
        const longest = Math.max(...clients.map(({ text }) => text.length))
        for (const { hasLeft, fault, text } of clients) {
          if (hasLeft) continue
          if (fault === undefined) expect(text).toBe(sent)
          // Another was that far ahead of what it had read before the piece it was at work on.
          else expect(longest - text.length).toBeGreaterThan(maxBytes - MAX_PIECE)
          if (sent.length <= maxBytes) expect(fault).toBeUndefined()
        }
      }),
      { numRuns: 300, examples: [[CUT_UNREAD, 1]] },
    )
  })
})
