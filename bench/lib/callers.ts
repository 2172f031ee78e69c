/** Calls one by one, where their number counts and not their rate. */
import { Agent, request } from 'node:http'

export interface Callers {
  /** Milliseconds until the answer was there; rejects when it is an error. */
  call(url: string, body: string): Promise<number>
  close(): void
}

export function createCallers(atOnce: number): Callers {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce, scheduling: 'lifo' })
  return {
    call(url, body) {
      const began = performance.now()
      return new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
        const sent = request(url, { method: 'POST', agent, headers, timeout: 10_000 }, (response) => {
          response.on('error', reject)
          response.on('end', () =>
            response.statusCode === 200
              ? resolve(performance.now() - began)
              : reject(new Error(`status ${response.statusCode}`)),
          )
          response.resume()
        })
        sent.on('timeout', () => sent.destroy(new Error('no answer within 10 s')))
        sent.on('error', reject)
        sent.end(body)
      })
    },
    close: () => agent.destroy(),
  }
}

let asked = 0

/** A body of one row that nobody asked for before. */
export const freshBody = (): string => `{"instances":[[0.2${String(++asked).padStart(9, '0')},0.5,0.25]]}`
