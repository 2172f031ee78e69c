/** A TCP proxy that misbehaves on demand: between a client and a real server stands the network we fear. */
import { once } from 'node:events'
import net from 'node:net'

/**
 * `pass`: as it is. `hang`: takes bytes and passes none on. `reset`: resets what is open and what comes.
 * `garble`: flips bits in what the server says. `delay`: what the server says comes `delayMs` later.
 */
export type Fault = 'pass' | 'hang' | 'reset' | 'garble' | 'delay'

export interface FaultProxy {
  readonly port: number
  /** Connections made to it so far. */
  readonly connections: number
  /** Connections of clients that are open now. */
  readonly open: number
  /** Chunks that clients sent so far. */
  readonly chunks: number
  set(fault: Fault, options?: { readonly delayMs?: number }): void
  close(): Promise<void>
}

export async function faultProxy(target: number): Promise<FaultProxy> {
  let fault: Fault = 'pass'
  let delayMs = 0
  let connections = 0
  let chunks = 0
  const open = new Set<net.Socket>()
  const clients = new Set<net.Socket>()

  const server = net.createServer((client) => {
    connections++
    clients.add(client)
    client.on('close', () => clients.delete(client))
    const upstream = net.connect(target, '127.0.0.1')
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    if (fault === 'reset') client.resetAndDestroy()
    client.on('data', (chunk: Buffer) => {
      chunks++
      if (fault !== 'hang') upstream.write(chunk)
    })
    upstream.on('data', (chunk: Buffer) => {
      if (fault === 'delay') setTimeout(() => client.write(chunk), delayMs)
      else if (fault === 'garble') client.write(garbled(chunk))
      else if (fault !== 'hang') client.write(chunk)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as net.AddressInfo).port,
    get connections() {
      return connections
    },
    get open() {
      return clients.size
    },
    get chunks() {
      return chunks
    },
    set(next, options = {}) {
      fault = next
      delayMs = options.delayMs ?? 0
      if (fault === 'reset') for (const socket of open) socket.resetAndDestroy()
    },
    async close() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Every seventh byte has some of its bits flipped, so that framing and content are both wrong. */
function garbled(chunk: Buffer): Buffer {
  const out = Buffer.from(chunk)
  for (let i = 0; i < out.length; i += 7) out[i] = (out[i] as number) ^ 0x5a
  return out
}
