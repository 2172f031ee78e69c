/** The map of a Redis cluster: which of its 16,384 slots lies at which node, and which slot a key falls into. */
import type { Address } from './link.ts'
import type { Reply } from './resp.ts'

export const SLOTS = 16_384
/** More masters than a cluster can usefully have. */
const MAX_NODES = 1_000

/** By slot the name of its node. */
export interface SlotMap {
  readonly owners: readonly (string | undefined)[]
  readonly nodes: ReadonlyMap<string, Address>
}

/** From the answer to CLUSTER SLOTS of the node at `asked`; undefined where it is none. */
export function readSlots(reply: Reply, asked: Address): SlotMap | undefined {
  if (!Array.isArray(reply)) return undefined
  const owners = new Array<string | undefined>(SLOTS).fill(undefined)
  const nodes = new Map<string, Address>()
  for (const range of reply as readonly Reply[]) {
    if (!Array.isArray(range)) return undefined
    const [from, to, primary] = range as readonly Reply[]
    if (!isSlot(from) || !isSlot(to) || to < from || !Array.isArray(primary)) return undefined
    const [host, port] = primary as readonly Reply[]
    const address = addressOf(host, port, asked)
    // A node that does not know its own name yet.
    if (!address) continue
    const name = nameOf(address)
    if (nodes.size >= MAX_NODES && !nodes.has(name)) return undefined
    nodes.set(name, address)
    owners.fill(name, from, to + 1)
  }
  return { owners, nodes }
}

/** `MOVED 3999 host:port`, `ASK …`: where to. */
export function readRedirection(message: string, asked: Address): Address | undefined {
  const [, host, port] = /^(?:MOVED|ASK) \d{1,5} (\S{0,253}):(\d{1,5})$/.exec(message) ?? []
  return port === undefined ? undefined : addressOf(Buffer.from(host ?? ''), Number(port), asked)
}

export function nameOf({ host, port }: Address): string {
  return `${host}:${port}`
}

/** A node without a name is the one that was asked. */
function addressOf(host: Reply | undefined, port: Reply | undefined, asked: Address): Address | undefined {
  const text = host === null ? '' : Buffer.isBuffer(host) ? host.toString('latin1') : undefined
  const isPort = typeof port === 'number' && port >= 1 && port <= 65_535
  if (text === undefined || !isPort || !/^[A-Za-z0-9._:-]{0,253}$/.test(text)) return undefined
  return { host: text === '' ? asked.host : text, port }
}

function isSlot(value: Reply | undefined): value is number {
  return typeof value === 'number' && value >= 0 && value < SLOTS
}

/** CRC-16 of the key, or of what stands between its first braces. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  const bytes = Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)
  let crc = 0
  for (const byte of bytes) crc = ((crc << 8) ^ (TABLE[((crc >> 8) ^ byte) & 0xff] as number)) & 0xffff
  return crc % SLOTS
}

/** CRC-16/XMODEM. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})
