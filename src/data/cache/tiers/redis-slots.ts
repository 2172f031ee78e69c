/** Parses the slot map of a Redis cluster: which node has which of the 16,384 slots. A reply that makes no sense is rejected. */
import type { HostPort } from '../../../core/addresses.ts'
import type { RedisReply } from './redis-reply.ts'

const SLOTS = 16_384
/** More masters than a cluster can usefully have. */
const MAX_NODES = 1_000

/** For each slot the name of its node. */
export interface SlotMap {
  readonly owners: readonly (string | undefined)[]
  readonly nodes: ReadonlyMap<string, HostPort>
}

/** Parses the reply to CLUSTER SLOTS of the node at `asked`; undefined where it is none. */
export function readSlots(reply: RedisReply, answering: HostPort): SlotMap | undefined {
  if (!Array.isArray(reply)) return undefined
  const owners = new Array<string | undefined>(SLOTS).fill(undefined)
  const nodes = new Map<string, HostPort>()
  for (const range of reply as readonly RedisReply[]) {
    if (!Array.isArray(range)) return undefined
    const [from, to, primary] = range as readonly RedisReply[]
    if (!isSlot(from) || !isSlot(to) || to < from || !Array.isArray(primary)) return undefined
    const [host, port] = primary as readonly RedisReply[]
    const address = addressOf(host, port, answering)
    // A node that does not know its own address yet.
    if (!address) continue
    const name = nameOf(address)
    if (nodes.size >= MAX_NODES && !nodes.has(name)) return undefined
    nodes.set(name, address)
    owners.fill(name, from, to + 1)
  }
  return { owners, nodes }
}

/** Parses a redirection, `MOVED 3999 host:port` or `ASK …`, to the node it points to. */
export function readRedirection(message: string, answering: HostPort): HostPort | undefined {
  const [, host, port] = /^(?:MOVED|ASK) \d{1,5} (\S{0,253}):(\d{1,5})$/.exec(message) ?? []
  return port === undefined ? undefined : addressOf(Buffer.from(host ?? ''), Number(port), answering)
}

export function nameOf({ host, port }: HostPort): string {
  return `${host}:${port}`
}

/** An address as a server names it; undefined where it is none. A node without a name is the one that was asked. */
export function addressOf(
  host: RedisReply | undefined,
  port: RedisReply | undefined,
  answering?: HostPort,
): HostPort | undefined {
  const text = host === null ? '' : Buffer.isBuffer(host) ? host.toString('latin1') : undefined
  const isPort = typeof port === 'number' && port >= 1 && port <= 65_535
  if (text === undefined || !isPort || !/^[A-Za-z0-9._:-]{0,253}$/.test(text)) return undefined
  const name = text === '' ? answering?.host : text
  return name === undefined ? undefined : { host: name, port }
}

function isSlot(value: RedisReply | undefined): value is number {
  return typeof value === 'number' && value >= 0 && value < SLOTS
}
