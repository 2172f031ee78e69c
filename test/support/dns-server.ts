/** A small DNS server (RFC 1035) on UDP of the loopback: answers A, AAAA and SRV from a table, on real datagrams. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { freePort } from './servers.ts'

export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: string; readonly ttl: number }
  | {
      readonly type: 'SRV'
      readonly target: string
      readonly port: number
      readonly priority: number
      readonly weight: number
      readonly ttl: number
    }

export interface DnsServer {
  /** For node:dns's `setServers`. */
  readonly address: string
  /** By name; a name that is not in it does not exist. */
  readonly zone: Map<string, readonly DnsRecord[]>
  /** `servfail`: it answers that it cannot. `mute`: it does not answer. `truncated`: it refers to TCP. */
  fault: 'none' | 'servfail' | 'mute' | 'truncated'
  asked: number
  close(): Promise<void>
}

const TYPES = { A: 1, AAAA: 28, SRV: 33 } as const
const SERVFAIL = 2
const NXDOMAIN = 3

export async function startDns(): Promise<DnsServer> {
  const socket = createSocket('udp4')
  // Free over TCP too, which a truncated answer refers to.
  socket.bind(await freePort(), '127.0.0.1')
  await once(socket, 'listening')
  const server: DnsServer = {
    address: `127.0.0.1:${socket.address().port}`,
    zone: new Map(),
    fault: 'none',
    asked: 0,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
  socket.on('message', (query, from) => {
    server.asked++
    if (server.fault === 'mute') return
    socket.send(answer(query, server), from.port, from.address)
  })
  return server
}

function answer(query: Buffer, { zone, fault }: DnsServer): Buffer {
  const { name, type, end } = question(query)
  const known = zone.get(name)
  const records = (known ?? []).filter((record) => TYPES[record.type] === type)
  const code = fault === 'servfail' ? SERVFAIL : known ? 0 : NXDOMAIN
  const isCut = fault === 'truncated'
  const given = code === 0 && !isCut ? records : []
  const header = Buffer.alloc(12)
  header.writeUInt16BE(query.readUInt16BE(0), 0)
  // A response, with recursion desired and available.
  header.writeUInt16BE(0x8180 | (isCut ? 0x0200 : 0) | code, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(given.length, 6)
  return Buffer.concat([header, query.subarray(12, end), ...given.map(resource)])
}

function question(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function resource(record: DnsRecord): Buffer {
  const data = record.type === 'SRV' ? service(record) : addressBytes(record.address)
  const head = Buffer.alloc(12)
  // A pointer to the name in the question.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(TYPES[record.type], 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(record.ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function service({ priority, weight, port, target }: DnsRecord & { type: 'SRV' }): Buffer {
  const head = Buffer.alloc(6)
  head.writeUInt16BE(priority, 0)
  head.writeUInt16BE(weight, 2)
  head.writeUInt16BE(port, 4)
  const labels = target.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`))
  return Buffer.concat([head, ...labels, Buffer.from([0])])
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number))
  const [left = '', right = ''] = address.split('::')
  const words = (text: string) => text.split(':').flatMap((word) => (word ? [Number.parseInt(word, 16)] : []))
  const [head, tail] = [words(left), words(right)]
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
  const bytes = Buffer.alloc(16)
  for (const [i, word] of all.entries()) bytes.writeUInt16BE(word, 2 * i)
  return bytes
}
