/** What the measured servers stand in front of: nginx that answers at once, or a model server with a time a row. */
import { join } from 'node:path'
import { freePort, LOAD_CORE, listening, type Pinned, start } from './process.ts'
import { nginx } from './servers/nginx.ts'

export interface Backend {
  readonly port: number
  readonly process: Pinned
  /** What it was asked for so far; rows only where it reads them. */
  counts(): Promise<Counts>
}

export interface Counts {
  readonly requests: number
  readonly rows: number
}

/** A stock answer of 300 bytes, as fast as anything can give it. */
export async function instant(folder: string): Promise<Backend> {
  const port = await freePort()
  const answer = `{"predictions": [[${Array.from({ length: 31 }, (_, i) => (0.1 + i / 100).toFixed(5)).join(', ')}]]}`
  const server = `location / { default_type application/json; return 200 '${answer}'; } location = /counts { stub_status; }`
  const place = { folder: join(folder, 'backend'), port, cores: String(LOAD_CORE), bodyBytes: 64e6 }
  const process = nginx(place, { server })
  await listening(port, process)
  return {
    port,
    process,
    async counts() {
      const text = await (await fetch(`http://127.0.0.1:${port}/counts`)).text()
      return { requests: parseStubStatus(text), rows: Number.NaN }
    },
  }
}

/** Requests so far, from nginx's status page: the third number of its third line. */
export function parseStubStatus(text: string): number {
  const requests = Number(text.split('\n')[2]?.trim().split(/\s+/)[2])
  if (!Number.isInteger(requests)) throw new Error(`not nginx's status page: ${text}`)
  return requests
}

/** One batch at a time, so many milliseconds a row. */
export async function slow(msPerRow: number): Promise<Backend> {
  const port = await freePort()
  const program = join(import.meta.dirname, 'slow-backend.ts')
  const args = [program, String(port), String(msPerRow)]
  const backend = start({ core: LOAD_CORE, command: process.execPath, args })
  await listening(port, backend)
  const counts = async (): Promise<Counts> => (await fetch(`http://127.0.0.1:${port}/counts`)).json() as never
  return { port, process: backend, counts }
}
