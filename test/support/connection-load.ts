/** A load of calls that each make a connection of their own, as callers do that keep none. */
import net from 'node:net'

export interface ConnectionLoad {
  /** Calls that were answered 200. */
  readonly answered: number
  /** What went wrong with the others, and how often. */
  readonly failures: ReadonlyMap<string, number>
  /** Resolves when the last call has ended. */
  stop(): Promise<void>
}

/** Longer than any restart. */
const TIMEOUT_MS = 30_000

/** Keeps so many calls under way. */
export function connectionLoad(port: number, path: string, concurrency: number): ConnectionLoad {
  const failures = new Map<string, number>()
  let answered = 0
  const stopping = new AbortController()
  async function caller(): Promise<void> {
    while (!stopping.signal.aborted) {
      const failure = await failureOf(port, path)
      if (failure === undefined) answered++
      else failures.set(failure, (failures.get(failure) ?? 0) + 1)
    }
  }
  const callers = Promise.all(Array.from({ length: concurrency }, caller))
  return {
    get answered() {
      return answered
    },
    failures,
    async stop() {
      stopping.abort()
      await callers
    },
  }
}

/** Undefined: it was answered 200, whole. */
function failureOf(port: number, path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    let answer = ''
    let error = ''
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timeout')))
    socket.on('connect', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`))
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString('latin1')
    })
    socket.on('error', ({ message }: Error) => {
      error = message
    })
    socket.on('close', () => {
      const [line = ''] = answer.split('\r\n')
      resolve(error === '' && line.startsWith('HTTP/1.1 200') ? undefined : error || line || 'no answer')
    })
  })
}
