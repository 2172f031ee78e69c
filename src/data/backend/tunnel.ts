/**
 * The bytes of a connection that a backend has changed to another protocol (101, RFC 9110, section 15.2.2), as the two bodies of
 * a call: what the backend sends is the body of the answer, and what the caller sends that of the request. Each side is
 * read only as fast as the other reads.
 */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { Body } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { BackendResponse } from './exchange.ts'
import { Incoming } from './incoming.ts'

/** `closed` is called once, when the connection is over, with the error that ended it, if any. */
export function tunnelled(
  socket: Duplex,
  upload: AsyncIterable<Uint8Array>,
  closed: (error: Error | undefined) => void,
): Incoming {
  const flow = {
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    abort: () => void socket.destroy(),
  }
  const body = new Incoming(flow, (error) => {
    if (error) socket.destroy()
    closed(error)
  })
  socket.on('data', (bytes: Buffer) => body.push(bytes))
  socket.once('end', () => body.end([]))
  socket.on('error', (error) => body.fail(broken(error)))
  // Behind its end this is nothing new.
  socket.once('close', () => body.fail(broken()))
  send(socket, upload).catch((error: unknown) => {
    body.fail(error instanceof Error ? error : broken())
  })
  return body
}

async function send(socket: Duplex, upload: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const bytes of upload) {
    if (socket.destroyed) return
    if (!socket.write(bytes)) await Promise.race([once(socket, 'drain'), once(socket, 'close')])
  }
  socket.end()
}

function broken(cause?: Error): GatewayError {
  return new GatewayError('backendReset', 'the backend broke the connection off', { cause })
}

/** What a client of backends answers for a connection that has changed. */
export function tunnelReply(
  headers: readonly string[],
  socket: Duplex,
  upload: Body | undefined,
): Pick<BackendResponse, 'reply'> & { readonly body: Incoming; readonly over: Promise<Error | undefined> } {
  const over = Promise.withResolvers<Error | undefined>()
  const body = tunnelled(socket, upload as AsyncIterable<Uint8Array>, over.resolve)
  return { body, reply: { status: 101, headers, body }, over: over.promise }
}
