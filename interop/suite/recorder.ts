/** A TCP proxy that keeps what passes: exchange by exchange, since HTTP/1.1 answers each request before the next is sent. */
import { once } from 'node:events'
import net from 'node:net'

export interface Recorded {
  readonly sent: Buffer
  readonly received: Buffer
}

interface Passing {
  readonly sent: Buffer[]
  readonly received: Buffer[]
}

export interface Recorder {
  readonly url: string
  /** The latest exchange whose request line begins so. */
  latest(requestLine: string): Recorded | undefined
  stop(): Promise<void>
}

/** Stands in front of `upstream`, an `http://` address. */
export async function startRecorder(upstream: string): Promise<Recorder> {
  const { hostname, port } = new URL(upstream)
  const kept: Passing[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
      socket.on('error', () => socket.destroy())
    }
    keep(near, far, kept)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    latest(requestLine) {
      const found = kept.findLast(({ sent }) =>
        Buffer.concat(sent).toString('latin1').startsWith(requestLine),
      )
      return found && { sent: Buffer.concat(found.sent), received: Buffer.concat(found.received) }
    },
    async stop() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

function keep(near: net.Socket, far: net.Socket, kept: Passing[]): void {
  let current: Passing | undefined
  near.on('data', (bytes: Buffer) => {
    if (current === undefined || current.received.length > 0) {
      current = { sent: [], received: [] }
      kept.push(current)
    }
    current.sent.push(bytes)
    far.write(bytes)
  })
  far.on('data', (bytes: Buffer) => {
    current?.received.push(bytes)
    near.write(bytes)
  })
  near.on('end', () => far.end())
  far.on('end', () => near.end())
}
