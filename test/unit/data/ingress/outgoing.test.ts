import { once } from 'node:events'
import { createServer } from 'node:http'
import net from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../../../src/core/errors.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { noFastRefusal } from '../../../../src/data/hits/fast-refusal.ts'
import type { HitSource } from '../../../../src/data/hits/memory-hit.ts'
import { createDoor } from '../../../../src/data/ingress/door/door.ts'
import { SocketWriter } from '../../../../src/data/ingress/door/socket-writer.ts'
import { createRouter } from '../../../../src/data/route/routes.ts'
import { systemClock } from '../../../../src/lib/clock.ts'
import { Wheel } from '../../../../src/lib/wheel.ts'
import { WriteBatcher } from '../../../../src/lib/write-batcher.ts'

/** The other end of a connection: what was written, write by write; `reads` false: it takes the first and no more. */
function client({ reads = true } = {}) {
  const writes: string[] = []
  const socket = new Duplex({
    writableHighWaterMark: 1000,
    read() {},
    writev(chunks, done) {
      writes.push(chunks.map(({ chunk }) => (chunk as Buffer).toString('latin1')).join(''))
      if (reads) done()
    },
  })
  return { socket, writes }
}

function outgoing({ socket }: { socket: Duplex }) {
  let filled = 0
  const out = new SocketWriter(socket, new WriteBatcher(), () => filled++)
  return { out, filled: () => filled }
}

describe('what goes out on a connection', () => {
  it('short texts of a turn leave at its end, in one write', async () => {
    const peer = client()
    const { out } = outgoing(peer)
    out.send('a', undefined)
    out.send('b', Buffer.from('body'))
    expect(peer.writes).toEqual([])
    await turn()
    expect(peer.writes).toEqual(['abbody'])
    out.send('c', undefined)
    await turn()
    expect(peer.writes).toEqual(['abbody', 'c'])
  })

  it('whatever is longer goes at once, and takes along what waits', async () => {
    const peer = client()
    const { out } = outgoing(peer)
    out.send('a', undefined)
    out.send('b', Buffer.alloc(3000, 'x'))
    expect(peer.writes).toEqual([`ab${'x'.repeat(3000)}`])
    out.send('head', undefined)
    out.pass(Buffer.from('chunk'), true)
    expect(peer.writes[1]).toBe('head5\r\nchunk\r\n')
    out.send('0', undefined)
    out.pass(Buffer.from('raw'), false)
    expect(peer.writes[2]).toBe('0raw')
    await turn()
    expect(peer.writes).toHaveLength(3)
  })

  it('no more waits than 16 KiB', () => {
    const peer = client()
    const { out } = outgoing(peer)
    for (let i = 0; i < 100; i++) out.send('y'.repeat(1000), undefined)
    expect(peer.writes.length).toBeGreaterThanOrEqual(5)
  })

  it('says when a turn has filled the socket', async () => {
    const peer = client({ reads: false })
    const { out, filled } = outgoing(peer)
    out.send('z'.repeat(1500), undefined)
    expect([out.isFull, filled()]).toEqual([false, 0])
    await turn()
    expect([out.isFull, filled()]).toEqual([true, 1])
  })
})

describe('over a real socket', () => {
  /** Two ends of a connection, and all that has come at the far one. */
  async function connection() {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const far = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
    const [near] = (await once(server, 'connection')) as [net.Socket]
    server.close()
    far.pause()
    const close = () => {
      near.destroy()
      far.destroy()
    }
    return { near, far, close }
  }

  async function heard(far: net.Socket): Promise<string> {
    const pieces: Buffer[] = []
    for await (const piece of far) pieces.push(piece as Buffer)
    return Buffer.concat(pieces).toString('latin1')
  }

  it('ready answers leave whole and in order with what is sent among them', async () => {
    const { near, far, close } = await connection()
    const out = new SocketWriter(near, new WriteBatcher(), () => {})
    const head = Buffer.from('HEAD id: ')
    out.sendReady(head, 'first', Buffer.from('body 1 '))
    await turn()
    out.sendReady(head, 'second', undefined)
    out.sendReady(head, 'third', Buffer.from('body 3 '))
    out.send('text ', Buffer.from('body 4 '))
    out.sendReady(head, 'fifth', Buffer.alloc(20_000, 'x'))
    out.send('sixth ', Buffer.from('body 6 '))
    out.send('seventh ', undefined)
    await turn()
    const long = 'long head '.repeat(2000)
    out.send(long, Buffer.from('body 8 '))
    await turn()
    out.send('ninth ', Buffer.from('body 9 '))
    await turn()
    near.end()
    const end = '\r\n\r\n'
    const ready = (id: string, body: string) => `HEAD id: ${id}${end}${body}`
    const first = ready('first', 'body 1 ') + ready('second', '') + ready('third', 'body 3 ')
    const rest = `${ready('fifth', 'x'.repeat(20_000))}sixth body 6 seventh ${long}body 8 ninth body 9 `
    expect(await heard(far)).toBe(`${first}text body 4 ${rest}`)
    close()
  })

  it('what waits for a slow client is not overwritten by answers to others', async () => {
    const [slow, quick] = [await connection(), await connection()]
    const batcher = new WriteBatcher()
    const [toSlow, toQuick] = [slow, quick].map(({ near }) => new SocketWriter(near, batcher, () => {}))
    const reading = heard(quick.far)
    let expected = ''
    let others = ''
    // More than the kernel takes of a connection that nobody reads.
    for (let i = 0; i < 10_000; i++) {
      const body = Buffer.alloc(10_000, String(i % 10))
      toSlow?.sendReady(Buffer.from(`${i} `), 'id', body)
      toQuick?.sendReady(Buffer.from(`other ${i} `), 'id', Buffer.from('y'))
      expected += `${i} id\r\n\r\n${body.toString()}`
      others += `other ${i} id\r\n\r\ny`
      await turn()
      if (toSlow?.isFull) break
    }
    slow.near.end()
    quick.near.end()
    expect((await heard(slow.far)) === expected).toBe(true)
    expect(await reading).toBe(others)
    slow.close()
    quick.close()
  })
})

it('a client that does not read its answers is not read from either', async () => {
  let served = 0
  const { socket, writes } = client({ reads: false })
  const wheel = new Wheel(systemClock)
  const live = { route: createRouter([]), maxBodyBytes: 100 }
  const door = createDoor({
    server: createServer(),
    wheel,
    limits: { maxHeadBytes: 8192, headTimeoutMs: 5000, bodyTimeoutMs: 5000, keepAliveTimeoutMs: 5000 },
    serve: () => {},
    live: () => live,
    log: silentLog,
    mintId: () => 'id',
    http2: { take: () => expect.unreachable('HTTP/1.1 is sent') },
    memoryHit: {
      answer(head, _body, line) {
        served++
        line.sendError(head, new GatewayError('unknownRoute', `${served}`.padEnd(400)), undefined, 0)
        return {} as HitSource
      },
      answerRepeat: () => false,
    },
    fastRefusal: noFastRefusal,
    foreign: () => {},
  })
  door.take(socket)
  for (let i = 0; i < 50; i++) {
    socket.push('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx'.repeat(3))
    await turn()
  }
  expect(writes).toHaveLength(1)
  expect(served).toBeLessThan(10)
  socket.destroy()
  wheel.close()
})
