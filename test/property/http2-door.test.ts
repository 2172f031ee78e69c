/**
 * Any bytes at the HTTP/2 door: each request of a sound connection is answered once, with its own answer, however its frames are
 * interleaved, padded and cut; a damaged one ends within its time, by no bug of ours, and harms no other. The long version:
 * npm run test:fuzz
 */
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { startDoor } from '../support/door.ts'
import { MemoryBound } from '../support/memory.ts'
import {
  block,
  CONTINUATION,
  DATA,
  type FieldList,
  type Frame,
  FrameList,
  frame,
  GOAWAY,
  HEADERS,
  number,
  PING,
  PREFACE,
  RST_STREAM,
  SETTINGS,
  setting,
  WINDOW_UPDATE,
} from '../support/raw-http2.ts'

const seconds = Number(process.env['INFERGATE_FUZZ_SECONDS'] ?? 8)
/** A connection that takes longer hangs. */
const HANG_MS = 10_000
const INTERNAL_ERROR = 2
const PRIORITY = 2
const UNKNOWN = 0x42

const request = fc.record({
  pieces: fc.array(fc.constantFrom('', 'a', 'hello', 'x'.repeat(5000)), { maxLength: 3 }),
  hasLength: fc.boolean(),
  hasTrailers: fc.boolean(),
  padding: fc.constantFrom(undefined, 0, 7, 200),
  hasPriority: fc.boolean(),
  /** Of the block, where it goes on in another frame. */
  cuts: fc.array(fc.nat(60), { maxLength: 2 }),
  /** Volatile, as those that clients write anew for each call. */
  trace: fc.constantFrom('a', 'b', 'c'),
  isStreamed: fc.boolean(),
})
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never

/** What means nothing to any request. */
const noise = fc.constantFrom(
  frame(PING, 0, 0, Buffer.alloc(8)),
  frame(SETTINGS, 0, 0, setting(1, 0)),
  frame(SETTINGS, 0, 0, setting(4, 0)),
  frame(SETTINGS, 0, 0, setting(4, 1_000_000)),
  frame(SETTINGS, 0, 0, setting(99, 5)),
  frame(WINDOW_UPDATE, 0, 0, number(70_000)),
  frame(PRIORITY, 0, 101, Buffer.from([0, 0, 0, 3, 1])),
  frame(UNKNOWN, 255, 1, Buffer.from('what')),
)

const conversation = fc.record({
  requests: fc.array(request, { minLength: 1, maxLength: 5 }),
  /** Whose frame is the next. */
  turns: fc.array(fc.nat(4), { maxLength: 30 }),
  noises: fc.array(fc.tuple(fc.nat(20), noise), { maxLength: 6 }),
  cuts: fc.array(fc.nat(10_000), { maxLength: 6 }),
})
const scratch = fc.record({
  at: fc.nat(20_000),
  kind: fc.constantFrom('replace', 'insert', 'delete', 'repeat'),
  byte: fc.nat(255),
})
const rogue = fc
  .record({
    type: fc.nat(10),
    flags: fc.constantFrom(0, 1, 4, 5, 8, 9, 32, 45, 255),
    stream: fc.constantFrom(0, 1, 2, 3, 5, 99, 2 ** 31 - 1),
    payload: fc.uint8Array({ maxLength: 40 }),
  })
  .map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload))

/** Connections that are sound, and those that are damaged, side by side. */
const side = fc.record({
  told: conversation,
  scratches: fc.array(scratch, { maxLength: 3 }),
  rogues: fc.array(fc.tuple(fc.nat(20), rogue), { maxLength: 2 }),
})

interface Made {
  readonly frames: Buffer[]
  /** By stream: target and body. */
  readonly asked: Map<number, { readonly target: string; readonly body: string }>
}

function made({
  requests,
  turns,
  noises,
}: typeof conversation extends fc.Arbitrary<infer T> ? T : never): Made {
  const frames: Buffer[] = []
  const asked: Made['asked'] = new Map()
  const waiting = requests.map((one) => ({ one, rest: undefined as Buffer[] | undefined }))
  for (let i = 0; waiting.length > 0; i++) {
    const at = (turns[i] ?? 0) % waiting.length
    const next = waiting[at] as (typeof waiting)[number]
    if (!next.rest) {
      const id = asked.size * 2 + 1
      const target = `/${next.one.isStreamed ? 'stream' : 'whole'}/${id}`
      asked.set(id, { target, body: next.one.pieces.join('') })
      const [head, ...rest] = framesOf(id, target, next.one)
      next.rest = rest
      frames.push(head as Buffer)
    } else {
      frames.push(next.rest.shift() as Buffer)
    }
    if (next.rest.length === 0) waiting.splice(at, 1)
  }
  for (const [at, bytes] of noises) frames.splice(at % (frames.length + 1), 0, bytes)
  return { frames, asked }
}

/** The frames of a request; those that one head takes are one. */
function framesOf(id: number, target: string, one: Request): Buffer[] {
  const { pieces, hasLength, hasTrailers, padding, hasPriority, trace } = one
  const body = pieces.join('')
  const fields: FieldList = [
    [':method', pieces.length > 0 ? 'POST' : 'GET'],
    [':scheme', 'http'],
    [':authority', 'h'],
    [':path', target],
    ...(hasLength && pieces.length > 0 ? ([['content-length', String(body.length)]] as const) : []),
    ['traceparent', trace],
  ]
  const isOne = pieces.length === 0 && !hasTrailers
  const bodyFrames = pieces.map((piece, i) => {
    const isEnd = i === pieces.length - 1 && !hasTrailers
    const { flags, payload } = padded(Buffer.from(piece), padding)
    return frame(DATA, flags | (isEnd ? 1 : 0), id, payload)
  })
  const trailers = hasTrailers ? [frame(HEADERS, 5, id, block([['x-trailer', 'a']]))] : []
  return [
    headOf(id, block(fields), { isEnd: isOne, hasPriority, padding, cuts: one.cuts }),
    ...bodyFrames,
    ...trailers,
  ]
}

function headOf(
  id: number,
  bytes: Buffer,
  {
    isEnd,
    hasPriority,
    padding,
    cuts,
  }: Pick<Request, 'hasPriority' | 'padding' | 'cuts'> & { isEnd: boolean },
): Buffer {
  const places = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length]
  const parts = places.slice(1).map((to, i) => bytes.subarray(places[i], to))
  return Buffer.concat(
    parts.map((part, i) => {
      const end = i === parts.length - 1 ? 4 : 0
      if (i > 0) return frame(CONTINUATION, end, id, part)
      const whole = hasPriority ? Buffer.concat([Buffer.from([0, 0, 0, 0, 16]), part]) : part
      const { flags, payload } = padded(whole, padding)
      return frame(HEADERS, flags | end | (isEnd ? 1 : 0) | (hasPriority ? 32 : 0), id, payload)
    }),
  )
}

function padded(bytes: Buffer, padding: number | undefined): { flags: number; payload: Buffer } {
  if (padding === undefined) return { flags: 0, payload: bytes }
  return { flags: 8, payload: Buffer.concat([Buffer.from([padding]), bytes, Buffer.alloc(padding)]) }
}

function damaged(bytes: Buffer, scratches: readonly { at: number; kind: string; byte: number }[]): Buffer {
  let now = bytes
  for (const { at, kind, byte } of scratches) {
    const where = at % now.length
    const rest = now.subarray(
      kind === 'insert' ? where : kind === 'repeat' ? Math.max(0, where - 40) : where + 1,
    )
    now = Buffer.concat([now.subarray(0, where), kind === 'delete' ? NOTHING : Buffer.from([byte]), rest])
  }
  return now
}

const NOTHING = Buffer.alloc(0)

function cutUp(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length]
  return places.slice(1).map((to, i) => bytes.subarray(places[i], to))
}

/** Sends the pieces, and then nothing more; gives what came until the connection is closed. */
async function talk(port: number, pieces: readonly Buffer[]): Promise<readonly Frame[]> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  const list = new FrameList()
  const closed = new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the connection hangs')), HANG_MS)
    socket
      .on('data', (chunk: Buffer) => list.push(chunk))
      .on('error', () => {})
      .on('close', () => {
        clearTimeout(late)
        resolve()
      })
  })
  for (const piece of pieces) {
    if (!socket.writable) break
    socket.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket.end()
  await closed
  return list.frames
}

/** What must hold for whatever is sent: no bug of ours, one answer a stream, and nothing behind its end. */
function checkForm(frames: readonly Frame[]): void {
  const begun = new Set<number>()
  const ended = new Set<number>()
  for (const { type, flags, stream, payload } of frames) {
    if (type === GOAWAY) expect(payload.readUInt32BE(4)).not.toBe(INTERNAL_ERROR)
    if (type === RST_STREAM) {
      expect(payload.readUInt32BE(0)).not.toBe(INTERNAL_ERROR)
      ended.add(stream)
      continue
    }
    if (type !== HEADERS && type !== DATA) continue
    expect(ended.has(stream)).toBe(false)
    if (type === HEADERS) expect(begun.has(stream)).toBe(false)
    begun.add(stream)
    if (flags & 1) ended.add(stream)
  }
}

function checkAnswers(frames: readonly Frame[], asked: Made['asked']): void {
  for (const [id, { target, body }] of asked) {
    const own = frames.filter(({ stream, type }) => stream === id && type === DATA)
    const said = JSON.parse(Buffer.concat(own.map(({ payload }) => payload)).toString()) as object
    expect(said).toMatchObject({ target, body })
    expect(own.at(-1)?.flags).toBe(1)
  }
  expect(frames.filter(({ type }) => type === GOAWAY)).toEqual([])
}

it(
  'answers what is sound, and ends what is not',
  async () => {
    let conversations = 0
    const memory = new MemoryBound(30)
    // A client that closes its windows, and its end, is given up soon.
    const server = await startDoor({ timeoutMs: 1000, bodyTimeoutMs: 1000, keepAliveTimeoutMs: 1000 })
    const other = http2.connect(`http://127.0.0.1:${server.port}`)
    await once(other, 'connect')
    const heardByOther = () =>
      new Promise((resolve, reject) => {
        const stream = other.request({ ':path': '/whole/other' })
        stream.on('response', (fields) => resolve(fields[':status'])).on('error', reject)
        stream.resume()
      })
    const start = [PREFACE, frame(SETTINGS, 0, 0)]
    // Opens all windows at the end, whatever was set before.
    const finish = [
      frame(SETTINGS, 0, 0, setting(4, 1_000_000)),
      frame(WINDOW_UPDATE, 0, 0, number(1_000_000)),
    ]
    const one = async ({
      told,
      scratches,
      rogues,
    }: typeof side extends fc.Arbitrary<infer T> ? T : never) => {
      const { frames, asked } = made(told)
      const isSound = scratches.length === 0 && rogues.length === 0
      for (const [at, bytes] of rogues) frames.splice(at % (frames.length + 1), 0, bytes)
      const bytes = damaged(Buffer.concat([...start, ...frames, ...finish]), scratches)
      const got = await talk(server.port, cutUp(bytes, told.cuts))
      checkForm(got)
      if (isSound) checkAnswers(got, asked)
    }
    const property = fc.asyncProperty(fc.array(side, { minLength: 1, maxLength: 6 }), async (sides) => {
      const state = { isOver: false }
      const all = Promise.all(sides.map(one)).finally(() => {
        state.isOver = true
      })
      all.catch(() => {})
      // It is served all the while.
      while (!state.isOver) {
        expect(await heardByOther()).toBe(200)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await all
      conversations += sides.length
      server.calls.length = server.answered.length = 0
      memory.round()
    })
    try {
      const run = await fc.check(property, {
        numRuns: 10_000_000,
        interruptAfterTimeLimit: seconds * 1000,
        markInterruptAsFailure: false,
      })
      console.info(`${conversations} conversations, seed ${run.seed}`)
      if (run.failed) throw new Error(fc.defaultReportMessage(run) ?? '', { cause: run.errorInstance })
      expect(conversations).toBeGreaterThan(seconds)
      await memory.check()
    } finally {
      other.destroy()
      await server.close()
    }
  },
  (seconds + 60) * 1000,
)
