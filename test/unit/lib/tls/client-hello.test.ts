/** The server name in the first bytes of a connection: those that node:tls sends, whole, in pieces, and spoiled. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { readFirstBytes } from '../../../../src/lib/tls/client-hello.ts'

const NAME = 'models.example'
const HEAD_BYTES = 5

/** What a client sends before it hears anything. */
async function helloFor(servername: string | undefined): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const accepted = once(server, 'connection') as Promise<[net.Socket]>
  const client = tls.connect({ port, host: '127.0.0.1', ...(servername && { servername }) })
  client.on('error', () => {})
  const [socket] = await accepted
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return bytes
}

/** The same message, in records of so many bytes. */
function inRecordsOf(bytes: number, hello: Buffer): Buffer {
  const message = hello.subarray(HEAD_BYTES)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += bytes) {
    const fragment = message.subarray(at, at + bytes)
    records.push(Buffer.from([0x16, 3, 1, fragment.length >> 8, fragment.length & 0xff]), fragment)
  }
  return Buffer.concat(records)
}

describe('the first bytes of TLS', () => {
  let hello: Buffer
  beforeAll(async () => {
    hello = await helloFor(NAME)
  })

  it('name the server, if the client does', async () => {
    expect(readFirstBytes(hello)).toEqual({ kind: 'tls', serverName: NAME })
    expect(readFirstBytes(await helloFor(undefined))).toEqual({ kind: 'tls', serverName: undefined })
  })

  it('are waited for until the message is whole', () => {
    for (let end = 1; end < hello.length; end++)
      expect(readFirstBytes(hello.subarray(0, end))).toEqual({ kind: 'partial' })
  })

  it.each([2, 15])('may come in %i records, with more behind them', (count) => {
    const records = inRecordsOf(Math.ceil(hello.length / count), hello)
    const behind = Buffer.from([0x17, 3, 3, 0, 1, 0])
    expect(readFirstBytes(records)).toEqual({ kind: 'tls', serverName: NAME })
    expect(readFirstBytes(Buffer.concat([records, behind]))).toEqual({ kind: 'tls', serverName: NAME })
  })

  it('are left to TLS where they come in records of a byte, before many are read', () => {
    const records = inRecordsOf(1, hello)
    const first = Array.from({ length: records.length }, (_, end) =>
      readFirstBytes(records.subarray(0, end + 1)),
    )
    const decided = first.findIndex(({ kind }) => kind !== 'partial')
    expect(first[decided]).toEqual({ kind: 'tls', serverName: undefined })
    expect(decided).toBeLessThan(20 * (HEAD_BYTES + 1))
  })
})

it.each([
  ['plain HTTP', 'POST / HTTP/1.1\r\n', 'http'],
  ['anything else', '\u0000hello', 'other'],
])('%s is told apart', (_name, text, kind) => {
  expect(readFirstBytes(Buffer.from(text, 'latin1'))).toEqual({ kind })
})

it('no bytes make it throw', () => {
  const record = fc.uint8Array({ maxLength: 300 }).map((bytes) => {
    const head = [0x16, 3, 1, bytes.length >> 8, bytes.length & 0xff]
    return Buffer.concat([Buffer.from(head), Buffer.from(bytes)])
  })
  fc.assert(
    fc.property(fc.array(fc.oneof(record, fc.uint8Array({ maxLength: 40 })), { maxLength: 20 }), (parts) => {
      expect(['tls', 'http', 'partial', 'other']).toContain(readFirstBytes(Buffer.concat(parts)).kind)
    }),
  )
})
