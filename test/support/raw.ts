/** Bytes on a socket, for requests that no client library would send. */
import net from 'node:net'

export interface RawReply {
  /** 0: the connection ended without an answer. */
  readonly status: number
  readonly head: string
  readonly body: string
}

export interface RawOptions {
  /** Ends our side after the last byte. */
  readonly end?: boolean
  /** Milliseconds until we give up. */
  readonly timeoutMs?: number
}

/** Sends exactly these bytes and gives the first answer, once it is whole or the connection has ended. */
export function exchange(port: number, bytes: string, options: RawOptions = {}): Promise<RawReply> {
  const { end = false, timeoutMs = 10_000 } = options
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = net.connect(port, '127.0.0.1')
    const settle = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(read(text))
    }
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no answer within ${timeoutMs} ms; so far: ${text}`))
    }, timeoutMs)
    socket.on('connect', () => {
      socket.write(bytes, 'latin1')
      if (end) socket.end()
    })
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (whole(text)) settle()
    })
    socket.on('close', settle)
    socket.on('error', settle)
  })
}

function whole(text: string): boolean {
  const split = text.indexOf('\r\n\r\n')
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1]
  return split >= 0 && length !== undefined && text.length >= split + 4 + Number(length)
}

function read(text: string): RawReply {
  const split = text.indexOf('\r\n\r\n')
  const head = split < 0 ? text : text.slice(0, split)
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
    head,
    body: split < 0 ? '' : text.slice(split + 4),
  }
}
