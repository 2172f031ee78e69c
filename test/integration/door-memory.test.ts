/** Connections are read into one buffer for all: whatever comes in any pieces on many at a time, each keeps what is its own. */
import { createHash } from 'node:crypto'
import net from 'node:net'
import { PassThrough } from 'node:stream'
import { TLSSocket } from 'node:tls'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readInto } from '../../src/data/ingress/door/read-into.ts'
import { ReceiveBuffer, retained } from '../../src/data/ingress/door/receive-buffer.ts'
import { type DoorServer, echo, RawClient, startDoor } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'

const LENGTHS = [0, 1, 200, 4096, 30_000, 70_000, 200_000]

interface Sent {
  readonly path: string
  readonly length: number
  readonly isChunked: boolean
}

const sent = fc.record({
  path: fc.constantFrom('/whole/a', '/stream/a'),
  length: fc.constantFrom(...LENGTHS),
  isChunked: fc.oneof(
    { weight: 5, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
})
const conversation = fc.record({
  sents: fc.array(sent, { minLength: 1, maxLength: 4 }),
  cuts: fc.array(fc.nat(1_000_000), { maxLength: 6 }),
})

/** No two requests have the same bytes anywhere. */
let seed = 0
function bodyOf(length: number): string {
  const word = createHash('sha256').update(`${seed++}`).digest('hex')
  return word.repeat(Math.ceil(length / word.length)).slice(0, length)
}

async function converse(
  { port }: DoorServer,
  sents: readonly Sent[],
  cuts: readonly number[],
): Promise<void> {
  const client = await RawClient.connect(port)
  const bodies = sents.map(({ length }) => bodyOf(length))
  const text = sents
    .map(({ path, isChunked }, i) => {
      const body = bodies[i] as string
      const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
      const chunk = body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`
      return `POST ${path} HTTP/1.1\r\nHost: h\r\n${framing}\r\n\r\n${isChunked ? `${chunk}0\r\n\r\n` : body}`
    })
    .join('')
  const places = [0, ...cuts.map((cut) => cut % text.length).sort((a, b) => a - b), text.length]
  for (const [i, place] of places.slice(1).entries()) {
    client.send(text.slice(places[i], place))
    await new Promise(setImmediate)
  }
  try {
    const answers = await eventually(() => {
      expect(client.answers).toHaveLength(sents.length)
      return client.answers
    })
    for (const [i, answer] of answers.entries()) {
      expect(answer.status).toBe(200)
      expect((JSON.parse(answer.body) as { body: string }).body === bodies[i]).toBe(true)
    }
  } finally {
    client.destroy()
  }
}

it('no connection sees bytes of another', async () => {
  // The answer comes some turns later: by then the buffer has been filled many times over.
  const server = await startDoor({
    serve: async (call, matched) => {
      for (let i = 0; i < 5; i++) await new Promise(setImmediate)
      return echo(call, matched)
    },
  })
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(conversation, { minLength: 8, maxLength: 8 }), (many) =>
        Promise.all(many.map(({ sents, cuts }) => converse(server, sents, cuts))).then(() => {}),
      ),
      { numRuns: 15 },
    )
  } finally {
    await server.close()
  }
})

/** Reads a body of which so many bytes are missing, no more than 50,000 at a time; gives the room there was each time. */
function read(arrivals: ReceiveBuffer, body: number): { rooms: number[]; pieces: Buffer[] } {
  const rooms: number[] = []
  const pieces: Buffer[] = []
  let given = arrivals.next(body, true) as Buffer
  for (let missing = body; missing > 0; given = arrivals.next(missing, true) ?? given) {
    const piece = arrivals.received(Math.min(given.length, missing, 50_000))
    rooms.push(given.length)
    pieces.push(piece)
    missing -= piece.length
  }
  return { rooms, pieces }
}

it('a long body is read into blocks that end where it does, its short end where everything goes', () => {
  const arrivals = new ReceiveBuffer()
  const { rooms, pieces } = read(arrivals, 140_000)
  expect(rooms).toEqual([65_536, 15_536, 65_536, 15_536, 16_384])
  expect(pieces.map((piece) => retained(piece) === piece)).toEqual([true, true, true, true, false])
  expect(read(new ReceiveBuffer(), 20_000).rooms).toEqual([20_000])
  expect(read(new ReceiveBuffer(), 16_384).rooms).toEqual([16_384])
})

it('what nobody has kept is read into again', () => {
  const memories = (pieces: readonly Buffer[]) => new Set(pieces.map(({ buffer }) => buffer))
  const arrivals = new ReceiveBuffer()
  const first = memories(read(arrivals, 100_000).pieces)
  arrivals.giveBack(true)
  const second = memories(read(arrivals, 100_000).pieces)
  expect(second).toEqual(first)
  arrivals.giveBack(false)
  expect([...memories(read(arrivals, 100_000).pieces)].some((memory) => second.has(memory))).toBe(false)
})

it('what is no accepted socket is read as before', () => {
  const never = { buffer: () => undefined, callback: () => true }
  expect(readInto(new PassThrough(), never)).toBeUndefined()
  expect(readInto(new net.Socket(), never)).toBeUndefined()
  expect(readInto(new TLSSocket(new net.Socket()), never)).toBeUndefined()
})

it('an accepted socket is read so on this engine, and its server counts it until it is closed', async () => {
  const reads: number[] = []
  const memory = Buffer.alloc(100)
  const server = net.createServer({ allowHalfOpen: true }, (accepted) => {
    const callback = (size: number) => reads.push(size) > 0
    const own = readInto(accepted, { buffer: () => memory, callback })
    own?.on('end', () => own.end('bye')).resume()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
  let said = ''
  client.on('data', (bytes) => (said += bytes)).write('hello')
  await eventually(() => expect(memory.toString('latin1', 0, 5)).toBe('hello'))
  const open = () => new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
  expect(await open()).toBe(1)
  client.end()
  await eventually(() => expect(said).toBe('bye'))
  await eventually(async () => expect(await open()).toBe(0))
  expect(reads).toEqual([5])
  await new Promise((resolve) => server.close(resolve))
})
