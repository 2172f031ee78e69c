/** A server that plays back what a real one said, byte for byte, and keeps what it was sent. */
import { once } from 'node:events'
import net from 'node:net'

export interface Playback {
  readonly url: string
  /** Whole requests whose line begins so, oldest first. */
  sent(requestLine: string): Buffer[]
  /** From now on requests whose line begins so are answered with these bytes; all others, the gateway's own, with 404. */
  play(requestLine: string, answer: Buffer): void
  close(): Promise<void>
}

const ABSENT = Buffer.from('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')

export async function startPlayback(): Promise<Playback> {
  const asked: Buffer[] = []
  const sockets = new Set<net.Socket>()
  let playing: { line: string; answer: Buffer } = { line: '', answer: ABSENT }
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    let got: Buffer = Buffer.alloc(0)
    socket.on('data', (bytes: Buffer) => {
      got = Buffer.concat([got, bytes])
      if (!isWhole(got)) return
      asked.push(got)
      const answer = got.toString('latin1').startsWith(playing.line) ? playing.answer : ABSENT
      got = Buffer.alloc(0)
      if (isDelimited(answer)) socket.write(answer)
      else socket.end(answer)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    sent: (line) => asked.filter((one) => one.toString('latin1').startsWith(line)),
    play(line, answer) {
      playing = { line, answer }
    },
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** A message in two. */
export function split(message: Buffer): { head: string; body: Buffer } {
  const end = message.indexOf('\r\n\r\n')
  return end < 0
    ? { head: message.toString('latin1'), body: Buffer.alloc(0) }
    : { head: message.toString('latin1', 0, end), body: message.subarray(end + 4) }
}

/** A body without its chunks. */
export function unchunked({ head, body }: { head: string; body: Buffer }): Buffer {
  if (!/^transfer-encoding: *chunked/im.test(head)) return body
  const pieces: Buffer[] = []
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.toString('latin1', at, line), 16)
    if (!(size > 0)) return Buffer.concat(pieces)
    pieces.push(body.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
}

function isWhole(request: Buffer): boolean {
  if (!request.includes('\r\n\r\n')) return false
  const { head, body } = split(request)
  if (/^transfer-encoding: *chunked/im.test(head)) return body.subarray(-5).equals(Buffer.from('0\r\n\r\n'))
  return body.length >= Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
}

/** Whether the answer says itself where it ends; otherwise the end of the connection does. */
const isDelimited = (answer: Buffer): boolean => {
  const { head } = split(answer)
  return /^(content-length|transfer-encoding):/im.test(head) || /^HTTP\/1.1 (204|304)/.test(head)
}
