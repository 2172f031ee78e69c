/** SASL as a Memcached asks for it (binary protocol, PLAIN), before a server without it. */
import { once } from 'node:events'
import net from 'node:net'

const HEADER_BYTES = 24
const LIST = 0x20
const AUTH = 0x21
const REFUSED = 0x20

export interface SaslGate {
  readonly port: number
  close(): void
}

export async function saslGate(target: number, username: string, password: string): Promise<SaslGate> {
  const server = net.createServer((client) => {
    const upstream = net.connect(target, '127.0.0.1')
    let isIn = false
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      from.on('error', () => {}).on('close', () => to.destroy())
    upstream.pipe(client)
    client.on('data', (chunk: Buffer) => {
      // While somebody is let in, one request comes at a time.
      if (isIn) return void upstream.write(chunk)
      const opcode = chunk[1]
      const value = chunk.subarray(HEADER_BYTES + chunk.readUInt16BE(2)).toString()
      if (opcode === LIST) return void client.write(answer(chunk, 0, 'PLAIN'))
      isIn = opcode === AUTH && value === `\0${username}\0${password}`
      client.write(isIn ? answer(chunk, 0, 'Authenticated') : answer(chunk, REFUSED, 'Auth failure'))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as net.AddressInfo).port, close: () => void server.close() }
}

function answer(request: Buffer, status: number, value: string): Buffer {
  const head = Buffer.alloc(HEADER_BYTES)
  head.set([0x81, request[1] as number])
  head.writeUInt16BE(status, 6)
  head.writeUInt32BE(value.length, 8)
  request.copy(head, 12, 12, 16)
  return Buffer.concat([head, Buffer.from(value)])
}
