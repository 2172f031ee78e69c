/**
 * Both doors side by side, fed with the same bytes over streams in memory, so that what they make of them can be
 * compared without waiting for a network; or over sockets, which the fast door reads in another way.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import { silentLog } from '../../src/core/log.ts'
import { createDoor } from '../../src/data/ingress/door/door.ts'
import { createHttp2Door } from '../../src/data/ingress/h2/door.ts'
import { sortConnections } from '../../src/data/ingress/h2/preface.ts'
import { createIngress, type Ingress } from '../../src/data/ingress/ingress.ts'
import { attach } from '../../src/data/ingress/server.ts'
import { createRouter } from '../../src/data/route/routes.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { opaque } from '../../src/protocol/opaque.ts'
import { CACHE } from './door.ts'
import { silentObserver } from './observer.ts'

/** What the gateway understood, and what the client saw of it. */
export interface Outcome {
  /** Calls that reached the answering: method, target, fields and body as they would go to a backend. */
  readonly calls: readonly string[]
  /** Of the answers, in order. */
  readonly statuses: readonly number[]
  readonly closed: boolean
  /** Statuses of calls that were read and refused. */
  readonly refused: readonly number[]
  /** Another protocol is asked for somewhere; not compared. */
  readonly asksForAnother: boolean
  /** Doors that answered; not compared. */
  readonly doors: readonly string[]
}

export type Side = (pieces: readonly Buffer[]) => Promise<Outcome>

export interface SideOptions {
  readonly fast: boolean
  readonly maxBodyBytes?: number
  readonly overSockets?: boolean
}

/** One door alone, or both where `fast`. A new connection for each use. */
export function createSide({ fast, maxBodyBytes = 4096, overSockets = false }: SideOptions): Side {
  const wheel = new Wheel(systemClock)
  let calls: string[] = []
  let doors: string[] = []
  let refused: number[] = []
  const settings = {
    route: createRouter([
      {
        name: 'all',
        match: {},
        protocols: [opaque],
        pool: 'none',
        timeout: 60_000,
        pure: true,
        cache: CACHE,
      },
    ]),
    maxBodyBytes,
  }
  const ingress: Ingress = createIngress({
    live: () => settings,
    answer(call) {
      const body = Buffer.from(call.body as Uint8Array).toString('latin1')
      calls.push(JSON.stringify([call.method, call.path + call.query, call.headers, body]))
      return { reply: { status: 200, headers: [], body: Buffer.from('ok') }, outcome: { kind: 'none' } }
    },
    observer: {
      ...silentObserver,
      answered({ door, fault, status }) {
        doors.push(door)
        if (fault !== undefined) refused.push(status)
      },
    },
    log: silentLog,
    clock: systemClock,
    wheel,
    mintId: () => 'id',
  })
  const server = createServer({ maxHeaderSize: 16_384, requireHostHeader: false })
  const limits = {
    maxHeadBytes: 8192,
    headTimeoutMs: 60_000,
    bodyTimeoutMs: 60_000,
    keepAliveTimeoutMs: 60_000,
  }
  attach(server, {
    ingress,
    wheel,
    isLeaving: () => false,
    isDraining: () => false,
    upgraded: new Set(),
    ...limits,
  })
  const http2 = createHttp2Door({ ...ingress, limits, wheel })
  const foreign = () => {}
  if (fast) createDoor({ server, limits, wheel, http2, foreign, ...ingress })
  else sortConnections(server, { http2, foreign, wheel, mintId: ingress.mintId, ...limits })
  return async (pieces) => {
    calls = []
    doors = []
    refused = []
    const seen = await (overSockets ? overSocket(server, pieces) : inMemory(server, pieces))
    // Interim answers are node:http's affair at either door.
    const statuses = [...seen.text.matchAll(/HTTP\/1\.1 ([2-9]\d\d) [A-Z]/g)].map((match) => Number(match[1]))
    const sent = Buffer.concat(pieces).toString('latin1')
    const asksForAnother = /^connection:.*upgrade/im.test(sent) && /^upgrade:/im.test(sent)
    return { calls, doors, refused, statuses, closed: seen.closed, asksForAnother }
  }
}

async function inMemory(server: Server, pieces: readonly Buffer[]): Promise<Seen> {
  const [client, served] = duplexPair()
  server.emit('connection', served)
  const seen = await conversation(client, pieces, () => turns(2))
  served.destroy()
  return seen
}

async function overSocket(server: Server, pieces: readonly Buffer[]): Promise<Seen> {
  if (!server.listening) await once(server.listen(0, '127.0.0.1').unref(), 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true })
  return conversation(client, pieces, () => new Promise((resolve) => setTimeout(resolve, 3)))
}

interface Seen {
  readonly text: string
  readonly closed: boolean
}

/** Sends the pieces and waits until nothing happens any more: for some pauses of the given kind. */
async function conversation(
  client: Duplex,
  pieces: readonly Buffer[],
  pause: () => Promise<void>,
): Promise<Seen> {
  let text = ''
  let closed = false
  client.setEncoding('latin1')
  client.on('data', (piece: string) => (text += piece)).on('error', () => {})
  for (const event of ['end', 'close']) client.on(event, () => (closed = true))
  for (const piece of pieces) {
    if (!client.writable) break
    client.write(piece)
    await pause()
  }
  for (let before = -1, quiet = 0; quiet < 4; quiet = text.length === before ? quiet + 1 : 0) {
    before = text.length
    await pause()
  }
  client.destroy()
  return { text, closed }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * What the doors make of the same bytes, where that differs. node:http refuses a broken head as soon as it sees that it
 * is, the fast door when the head has come: where it still waits for that, both are asked again with the head ended.
 */
export async function compare(
  fast: Side,
  http: Side,
  pieces: readonly Buffer[],
): Promise<{ doors: readonly string[]; differs: string | undefined }> {
  const one = await fast(pieces)
  const two = await http(pieces)
  const differs = difference(one, two)
  if (differs === undefined || one.closed || !two.closed) return { doors: one.doors, differs }
  const ended = [...pieces, HEAD_END]
  return { doors: one.doors, differs: difference(await fast(ended), await http(ended)) }
}

const HEAD_END = Buffer.from('\r\n\r\n')

/**
 * Undefined where both doors made the same of the same bytes; otherwise what differs. Allowed is what follows
 * from the fast door's taking one request after the other:
 * - a broken request makes node:http end the connection before earlier calls are answered, or without a word
 *   about it; the fast door answers those first, and then node:http says what is broken;
 * - a call that the gateway refuses ends a connection of node:http although its body has arrived;
 * - a call that asks for another protocol is the last of a connection of node:http, whose parser reads no further.
 */
export function difference(fast: Outcome, http: Outcome): string | undefined {
  const last = http.statuses.at(-1) ?? 0
  if (http.closed && http.refused.includes(last)) {
    const first = fast.statuses.slice(0, http.statuses.length)
    const known = within(http.calls, fast.calls) || (fast.closed && within(fast.calls, http.calls))
    if (first.join() === http.statuses.join() && known) return undefined
  }
  if (http.closed && http.asksForAnother) {
    const isPart = http.statuses.join() === fast.statuses.slice(0, http.statuses.length).join()
    if (isPart && within(http.calls, fast.calls)) return undefined
  }
  // node:http broke off amid calls that it had begun, before it had answered the first: they are as many at both doors.
  const begun = ({ calls, refused }: Outcome) => calls.length + refused.length
  if (http.closed && fast.closed && http.refused.length > 0 && begun(http) === begun(fast)) {
    const isPart = http.statuses.join() === fast.statuses.slice(0, http.statuses.length).join()
    if (isPart && within(http.calls, fast.calls)) return undefined
  }
  // node:http may give only the answers before what is broken, or only the refusal; the fast door gives both.
  const end = fast.statuses.at(-1) ?? 0
  if (
    http.closed &&
    fast.closed &&
    Math.floor(end / 100) === 4 &&
    fast.statuses.length > http.statuses.length
  ) {
    const answers = fast.statuses.slice(0, -1)
    const isPart = http.statuses.length === 0 || last === end || http.statuses.join() === answers.join()
    if (isPart && within(http.calls, fast.calls)) return undefined
  }
  const kind = ({ statuses }: Outcome) => statuses.map((status) => Math.floor(status / 100)).join()
  const same = within(http.calls, fast.calls) && http.calls.length === fast.calls.length
  return same && kind(fast) === kind(http) && fast.closed === http.closed ? undefined : said(fast, http)
}

function within(few: readonly string[], many: readonly string[]): boolean {
  const left = [...many]
  return few.every((one) => left.includes(one) && left.splice(left.indexOf(one), 1).length === 1)
}

function said(fast: Outcome, http: Outcome): string {
  return `fast ${JSON.stringify(fast)}\nhttp ${JSON.stringify(http)}`
}
