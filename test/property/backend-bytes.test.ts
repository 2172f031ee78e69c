/**
 * Whatever bytes a backend answers with, over real sockets, by either client and out through either door: the call ends within its
 * time with an answer, with 502 or 504, or with a connection that is broken off in the middle of an answer; and the next call
 * through the same pool gets its own answer, not what was left of the one before.
 */
import { once } from 'node:events'
import { request } from 'node:http'
import net from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Clients } from '../../src/data/backend/clients.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { type DoorServer, startDoor } from '../support/door.ts'

const seconds = Number(process.env['INFERGATE_FUZZ_SECONDS'] ?? 6)
const HEAD_MS = 120
const SIDE_BY_SIDE = 24

const often = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const lineEnd = often('\r\n', '\n', '\r', '\r\r\n', '\n\r\n')
const statusLine = often(
  'HTTP/1.1 200 OK',
  'HTTP/1.1 404 Not Found',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.1 205 Reset Content',
  'HTTP/1.1 200',
  'HTTP/1.1 599 Odd',
  'HTTP/1.1 999 Odder',
  'HTTP/1.1 101 Switching Protocols',
  'HTTP/1.1 100 Continue',
  'HTTP/1.1 099 Less',
  'HTTP/1.1 1000 More',
  'HTTP/1.1 2OO OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.0 200 OK',
  'HTTP/2.0 200 OK',
  'HTTP/0.9 200 OK',
  'ICY 200 OK',
  'HTTP/1.1 200 \xff\x80',
  'HTTP/1.1 200 a\0b',
  '',
)
const before = often(
  '',
  'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n'.repeat(15),
  'HTTP/1.1 102 Processing\r\n\r\n'.repeat(5000),
  'HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n',
  '\r\n',
)
const field = fc.constantFrom(
  'Content-Type: text/plain',
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: -5',
  'Content-Length: +5',
  'Content-Length: 5, 5',
  'Content-Length: 5\r\nContent-Length: 6',
  'Content-Length: 99999999999999999999',
  'Content-Length: 0x5',
  'Content-Length:',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding : chunked',
  'Connection: close',
  'Connection: keep-alive, X-Empty',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Keep-Alive: timeout=0',
  'Keep-Alive: timeout=99999999999',
  'Trailer: X-T',
  'X-Folded: a\r\n b',
  ' X-Leading: a',
  'X-Empty:',
  'X-Nul: a\0b',
  'X-Cr: a\rb',
  'X-High: \xe4\xff',
  'X Space: a',
  ': nameless',
  'no colon',
  'Date: yesterday',
  'Content-Encoding: gzip',
  'Set-Cookie: a=b',
  `X-Long: ${'y'.repeat(30_000)}`,
  `X-Longer: ${'y'.repeat(70_000)}`,
)
const chunks = fc.constantFrom(
  '5\r\nhello\r\n0\r\n\r\n',
  '5\r\nhello\r\n0\r\nX-T: v\r\n\r\n',
  '5;a=b\r\nhello\r\n0\r\n\r\n',
  `5;${'e'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
  '-5\r\nhello\r\n0\r\n\r\n',
  'ffffffffffffffff\r\nhello\r\n',
  '7fffffff\r\nhello',
  '5\nhello\n0\n\n',
  '5\r\nhello!!\r\n0\r\n\r\n',
  '0\r\nX-T: a\0b\r\n\r\n',
  '0\r\nX-T: a\n\n',
  `0\r\n${'X-T: v\r\n'.repeat(20_000)}\r\n`,
  '\r\n\r\n',
  '5\r\nhel',
)
const body = fc.oneof(
  chunks,
  fc.constantFrom('', 'hello', 'hell', 'hello world', 'x'.repeat(100_000)),
  fc.constantFrom('helloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nleft', 'HTTP/1.1 200 OK\r\n\r\n'),
)
const answer = fc
  .record({
    before,
    statusLine,
    end: lineEnd,
    framing: often('Content-Length: 5', 'Transfer-Encoding: chunked', ''),
    fields: fc.array(field, { maxLength: 3 }),
    body,
  })
  .map(({ before, statusLine, end, framing, fields, body }) => {
    const lines = [statusLine, ...(framing ? [framing] : []), ...fields]
    return `${before}${lines.join(end)}${end}${end}${body}`
  })

const nasty = fc.constantFrom(0, 9, 10, 13, 32, 45, 48, 58, 59, 102, 127, 128, 255)
const scratch = fc.record({
  at: fc.nat(300),
  kind: fc.constantFrom('replace', 'insert', 'delete'),
  byte: nasty,
})
const talks = fc.record({
  pieces: fc
    .record({
      text: fc.oneof({ weight: 12, arbitrary: answer }, { weight: 1, arbitrary: fc.string() }),
      scratches: fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(scratch, { maxLength: 3 }) },
      ),
      cuts: fc.array(fc.nat(400), { maxLength: 4 }),
    })
    .map(({ text, scratches, cuts }) => cut(scratched(Buffer.from(text, 'latin1'), scratches), cuts)),
  ending: fc.constantFrom('stay' as const, 'stay' as const, 'end' as const, 'reset' as const),
})

interface Scratch {
  readonly at: number
  readonly kind: string
  readonly byte: number
}

function scratched(from: Buffer, scratches: readonly Scratch[]): Buffer {
  let bytes = from
  for (const { at, kind, byte } of scratches) {
    const where = at % (bytes.length + 1)
    const middle = kind === 'delete' ? [] : [Buffer.from([byte])]
    const rest = bytes.subarray(kind === 'insert' ? where : where + 1)
    bytes = Buffer.concat([bytes.subarray(0, where), ...middle, rest])
  }
  return bytes
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((to, i) => bytes.subarray(places[i], to))
}

type Talk = typeof talks extends fc.Arbitrary<infer T> ? T : never

/** What the backend says to a call, by its name; to others it says the name. */
const scripts = new Map<string, Talk>()
/** Resolves when the backend has said all of it. */
const said = new Map<string, Promise<void>>()
let backend: net.Server
let url: string

beforeAll(async () => {
  backend = net.createServer({ noDelay: true }, (socket) => {
    let text = ''
    socket.setEncoding('latin1').on('error', () => {})
    socket.on('data', (piece: string) => {
      text += piece
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const name = /^\w+ \S*\/(\w+) /.exec(text)?.[1] ?? 'nobody'
        text = text.slice(end + 4)
        const talk = scripts.get(name)
        if (talk) said.set(name, say(socket, talk))
        else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`)
      }
    })
  })
  backend.listen(0, '127.0.0.1')
  await once(backend, 'listening')
  url = `http://127.0.0.1:${(backend.address() as net.AddressInfo).port}`
})
afterAll(() => void backend.close())

async function say(socket: net.Socket, { pieces, ending }: Talk): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (ending === 'end') socket.end()
  if (ending === 'reset') socket.resetAndDestroy()
}

/** A gateway of one door and one client, with one connection to the backend. */
async function through(
  own: boolean,
  fastDoor: boolean,
): Promise<{ door: DoorServer; close(): Promise<void> }> {
  const wheel = new Wheel(systemClock)
  const options = { connections: 1, connectTimeoutMs: 1000, bodyTimeoutMs: HEAD_MS, refuse: () => undefined }
  const clients = new Clients(options, own ? wheel : undefined)
  const door = await startDoor({
    fastDoor,
    timeoutMs: 5000,
    async serve({ method, path, signal }) {
      const target = path.replace('/stream', '')
      const asked = { url, method, target, headers: [], body: undefined, contentLength: undefined, signal }
      const headTimeoutMs = scripts.has(target.slice(1)) ? HEAD_MS : 4000
      const { reply } = await clients.send({ ...asked, headTimeoutMs })
      return { reply, outcome: { kind: 'none' } }
    },
  })
  return {
    door,
    async close() {
      await door.close()
      await clients.close()
      wheel.close()
    },
  }
}

interface Heard {
  /** 0: none. */
  readonly status: number
  readonly text: string
  readonly isWhole: boolean
}

function get(port: number, path: string): Promise<Heard> {
  return new Promise((resolve) => {
    let heard: Heard = { status: 0, text: '', isWhole: false }
    const sent = request({ port, path, agent: false, maxHeaderSize: 200_000 }, (response) => {
      heard = { ...heard, status: response.statusCode ?? 0 }
      response
        .setEncoding('latin1')
        .on('data', (text: string) => (heard = { ...heard, text: heard.text + text }))
      response.on('error', () => {}).on('close', () => resolve({ ...heard, isWhole: response.complete }))
    })
    sent.on('error', () => resolve(heard))
    sent.end()
  })
}

let names = 0
/** Of the answers to what a backend says. */
const kinds = new Set<number>()

async function conversation(port: number, talk: Talk): Promise<void> {
  const name = `n${names++}`
  scripts.set(name, talk)
  const began = performance.now()
  const heard = await get(port, `/stream/${name}`)
  // Its own deadlines would have ended it long before that of the call, also on a machine that is busy.
  expect(performance.now() - began, 'milliseconds').toBeLessThan(4500)
  scripts.delete(name)
  if (heard.status === 0) expect(heard.isWhole).toBe(false)
  expect(heard.status).not.toBe(500)
  // What has been sent by the backend is there before anything else is asked: the gateway reads in this process, too.
  await said.get(name)
  said.delete(name)
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
  const next = `n${names++}`
  let answer = await get(port, `/stream/${next}`)
  // The backend may close the connection just as it is used.
  for (let i = 0; i < 3 && answer.status === 502 && talk.ending !== 'stay'; i++)
    answer = await get(port, `/stream/${next}`)
  expect(answer).toEqual({ status: 200, text: next, isWhole: true })
  kinds.add(Math.floor(heard.status / 100))
}

it.each([
  ['our own client and the fast door', true, true],
  ['undici and node:http', false, false],
])(
  '%s bear whatever a backend sends',
  async (_, own, fastDoor) => {
    const gateways = await Promise.all(Array.from({ length: SIDE_BY_SIDE }, () => through(own, fastDoor)))
    const run = await fc.check(
      fc.asyncProperty(fc.array(talks, { minLength: 1, maxLength: SIDE_BY_SIDE }), async (all) => {
        await Promise.all(
          all.map((talk, i) => conversation((gateways[i] as { door: DoorServer }).door.port, talk)),
        )
      }),
      {
        numRuns: 10_000_000,
        interruptAfterTimeLimit: (seconds * 1000) / 2,
        markInterruptAsFailure: false,
        endOnFailure: false,
      },
    )
    await Promise.all(gateways.map((one) => one.close()))
    // It says something only where some of it was an answer, and some was none.
    if (!run.failed) expect([...kinds]).toEqual(expect.arrayContaining([2, 5]))
    console.info(`${names} calls, seed ${run.seed}`)
    if (run.failed) {
      const [all] = run.counterexample as [Talk[]]
      const said = all.map(({ pieces, ending }) => [
        pieces.map((piece) => piece.toString('latin1').slice(0, 300)),
        ending,
      ])
      throw new Error(JSON.stringify(said), { cause: run.errorInstance })
    }
  },
  120_000,
)
